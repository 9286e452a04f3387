//! Which image, by whose choice.
//!
//! Compiled under `#[cfg(test)]` only.

use super::super::{CommandError, WriteBack};
use super::*;

fn default(words: &[&str], text: &str) -> DefaultContainer {
    let settings = Settings::from_text(text, &Environment::default()).unwrap();
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    DefaultContainer::of(&words, &settings.container().unwrap())
}

/// C-010, C-011, C-011a, C-012, C-012a, C-013
#[test]
fn the_default_image_is_that_of_the_first_who_names_one() {
    let text = "agent.default_docker { image: \"conf:1\", arguments: [\"--ipc=host\"] }";
    let case = |words: &[&str]| {
        let default = default(words, text);
        (
            default.image,
            default.arguments.join("|"),
            default.is_from_command_line,
        )
    };
    let given =
        |image: &str, arguments: &str, is_line| (image.to_owned(), arguments.to_owned(), is_line);
    assert_eq!(case(&[]), given("conf:1", "--ipc=host", false));
    assert_eq!(case(&["", " "]), given("conf:1", "--ipc=host", false));
    assert_eq!(case(&["a:1"]), given("a:1", "--ipc=host", true));
    assert_eq!(
        case(&["a:1", "-e", "A=b c"]),
        given("a:1", "-e|A=b c", true)
    );
    assert_eq!(
        case(&["a:1 -e  'A=b c'", "x"]),
        given("a:1", "-e|A=b c", true)
    );
    assert_eq!(case(&["\"a:1\""]), given("a:1", "--ipc=host", true));
    let missing = "agent.default_docker: { image: null }";
    assert_eq!(default(&[], missing).image, "nvidia/cuda");
}

/// C-004
#[test]
fn the_agent_says_which_image_it_uses() {
    let settings = Settings::from_text("", &Environment::default()).unwrap();
    let settings = settings.container().unwrap();
    let words = ["a:1", "-e", "CLEARML_AUTH_TOKEN=x"].map(str::to_owned);
    let lines = DefaultContainer::of(&words, &settings).banner(true, &settings);
    assert_eq!(
        lines,
        [
            "Running in Docker *standalone* mode (v19.03 and above) - using default docker image: a:1 \
             ['-e', 'CLEARML_AUTH_TOKEN=********'] ",
            "(default docker commandline override, config matching rules are ignored)",
        ]
    );
    let lines = DefaultContainer::of(&[], &settings).banner(false, &settings);
    let image = "nvidia/cuda:12.6.3-cudnn-runtime-ubuntu20.04";
    let line = format!(
        "Running in Docker mode (v19.03 and above) - using default docker image: {image}  "
    );
    assert_eq!(lines, [line]);
}

const RULES: &str = r#"agent.default_docker { image: "default:1", match_rules: [
    { image: "never:1" }
    { image: "broken:1", match { script.binary: "python(" } }
    { image: "both:1", match { script.binary: ["python", "3[.]10$"], user_id: "^u2$" } }
    { image: "tag:1", arguments: "-e R=1", setup_shell_script: "echo r", update_back_task: false, match { tags: "^b$" } }
    { image: "forced:1", force_container_rules: true, match { container: "^evil/" } }
] }"#;

fn ruled(image: &str, arguments: &str) -> World {
    let mut world = world(RULES, &[]).asks(image, arguments);
    world.facts.is_advanced = true;
    world.facts.fields["script"] = json!({ "binary": "python3.10" });
    world
}

/// C-022, C-023, C-026, C-028
#[test]
fn the_first_rule_that_fits_fills_what_is_empty() {
    let command = ruled("", "-e T=1").command();
    assert_eq!(command.image, "tag:1");
    assert_eq!(command.boot.setup, "echo r");
    assert!(
        command.words.contains(&"T=1".to_owned()),
        "{:?}",
        command.words
    );
    assert!(!command.words.contains(&"R=1".to_owned()));
    assert_eq!(command.write_back, None);
    assert_eq!(
        command.console[0],
        "INFO: Updating Task Container with matched rule:"
    );
    assert!(
        command.console[1].contains("\"tag:1\""),
        "{:?}",
        command.console
    );
    let start = "Failed parsing regular expression \"python(\" in rule: {";
    assert!(
        command.warnings[0].starts_with(start),
        "{:?}",
        command.warnings
    );
    let mut both = ruled("", "");
    both.facts.fields["user"] = json!("u2");
    assert_eq!(both.command().image, "both:1");
}

/// C-022: an empty condition is none, and a rule without any is none.
#[test]
fn a_rule_with_nothing_but_empty_conditions_fits_every_task() {
    let text = "agent.default_docker.match_rules: [ { image: never }, { image: never, match {} }, \
                { image: always, match { project: \"\", tags: [] } } ]";
    let mut world = world(text, &[]).asks("", "");
    world.facts.is_advanced = true;
    assert_eq!(world.command().image, "always");
}

/// C-023: a task with an image of its own, and a rule in front of a forcing one.
#[test]
fn a_rule_that_does_not_force_hides_one_that_does() {
    assert_eq!(ruled("own:1", "").command().image, "own:1");
    assert_eq!(ruled("evil/x", "").command().image, "evil/x");
    let mut world = ruled("evil/x", "-e A=1");
    world.facts.fields["tags"] = json!([]);
    let command = world.command();
    assert_eq!(command.image, "forced:1");
    assert!(!command.words.contains(&"A=1".to_owned()));
}

