//! The words of task and administrator.
//!
//! Compiled under `#[cfg(test)]` only.

use super::super::arguments::{line, removed, words};
use super::super::host::local_ports;
use super::*;

fn split(text: &str) -> Vec<String> {
    words(text).unwrap()
}

#[track_caller]
fn left(text: &str, names: &[&str]) -> String {
    let (kept, _) = removed(&split(text), &|flag| {
        let name = names.iter().find(|name| **name == flag.written)?;
        Some((*name).to_owned())
    });
    line(&kept)
}

/// C-041
#[test]
fn a_switch_goes_with_what_belongs_to_it() {
    let all = "--network host -it  --privileged  -v=/a/b:/c/d -v /c/e:/f/g --rm";
    let kept = "-it -v=/a/b:/c/d -v /c/e:/f/g --rm";
    assert_eq!(left(all, &["network", "privileged"]), kept);
    let shell = left("--entrypoint /bin/bash -c \"echo hello\"", &["entrypoint"]);
    assert_eq!(shell, "-c 'echo hello'");
    assert_eq!(left("--privileged stray -e A=1", &["privileged"]), "-e A=1");
    assert_eq!(
        left("--env=A=1 stray --rm --gone 1", &["gone"]),
        "--env=A=1 --rm"
    );
    let untouched = "--env=A=1 stray -e B=2";
    assert_eq!(left(untouched, &["privileged"]), untouched);
    assert_eq!(left("-te A=1 -itv /a:/b", &["v"]), "-te A=1 -it");
}

/// C-037, C-042: the block list knows the other names of a switch too.
#[test]
fn a_forbidden_switch_is_forbidden_under_all_its_names() {
    let text = "agent.forbidden_docker_args: [network, \"--volume\"]";
    let world = world(text, &[]).asks("i", "--net host -v /:/host -e A=1 -tv /x:/y");
    assert_eq!(world.given(), "-e A=1 -t");
    let said = world.command().console;
    let expected = "clearml-agent: ignoring docker argument(s) --network, --volume; they would override the agent \
                    startup script and prevent the task from running";
    assert!(said.iter().any(|line| line == expected), "{said:?}");
}

/// C-037: an empty list forbids nothing.
#[test]
fn an_empty_block_list_blocks_nothing() {
    let world = world("agent.forbidden_docker_args: []", &[]).asks("i", "--entrypoint /x");
    assert_eq!(world.given(), "--entrypoint /x");
}

/// C-043
#[test]
fn nobody_types_into_a_container() {
    let world = world("", &[]).asks("i", "-it --interactive -e A=1");
    assert_eq!(world.given(), "-t -e A=1");
    let said = world.command().console.join("\n");
    assert!(said.contains("--interactive"), "{said}");
}

/// C-039, C-042: only protected switches give way, and `--net` is not `--network` there.
#[test]
fn a_double_switch_stays_unless_it_is_protected() {
    let text =
        "agent.extra_docker_arguments: [\"--network=a\", \"-e\", \"A=1\", \"--shm-size\", \"1g\"]";
    let world = world(text, &[]).asks("i", "--network b --net c -e A=2 --shm-size=2g");
    let expected = "--network=a -e A=1 --shm-size 1g --net c -e A=2 --shm-size=2g";
    assert_eq!(world.given(), expected);
    let notice = "NOTICE: docker argument(s) --network of the task are left out: those of the agent hold (agent.protected_docker_extra_args)";
    let console = world.command().console;
    assert!(console.iter().any(|line| line == notice), "{console:?}");
}

#[test]
fn a_flag_that_takes_the_next_word_for_its_value_is_said() {
    for (arguments, flag) in [("-e", "-e"), ("--shm-size 1g --volume", "--volume")] {
        let console = world("", &[]).asks("i", arguments).command().console;
        let line = format!(
            "WARNING: the container arguments end with `{flag}`, which needs a value: docker takes the next word for it"
        );
        assert!(console.contains(&line), "{console:?}");
    }
    let console = world("", &[]).asks("i", "-e A=1 --rm").command().console;
    assert!(!console.concat().contains("needs a value"), "{console:?}");
}

