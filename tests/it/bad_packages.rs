//! Packages that cannot be installed, each for another reason, and what a run leaves behind; pip is the real one.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;

use serde_json::json;

use super::code::{Packages, Repository, offline_packages};
use super::support::{Disk, Script, TestContext};
use super::uv::{assert_order, of};

const SCRIPT: &str = "import tinydep\nprint('answer', tinydep.answer)\n";

struct Machine {
    context: TestContext,
    packages: Packages,
}

impl Machine {
    fn new() -> Self {
        let context = TestContext::new();
        let packages = offline_packages(&context);
        Self { context, packages }
    }

    /// The console of the task, which must fail.
    #[track_caller]
    fn fails(&self, script: Script, variables: &[(&str, &str)]) -> String {
        let task = self.context.enqueue(script);
        self.context.run_one_task(variables);
        let console = self.context.console(&task);
        assert_eq!(self.context.status(&task), "failed", "{console}");
        assert_eq!(self.context.leftovers(), Vec::<String>::new());
        console
    }
}

/// An index that takes connections and never answers.
fn silent_index() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut clients = Vec::new();
        for client in listener.incoming() {
            clients.push(client);
        }
    });
    format!("http://{address}/simple")
}

/// E-132: pip's own limit ends the wait; its lines say why, and the task fails with the requirement's name.
#[test]
fn an_index_that_hangs_fails_the_task_with_the_reason() {
    let machine = Machine::new();
    let index = silent_index();
    let variables = [
        ("PIP_FIND_LINKS", machine.packages.folder()),
        ("PIP_INDEX_URL", &index),
        ("PIP_DEFAULT_TIMEOUT", "1"),
        ("PIP_RETRIES", "1"),
    ];
    let console = machine.fails(Script::python("", "nothing-of-this-name==9\n"), &variables);
    let texts = [
        "Read timed out",
        "\nERROR: No matching distribution found for nothing-of-this-name==9",
        "\nclearml_agent: ERROR: Could not install task requirements!\n",
        "\nhint: `nothing-of-this-name==9` cannot be installed; the installer's lines say why\n",
    ];
    assert_order(&console, &texts);
}

/// E-132, E-180: a wheel for another machine, and a package whose build fails.
#[test]
fn a_wheel_that_does_not_fit_and_a_build_that_fails_are_explained() {
    let machine = Machine::new();
    let folder = machine.packages.folder();
    let wheel = Path::new(folder).join("tinydep-1.0-py3-none-any.whl");
    let other = Path::new(folder).join("tinydep-2.0-cp27-cp27m-win_amd64.whl");
    fs::copy(wheel, &other).unwrap();
    let variables = machine.packages.variables();
    let line = format!("{}\n", other.display());
    let console = machine.fails(Script::python(SCRIPT, &line), &variables);
    let texts = [
        "is not a supported wheel on this platform",
        "\nclearml_agent: ERROR: Could not install task requirements!\n",
        "\nhint: `",
    ];
    assert_order(&console, &texts);
    let console = machine.fails(Script::python(SCRIPT, "tinydep==2.0\n"), &variables);
    assert_order(
        &console,
        &["\nERROR: No matching distribution found for tinydep==2.0"],
    );

    let repository = Repository::new(&machine.context, "project");
    let settings =
        "[build-system]\nrequires = []\nbuild-backend = \"setup\"\nbackend-path = [\".\"]\n";
    let setup = "raise RuntimeError('no compiler on this machine')\n";
    repository.commit(&[
        ("main.py", ""),
        ("lib/pyproject.toml", settings),
        ("lib/setup.py", setup),
    ]);
    let script = of(&repository).with("requirements", json!({"pip": "./lib\n"}));
    let console = machine.fails(script, &variables);
    let texts = [
        "RuntimeError: no compiler on this machine",
        "\nclearml_agent: ERROR: Could not install task requirements!\nFailed installing GIT/HTTPs package './lib'\n",
        "\nhint: `./lib` cannot be installed; the installer's lines say why\n",
    ];
    assert_order(&console, &texts);
}

/// A wheel with a file of 64 MiB, which takes little room itself.
const LARGE: &str = r#"
import sys, zipfile
info = "large-1.0.dist-info/"
with zipfile.ZipFile(sys.argv[1] + "/large-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
    wheel.writestr("large.bin", b"\0" * (64 << 20))
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: large\nVersion: 1.0\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "RECORD", "large.bin,,\n" + "".join(info + name + ",,\n" for name in ("METADATA", "WHEEL", "RECORD")))
"#;