/// C-021, C-025, C-018
#[test]
fn rules_count_where_they_are_allowed_to() {
    let mut basic = ruled("", "");
    basic.facts.is_advanced = false;
    assert_eq!(basic.command().image, "default:1");
    let mut old = ruled("", "");
    old.facts.api_version = (2, 12);
    assert_eq!(old.command().image, "default:1");
    let mut line = ruled("", "");
    line.options.default.is_from_command_line = true;
    assert_eq!(line.command().image, "default:1");
    line.options.settings.match_rules[2].is_forced = true;
    assert_eq!(line.command().image, "tag:1");
    let mut named = ruled("own:1", "");
    named.options.default.is_from_command_line = true;
    let said =
        "INFO: default docker command line override, ignoring default docker container match rules";
    assert_eq!(named.command().console[0], said);
    let mut ignored = ruled("own:1", "-e A=1");
    ignored.options.settings.ignores_task = true;
    let command = ignored.command();
    assert_eq!(
        (command.image.as_str(), command.write_back),
        ("default:1", None)
    );
}

/// C-026
#[test]
fn packages_of_a_rule_need_versions_that_are_possible() {
    let cases = [
        ("torch==2.1.0", "torch", "", true),
        ("torch==2.1.0", "Torch", ">=2", true),
        ("torch==2.1.0", "torch", "<2.1", false),
        ("torch>=2,<3", "torch", "~=2.4", true),
        ("torch~=1.13", "torch", ">=2", false),
        ("torch~=1.13", "torch", "<1.5", true),
        ("torch~=1.13", "torch", "<1.14", true),
        ("torch", "torch", ">=2", true),
        ("torch!=2.0", "torch", "==2.0", true),
        ("torch>2", "torch", "<=2", false),
        (
            "torch[cuda]==2.1 ; python_version > '3'",
            "torch",
            "==2.1.*",
            true,
        ),
        ("numpy==1", "torch", "", false),
    ];
    for (list, name, versions, fits) in cases {
        let text = format!(
            "agent.default_docker {{ image: d, match_rules: [ {{ image: r, match {{ script.requirements.pip {{ \"{name}\": \"{versions}\" }} }} }} ] }}"
        );
        for list in [json!(list), json!([list])] {
            let mut world = world(&text, &[]).asks("", "");
            world.facts.is_advanced = true;
            world.facts.fields["script"] = json!({ "requirements": { "pip": list } });
            let expected = if fits { "r" } else { "d" };
            assert_eq!(world.command().image, expected, "{list} {name}{versions}");
        }
    }
}

/// C-027
#[test]
fn the_shipped_rules_choose_by_the_version_of_python() {
    let mut world = world("", &[]).asks("", "");
    world.facts.is_advanced = true;
    world.facts.fields["script"] = json!({ "binary": "/usr/bin/python3.11" });
    let command = world.command();
    assert_eq!(command.image, "python:3.11-bullseye");
    assert_eq!(behind(&command.words, "-t"), "--ipc=host");
    assert!(matches!(command.write_back, Some(WriteBack::ByRule(_))));
}

/// C-016, C-010
#[test]
fn a_task_whose_container_makes_no_sense_gets_none() {
    let refused = |world: &World| {
        let made = ContainerCommand::of(&world.options, &world.facts, &world.host, &world.launch);
        made.unwrap_err()
    };
    let open = refused(&world("", &[]).asks("i", "-e TOKEN=abc -e A=\"x"));
    assert_eq!(open, CommandError::OpenQuote("A".to_owned()));
    for (arguments, place) in [
        ("-e A=1 'b", "behind `A`"),
        ("--ipc host \"b", "behind `host`"),
        ("'b", "at their beginning"),
        (" \"b", "at their beginning"),
    ] {
        let line = refused(&world("", &[]).asks("i", arguments)).to_string();
        let expected = "the container arguments of the task have a quote that is not closed, ";
        assert_eq!(line, format!("{expected}{place}"), "{arguments}");
    }
    let rules = "agent.default_docker.match_rules: [ { image: a, match {} }, \
                 { image: r, arguments: \"-e A='b\", match { project: \"\" } } ]";
    let mut ruled = world(rules, &[]).asks("", "");
    ruled.facts.is_advanced = true;
    let key = "agent.default_docker.match_rules[1].arguments".to_owned();
    let behind = "A".to_owned();
    assert_eq!(
        refused(&ruled),
        CommandError::OpenQuoteOfRule { key, behind }
    );
    let mut none = world("", &[]).asks("", "");
    none.options.default.image = String::new();
    assert_eq!(refused(&none), CommandError::NoImage);
}

/// C-019, C-020: servers of old.
#[test]
fn an_old_server_gets_the_default_as_one_text() {
    let mut world = world(
        "agent.default_docker { image: \"d:1\", arguments: [\"-e\", \"A=b c\"] }",
        &[],
    );
    world.facts.api_version = (2, 12);
    world.facts.wanted = WantedContainer::DockerCommand(String::new());
    let told = Some(WriteBack::DockerCommand("d:1 -e 'A=b c'".to_owned()));
    assert_eq!(world.command().write_back, told);
    world.facts.wanted = WantedContainer::DockerCommand("old:1 -e B=1".to_owned());
    let command = world.command();
    assert_eq!(
        (command.image.as_str(), command.write_back),
        ("old:1", None)
    );
}