/// C-034: an open quote ends the agent, and a text together with a socket of ssh does not.
#[test]
fn extra_arguments_are_the_words_of_a_shell_line() {
    let variables = [("CLEARML_AGENT_EXTRA_DOCKER_ARGS", "-e A='x")];
    let settings = Settings::from_text("", &variables.iter().copied().collect()).unwrap();
    let error = settings.container().unwrap_err().to_string();
    assert_eq!(
        error,
        "CLEARML_AGENT_EXTRA_DOCKER_ARGS has a quote that is not closed"
    );
    let text = "agent.extra_docker_arguments: \"--ipc=host -e 'A=b c'\"";
    let world = world(text, &[("SSH_AUTH_SOCK", "/s")]).asks("i", "");
    assert_eq!(
        world.given(),
        "--ipc=host -e A=b c -v /s:/s -e SSH_AUTH_SOCK=/s"
    );
}

/// C-061, C-064: taken ports are left, the last port of the range is used, and what cannot move stays.
#[test]
fn published_ports_are_free_ones() {
    let text = "agent.docker_args_allowed_port_range: [100, 103]";
    let mut world =
        world(text, &[]).asks("i", "-p 101:1 -p 100:2 -p80:3 -p [::1]:103:4 -p 1-2:5-6");
    world.host.taken_ports = || BTreeSet::from([101]);
    let expected =
        "-p 100:1 -p 102:2 -p103:3 -p [::1]:103:4 -p 1-2:5-6 -e CLEARML_AGENT_HOST_IP=10.0.0.1";
    assert_eq!(world.given(), expected);
    let mapping = "100:1,102:2,103:3,103:4,1-2:5-6";
    let name = "_external_host_tcp_port_mapping".to_owned();
    assert_eq!(world.command().runtime, [(name, mapping.to_owned())]);
}

/// C-061: without a range any port from 10000 on will do.
#[test]
fn a_taken_port_moves_without_a_range_too() {
    let mut world = world("", &[]).asks("i", "-p 0.0.0.0:8080-8081:80-81/tcp");
    world.host.taken_ports = || BTreeSet::from([8081, 10_001]);
    let expected = "-p 0.0.0.0:10002-10003:80-81/tcp -e CLEARML_AGENT_HOST_IP=10.0.0.1";
    assert_eq!(world.given(), expected);
    let notice = "NOTICE: port 8080-8081 of this machine is taken or not allowed: the container's 80-81 is published at 10002-10003";
    let console = world.command().console;
    assert!(console.iter().any(|line| line == notice), "{console:?}");
}

/// C-061: any state of a socket counts.
#[test]
fn the_kernel_says_which_ports_are_taken() {
    let table = "  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A 0\n   1: \
                 00000000000000000000000001000000:C350 00000000000000000000000000000000:0000 06 0\n";
    assert_eq!(local_ports(table), BTreeSet::from([8080, 50_000]));
}

/// C-033: `--env=` and other switches stay as they are, and only values are looked at.
#[test]
fn variables_of_the_host_are_for_values_alone() {
    let text = "agent.docker_allow_host_environ: true";
    let world =
        world(text, &[("V", "x")]).asks("i", "-e $V=$V --env=A=$V -e B=${V}$$V${ --env C=$NO");
    assert_eq!(world.given(), "-e $V=x --env=A=$V -e B=x$x${ --env C=$NO");
}

