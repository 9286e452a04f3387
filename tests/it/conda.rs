//! Tasks whose packages conda manages, with a stand-in for conda: the real one and its channels cannot be had where the
//! tests run. Environments, pip and packages are real.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::code::{Packages, Repository, offline_packages};
use super::support::{CondaStandIn, Script, TestContext, path_with};
use super::uv::{assert_order, of};

const SCRIPT: &str = "import os, tinydep\nprint('answer', tinydep.answer)\n\
    print('prefix', os.environ['CONDA_PREFIX'])\nprint('path', os.environ['PYTHONPATH'])\n";

struct Machine {
    context: TestContext,
    conda: CondaStandIn,
    packages: Packages,
    path: String,
}

impl Machine {
    fn new(configuration: &str) -> Self {
        let context = TestContext::new();
        let packages = offline_packages(&context);
        context.configure(&format!(
            "agent.package_manager {{ type: Conda, {configuration} }}"
        ));
        let conda = CondaStandIn::new(context.folder());
        let path = path_with(&conda.bin());
        Self {
            context,
            conda,
            packages,
            path,
        }
    }

    fn variables(&self) -> Vec<(&str, &str)> {
        let mut variables = self.packages.variables().to_vec();
        variables.extend([("PATH", self.path.as_str()), ("PYTHONPATH", "/before")]);
        variables
    }

    fn program(&self) -> String {
        self.conda.bin().join("conda").display().to_string()
    }

    /// Where the agent makes the environment of a task that wants this version.
    fn environment(&self, version: &str) -> PathBuf {
        let builds = self.context.home().join(".clearml/venvs-builds");
        builds.join(version)
    }

    /// Runs the task to its end: its id, its status, its console.
    fn run(&self, script: Script) -> (String, String, String) {
        self.run_with(script, &[])
    }

    fn run_with(&self, script: Script, more: &[(&str, &str)]) -> (String, String, String) {
        let task = self.context.enqueue(script);
        let variables: Vec<(&str, &str)> =
            self.variables().into_iter().chain(more.to_vec()).collect();
        self.context.run_one_task(&variables);
        let status = self.context.status(&task);
        let console = self.context.console(&task);
        (task, status, console)
    }

    fn requirements(&self, task: &str) -> Value {
        self.context.field(task, "script")["requirements"].clone()
    }
}

fn with_lists(text: &str, lists: Value) -> Script {
    Script::python(text, "").with("requirements", lists)
}

/// An environment as conda-pack packs it, and the place where it was made.
fn packed(folder: &Path) -> (PathBuf, PathBuf) {
    let environment = folder.join("packed");
    let run = |program: &str, words: &[&str]| {
        let status = Command::new(program)
            .args(words)
            .current_dir(folder)
            .status();
        assert!(status.unwrap().success(), "{program} {words:?}");
    };
    run("python3", &["-m", "venv", "--without-pip", "packed"]);
    let unpack = "import pathlib\npathlib.Path(__file__).with_name('fixed').write_text('')\n";
    fs::write(environment.join("bin/conda-unpack"), unpack).unwrap();
    run("tar", &["-czf", "packed.tar.gz", "-C", "packed", "."]);
    (environment, folder.join("packed.tar.gz"))
}

