//! The text, read by real shells; in place of the agent stands a script that says how it was called.
//!
//! Compiled under `#[cfg(test)]` only.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

/// bash, the shell of Debian, and the one of images with nothing else.
const SHELLS: [&str; 3] = ["bash", "sh", "busybox sh"];

const STAND_IN: &str = r#"#!/bin/sh
echo "$*" >> "${0%/*}/calls"
case "$1 $2" in
  "--version "*) exit "${VERSION_CODE:-0}" ;;
  "boot python") echo "export LOCAL_PYTHON='/a python'"; exit "${PYTHON_CODE:-0}" ;;
  "boot server") exit "${SERVER_CODE:-0}" ;;
  boot*) ;;
  *) echo "AGENT A=${A:-} NVIDIA=${NVIDIA_VISIBLE_DEVICES:-} PYTHON=${LOCAL_PYTHON:-} PWD=$PWD PID=$$ LEFT=${clearml_hook:-}${clearml_script:-}"; exit "${AGENT_CODE:-0}" ;;
esac
"#;

struct World(tempfile::TempDir);

struct Run {
    code: Option<i32>,
    printed: String,
    calls: Vec<String>,
}

impl World {
    fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        fs::write(world.runner(), STAND_IN).unwrap();
        fs::set_permissions(world.runner(), fs::Permissions::from_mode(0o755)).unwrap();
        world
    }

    fn runner(&self) -> PathBuf {
        self.0.path().join("the runner")
    }

    fn script(&self) -> BootScript {
        BootScript {
            agent: InnerAgent::Runner(self.runner().to_str().unwrap().to_owned()),
            visible_devices: "0,1".to_owned(),
            arguments: "execute --disable-monitoring  --id abc".to_owned(),
            ..BootScript::default()
        }
    }

    fn setup(&self, setup: &str) -> BootScript {
        BootScript {
            setup: setup.to_owned(),
            ..self.script()
        }
    }

    fn run(&self, shell: &str, script: &BootScript, variables: &[(&str, &str)]) -> Run {
        let calls = self.0.path().join("calls");
        let _ = fs::remove_file(&calls);
        let mut words = shell.split(' ');
        // What an image calls `sh` is what the text calls so.
        let mut command = Command::new(words.next().unwrap());
        let output = command
            .args(words)
            .args(["-c", &script.text(shell)])
            .current_dir(self.0.path())
            .envs(variables.iter().copied())
            .output()
            .unwrap_or_else(|error| {
                panic!("`{shell}`: {error}: apt-get install bash dash busybox-static")
            });
        let text = [output.stdout, output.stderr].concat();
        Run {
            code: output.status.code(),
            printed: String::from_utf8(text).unwrap(),
            calls: fs::read_to_string(calls)
                .unwrap_or_default()
                .lines()
                .map(str::to_owned)
                .collect(),
        }
    }
}

/// C-200, C-230, C-239: the shell becomes the agent, and the last words are those that the official agent looks for.
#[test]
fn the_shell_becomes_the_agent() {
    let world = World::new();
    for shell in SHELLS {
        let text = world.script().text(shell);
        assert!(
            text.ends_with("execute --disable-monitoring  --id abc"),
            "{text}"
        );
        // The shell says its own number, and the agent has it.
        let setup = world.setup("echo SHELL PID=$$");
        let run = world.run(shell, &setup, &[("AGENT_CODE", "9")]);
        let number = |line: &str| {
            let (_, behind) = line.split_once("PID=").unwrap();
            behind.split(' ').next().unwrap().to_owned()
        };
        let lines: Vec<&str> = run.printed.lines().collect();
        assert_eq!(lines.len(), 2, "{}", run.printed);
        assert_eq!(number(lines[0]), number(lines[1]), "{}", run.printed);
        assert!(
            lines[1].contains("NVIDIA=0,1 PYTHON=/a python"),
            "{}",
            run.printed
        );
        assert!(lines[1].ends_with("LEFT="), "{}", run.printed);
        assert_eq!(run.code, Some(9));
        let calls = [
            "--version",
            "boot python",
            "boot server",
            "boot configuration",
        ];
        assert_eq!(run.calls[..4], calls, "{shell}");
    }
}