/// C-031, C-703, C-704
#[test]
fn templates_are_resolved_for_each_task() {
    let cases = [
        ("$CLEARML_TASK.id", "t1"),
        ("a${CLEARML_TASK.id}b", "at1b"),
        ("${CLEARML_TASK.tags}", "a,b"),
        ("${CLEARML_TASK.name|lower}", "my exp"),
        ("${CLEARML_TASK.name|lower|capitalize}", "My exp"),
        ("${CLEARML_TASK.name|strip(Mp)}", "y Ex"),
        ("${CLEARML_TASK.nope:my-default/x}", "my-default/x"),
        ("${CLEARML_TASK.nope:A|lower}", "a"),
        ("${CLEARML_TASK.nope:}", ""),
        ("${CLEARML_TASK.nope}", "${CLEARML_TASK.nope}"),
        ("${CLEARML_TASK.lines}", "onetwo"),
        ("${CLEARML_TASK.lines|raw}", "one\ntwo"),
        ("${CLEARML_TASK.empty:x}", ""),
        ("${CLEARML_TASK.deep:x}", "x"),
        ("${CLEARML_TASK.deep.on}", "true"),
        ("${CLEARML_QUEUE_NAME}", ""),
        ("${CLEARML_WORKER_ID}", "host:0"),
        ("${CLEARML_CONFIG.agent.worker_name}", "mine"),
        ("$${CLEARML_TASK.id}", "$${CLEARML_TASK.id}"),
        (
            "$HOME ${OTHER} ${clearml_task.id}",
            "$HOME ${OTHER} ${clearml_task.id}",
        ),
    ];
    let text = "agent.worker_name: mine";
    for (template, expected) in cases {
        let mut world = world(text, &[]).asks("i", &format!("--label '{template}'"));
        world.facts.fields["lines"] = json!("one\ntwo");
        world.facts.fields["empty"] = json!("");
        world.facts.fields["deep"] = json!({ "on": true });
        assert_eq!(world.given(), format!("--label {expected}"), "{template}");
    }
    let world = world("", &[]).asks("i", "--label ${CLEARML_TASK.id|upside_down}");
    assert_eq!(world.given(), "--label ${CLEARML_TASK.id|upside_down}");
    let warnings = world.command().warnings;
    let start =
        "Failed parsing ClearML Template argument [${CLEARML_TASK.id|upside_down}] skipped: ";
    assert!(warnings[0].starts_with(start), "{warnings:?}");
}

/// C-031: the default arguments are the same ones for the next task.
#[test]
fn a_template_of_the_default_arguments_is_each_tasks_own() {
    let text = "agent.default_docker.arguments: [\"-e\", \"T=${CLEARML_TASK.id}\"]";
    let mut world = world(text, &[]);
    assert_eq!(world.given(), "-e T=t1");
    world.facts.task = "t2".to_owned();
    assert_eq!(world.given(), "-e T=t2");
    world.facts.api_version = (2, 19);
    assert_eq!(world.given(), "-e T=${CLEARML_TASK.id}");
}

/// C-142, C-143: also joined forms and the setup script are masked, and only what is shown.
#[test]
fn what_is_secret_is_not_shown() {
    let text = "agent.hide_docker_command_env_vars.extra_keys: [MINE]";
    let arguments =
        "--env=MINE=s1 -eMINE=s2 -te MINE=s3 -e MINE=s4 -e CLEARML_DOCKER_IMAGE='i -e MINE=s5'";
    let mut world = world(text, &[]).asks("i", arguments);
    let WantedContainer::Section(section) = &mut world.facts.wanted else {
        panic!("a section");
    };
    section.setup_shell_script =
        "export MINE='s 6'; git clone https://u:s7@h/r\necho MINE".to_owned();
    let command = world.command();
    let shown = format!("{:?} {:?}", command.shown, command.console);
    for secret in ["s1", "s2", "s3", "s4", "s5", "s 6", "s7"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    assert!(shown.contains("echo MINE"));
    assert!(command.words.contains(&"--env=MINE=s1".to_owned()));
    world.options.settings.mask = crate::settings::DockerArgumentMask::of(
        &Settings::from_text(
            "agent.hide_docker_command_env_vars.enabled: false",
            &Environment::default(),
        )
        .unwrap(),
    );
    let command = world.command();
    assert!(command.console.join("\n").contains("s 6"));
}

/// C-014, C-016: words as Python splits them.
#[test]
fn arguments_are_split_as_a_shell_does() {
    let cases = [
        (
            "a  'b c'\t\"d \\\" \\x\" e\\ f",
            vec!["a", "b c", "d \" \\x", "e f"],
        ),
        ("'' #no comment", vec!["", "#no", "comment"]),
        (" ", vec![]),
    ];
    for (text, expected) in cases {
        assert_eq!(words(text).unwrap(), expected, "{text}");
    }
    for open in ["a 'b", "a \"b\\\"", "a\\"] {
        words(open).unwrap_err();
    }
    assert_eq!(
        line(&split("-e 'A=b c' '' \"it's\"")),
        "-e 'A=b c' '' 'it'\"'\"'s'"
    );
}