/// E-106, E-201, E-202, E-203, E-204, E-205, E-206, E-207, E-208, E-210, E-239, E-240, E-252: conda has one package, pip the other; the
/// second run finds the environment in the cache.
#[test]
fn conda_installs_what_it_has_and_pip_the_rest() {
    let machine = Machine::new("");
    machine.conda.set("unavailable", "tinydep");
    machine.conda.set("conflicting", "attrs");
    // What pip would find is not asked for: conda has it.
    let list = "six==1.16.0\ntinydep==1.0\nbroken==1 ; python_version < '3'\n";
    let script = Script::python(SCRIPT, list);
    let explain = |task: &str| {
        let finished = machine
            .context
            .run_with(&["cache", "explain", task], &machine.variables());
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        finished.stdout
    };
    let unknown = explain(&machine.context.create(script.clone()));
    assert!(unknown.contains(": miss\nkey: "), "{unknown}");
    assert!(!unknown.contains("base environment"), "{unknown}");
    let (task, status, console) = machine.run(script.clone());
    assert_eq!(status, "completed", "{console}");
    let environment = machine.environment("3");
    let (program, prefix) = (machine.program(), environment.display());
    let script_folder = format!("{prefix}/code");
    let activate = machine.conda.base().join("etc/profile.d/conda.sh");
    let activate = format!(
        "source {} && conda activate {prefix} && ",
        activate.display()
    );
    let texts = [
        &format!("\nExecuting Conda: {program} create --yes --prefix {prefix} python=3\n"),
        &format!(
            "\nExecuting Conda: {program} install -p {prefix} -c pytorch -c conda-forge -c nvidia -c defaults 'pip>=20' --quiet --json\nPass\n"
        ),
        "\nSKIPPING package `broken==1; python_version < '3'` not required python version 3.",
        "\nConda: Trying to install requirements:\n['six~=1.16.0', 'tinydep~=1.0']\n",
        &format!("\nExecuting Conda: {program} env update -p {prefix} --file "),
        "\nConda error: ResolvePackageNotFound: \n  - tinydep~=1.0\n",
        "\nConda: Trying to install requirements:\n['six~=1.16.0']\n",
        "\nPass\nConda: Installing requirements: step 2 - using pip:\n['tinydep==1.0']\n",
        &format!("\n[.]$ {activate}{prefix}/bin/python -u main.py\n"),
        "Summary - installed python packages:\nconda:\n- pip==23.0\n- python==3.",
        "\n- six==1.16.0\npip:\n- tinydep==1.0\n",
        "\nanswer 42\n",
        &format!("\nprefix {prefix}\n"),
        &format!("\npath /before:{script_folder}:{script_folder}\n"),
    ];
    assert_order(&console, &texts);
    // No list of the task is touched without `conda_full_env_update` (E-198).
    assert_eq!(machine.requirements(&task), json!({ "pip": list }));
    let calls = machine.conda.calls();
    let verbs = |calls: &[String]| -> Vec<String> {
        let verb = |call: &String| call.split(" -").next().unwrap_or(call).to_owned();
        calls.iter().map(verb).collect()
    };
    assert_eq!(
        verbs(&calls),
        ["create", "install", "env update", "env update", "list"]
    );
    let channels = json!(["pytorch", "conda-forge", "nvidia", "defaults"]);
    assert_eq!(
        machine.conda.updates()[1],
        json!({"channels": channels, "dependencies": ["six~=1.16.0"]})
    );

    let known = explain(&machine.context.create(script.clone()));
    assert!(known.contains(": hit\nkey: "), "{known}");
    let (_, status, console) = machine.run(script);
    assert_eq!(status, "completed", "{console}");
    assert_order(
        &console,
        &["\n::: Using Cached environment ", "\nanswer 42\n"],
    );
    assert_eq!(verbs(&machine.conda.calls()), ["env remove", "list"]);

    // A conflict that conda tells in words, and trouble about which it says nothing that helps.
    let (_, status, console) = machine.run(Script::python("", "attrs==1\ntinydep==1.0"));
    assert_eq!(status, "failed", "{console}");
    let texts = [
        "\nConda error: ResolvePackageNotFound: ",
        "\nConda: Trying to install requirements:\n['attrs~=1.0']\n",
        "\nConda error: UnsatisfiableError: ",
        "\nConda: Installing requirements: step 2 - using pip:\n['tinydep==1.0', 'attrs==1']\n",
        "\nclearml_agent: ERROR: Could not install task requirements!\n",
    ];
    assert_order(&console, &texts);
}