/// No room for a package: as large a file as it needs cannot be written, which here is a limit of the process.
#[test]
fn no_room_for_a_package_fails_the_task_with_the_reason() {
    let machine = Machine::new();
    let made = Command::new("python3")
        .args(["-c", LARGE, machine.packages.folder()])
        .status();
    assert!(made.unwrap().success());
    let context = &machine.context;
    let task = context.create(Script::python("", "large==1.0\n"));
    let mut command = context.beside_agent("bash");
    command
        .args(["-c", "ulimit -f 32768; exec \"$@\"", "agent"])
        .arg(env!("CARGO_BIN_EXE_clearml-agent"))
        .args(["execute", "--id", &task])
        .envs(machine.packages.variables());
    let finished = context.finish(command);
    assert_eq!(finished.code, 1, "{}", finished.stdout);
    let texts = [
        "File too large",
        "\nclearml_agent: ERROR: Could not install task requirements!\n",
        "\nhint: `large==1.0` cannot be installed; the installer's lines say why\n",
    ];
    assert_order(&finished.stdout, &texts);
    assert_eq!(context.status(&task), "failed");
    assert_eq!(context.leftovers(), Vec::<String>::new());
}

/// E-126, E-159, E-198, E-251, E-288: the environment stays until the next task, the files of pip do not; a node that is not the first
/// writes no packages to the task.
#[test]
fn what_a_run_leaves_behind() {
    let machine = Machine::new();
    let context = &machine.context;
    let version = "import sys; print('%d.%d' % sys.version_info[:2])";
    let version = Command::new("python3").args(["-c", version]).output();
    let version = String::from_utf8(version.unwrap().stdout).unwrap();
    let version = version.trim();
    let repository = Repository::new(context, "project");
    repository.commit(&[("main.py", SCRIPT), ("requirements.txt", "tinydep==1.0\n")]);
    let run = |rank: &[(&str, &str)]| {
        let script = of(&repository).with("requirements", json!({}));
        let task = context.enqueue(script);
        let mut variables = machine.packages.variables().to_vec();
        variables.extend(rank);
        context.run_one_task(&variables);
        let console = context.console(&task);
        let is_first = rank.iter().all(|(_, rank)| *rank == "0") || rank.len() == 2;
        // The status is for the first node to set.
        let status = if is_first { "completed" } else { "in_progress" };
        assert_eq!(context.status(&task), status, "{console}");
        assert_order(&console, &["\npip:\n- tinydep==1.0\n", "\nanswer 42\n"]);
        let reported = context.field(&task, "script")["requirements"]["pip"].clone();
        (console, reported)
    };
    let (console, reported) = run(&[]);
    assert_eq!(reported, json!(["tinydep==1.0"]));
    let text = format!("\nagent.default_python = {version}\n");
    assert!(console.contains(&text), "{console}");
    assert_eq!(context.leftovers(), Vec::<String>::new());
    let environment = context.home().join(".clearml/venvs-builds").join(version);
    assert!(environment.join("bin/python").exists());
    assert!(environment.join("task_repository/project/main.py").exists());
    for unused in ["pip-cache", "apt-cache"] {
        assert!(!context.home().join(".clearml").join(unused).exists());
    }
    for rank in [[("RANK", "1")], [("SLURM_PROCID", "2")]] {
        assert_eq!(run(&rank).1, json!(null), "{rank:?}");
    }
    assert_eq!(
        run(&[("RANK", "0"), ("SLURM_PROCID", "2")]).1,
        json!(["tinydep==1.0"])
    );
}

/// A package that is unpacked into the temporary folder before it is built.
const LARGE_SOURCES: &str = r#"
import io, sys, tarfile
with tarfile.open(sys.argv[1] + "/bulky-1.0.tar.gz", "w:gz") as archive:
    for name, content in (("setup.py", b"from setuptools import setup\nsetup(name='bulky', version='1.0')\n"), ("bulky.bin", bytes(32 << 20))):
        member = tarfile.TarInfo("bulky-1.0/" + name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
"#;

/// pip removes what it could not finish: no disk is full any more when somebody looks.
#[test]
fn a_temporary_folder_without_room_for_a_package_is_named() {
    let machine = Machine::new();
    let made = Command::new("python3")
        .args(["-c", LARGE_SOURCES, machine.packages.folder()])
        .status();
    assert!(made.unwrap().success());
    let disk = Disk::new(machine.context.folder().join("disk"), "8m");
    let folder = disk.folder().to_str().unwrap();
    let script = Script::python("print('never')", "bulky==1.0\n");
    let task = machine.context.enqueue(script);
    let mut variables = machine.packages.variables().to_vec();
    variables.push(("TMPDIR", folder));
    machine.context.run_one_task(&variables);
    let reason = machine.context.reason(&task);
    let expected = format!("disk full: no room in `{folder}` (hint: free space there)");
    assert!(reason.ends_with(&expected), "{reason}");
    let console = machine.context.console(&task);
    assert!(console.contains("No space left on device"), "{console}");
}
