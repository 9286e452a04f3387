//! The recorded command lines of the official agent, and what ours are.
//!
//! Compiled under `#[cfg(test)]` only.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::daemon::{self, capacity};
use super::super::unavailable;
use super::*;
use crate::cli::{self, Command};
use crate::container::boot::InnerAgent;
use crate::container::command::{
    CommandError, ContainerCommand, ContainerFacts, ContainerSection, Launch, Purpose,
    WantedContainer, WriteBack,
};
use crate::secrets::SecretString;
use crate::settings::{Detected, Environment, VaultDocument, merged_vaults};
use crate::worker::Capacity;

const HOME: &str = "/home/user";
const CONFIGURATION: &str = "/run/agent/clearml.conf";
const SSH_COPY: &str = "/run/agent/ssh";
const RUNNER: &str = "/run/agent/runner";
const TASK: &str = "aa11bb22cc33dd44ee55ff6677889900";
const BASELINE: &str =
    "api { api_server: \"http://127.0.0.1:8008\", web_server: \"http://127.0.0.1:8080\",
    files_server: \"http://127.0.0.1:8081\", credentials { access_key: a, secret_key: bbbbbbbb } }
    agent.worker_name: host1\n";

/// The recorded cases, with the words that stand for paths filled in.
fn cases() -> Vec<Value> {
    let text = include_str!("../../../tests/data/container/docker-argv-cases.json");
    let text = filled(text);
    let all: Value = serde_json::from_str(&text).unwrap();
    all["cases"].as_array().unwrap().clone()
}

/// What we do where the official agent is not followed: the members that differ, with the reason.
fn ours() -> Value {
    let text = include_str!("../../../tests/data/container/docker-argv-ours.json");
    serde_json::from_str(&filled(text)).unwrap()
}