/// E-197, E-198, E-206, E-209, E-210: the lists of a conda run are written to the task, and a run with them takes the stored environment.
#[test]
fn a_full_environment_is_reported_and_restored() {
    let machine = Machine::new("conda_full_env_update: true, conda_channels: [mine]");
    let lists = json!({"pip": "tinydep==1.0\n", "conda": ""});
    let (task, status, console) = machine.run(with_lists(SCRIPT, lists));
    assert_eq!(status, "completed", "{console}");
    // An empty list of conda: everything is pip's.
    assert!(!console.contains("Conda: Trying"), "{console}");
    let reported = machine.requirements(&task);
    let version = reported["conda"][1].as_str().expect("python").to_owned();
    assert!(version.starts_with("python==3."), "{reported}");
    assert_eq!(
        reported,
        json!({
            "org_pip": "tinydep==1.0\n",
            "conda": ["pip==23.0", version],
            "conda_env_json": "{\"dependencies\":[\"python=3.11.4=h1\"]}",
            "pip": ["# Conda Packages", "", "pip==23.0", version, "", "# pip Packages", "", "tinydep==1.0"],
        })
    );

    let stored = json!({"channels": ["theirs"], "dependencies":
        ["python=3.11.4=h1", "six=1.16.0=py_0", {"pip": ["tinydep==1.0"]}]});
    let lists =
        json!({"pip": "six\ntinydep", "conda": ["six"], "conda_env_json": stored.to_string()});
    machine.conda.updates();
    let (_, status, console) = machine.run(with_lists(SCRIPT, lists.clone()));
    assert_eq!(status, "completed", "{console}");
    let texts = [
        "\nConda restoring full yaml environment\nConda: Trying to install requirements:\n['python=3.11', 'six=1.16.0=py_0']\n",
        "\nConda: Installing requirements: step 2 - using pip:\n['tinydep==1.0']\n",
        "\nanswer 42\n",
    ];
    assert_order(&console, &texts);
    assert_eq!(
        machine.conda.updates()[0]["channels"],
        json!(["theirs", "mine"])
    );

    machine.conda.set("unavailable", "six");
    let mut lists = lists;
    lists["conda"] = json!(["six ", "python"]);
    lists["pip"] = json!("tinydep==1.0");
    lists["conda_env_json"] = json!(stored.to_string().replace("1.16.0", "9"));
    let (_, _, console) = machine.run(with_lists(SCRIPT, lists));
    let texts = [
        "\nfailed installing the following conda packages: ['six']\n",
        "\nCould not load fully stored conda environment, falling back to requirements\n",
        "\nConda: Trying to install requirements:\n['six']\n",
        "\nConda: Installing requirements: step 2 - using pip:\n['tinydep==1.0', 'six']\n",
    ];
    assert_order(&console, &texts);
}

/// E-131, E-206: a `requirements.txt` of the repository goes to conda first as well.
#[test]
fn a_requirements_file_of_the_repository_goes_to_conda_first() {
    let machine = Machine::new("");
    let repository = Repository::new(&machine.context, "project");
    repository.commit(&[("main.py", SCRIPT), ("requirements.txt", "tinydep==1.0\n")]);
    let script = of(&repository).with("requirements", json!({}));
    let (_, status, console) = machine.run(script);
    assert_eq!(status, "completed", "{console}");
    let texts = [
        "\nTrying pip install: ",
        "\nConda: Trying to install requirements:\n['tinydep~=1.0']\n",
        "\nPass\n",
        "\nanswer 42\n",
    ];
    assert_order(&console, &texts);
    assert!(!console.contains("step 2"), "{console}");
}

