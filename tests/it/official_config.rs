//! `config` beside the official agent: the same file gives the same text, to the byte.
//!
//! Every difference that is meant is listed with its file and its reason; any other fails the test, and so does an
//! entry that is not needed any more.

use std::fs;
use std::path::Path;

use super::official::official;
use super::support::TestContext;

/// Lines of the official agent, and what ours prints in their place.
struct Deviation {
    theirs: &'static [&'static str],
    ours: &'static [&'static str],
    #[expect(dead_code, reason = "for the reader")]
    reason: &'static str,
}

/// The hint that an error has here.
const fn hint(text: &'static [&'static str]) -> Deviation {
    Deviation {
        theirs: &[],
        ours: text,
        reason: "an error says what can be done about it",
    }
}

/// Variables that the files name.
const VARIABLES: [(&str, &str); 3] = [
    ("API", "http://variable:8008"),
    ("KEY", "KEY"),
    ("NUMBER", "12"),
];

/// Prints the configuration of `tests/data/config/<name>.conf`, which lies in the home folder as `file`.
#[track_caller]
fn compare(name: &str, file: &str, deviations: &[Deviation]) {
    let context = TestContext::new();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/config");
    let home = context.home();
    fs::remove_file(home.join("clearml.conf")).unwrap();
    fs::copy(data.join(format!("{name}.conf")), home.join(file)).unwrap();
    // Files are included from beside the one that names them.
    fs::create_dir(home.join("included")).unwrap();
    for included in ["base.conf", "keys.conf"] {
        fs::copy(
            data.join("included").join(included),
            home.join("included").join(included),
        )
        .unwrap();
    }
    let theirs = {
        let mut command = official(&context, &["config"]);
        command.envs(VARIABLES);
        context.finish(command)
    };
    let ours = context.run_with(&["config"], &VARIABLES);
    assert_eq!(ours.code, theirs.code, "{}\n{}", ours.stdout, theirs.stderr);
    assert_eq!(ours.stderr, "");
    let shown = |text: &str| -> Vec<String> {
        let text = text.replace(home.to_str().unwrap(), "<home>");
        text.split('\n').map(str::to_owned).collect()
    };
    let (mut theirs, mut ours) = (shown(&theirs.stdout), shown(&ours.stdout));
    for deviation in deviations {
        if deviation.theirs.is_empty() {
            replace(&mut ours, deviation.ours, &[]);
        } else {
            replace(&mut theirs, deviation.theirs, deviation.ours);
        }
    }
    pretty_compare(&ours, &theirs);
    assert!(context.server.requests().is_empty());
}

/// Puts `new` in the place of the only run of these lines.
#[track_caller]
fn replace(lines: &mut Vec<String>, old: &[&str], new: &[&str]) {
    let found = lines.windows(old.len()).position(|window| window == old);
    let start =
        found.unwrap_or_else(|| panic!("not there any more: {old:#?} in\n{}", lines.join("\n")));
    lines.splice(
        start..start + old.len(),
        new.iter().map(|line| (*line).to_owned()),
    );
}

/// The lines that only one of them has, which is easier to read than two texts.
#[track_caller]
fn pretty_compare(ours: &[String], theirs: &[String]) {
    let only = |these: &[String], others: &[String]| -> Vec<String> {
        these
            .iter()
            .filter(|line| !others.contains(line))
            .cloned()
            .collect()
    };
    assert!(
        ours == theirs,
        "only ours: {:#?}\nonly theirs: {:#?}\nours:\n{}",
        only(ours, theirs),
        only(theirs, ours),
        ours.join("\n")
    );
}

/// D-330, D-331, D-332, D-333, F-160 to F-165
#[test]
fn minimal() {
    compare("minimal", "clearml.conf", &[]);
}

/// D-331, D-332, F-161, F-164, F-165, D-321
#[test]
fn kitchen_sink() {
    compare(
        "kitchen-sink",
        "clearml.conf",
        &[Deviation {
            theirs: &["agent.package_manager.conda_channels =  extra"],
            ours: &["agent.package_manager.conda_channels = extra"],
            reason: "`+=` puts a blank between two texts; here there is one",
        }],
    );
}

/// F-010: the file of the days before, and its names.
#[test]
fn legacy_names() {
    compare("legacy", "trains.conf", &[]);
}

/// F-057
#[test]
fn includes() {
    compare("includes", "clearml.conf", &[]);
}

/// F-050 to F-054
#[test]
fn variables() {
    compare("variables", "clearml.conf", &[]);
}

/// D-331, F-161
#[test]
fn texts() {
    compare("texts", "clearml.conf", &[]);
}

/// F-055, F-056, F-060, F-066
#[test]
fn merging() {
    compare(
        "merging",
        "clearml.conf",
        &[Deviation {
            theirs: &["e.extra = 1"],
            ours: &["e.x = 3", "e.y.z = 4", "e.y.w = 2", "e.extra = 1"],
            reason: "an object that is copied and added to keeps what was copied (F-066)",
        }],
    );
}

/// D-332, F-164
#[test]
fn another_idea_of_what_is_secret() {
    compare(
        "masked",
        "clearml.conf",
        &[Deviation {
            theirs: &[
                "agent.shown_pass = pass-shown-anyway",
                "agent.token = token-shown-anyway",
            ],
            ours: &["agent.shown_pass = ****", "agent.token = ****"],
            reason: "what is a secret by its name is in nothing that the agent prints",
        }],
    );
}

/// F-020, F-021, D-056
#[test]
fn broken() {
    compare(
        "broken",
        "clearml.conf",
        &[hint(&[
            r#"hint: look at line 4: a value with one of ^ ` + ? ! @ * & " [ ] { } # , = $ needs quotes, as in key: "value""#,
        ])],
    );
}

/// F-020, F-052
#[test]
fn an_unset_variable() {
    compare(
        "unset-variable",
        "clearml.conf",
        &[hint(&[
            "hint: set GIT_PASSWORD_THAT_IS_NOT_SET in the same file or in the environment, or write ${?GIT_PASSWORD_THAT_IS_NOT_SET} to allow its absence",
        ])],
    );
}

/// F-083
#[test]
fn an_object_over_a_text() {
    compare(
        "object-over-text",
        "clearml.conf",
        &[
            Deviation {
                theirs: &[
                    "Failed loading <home>/clearml.conf: Cannot concatenate the list git_user: ConfigTree([('x', 1)]) to me of str",
                ],
                ours: &[
                    "Failed loading <home>/clearml.conf: Cannot concatenate the list git_user: {...} to a value of str (line: 3, col: 1)",
                ],
                reason: "where, and without the value, which may be a secret",
            },
            Deviation {
                theirs: &[
                    "clearml_agent: ERROR: Cannot concatenate the list git_user: ConfigTree([('x', 1)]) to me of str",
                ],
                ours: &[
                    "clearml_agent: ERROR: Cannot concatenate the list git_user: {...} to a value of str (line: 3, col: 1)",
                ],
                reason: "as above",
            },
        ],
    );
}
