//! How environments are made, what the agent adds to them, and what goes wrong before anything is installed.
//!
//! Compiled under `#[cfg(test)]` only.

#![cfg(test)]

use super::*;

/// A module `virtualenv` for an interpreter of the test: writes its arguments down and makes an environment by `venv`.
const VIRTUALENV: &str = r"
import sys
print('virtualenv', *sys.argv[1:])
from venv import main
main(sys.argv[1:])
";

/// A Python of its own for the test, in whose packages something can be put.
fn own_python(task: &Task) -> (PathBuf, PathBuf) {
    let own = task.folder.path().join("own");
    let made = StdCommand::new("python3")
        .args(["-m", "venv", "--without-pip"])
        .arg(&own)
        .status();
    assert!(made.expect("python3").success());
    let mut versions = fs::read_dir(own.join("lib")).expect("lib").flatten();
    let site = versions.next().expect("a version").path();
    (own.join("bin/python"), site.join("site-packages"))
}

/// E-121, E-122, E-123, E-124: virtualenv where the interpreter has it, venv where that fails; both are heard on the console.
#[tokio::test]
async fn virtualenv_is_tried_before_venv() {
    let mut task = Task::new(&json!({}));
    let (python, site) = own_python(&task);
    fs::write(site.join("virtualenv.py"), VIRTUALENV).expect("file");
    task.request.binary = "python".into();
    task.options.python_binary = python.display().to_string();
    task.options.venvs_cache.path = PathBuf::new();
    task.options.system_site_packages = true;
    let environment = task.create().await;
    let folder = environment.folder().display().to_string();
    assert_eq!(
        environment.python(),
        Path::new(&format!("{folder}/bin/python"))
    );
    let printed = task.printed();
    let called = format!("virtualenv {folder} --system-site-packages\n");
    assert!(printed.contains(&called), "{printed}");
    let settings = fs::read_to_string(environment.folder().join("pyvenv.cfg")).expect("settings");
    assert!(
        settings.contains("include-system-site-packages = true"),
        "{settings}"
    );

    task.options.system_site_packages = false;
    let broken = "import sys; print('virtualenv is broken here'); sys.exit(3)\n";
    fs::write(site.join("virtualenv.py"), broken).expect("file");
    let environment = task.create().await;
    let printed = task.printed();
    let wanted = [
        "virtualenv is broken here\nWARNING: virtualenv call failed: Command '['",
        "'virtualenv', '",
        "returned non-zero exit status 3.\n INFO: Creating virtual environment with venv\n",
    ];
    for text in wanted {
        assert!(printed.contains(text), "{printed}");
    }
    let settings = fs::read_to_string(environment.folder().join("pyvenv.cfg")).expect("settings");
    assert!(
        settings.contains("include-system-site-packages = false"),
        "{settings}"
    );
}

/// E-121: where no interpreter can make an environment the task fails, and says what to install.
#[tokio::test]
async fn an_interpreter_that_makes_no_environment_fails_the_task() {
    let mut task = Task::new(&json!({}));
    let (python, site) = own_python(&task);
    // Neither venv nor ensurepip works there.
    fs::write(site.join("venv.py"), "raise SystemExit(4)\n").expect("file");
    let path = "import site, sys; sys.path.insert(0, site.getsitepackages()[0])\n";
    fs::write(site.join("usercustomize.pth"), path).expect("file");
    task.request.binary = "python".into();
    task.options.python_binary = python.display().to_string();
    let created =
        create_environment(&task.request, &task.options, &task.output, &task.cancel).await;
    let error = created.expect_err("no environment");
    assert!(
        error
            .to_string()
            .starts_with("could not create a virtual environment\nCommand '['"),
        "{error}"
    );
    assert!(
        error
            .hint()
            .expect("a hint")
            .contains("apt install python3-venv")
    );
}

/// E-125
#[tokio::test]
async fn a_cache_that_is_switched_off_is_said() {
    let mut task = Task::new(&json!({}));
    let line = "::: Python virtual environment cache is DISABLED. To accelerate spin-up time set `agent.venvs_cache.path=~/.clearml/venvs-cache` :::\n\n";
    task.create().await;
    assert!(!task.printed().contains(line));
    task.options.venvs_cache.path = PathBuf::new();
    task.create().await;
    assert!(task.printed().contains(line));
}

/// E-137
#[tokio::test]
async fn a_pip_that_is_not_to_be_had_ends_the_run() {
    let mut task = Task::new(&json!({"pip": "six"}));
    task.options.pip_version = vec!["==999".into()];
    let mut environment = task.create().await;
    let error = task.install(&mut environment).await.expect_err("no pip");
    assert!(matches!(error, PythonError::PipVersion(_)), "{error}");
    assert!(error.to_string().contains("pip==999"), "{error}");
}

/// E-134: the pip of the interpreter is enough where it is as it was asked for, whatever an index has.
#[tokio::test]
async fn a_pip_that_the_interpreter_brings_needs_no_index() {
    let mut task = Task::new(&json!({"pip": "tinypackage"}));
    task.add_wheel("tinypackage", "1.0");
    // Nobody else's wheels: the folder has that package alone.
    let wheels = fs::read_dir(task.folder.path().join("wheels")).expect("listed");
    for wheel in wheels.flatten().map(|wheel| wheel.path()) {
        if !wheel.to_string_lossy().contains("tinypackage") {
            fs::remove_file(wheel).expect("removed");
        }
    }
    task.options.pip_version = vec![">=9".into()];
    let (_, frozen) = task.run().await;
    assert_eq!(frozen.expect("frozen").packages(), ["tinypackage==1.0"]);
    let warning = "no package index has a pip; that of the interpreter satisfies `pip>=9`";
    assert!(task.printed().contains(warning), "{}", task.printed());
}

/// E-154, E-192, E-193: what the agent adds, once each, also where the task names it.
#[tokio::test]
async fn packages_that_the_agent_needs_are_added() {
    let mut task = Task::new(&json!({"pip": "clearml==1.16\ntinypackage"}));
    for name in ["clearml", "nbconvert", "ipython", "tinypackage"] {
        task.add_wheel(name, "1.16");
    }
    task.options.force_task_init = true;
    task.request.entry_point = "train.IPYNB".into();
    let (_, frozen) = task.run().await;
    let mut packages = frozen.expect("frozen").packages().to_vec();
    packages.sort();
    assert_eq!(
        packages,
        [
            "clearml==1.16",
            "ipython==1.16",
            "nbconvert==1.16",
            "tinypackage==1.16"
        ]
    );
    let printed = task.printed();
    let added = "Force clearml Task.init patch adding clearml package to requirements\n\
                 Force nbconvert patch to convert .ipynb to python\n";
    assert!(printed.contains(added), "{printed}");

    // Without a list they are the only packages.
    task.request.requirements = TaskRequirements::default();
    task.options.force_task_init = false;
    let mut environment = task.create().await;
    task.install(&mut environment).await.expect("installed");
    let found = run_python(
        &environment,
        "import nbconvert, ipython; print(nbconvert.VALUE)",
    );
    assert_eq!(found, "1.16");
}

/// E-160: a list that says nothing starts no installer, and is no failure.
#[tokio::test]
async fn a_list_of_comments_installs_nothing() {
    let task = Task::new(&json!({"pip": "# nothing\n\n   # at all\n"}));
    let (_, frozen) = task.run().await;
    assert_eq!(frozen.expect("frozen").packages(), Vec::<String>::new());
    assert!(!task.printed().contains("cached-reqs"));
}