/// E-202, E-203: what is wrong with conda itself is said in one line, with what to do.
#[test]
fn a_conda_that_cannot_be_used_is_explained() {
    let machine = Machine::new("");
    let script = || Script::python("", "six");
    let failed = |texts: &[&str], more: &[(&str, &str)]| {
        let (_, status, console) = machine.run_with(script(), more);
        assert_eq!(status, "failed", "{console}");
        assert_order(&console, texts);
    };
    machine.conda.set("offline", "");
    failed(
        &[
            "\nCondaHTTPError: HTTP 000 CONNECTION FAILED",
            "\nclearml_agent: ERROR: could not create a conda environment\nCommand '['",
            "\nhint: conda's lines say why",
        ],
        &[],
    );
    machine.conda.set("version", "4.3.29");
    failed(
        &[
            "\nclearml_agent: ERROR: conda version '4.3.29' is smaller than minimum supported conda version '4.3.30'\n",
            "\nhint: update conda",
        ],
        &[],
    );
    let path = std::env::var("PATH").unwrap();
    failed(
        &[
            "\nclearml_agent: ERROR: ERROR: package manager \"conda\" selected, but 'conda' executable could not be located\n",
            "\nhint: install conda",
        ],
        &[("PATH", &path)],
    );
}

/// E-202, E-208: a conda that is only a link to the real one is asked where it lives; without a network all packages are left to pip.
#[test]
fn trouble_that_names_no_package_leaves_all_to_pip() {
    let machine = Machine::new("");
    let elsewhere = machine.context.folder().join("elsewhere/bin");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::copy(machine.program(), elsewhere.join("conda")).unwrap();
    let other = elsewhere.parent().unwrap();
    let base = machine.conda.base().display().to_string();
    fs::write(other.join("root"), &base).unwrap();
    fs::write(other.join("channel-away"), "").unwrap();
    let path = path_with(&elsewhere);
    let (_, status, console) =
        machine.run_with(Script::python(SCRIPT, "tinydep==1.0"), &[("PATH", &path)]);
    assert_eq!(status, "completed", "{console}");
    let texts = [
        "\nConda error: CondaHTTPError: HTTP 000 CONNECTION FAILED",
        "\nConda: Installing requirements: step 2 - using pip:\n['tinydep==1.0']\n",
        &format!("\n[.]$ source {base}/etc/profile.d/conda.sh && conda activate "),
    ];
    assert_order(&console, &texts);
}

/// E-211, E-239: environments that are there are used as they are, or unpacked, and never cached.
#[test]
fn environments_that_are_there() {
    let machine = Machine::new("conda_env_as_base_docker: true");
    let (folder, archive) = packed(machine.context.folder());
    let text = "import os, sys\nprint('prefix', os.environ['CONDA_PREFIX'], sys.prefix)\n";
    let run = |container: &Path, more: &[(&str, &str)]| {
        let task = machine
            .context
            .create(Script::python(text, "nothing-of-this-name==9"));
        let execution = json!({"docker_cmd": container.display().to_string()});
        let edit = json!({"task": task, "execution": execution});
        machine.context.call("tasks.edit", edit);
        let queue = machine.context.queue();
        machine
            .context
            .call("tasks.enqueue", json!({"task": task, "queue": queue}));
        let variables: Vec<(&str, &str)> = machine
            .variables()
            .into_iter()
            .chain(more.to_vec())
            .collect();
        machine.context.run_one_task(&variables);
        (
            machine.context.status(&task),
            machine.context.console(&task),
        )
    };
    let (status, console) = run(&folder, &[]);
    assert_eq!(status, "completed", "{console}");
    let shown = folder.display();
    let texts = [
        &format!("\nUsing pre-existing Conda environment from {shown}\n"),
        "\nConda environment in read-only mode, skipping pip upgrade.\n\
         Conda environment in read-only mode, skipping requirements installation.\n",
        &format!("\nprefix {shown} {shown}\n"),
    ];
    assert_order(&console, &texts);
    assert!(!console.contains("Adding venv into cache"), "{console}");

    let (_, console) = run(Path::new("/no/such/place"), &[]);
    let texts = [
        "\nclearml_agent: ERROR: Could not restore Conda environment, cannot find /no/such/place\n",
        "\nhint: `CLEARML_CONDA_ENV_PACKAGE`, or ",
    ];
    assert_order(&console, &texts);

    // The variable counts more than the container; an archive can be installed into, but has no pip here.
    let package = archive.display().to_string();
    let (_, console) = run(&folder, &[("CLEARML_CONDA_ENV_PACKAGE", &package)]);
    let environment = machine.environment("3");
    let texts = [
        &format!("\nRestoring Conda environment from {package}\n"),
        &format!(
            "\nFixing prefix in Conda environment {}\n",
            environment.display()
        ),
        "\nConda: Trying to install requirements:\n['nothing-of-this-name~=9.0']\n",
    ];
    assert_order(&console, &texts);
    assert!(environment.join("bin/fixed").exists());
    assert!(!console.contains("Adding venv into cache"), "{console}");
}