fn filled(text: &str) -> String {
    [
        ("{HOME}", HOME),
        ("{CONF}", CONFIGURATION),
        ("{SSH_COPY}", SSH_COPY),
        ("{TID}", TASK),
        ("{POD_MNT}", "/pod/mount"),
        ("{PID}", "77"),
        ("{OWNER_TOKEN}", "token-of-the-owner"),
        ("{RANDOM8}", "abcdefgh"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (name, value)| {
        text.replace(name, value)
    })
}

fn strings(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items
        .map(|item| item.as_str().unwrap().to_owned())
        .collect()
}

/// One case as the program would meet it.
struct Case {
    options: ContainerOptions,
    facts: ContainerFacts,
    host: HostFacts,
    launch: Launch,
}

impl Case {
    fn of(case: &Value) -> Self {
        let input = &case["input"];
        let mut words = vec!["clearml-agent".to_owned()];
        words.push(input["command"].as_str().unwrap().to_owned());
        words.extend(strings(&input["cli"]));
        let words = words.into_iter().map(OsString::from).collect();
        let command = cli::parse(words).unwrap().command.unwrap();
        let variables = input["env"].as_object().into_iter().flatten();
        let environment: Environment = variables
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .chain([("HOME", HOME)])
            .collect();
        let configuration = input["config_hocon"].as_str().unwrap_or_default();
        let settings =
            Settings::from_text(&format!("{BASELINE}{configuration}"), &environment).unwrap();
        let settings = settings.completed(&Detected::default()).with_folders(0);
        let agent = settings.agent().unwrap();
        let mut purpose = Purpose::Task;
        let mut is_service = false;
        let mut uses_owner_token = false;
        let mut parent = format!("host1:{}", 77);
        let mut worker = parent.clone();
        let run = match &command {
            Command::Daemon(arguments) => {
                let capacity = capacity(arguments);
                let mut run = daemon::run_options(&settings, arguments, capacity, false);
                let devices = daemon::named_devices(&settings, arguments, capacity);
                parent = daemon::daemon_name(&agent, &devices, capacity).worker_id(0);
                worker.clone_from(&parent);
                uses_owner_token = arguments.use_owner_token;
                match capacity {
                    Capacity::One => {}
                    Capacity::Services { .. } => {
                        purpose = Purpose::Worker;
                        is_service = true;
                        worker = format!("{parent}:service:{TASK}");
                    }
                    Capacity::Gpus => {
                        // The pool gives the first two.
                        purpose = Purpose::Worker;
                        run.gpus = Some("0,1".to_owned());
                        worker = "host1:gpu0,1".to_owned();
                    }
                }
                run
            }
            Command::Execute(arguments) => RunOptions {
                docker: arguments.docker.clone(),
                ..options::run_options(&settings, &arguments.tasks, false, false)
            },
            Command::Build(arguments) => {
                purpose = Purpose::Build {
                    is_forced: arguments.force_docker,
                    forgets: arguments.without_credentials,
                };
                RunOptions {
                    docker: arguments.docker.clone(),
                    ..options::run_options(&settings, &arguments.tasks, false, false)
                }
            }
            other => panic!("{other:?}"),
        };
        Self {
            options: container_options(&settings, &run, uses_owner_token).unwrap(),
            facts: facts(input, uses_owner_token),
            host: host(&input["host"]),
            launch: Launch {
                worker,
                parent,
                purpose,
                is_service,
                random: "abcdefgh".repeat(4),
                configuration: PathBuf::from(CONFIGURATION),
                ssh_copy: PathBuf::from(SSH_COPY),
                runner: Some(PathBuf::from(RUNNER)),
            },
        }
    }

    fn command(&self) -> Result<ContainerCommand, CommandError> {
        ContainerCommand::of(&self.options, &self.facts, &self.host, &self.launch)
    }
}

fn facts(input: &Value, uses_owner_token: bool) -> ContainerFacts {
    let task = &input["task"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = input["server"]["api_version"].as_str().unwrap_or("2.31");
    let (major, minor) = version.split_once('.').unwrap();
    let api_version = (major.parse().unwrap(), minor.parse().unwrap());
    let container = &task["container"];
    let mut fields = json!({
        "id": TASK, "project": "p1".repeat(16), "user": "u1", "type": "training",
        "script": { "binary": "python3.10" },
    });
    for (name, value) in task.as_object().into_iter().flatten() {
        fields[name] = value.clone();
    }
    let vault = input["owner_vault_hocon"]
        .as_str()
        .map(|text| VaultDocument {
            name: "owner".to_owned(),
            text: text.to_owned(),
        });
    let (vault, _) = merged_vaults(vault.as_slice(), &Environment::default());
    let token = uses_owner_token.then(|| SecretString::new("token-of-the-owner".to_owned()));
    ContainerFacts {
        needs_no_python: false,
        task: TASK.to_owned(),
        wanted: if api_version >= (2, 13) {
            WantedContainer::Section(ContainerSection {
                image: text(&container["image"]),
                arguments: text(&container["arguments"]),
                setup_shell_script: text(&container["setup_shell_script"]),
            })
        } else {
            WantedContainer::DockerCommand(text(&task["execution"]["docker_cmd"]))
        },
        fields,
        project_name: Some("proj/sub".to_owned()),
        queue: Some(("q".repeat(32), Some("default".to_owned()))),
        api_version,
        is_advanced: input["server"]["feature_set"] == "advanced",
        owner_vault: uses_owner_token.then_some(vault),
        owner_token: token,
        user: None,
    }
}

fn host(host: &Value) -> HostFacts {
    let files = strings(&host["home_files"]);
    let devices = strings(&host["devices"]);
    let network = host["docker_inspect_network_mode_stdout"].as_str();
    let git = [".git-credentials", ".gitconfig"];
    HostFacts {
        home: PathBuf::from(HOME),
        git_files: git
            .into_iter()
            .filter(|name| files.iter().any(|file| file == name))
            .map(|name| PathBuf::from(HOME).join(name))
            .collect(),
        has_ssh_folder: files.iter().any(|file| file.starts_with(".ssh/")),
        has_closed_ssh_folder: false,
        is_amd: devices.iter().any(|device| device == "/dev/kfd"),
        render_nodes: devices
            .into_iter()
            .filter(|device| device.contains("renderD"))
            .collect(),
        has_no_gpu: false,
        own_network: network.filter(|text| !text.is_empty()).map(str::to_owned),
        address: None,
        taken_ports: BTreeSet::new,
    }
}

/// Without the one mount that is ours, which must be where it belongs (C-130).
#[track_caller]
fn without_runner(id: &str, command: &ContainerCommand) -> Vec<String> {
    let mut words = command.words.clone();
    let mount = format!("{RUNNER}:/.clearml-agent:ro");
    let place = words.iter().position(|word| *word == mount);
    let is_ours = matches!(command.boot.agent, InnerAgent::Runner(_));
    // Below a host mount the engine does not see the folder.
    let has_mount = place.is_some();
    let is_below = command.configuration != Path::new(CONFIGURATION);
    assert_eq!(has_mount, is_ours && !is_below, "{id}: {words:?}");
    if let Some(place) = place {
        let behind = &words[place + 1..];
        assert_eq!(words[place - 1], "-v", "{id}");
        let configuration = format!("{CONFIGURATION}:/tmp/clearml.conf");
        assert!(
            behind[0] == "--name" || behind[1] == configuration,
            "{id}: {words:?}"
        );
        words.drain(place - 1..=place);
    }
    words
}

/// Every command line of the reference, word for word but for our one mount and the script. Where the reference says that
/// the official agent is wrong, or where we have chosen otherwise, `docker-argv-ours.json` says what is right.
///
/// C-001, C-010, C-011, C-012, C-013, C-014, C-015, C-015a, C-016, C-017, C-018, C-019, C-020, C-020a, C-021, C-023, C-023a, C-024,
/// C-029, C-040, C-700,
/// C-030, C-032, C-033, C-034, C-035, C-036, C-037, C-038, C-039, C-050, C-051, C-052, C-054, C-060, C-061, C-062,
/// C-063, C-064, C-070, C-072, C-073, C-074, C-080, C-081, C-082, C-083, C-084, C-086, C-087, C-090, C-100, C-101, C-102,
/// C-103, C-104, C-105, C-106, C-107, C-108, C-109, C-110, C-112, C-130, C-131, C-140, C-141, C-142, C-200, C-201, C-202,
/// C-230, C-400, C-403, C-703
#[test]
fn every_recorded_command_line_is_ours() {
    let cases = cases();
    assert_eq!(cases.len(), 62);
    let ours = ours();
    let mut failures = Vec::new();
    for case in &cases {
        let id = case["id"].as_str().unwrap();
        if case["expect"]["exit_code"] == 1 {
            // There is no container: see `what_cannot_be_started_is_said_first`.
            continue;
        }
        if let Err(failure) = std::panic::catch_unwind(|| check(id, case, &ours[id])) {
            let text = failure.downcast_ref::<String>().cloned();
            failures.push(format!("{id}: {}", text.unwrap_or_default()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[track_caller]
fn check(id: &str, case: &Value, ours: &Value) {
    let expect = |member: &str| {
        let own = &ours[member];
        if own.is_null()
            && !ours
                .as_object()
                .is_some_and(|ours| ours.contains_key(member))
        {
            case["expect"][member].clone()
        } else {
            own.clone()
        }
    };
    let case_ = Case::of(case);
    let command = match case_.command() {
        Ok(command) => command,
        Err(error) => {
            assert_eq!(Value::from(error.to_string()), expect("error"), "{id}");
            return;
        }
    };
    assert!(expect("error").is_null(), "{id}: it must fail");
    let calls = expect("docker_calls");
    let calls: Vec<Vec<String>> = calls.as_array().unwrap().iter().map(strings).collect();
    let run = calls.iter().find(|words| words[1] == "run").unwrap();
    let words = without_runner(id, &command);
    let last = words.len() - 1;
    assert_eq!(words[..last], run[1..run.len() - 1], "{id}");
    let pulls = calls.iter().any(|words| words[1] == "pull");
    assert_eq!(command.pulls_first, pulls, "{id}");
    let told = match &command.write_back {
        None => Value::Null,
        Some(WriteBack::Section(section) | WriteBack::ByRule(section)) => json!({
            "image": section.image, "arguments": section.arguments,
            "setup_shell_script": section.setup_shell_script,
        }),
        Some(WriteBack::DockerCommand(command)) => json!(command),
    };
    assert_eq!(told, expect("task_container_written_back"), "{id}");
    let runtime: serde_json::Map<_, _> = command
        .runtime
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(value.clone())))
        .collect();
    let expected = expect("task_runtime");
    let expected = expected.as_object().cloned().unwrap_or_default();
    assert_eq!(runtime, expected, "{id}");
    let mut said = command.console.iter();
    for line in strings(&expect("task_log_lines")) {
        let found = said.any(|text| format!("{text}\n") == line);
        assert!(found, "{id}: no {line:?} in {:?}", command.console);
    }
    if let Some(start) = expect("task_log_executing_prefix").as_str() {
        let last = command.console.last().unwrap();
        assert!(last.starts_with(start), "{id}: {last}");
    }
    check_script(id, &expect("script"), &command);
}

/// The steps that carry something of the user's.
#[track_caller]
fn check_script(id: &str, steps: &Value, command: &ContainerCommand) {
    let boot = &command.boot;
    let hooks = boot.preprocess.iter().chain(boot.init.iter().flatten());
    let hooks: Vec<&str> = hooks
        .map(String::as_str)
        .chain(boot.extra_shell.lines())
        .chain(boot.setup.lines())
        .map(str::trim)
        .collect();
    for step in steps.as_array().into_iter().flatten() {
        if let Some(line) = step["literal"].as_str() {
            assert!(hooks.contains(&line), "{id}: {line} is not in {hooks:?}");
        }
        match step["step"].as_str() {
            Some("exec_agent") => {
                let devices = step["nvidia_visible_devices"].as_str().unwrap();
                assert_eq!(boot.visible_devices, devices, "{id}");
                let words = step["args"].as_str().unwrap();
                let own = words.trim_start().starts_with(&boot.arguments);
                assert!(own, "{id}: {:?}", boot.arguments);
            }
            Some("copy_ssh") => {
                let pair = strings(&step["from_to"]);
                let ssh = boot.ssh.as_ref();
                let ssh = ssh.is_some_and(|(from, to)| *from == pair[0] && *to == pair[1]);
                let git = boot.git.as_ref().is_some_and(|from| *from == pair[0]);
                assert!(ssh || git, "{id}: {pair:?}");
            }
            Some("upgrade_pip") => {
                assert_eq!(boot.pip_specifiers, strings(&step["specs"]), "{id}");
            }
            Some("install_agent") => {
                let wanted = step["spec"].as_str().unwrap();
                let own = match &boot.agent {
                    InnerAgent::Python(requirement) => requirement == wanted,
                    // It is in the container already, in our version.
                    InnerAgent::Runner(_) => {
                        ["clearml-agent", "clearml-agent==3.0.3"].contains(&wanted)
                    }
                };
                assert!(own, "{id}: {:?}", boot.agent);
            }
            _ => {}
        }
    }
}

/// C-002, C-003
#[test]
fn what_cannot_be_started_is_said_first() {
    let mut checked = 0;
    for case in cases() {
        if case["expect"]["exit_code"] != 1 {
            continue;
        }
        let mut words = vec!["clearml-agent".to_owned(), "daemon".to_owned()];
        words.extend(strings(&case["input"]["cli"]));
        let words = words.into_iter().map(OsString::from).collect();
        let Some(Command::Daemon(arguments)) = cli::parse(words).unwrap().command else {
            panic!("no daemon");
        };
        let error = unavailable::check_daemon(&arguments, Some("/no/such/folder"));
        let expected = case["expect"]["stderr_contains"].as_str().unwrap();
        let said = format!("{:?}", error.err().unwrap());
        assert!(said.contains(expected), "{said}");
        checked += 1;
    }
    assert_eq!(checked, 2);
}