/// C-205, C-207: as it was written, in the same shell, whatever it is.
#[test]
fn a_setup_script_runs_as_it_was_written() {
    let world = World::new();
    for shell in SHELLS {
        for (setup, expected) in [
            ("export A=1 # why", "A=1 "),
            ("# nothing but a comment", "A= "),
            ("if true; then\n  export A=2\nfi", "A=2 "),
            ("for a in 1 2 3; do\n  export A=$a\ndone", "A=3 "),
            ("f() {\n  export A=$1\n}\nf 4", "A=4 "),
            (
                "cat > here <<'END'\n5'\"\nEND\nexport A=\"$(cat here)\"",
                "A=5'\" ",
            ),
            ("export A=6 \\\n  B=7 \\", "A=6 "),
            ("export A=8\ntrue &", "A=8 "),
            ("false\nno-such-program\nexport A=9", "A=9 "),
            (
                "export A=10\r\nif true\r\nthen export A=11\r\nfi\r\n",
                "A=11 ",
            ),
            ("set -eu\nexport A=12", "A=12 "),
            ("set -x\nexport A=13", "A=13 "),
            ("IFS=e\nexport A=14", "A=14 "),
            (
                "export A='it'\"'\"'s $HOME `x` $(y)'",
                "A=it's $HOME `x` $(y) ",
            ),
            ("cd /", "PWD=/ "),
            ("(exit 3)", "A= "),
            ("cat <<END\nno end of it", "A= "),
        ] {
            let run = world.run(shell, &world.setup(setup), &[]);
            assert_eq!(run.code, Some(0), "{shell}, {setup:?}: {}", run.printed);
            let agent = run.printed.lines().find(|line| line.starts_with("AGENT "));
            let agent = agent.unwrap_or_else(|| panic!("{shell}, {setup:?}: {}", run.printed));
            assert!(
                agent.contains(expected),
                "{shell}, {setup:?}: {}",
                run.printed
            );
        }
    }
}

/// C-205, C-231: nothing that a script does makes a task look as if it had run.
#[test]
fn a_setup_script_cannot_hide_the_agent() {
    let world = World::new();
    let left = |code| {
        format!(
            "the setup script of the task ended the container with code {code} before the task was run\nhint: "
        )
    };
    let ended = &*left(0);
    let unread = "the setup script of the task cannot be read by";
    for shell in SHELLS {
        for (setup, code, said) in [
            ("exit 7", 7, &*left(7)),
            ("set -e\nsh -c 'exit 6'", 6, &left(6)),
            ("exit", 1, ended),
            ("echo last\nexit 0", 1, ended),
            ("if true", 2, unread),
            ("echo begun\necho 'no end", 2, unread),
            ("echo \"$(\"", 2, unread),
            ("fi", 2, unread),
            ("done; exit 0", 2, unread),
        ] {
            let run = world.run(shell, &world.setup(setup), &[]);
            assert_eq!(run.code, Some(code), "{shell}, {setup:?}: {}", run.printed);
            assert!(
                run.printed.contains(said),
                "{shell}, {setup:?}: {}",
                run.printed
            );
            let errors = run.printed.matches("clearml_agent: ERROR: ").count();
            assert_eq!(errors, 1, "{shell}, {setup:?}: {}", run.printed);
            assert!(
                !run.printed.contains("AGENT"),
                "{shell}, {setup:?}: {}",
                run.printed
            );
            assert!(
                !run.printed.contains("begun"),
                "{shell}, {setup:?}: {}",
                run.printed
            );
        }
        // Depends on the shell; but it is never a success without the agent.
        let run = world.run(shell, &world.setup("return 0"), &[]);
        assert_eq!(
            run.code == Some(0),
            run.printed.contains("AGENT"),
            "{}",
            run.printed
        );
    }
}

/// C-205: what bash alone understands, also what it must be told first.
#[test]
fn bash_is_bash() {
    let world = World::new();
    let setup = "shopt -s extglob\na=(x y)\nexport A=${a[1]}\n[[ z == !(y) ]] && export A=${A}z";
    let run = world.run("bash", &world.setup(setup), &[]);
    assert!(run.printed.contains("AGENT A=yz "), "{}", run.printed);
    assert_eq!(run.code, Some(0));
}