/// E-211: packages go into the base environment where that is wanted; the variable beats the key.
#[test]
fn the_base_environment_is_used_where_that_is_wanted() {
    let machine = Machine::new("use_conda_base_env: true");
    let status = Command::new("python3")
        .args(["-m", "venv"])
        .arg(machine.conda.base())
        .status();
    assert!(status.unwrap().success());
    machine.conda.set("unavailable", "tinydep");
    let (_, status, console) = machine.run(Script::python(SCRIPT, "tinydep==1.0"));
    assert_eq!(status, "completed", "{console}");
    let base = machine.conda.base().display();
    let texts = [
        format!("\nUsing base conda environment at {base}\n"),
        format!("\nprefix {base}\n"),
    ];
    let texts = [texts[0].as_str(), texts[1].as_str()];
    assert_order(&console, &texts);
    assert!(!console.contains("Adding venv into cache"), "{console}");
    let off = [("CLEARML_USE_CONDA_BASE_ENV", "0")];
    let (_, _, console) = machine.run_with(Script::python(SCRIPT, "tinydep==1.0"), &off);
    assert!(!console.contains("Using base conda"), "{console}");
}

/// E-212, E-266: in the shape of a worker's child, where other programs replace the agent, the program of conda is its child; its exit
/// code, its death and the signals that it gets are the agent's.
#[test]
fn without_monitoring_the_program_is_a_child() {
    let machine = Machine::new("");
    let (folder, _) = packed(machine.context.folder());
    let package = folder.display().to_string();
    let mut variables = machine.variables();
    variables.push(("CLEARML_CONDA_ENV_PACKAGE", &package));
    let execute = |text: &str| {
        let task = machine.context.create(Script::python(text, ""));
        let words = ["execute", "--disable-monitoring", "--id", task.as_str()];
        machine.context.run_with(&words, &variables)
    };
    let finished = execute("import os, sys\nprint('parent', os.getppid())\nsys.exit(3)\n");
    assert_eq!(finished.code, 3, "{}{}", finished.stdout, finished.stderr);
    let parent = format!("\nparent {}\n", finished.pid);
    assert!(finished.stdout.contains(&parent), "{}", finished.stdout);
    let killed = execute("import os\nos.kill(os.getpid(), 9)\n");
    assert_eq!(killed.code, 247, "{}", killed.stdout);

    let text = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\nprint('ready', flush=True)\ntime.sleep(600)\n";
    let task = machine.context.create(Script::python(text, ""));
    let words = ["execute", "--disable-monitoring", "--id", task.as_str()];
    let mut agent = machine.context.start_with(&words, &variables);
    agent.wait_for_output("\nready\n");
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.wait(), 7, "{}", agent.output());
}

/// E-200
#[test]
fn an_unknown_package_manager_is_said_and_counts_as_pip() {
    let context = TestContext::new();
    let packages = offline_packages(&context);
    context.configure("agent.package_manager.type: npm");
    let task = context.enqueue(Script::python(
        "import tinydep\nprint('answer', tinydep.answer)\n",
        "tinydep==1.0",
    ));
    context.run_one_task(&packages.variables());
    let console = context.console(&task);
    let texts = [
        "\nWARNING: agent.package_manager.type=npm is none of pip, conda, poetry, uv: using pip\n",
        "\nanswer 42\n",
    ];
    assert_order(&console, &texts);
}
