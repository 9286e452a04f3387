//! Whole command lines: what they become, and what is said of those that are wrong. `#[cfg(test)]` alone has it.

use std::ffi::OsString;

use clap::CommandFactory;

use super::{
    Cli, Command, Daemon, Execute, LogFormat, Refused, asks_for_json, completions, man_pages, parse,
};

fn words(words: &[&str]) -> Vec<OsString> {
    let program = std::iter::once("clearml-agent");
    let words = program.chain(words.iter().copied());
    words.map(OsString::from).collect()
}

#[track_caller]
fn parsed(given: &[&str]) -> Cli {
    parse(words(given)).unwrap_or_else(|refused| panic!("{given:?}: {refused:?}"))
}

#[track_caller]
fn daemon(given: &[&str]) -> Daemon {
    let given: Vec<&str> = std::iter::once("daemon")
        .chain(given.iter().copied())
        .collect();
    match parsed(&given).command {
        Some(Command::Daemon(daemon)) => *daemon,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn execute(given: &[&str]) -> Execute {
    let given: Vec<&str> = ["execute", "--id", "t"]
        .iter()
        .chain(given)
        .copied()
        .collect();
    match parsed(&given).command {
        Some(Command::Execute(execute)) => execute,
        other => panic!("{other:?}"),
    }
}

/// The last part of what is said: the error, and the hint where there is one.
#[track_caller]
fn complaint(given: &[&str]) -> String {
    match parse(words(given)) {
        Err(Refused::Usage(mistake)) => {
            let text = mistake.to_string();
            assert!(text.starts_with("usage: clearml-agent"), "{text}");
            let at = text.find(": error: ").expect("an error");
            let start = text[..at].rfind('\n').expect("a line of its own");
            text[start + 1..].to_owned()
        }
        other => panic!("{given:?}: {other:?}"),
    }
}

#[track_caller]
fn help(given: &[&str]) -> String {
    match parse(words(given)) {
        Err(Refused::Help(text)) => text,
        other => panic!("{given:?}: {other:?}"),
    }
}

/// The values of an option that was given.
#[expect(clippy::unnecessary_wraps, reason = "as the option has them")]
fn strings(texts: &[&str]) -> Option<Vec<String>> {
    Some(texts.iter().map(|text| (*text).to_owned()).collect())
}

/// D-002, D-006, D-007
#[test]
fn mistakes_are_named_as_scripts_know_them() {
    for (words, expected) in [
        (
            &["--nosuch"] as &[&str],
            "clearml-agent: error: unrecognized arguments: --nosuch",
        ),
        (
            &["daemon", "--nosuchflag=x", "y", "-x"],
            "clearml-agent: error: unrecognized arguments: --nosuchflag=x y -x",
        ),
        (
            &["execute", "--nosuchflag"],
            "clearml-agent execute: error: the following arguments are required: --id",
        ),
        (
            &["config", "y"],
            "clearml-agent: error: unrecognized arguments: y",
        ),
        (
            &["--config-file", "daemon", "--nosuch"],
            "clearml-agent: error: unrecognized arguments: --nosuch",
        ),
        (
            &["nosuchcommand"],
            "clearml-agent: error: argument command: invalid choice: 'nosuchcommand' (choose from 'execute', 'build', 'list', 'daemon', 'config', 'init', 'install-bootstrap', 'cache', 'doctor', 'k8s', 'slurm', 'service')",
        ),
        (
            &["execute"],
            "clearml-agent execute: error: the following arguments are required: --id",
        ),
        (
            &["build"],
            "clearml-agent build: error: the following arguments are required: --id",
        ),
        (
            &["execute", "--id"],
            "clearml-agent execute: error: argument --id: expected one argument",
        ),
        (
            &["daemon", "--queue"],
            "clearml-agent daemon: error: argument --queue: expected at least one argument",
        ),
        (
            &["daemon", "--polling-interval", "x"],
            "clearml-agent daemon: error: argument --polling-interval: invalid int value: 'x'",
        ),
        (
            &["daemon", "--services-mode", "services"],
            "clearml-agent daemon: error: argument --services-mode: invalid int value: 'services'",
        ),
        (
            &["execute", "--id", "a", "--log-level", "loud"],
            "clearml-agent execute: error: argument --log-level: invalid choice: 'LOUD' (choose from 'DEBUG', 'INFO', 'WARN', 'WARNING', 'ERROR', 'CRITICAL')",
        ),
        (
            &["build", "--id", "a", "--entry-point", "x"],
            "clearml-agent build: error: argument --entry-point: invalid choice: 'x' (choose from 'reuse_task', 'clone_task')",
        ),
        (
            &["@/no/such/file"],
            "clearml-agent: error: [Errno 2] No such file or directory: '/no/such/file'",
        ),
    ] {
        assert_eq!(complaint(words), expected, "{words:?}");
    }
}

/// D-006: a typo gets the nearest option, an option in the wrong place its place.
#[test]
fn a_typo_gets_a_hint() {
    for (words, hint) in [
        (
            &["daemon", "--qeue", "a"] as &[&str],
            "did you mean `--queue`?",
        ),
        (&["daemon", "--forground"], "did you mean `--foreground`?"),
        (&["deamon"], "did you mean `daemon`?"),
        (
            &["daemon", "--debug"],
            "`--debug` is written before the command",
        ),
        (
            &["execute", "--id", "a", "--log-level", "DEBG"],
            "did you mean `DEBUG`?",
        ),
    ] {
        let complaint = complaint(words);
        assert!(
            complaint.ends_with(&format!("\nhint: {hint}")),
            "{complaint}"
        );
    }
    assert!(!complaint(&["daemon", "--zzz"]).contains("hint"));
}

/// D-001, D-002: options of the program stand before the command, and commands are not shortened.
#[test]
fn an_option_belongs_to_what_it_follows() {
    let cli = parsed(&["-d", "daemon", "-d"]);
    assert!(cli.debug);
    assert!(matches!(cli.command, Some(Command::Daemon(daemon)) if daemon.detached));
    let cli = parsed(&["daemon", "-d"]);
    assert!(!cli.debug);
    assert!(parsed(&["--config-file", "daemon", "config"]).config_file == Some("daemon".into()));
    assert!(complaint(&["daemon", "--debug"]).contains("unrecognized arguments: --debug"));
    assert!(complaint(&["daem"]).contains("invalid choice: 'daem'"));
}

/// D-004, D-346
#[test]
fn options_may_be_shortened_as_far_as_they_are_clear() {
    let given = daemon(&["--que", "a", "--gpu", "0", "--serv", "--fore"]);
    assert_eq!(given.queue, strings(&["a"]));
    assert_eq!(given.tasks.devices.gpus.as_deref(), Some("0"));
    assert_eq!(given.services_mode, Some(None));
    assert!(given.foreground);
    // `--stat` and `--sto` are clear; an exact name is, whatever begins with it.
    assert!(daemon(&["--stat"]).status);
    assert_eq!(daemon(&["--docker"]).docker, strings(&[]));
    for (words, expected) in [
        (
            &["daemon", "--d"] as &[&str],
            "clearml-agent daemon: error: ambiguous option: --d could match --detached, --drain, --dynamic-gpus, --downtime, --docker",
        ),
        (
            &["daemon", "--st"],
            "clearml-agent daemon: error: ambiguous option: --st could match --standalone-mode, --stop, --status",
        ),
        (
            &["execute", "--id", "a", "--git=x"],
            "clearml-agent execute: error: ambiguous option: --git could match --git-user, --git-pass",
        ),
    ] {
        assert_eq!(complaint(words), expected);
    }
}

/// D-005
#[test]
fn values_follow_a_blank_or_an_equals_sign() {
    for given in [
        ["--polling-interval", "7"].as_slice(),
        &["--polling-interval=7"],
    ] {
        assert_eq!(daemon(given).polling_interval, 7);
    }
    assert_eq!(daemon(&["--polling-interval", "-7"]).polling_interval, -7);
    assert_eq!(daemon(&[]).polling_interval, 5);
    for given in [["-OO"].as_slice(), &["-O", "-O"]] {
        assert_eq!(execute(given).tasks.optimize, 2);
    }
    assert_eq!(
        execute(&["--git-pass=-x"])
            .tasks
            .git
            .git_pass
            .unwrap()
            .expose(),
        "-x"
    );
}

/// D-009, D-346
#[test]
fn several_values_reach_to_the_next_option_and_the_last_ones_count() {
    let given = daemon(&["--queue", "a", "b", "--foreground", "--queue", "c"]);
    assert_eq!(given.queue, strings(&["c"]));
    let given = daemon(&[
        "--docker",
        "image",
        "--ipc=host -v /a:/b",
        "-e A=b",
        "-5",
        "-.5",
        "--cpu-only",
    ]);
    let expected = ["image", "--ipc=host -v /a:/b", "-e A=b", "-5", "-.5"];
    assert_eq!(given.docker, strings(&expected));
    assert!(given.tasks.devices.cpu_only);
    assert_eq!(
        daemon(&["--uptime", "9-17 MON", "9-12 TUE"]).uptime,
        strings(&["9-17 MON", "9-12 TUE"])
    );
    assert_eq!(daemon(&["--stop", "--queue", "a"]).stop, strings(&[]));
    // A word with a blank that begins with an option of the command is that option.
    assert!(matches!(
        parse(words(&["daemon", "--docker", "image", "-d x"])),
        Err(Refused::Usage(_))
    ));
    assert!(matches!(
        parse(words(&["daemon", "--docker", "image", "-x"])),
        Err(Refused::Usage(_))
    ));
    assert!(parse(words(&["daemon", "--docker", "--queue b"])).is_ok());
    // What can be given once may be given again.
    let given = execute(&[
        "--log-level",
        "DEBUG",
        "--log-level",
        "error",
        "--clone",
        "--clone",
    ]);
    assert_eq!(given.tasks.log_level, "error");
}

/// What workers do is asked for, or that they stop.
#[test]
fn status_as_json_does_not_go_with_stop() {
    assert_eq!(
        complaint(&["daemon", "--status", "--json", "--stop"]),
        "clearml-agent daemon: error: argument --json: not allowed with argument --stop"
    );
}

/// Also in a call with a mistake in it.
#[test]
fn the_format_of_lines_is_known_before_the_call_is_understood() {
    let asks = |given: &[&str]| asks_for_json(&words(given));
    assert!(asks(&["daemon", "--nothing", "--log-format", "json"]));
    assert!(asks(&["daemon", "--log-f=json", "--nothing"]));
    assert!(!asks(&["daemon", "--log-format", "text"]));
    assert!(!asks(&["daemon", "--log", "json"]));
    assert!(!asks(&["daemon", "--log-format"]));
    assert!(!asks(&["daemon"]));
}

/// D-004: `--log-format` takes no short form away from the option that had them all.
#[test]
fn short_forms_of_the_log_level_mean_it_as_before() {
    for short in ["--l", "--lo", "--log", "--log-", "--log-l"] {
        let given = daemon(&[short, "debug"]);
        assert_eq!(given.tasks.log_level, "debug", "{short}");
    }
    assert_eq!(daemon(&["--log-f", "json"]).log_format, LogFormat::Json);
    assert_eq!(daemon(&[]).log_format, LogFormat::Text);
}

/// D-022 and all of D 1.3 and D 1.4: every option is understood; what each does is for other tests.
#[test]
fn the_daemon_has_every_option_of_the_reference() {
    let given = daemon(&[
        "--polling-interval",
        "6",
        "--foreground",
        "--queue",
        "a",
        "b",
        "--order-fairness",
        "--standalone-mode",
        "--services-mode",
        "3",
        "--child-report-tags",
        "x",
        "y",
        "--create-queue",
        "--detached",
        "--stop",
        "w1",
        "w2",
        "--dynamic-gpus",
        "--uptime",
        "1-2 MON",
        "--downtime",
        "--status",
        "--check-bootstrap",
        "--use-owner-token",
        "-O",
        "--git-user",
        "u",
        "--git-pass",
        "p",
        "--log-level",
        "debug",
        "--gpus",
        "0,1",
        "--cpu-only",
        "--podman",
        "p",
        "--docker",
        "d",
        "x",
        "--force-current-version",
    ]);
    assert_eq!(given.services_mode, Some(Some(3)));
    assert_eq!(given.child_report_tags, strings(&["x", "y"]));
    assert_eq!(given.stop, strings(&["w1", "w2"]));
    assert_eq!(given.downtime, strings(&[]));
    assert_eq!(given.podman, strings(&["p"]));
    assert_eq!(given.docker, strings(&["d", "x"]));
    assert_eq!(given.tasks.optimize, 1);
    assert!(
        given.order_fairness && given.standalone_mode && given.create_queue && given.dynamic_gpus
    );
    assert!(
        given.status
            && given.check_bootstrap
            && given.use_owner_token
            && given.force_current_version
    );
}

/// D-041 and all of D 1.5: understood.
#[test]
fn execute_has_every_option_of_the_reference() {
    let given = execute(&[
        "--log-file",
        "f",
        "--full-monitoring",
        "--require-queue",
        "--standalone-mode",
        "--docker",
        "--clone",
        "-O",
        "--git-user",
        "u",
        "--git-pass",
        "p",
        "--log-level",
        "INFO",
        "--gpus",
        "all",
        "--cpu-only",
    ]);
    assert_eq!(given.id, "t");
    assert_eq!(given.log_file, Some("f".into()));
    assert!(given.full_monitoring && given.require_queue && given.standalone_mode && given.clone);
    assert_eq!(given.docker, strings(&[]));
    assert!(execute(&["--disable-monitoring"]).disable_monitoring);
}

/// C-680
#[test]
fn the_program_for_slurm_has_a_second_name() {
    let words = [
        "/opt/clearml-agent-slurm",
        "--template-files",
        "a",
        "q=b",
        "--max-jobs",
        "3",
        "--log-format",
        "json",
        "--metrics-listen",
        "127.0.0.1:9090",
    ];
    let cli = parse(words.map(OsString::from).to_vec()).expect("parsed");
    let Some(Command::Slurm(slurm)) = cli.command else {
        panic!("{cli:?}");
    };
    assert_eq!(slurm.template_files, ["a", "q=b"]);
    assert_eq!(slurm.max_jobs, Some(3));
    assert_eq!(slurm.log_format, LogFormat::Json);
    assert_eq!(slurm.metrics_listen.as_deref(), Some("127.0.0.1:9090"));
    assert_eq!(slurm.pending_queue_name, "slurm_scheduler");
}

/// C-600
#[test]
fn the_glue_for_kubernetes_has_every_option_of_the_reference() {
    let words = "k8s --queue a,b --k8s-pending-queue-name p --namespace n --template-yaml t \
        --overrides-yaml o --pod-clearml-conf c --container-bash-script s --max-pods 3 \
        --pod-name-prefix x --ssh-server-port 0 --no-system-packages --use-owner-token --create-queue \
        --debug";
    let words: Vec<&str> = words.split_whitespace().collect();
    let Some(Command::Kubernetes(k8s)) = parsed(&words).command else {
        panic!("{words:?}");
    };
    assert_eq!(k8s.queue, strings(&["a,b"]));
    assert_eq!(k8s.max_pods, Some(3));
    assert!(k8s.no_system_packages && k8s.use_owner_token && k8s.create_queue && k8s.debug);
    let words = "k8s --template-yaml t --ports-mode --base-port 30000 --gateway-address g";
    let words: Vec<&str> = words.split_whitespace().collect();
    let Some(Command::Kubernetes(k8s)) = parsed(&words).command else {
        panic!("{words:?}");
    };
    assert_eq!((k8s.num_of_services, k8s.base_pod_num), (20, 1));
    assert_eq!(
        k8s.limit_pod_label,
        "ai.allegro.agent.serial=pod-{pod_number}"
    );
    assert_eq!(k8s.namespace, "clearml");
    assert_eq!(k8s.k8s_pending_queue_name, "k8s_scheduler");
    let both = [
        "k8s",
        "--template-yaml",
        "t",
        "--ports-mode",
        "--max-pods",
        "3",
    ];
    assert!(
        complaint(&both).contains("--max-pods"),
        "{}",
        complaint(&both)
    );
}

/// D-004: what a glue has beyond the reference takes no short form away from the options that had them all.
#[test]
fn short_forms_of_the_glue_for_kubernetes_mean_what_they_did() {
    let words = "k8s --template-yaml t --m 3 --log-f json --me 127.0.0.1:9090";
    let words: Vec<&str> = words.split_whitespace().collect();
    let Some(Command::Kubernetes(k8s)) = parsed(&words).command else {
        panic!("{words:?}");
    };
    assert_eq!(k8s.max_pods, Some(3));
    assert_eq!(k8s.log_format, LogFormat::Json);
    assert_eq!(k8s.metrics_listen.as_deref(), Some("127.0.0.1:9090"));
    let words = [
        "k8s",
        "--template-yaml",
        "t",
        "--ports-mode",
        "--l",
        "a={pod_number}",
    ];
    let Some(Command::Kubernetes(k8s)) = parsed(&words).command else {
        panic!("{words:?}");
    };
    assert_eq!(k8s.limit_pod_label, "a={pod_number}");
    assert_eq!(k8s.log_format, LogFormat::Text);
}

/// D-048: understood.
#[test]
fn build_has_every_option_of_the_reference() {
    let cli = parsed(&[
        "build",
        "--id",
        "t",
        "--target",
        "x",
        "--install-globally",
        "--docker",
        "image",
        "--force-docker",
        "--python-version",
        "3.11",
        "--entry-point",
        "clone_task",
        "-O",
        "--git-user",
        "u",
        "--git-pass",
        "p",
        "--log-level",
        "INFO",
        "--gpus",
        "0",
        "--cpu-only",
    ]);
    match cli.command {
        Some(Command::Build(build)) => {
            assert_eq!((build.id.as_str(), build.target), ("t", Some("x".into())));
            assert!(build.install_globally && build.force_docker);
            assert_eq!(build.docker, strings(&["image"]));
            assert_eq!(build.entry_point.as_deref(), Some("clone_task"));
        }
        other => panic!("{other:?}"),
    }
}

/// D-009: no option keeps the mark with which values are told from options.
#[test]
fn every_value_that_looks_like_an_option_arrives_as_it_was_given() {
    let mut program = Cli::command();
    program.build();
    for verb in program.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let given: Vec<_> = verb.get_arguments().collect();
        let required = given.iter().filter(|argument| argument.is_required_set());
        let required: Vec<String> = required
            .filter_map(|argument| Some(format!("--{}=x", argument.get_long()?)))
            .collect();
        let open = given.iter().filter(|argument| {
            argument.get_action().takes_values()
                && argument.get_long().is_some_and(|long| {
                    !matches!(
                        long,
                        "polling-interval"
                            | "services-mode"
                            | "log-level"
                            | "log-format"
                            | "entry-point"
                            | "max-jobs"
                            | "max-pods"
                            | "num-of-services"
                            | "base-pod-num"
                            | "base-port"
                            | "ssh-server-port"
                    )
                })
        });
        for argument in open {
            let long = format!("--{}", argument.get_long().expect("filtered"));
            let mut line = vec![verb.get_name()];
            line.extend(required.iter().map(String::as_str));
            if verb.get_name() == "init" {
                line.push("--non-interactive");
            }
            if long == "--drain" {
                line.push("--stop");
            }
            line.extend([long.as_str(), "-% a value"]);
            let shown = format!("{:?}", parsed(&line));
            assert!(
                !shown.contains("\\0"),
                "{long} of {}: {shown}",
                verb.get_name()
            );
            assert!(
                shown.contains("-% a value") || shown.contains("Secret") || shown.contains("****"),
                "{shown}"
            );
        }
    }
}

/// D-020: no password is shown where the command line is.
#[test]
fn the_password_is_not_shown() {
    let shown = format!("{:?}", parsed(&["daemon", "--git-pass", "hunter2"]));
    assert!(!shown.contains("hunter2"), "{shown}");
    for words in [
        &["daemon", "--git-passwd", "hunter2", "--more"] as &[&str],
        &["daemon", "--git-passwd=hunter2", "--more"],
        &["daemon", "--more", "--git-token", "hunter2"],
    ] {
        let complaint = complaint(words);
        assert!(!complaint.contains("hunter2"), "{complaint}");
        assert!(
            complaint.contains("--git-") && complaint.contains("****"),
            "{complaint}"
        );
        assert!(complaint.contains("--more"), "{complaint}");
    }
}

/// D-010, D-011, D-012, D-039
#[test]
fn help_is_no_mistake() {
    let short = help(&["-h"]);
    assert!(short.starts_with("CLEARML-AGENT AI Orchestration DevOps\n\n"));
    assert!(!short.contains("--require-queue"), "{short}");
    assert!(
        !short.contains("supervise") && !short.contains("generate"),
        "{short}"
    );
    for detailed in [help(&["--help"]), help(&["--help", "daemon"])] {
        assert!(detailed.contains("--require-queue") && detailed.contains("--dynamic-gpus"));
        assert!(!detailed.contains("--journal"), "{detailed}");
    }
    for words in [["execute", "-h"], ["execute", "--help"]] {
        let help = help(&words);
        assert!(
            help.contains("--require-queue") && !help.contains("DevOps"),
            "{help}"
        );
    }
    let daemon = help(&["daemon", "--help"]);
    let (_, docker) = daemon.split_once("\nDocker support:\n").expect("a heading");
    for option in [
        "--docker",
        "--podman",
        "--force-current-version",
        "--gpus",
        "--cpu-only",
    ] {
        assert!(docker.contains(option), "{daemon}");
    }
}

/// Completions and man pages know every public verb and option, and nothing else.
#[test]
fn completions_and_man_pages_are_complete() {
    use clap_complete::Shell;
    let pages = man_pages().expect("pages");
    let page = |file: &str| {
        let page = pages.iter().find(|page| page.file == file);
        let text = &page.unwrap_or_else(|| panic!("no {file}")).text;
        String::from_utf8_lossy(text).replace("\\-", "-")
    };
    let summary = page("clearml-agent.1");
    let program = Cli::command();
    let bash = completions(Shell::Bash);
    let is_between = |c: char| !c.is_ascii_alphanumeric() && c != '-';
    let words: Vec<&str> = bash.split(is_between).collect();
    for verb in program.get_subcommands() {
        let name = verb.get_name();
        assert_eq!(words.contains(&name), !verb.is_hide_set(), "{name}");
        assert_eq!(
            summary.contains(&format!("clearml-agent-{name}")),
            !verb.is_hide_set(),
            "{summary}"
        );
        if verb.is_hide_set() {
            continue;
        }
        let text = page(&format!("clearml-agent-{name}.1"));
        for (long, _) in super::words::longs(verb) {
            assert!(text.contains(&format!("--{long}")), "--{long} in {text}");
            assert!(bash.contains(&format!("--{long}")), "--{long}");
        }
    }
    for shell in [Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
        let text = completions(shell);
        assert!(
            text.contains("foreground") && !text.contains("supervise"),
            "{shell}"
        );
    }
}