/// C-202, C-206, C-231
#[test]
fn hooks_run_in_their_order() {
    let world = World::new();
    for shell in SHELLS {
        let lines = |text: &str| vec![text.to_owned(), "# comment".to_owned()];
        let mut script = BootScript {
            preprocess: lines("echo 1 ${LOCAL_PYTHON:-none}"),
            init: Some(lines("echo 2 ${LOCAL_PYTHON:-none}")),
            extra_shell: "echo 3 $LOCAL_PYTHON".to_owned(),
            setup: "echo 4 $LOCAL_PYTHON".to_owned(),
            ssh: Some(("/.ssh".to_owned(), "~/.ssh".to_owned())),
            git: Some("/.ssh.git".to_owned()),
            ..world.script()
        };
        let run = world.run(shell, &script, &[]);
        let hooks = "1 none\n2 none\n3 /a python\n4 /a python\nAGENT ";
        assert!(run.printed.starts_with(hooks), "{shell}: {}", run.printed);
        let files = "boot files --ssh /.ssh --ssh-folder ~/.ssh --git /.ssh.git";
        assert_eq!(
            run.calls[..5],
            [
                "--version",
                files,
                "boot python --own-script",
                "boot server",
                "boot configuration"
            ]
        );
        // C-222: `--standalone-mode` leaves out what prepares an image, not the keys.
        script.is_standalone = true;
        let run = world.run(shell, &script, &[]);
        assert!(
            run.printed.starts_with("3 /a python\n4 /a python\nAGENT "),
            "{}",
            run.printed
        );
        assert_eq!(
            run.calls[..5],
            [
                "--version",
                files,
                "boot python --standalone",
                "boot server",
                "boot configuration"
            ]
        );
        script.is_standalone = false;
        script.init = None;
        script.installs_opencv_libs = true;
        let run = world.run(shell, &script, &[]);
        assert_eq!(run.calls[2], "boot python --opencv");
        script.installs_opencv_libs = false;
        script.needs_no_python = true;
        let run = world.run(shell, &script, &[]);
        assert_eq!(run.calls[2], "boot python --not-needed");
        // The name of the script that is wrong is said.
        script.preprocess = vec!["exit 0".to_owned()];
        let run = world.run(shell, &script, &[]);
        assert!(
            run.printed
                .contains("`agent.docker_preprocess_bash_script` ended the container")
        );
    }
}

/// C-235: a program that does not fit is one line, not a riddle.
#[test]
fn a_runner_that_does_not_run_is_said() {
    let world = World::new();
    for shell in SHELLS {
        let run = world.run(shell, &world.script(), &[("VERSION_CODE", "1")]);
        assert_eq!(run.code, Some(126));
        assert!(
            run.printed.contains("does not run in this image\nhint: "),
            "{}",
            run.printed
        );
        let run = world.run(shell, &world.script(), &[("PYTHON_CODE", "3")]);
        assert_eq!((run.code, run.printed.as_str()), (Some(3), ""));
        // Before anything is brought, unless a script may still make the way.
        for (script, calls) in [
            (world.script(), vec!["--version", "boot server"]),
            (
                world.setup("true"),
                vec!["--version", "boot python", "boot server"],
            ),
        ] {
            let run = world.run(shell, &script, &[("SERVER_CODE", "1")]);
            assert_eq!((run.code, run.printed.as_str()), (Some(1), ""));
            assert_eq!(run.calls, calls);
        }
    }
}

/// C-201, C-208, C-233: the text for the official agent; what it does is tested in a container.
#[test]
fn the_official_agent_is_installed_by_pip() {
    let script = BootScript {
        agent: InnerAgent::Python("\"/tmp/clearml_agent-9.9-py3-none-any.whl\"".to_owned()),
        pip_specifiers: vec!["pip<20.2 ; python_version < '3.10'".to_owned()],
        ssh: Some(("/.ssh".to_owned(), "~/.ssh".to_owned())),
        git: Some("/.ssh.git".to_owned()),
        arguments: "execute --disable-monitoring  --id abc".to_owned(),
        visible_devices: "none".to_owned(),
        setup: "export A=1 # why".to_owned(),
        ..BootScript::default()
    };
    for shell in SHELLS {
        let text = script.text(shell);
        let mut words = shell.split(' ');
        let mut reads = Command::new(words.next().unwrap());
        let reads = reads
            .args(words)
            .args(["-n", "-c", &text])
            .output()
            .unwrap();
        assert!(reads.status.success(), "{shell}: {reads:?}\n{text}");
        let mut rest = text.as_str();
        for part in [
            "/.ssh/. ~/.ssh/",
            "/.ssh.git/. ~/",
            "if [ -z \"${CLEARML_AGENT_SKIP_CONTAINER_APT:-}\" ] && [ -d /etc/apt/",
            "DEBIAN_FRONTEND=noninteractive",
            "&& [ -z \"${CLEARML_AGENT_SKIP_CONTAINER_APT:-}\" ]; then\n  { apt-get",
            "pip install -U 'pip<20.2 ; python_version < '\\''3.10'\\'''\n",
            "pip install -U /tmp/clearml_agent-9.9-py3-none-any.whl\n",
            "export A=1 # why\n'\n",
            "default_clearml.conf",
            "NVIDIA_VISIBLE_DEVICES=none",
            "exec \"$LOCAL_PYTHON\" -u -m clearml_agent execute --disable-monitoring  --id abc",
        ] {
            let (_, behind) = rest
                .split_once(part)
                .unwrap_or_else(|| panic!("{part}: {text}"));
            rest = behind;
        }
        assert_eq!(rest, "");
    }
}

/// C-235, C-236: the folder that is mounted stays as it is, and another program gets another one.
#[test]
fn a_program_for_containers_has_a_folder_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let own = write("clearml-agent", "own");
    let place = folder.path().join("home/.clearml/agent-runner");
    let content = |found: &RunnerFolder| {
        let program = found.path.join("clearml-agent");
        for path in [&found.path, &program] {
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o755, "{}", path.display());
        }
        fs::read_to_string(program).unwrap()
    };
    let first = locate(None, &own, &place).unwrap();
    assert_eq!((content(&first).as_str(), first.is_static), ("own", false));
    assert_eq!(locate(None, &own, &place).unwrap(), first);
    let runner = write(RUNNER_NAME, "static");
    let second = locate(None, &own, &place).unwrap();
    assert_eq!(
        (content(&second).as_str(), second.is_static),
        ("static", true)
    );
    assert_ne!(first.path, second.path);
    // Replaced as packages do it; the mounted one stays.
    fs::remove_file(&runner).unwrap();
    write(RUNNER_NAME, "newer!");
    write("uv", "uv");
    let third = locate(None, &own, &place).unwrap();
    assert_eq!(content(&third), "newer!");
    assert_eq!(fs::read_to_string(third.path.join("uv")).unwrap(), "uv");
    assert_eq!(content(&second), "static");
    let other = write("other", "named");
    let named = locate(Some(&other), &own, &place).unwrap();
    assert_eq!(
        (content(&named).as_str(), named.source.as_path()),
        ("named", other.as_path())
    );
    let error = locate(Some(Path::new("/no/runner")), &own, &place).unwrap_err();
    assert!(matches!(error, RunnerError::Unreadable { .. }), "{error}");
    assert!(error.hint().contains("agent.docker_runner"));
    let error = locate(None, &own, &own.join("below a file")).unwrap_err();
    assert!(matches!(error, RunnerError::Folder { .. }), "{error}");
}

/// Programs of old versions go when nobody has used them for long; that of an agent that runs stays.
#[test]
fn programs_that_nobody_uses_go() {
    let world = tempfile::tempdir().unwrap();
    let (own, place) = (world.path().join("agent"), world.path().join("runner"));
    let located = |text: &str| {
        fs::write(&own, text).unwrap();
        locate(None, &own, &place).unwrap().path
    };
    let (unused, young) = (located("one"), located("two."));
    let killed = place.join(".making-x");
    fs::create_dir(&killed).unwrap();
    let set = |path: &Path, time| {
        fs::File::open(path).unwrap().set_modified(time).unwrap();
    };
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    for path in [&unused, &young, &killed] {
        set(path, long_ago);
    }
    // Used again, and so young.
    locate(None, &own, &place).unwrap();
    let newest = located("three");
    assert!(!unused.exists() && !killed.exists());
    assert!(young.exists() && newest.exists());
}
