//! Tasks whose packages uv manages, with the real uv from PyPI. Packages come from wheels of the tests.

use super::code::{Packages, Repository, offline_packages};
use super::existing::{CLEARML, python};
use super::support::{Script, TestContext, package_folder, path_with};

const SCRIPT: &str = "import tinydep\nprint('answer', tinydep.answer)\n";

struct Machine {
    context: TestContext,
    packages: Packages,
    path: String,
}

impl Machine {
    fn new(configuration: &str) -> Self {
        let context = TestContext::new();
        let packages = offline_packages(&context);
        context.configure(&format!(
            "agent.package_manager {{ type: uv, {configuration} }}"
        ));
        let path = path_with(&package_folder("uv==0.9.5"));
        Self {
            context,
            packages,
            path,
        }
    }

    fn variables(&self) -> Vec<(&str, &str)> {
        let mut variables = self.packages.variables().to_vec();
        variables.extend([
            ("PATH", self.path.as_str()),
            ("UV_OFFLINE", "1"),
            ("UV_FIND_LINKS", self.packages.folder()),
            ("UV_PYTHON_DOWNLOADS", "never"),
            // The tests run in parallel with others that may have activated something.
            ("VIRTUAL_ENV", "/nowhere"),
        ]);
        variables
    }

    /// A repository whose project needs `dependency`, with a lock file where one can be made.
    fn project(&self, dependency: &str) -> Repository {
        let repository = Repository::new(&self.context, "project");
        repository.commit(&[
            ("main.py", SCRIPT),
            ("pyproject.toml", &pyproject(dependency)),
        ]);
        repository
    }

    /// What uv writes into `uv.lock` for this project.
    fn lock(&self, dependency: &str) -> String {
        // Paths in it are relative: as deep as the checkout will be.
        let builds = self.context.home().join(".clearml/venvs-builds");
        let folder = builds.join("any/task_repository/project");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("pyproject.toml"), pyproject(dependency)).unwrap();
        let made = std::process::Command::new("uv")
            .arg("lock")
            .envs(self.variables())
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        std::fs::read_to_string(folder.join("uv.lock")).unwrap()
    }

    fn wheel(&self) -> String {
        let folder = self.packages.folder();
        format!("tinydep @ file://{folder}/tinydep-1.0-py3-none-any.whl")
    }

    /// Runs the task to its end: its status, its list of packages, its console.
    fn run(&self, script: Script) -> (String, String, String) {
        let task = self.context.enqueue(script);
        self.context.run_one_task(&self.variables());
        let requirements = &self.context.field(&task, "script")["requirements"];
        (
            self.context.status(&task),
            requirements["pip"].to_string(),
            self.context.console(&task),
        )
    }
}

fn pyproject(dependency: &str) -> String {
    format!(
        "[project]\nname = \"project\"\nversion = \"1\"\nrequires-python = \">=3.9\"\ndependencies = [\"{dependency}\"]\n\
         [tool.uv]\npackage = false\n"
    )
}

pub(crate) fn of(repository: &Repository) -> Script {
    Script::python("", "nothing-of-this-name==9\n")
        .with("repository", repository.url())
        .with("branch", "master")
        .with("entry_point", "main.py")
}

/// These texts stand on the console in this order.
#[track_caller]
pub(crate) fn assert_order(console: &str, texts: &[&str]) {
    let mut rest = console;
    for text in texts {
        let Some(at) = rest.find(text) else {
            panic!("`{text}` is missing or in another place:\n{console}");
        };
        // The line feed may be the first of the next text.
        rest = &rest[at + text.trim_end_matches('\n').len()..];
    }
}

/// E-220, E-221, E-225: transcript 21, where the official agent fails for want of a pip.
#[test]
fn without_a_project_uv_installs_what_the_task_asks_for() {
    let console = installed_by_uv("");
    let texts = [
        "\nNotice: `uv`0.9.5 was found, no specific version required, skipping uv installation\n",
        "\nINFO: Executing: ('",
        "/bin/uv', 'venv', '--python', '",
        "\nINFO: using UV as pip drop-in replacement\n",
    ];
    assert_order(&console, &texts);
    assert!(!console.contains("venvs cache") && !console.contains("Adding venv into cache"));
}

/// E-224, E-227: transcript 22: no pip at all.
#[test]
fn uv_stands_in_for_pip() {
    let console = installed_by_uv("uv_replace_pip: true, uv_unsafe_best_match: true");
    assert!(
        !console.contains("pip update") && !console.contains("Collecting"),
        "{console}"
    );
}

/// The console of a task with a package.
#[track_caller]
fn installed_by_uv(settings: &str) -> String {
    let machine = Machine::new(settings);
    let (status, packages, console) = machine.run(Script::python(SCRIPT, "tinydep==1.0\n"));
    assert_eq!(status, "completed", "{console}");
    let texts = [
        "\nINFO: Executing: ('",
        "\nINFO: using UV as pip drop-in replacement\n",
        "\n + tinydep==1.0\n",
        "\n[.]$ ",
        "/.clearml/venvs-builds/3.",
        " -u main.py\nSummary - installed python packages:\npip:\n- tinydep==1.0\n",
        "\nanswer 42\n",
    ];
    assert_order(&console, &texts);
    assert_eq!(packages, "[\"tinydep==1.0\"]");
    console
}

/// E-130, E-213, E-222, E-223, E-226, E-228: transcript 23b, with a lock file that fits.
#[test]
fn a_locked_project_is_synchronised_and_run() {
    let machine = Machine::new("");
    let dependency = machine.wheel();
    let repository = machine.project(&dependency);
    let environment = "\nimport os\nprint('cache', os.environ.get('UV_CACHE_DIR'))\n";
    let script = format!("{SCRIPT}{environment}");
    repository.commit(&[
        ("uv.lock", &machine.lock(&dependency)),
        ("main.py", &script),
    ]);
    let (status, packages, console) = machine.run(of(&repository));
    assert_eq!(status, "completed", "{console}");
    let texts = [
        "\nUV Enabled: Ignoring requested python packages, using repository uv lock file!\n",
        "\n + tinydep==1.0",
        "\n[.]$ ",
        "/bin/uv run --python ",
        "/task_repository/project/.venv/bin/python python -u main.py\n",
        "\nanswer 42\n",
        "\ncache None\n",
    ];
    assert_order(&console, &texts);
    assert!(packages.contains("tinydep"), "{packages}");
    assert!(!console.contains("trying without"), "{console}");
    assert!(!console.contains("VIRTUAL_ENV"), "{console}");
    assert!(
        machine
            .context
            .home()
            .join(".clearml/pip-download-cache/uv")
            .is_dir()
    );
}

/// E-222: a lock file that is out of date is left behind; one for packages that are not to be had ends the run.
#[test]
fn a_lock_file_that_does_not_fit_is_tried_without() {
    let machine = Machine::new("");
    let dependency = machine.wheel();
    let repository = machine.project(&dependency);
    let stale = machine.lock(&dependency).replace("tinydep", "otherdep");
    repository.commit(&[("uv.lock", &stale)]);
    let (status, _, console) = machine.run(of(&repository));
    assert_eq!(status, "completed", "{console}");
    let notice = "\nINFO: failed installing using lock file, trying without\n";
    assert_order(&console, &[notice, "\nanswer 42\n"]);
    repository.commit(&[("pyproject.toml", &pyproject("nothing-of-this-name==9"))]);
    let (status, _, console) = machine.run(of(&repository));
    assert_eq!(status, "failed", "{console}");
    let texts = [
        notice,
        "\nFailed installing uv requirements from lock file: Command '['",
        "\nclearml_agent: ERROR: Command '['",
        "'sync']' returned non-zero exit status ",
        "\nhint: ",
    ];
    assert_order(&console, &texts);
}

/// E-222: without a lock file the task's own packages count, installed by uv.
#[test]
fn a_project_that_fails_without_a_lock_file_leaves_the_packages_of_the_task() {
    let machine = Machine::new("");
    let repository = machine.project("nothing-of-this-name==9");
    let script = Script::python("", "tinydep==1.0\n")
        .with("repository", repository.url())
        .with("branch", "master")
        .with("entry_point", "main.py");
    let (status, packages, console) = machine.run(script);
    assert_eq!(status, "completed", "{console}");
    let texts = [
        "\nReverting to UV as pip replacement - installing from Task requirements or git requirements.txt\n",
        "\nINFO: using UV as pip drop-in replacement\n",
        "\nanswer 42\n",
    ];
    assert_order(&console, &texts);
    assert_eq!(packages, "[\"tinydep==1.0\"]");
}

/// E-122, E-220, E-221: a uv of one's own is taken; a version that the machine does not have is asked for by its number; where uv makes no
/// environment, the usual way does, and pip installs.
#[test]
fn where_uv_makes_no_environment_the_usual_way_does() {
    let machine = Machine::new("system_site_packages: true");
    let uv = package_folder("uv==0.9.5").join("uv");
    let own = machine.context.folder().join("own-uv");
    let text = format!(
        "#!/bin/sh\nif [ \"$1\" = venv ]; then echo no room for it; exit 2; fi\nexec {} \"$@\"\n",
        uv.display()
    );
    std::fs::write(&own, text).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&own, mode).unwrap();
    let own = own.display().to_string();
    let script = Script::python(SCRIPT, "tinydep==1.0\n").with("binary", "python3.4");
    let task = machine.context.enqueue(script);
    let mut variables = machine.variables();
    variables.push(("CLEARML_BOOTSTRAP_UV_EXEC", &own));
    machine.context.run_one_task(&variables);
    let console = machine.context.console(&task);
    assert_eq!(machine.context.status(&task), "completed", "{console}");
    let texts = [
        &format!(
            "\nINFO: Executing: ('{own}', 'venv', '--python', '3.4', '--system-site-packages', '"
        ),
        "\nno room for it\nERROR: UV venv creation failed: Command '['",
        "\nINFO: UV environment creation failed - reverting to VirtualEnv !!!\n",
        "\nSuccessfully installed tinydep-1.0\n",
        "\nanswer 42\n",
    ];
    assert_order(&console, &texts);
}

/// E-106, E-192: what a forced `Task.init` needs is installed into the environment of the project; the interpreter's own folders are not on
/// `PYTHONPATH`.
#[test]
fn a_project_gets_what_the_agent_needs() {
    let machine = Machine::new("");
    let repository = machine.project(&machine.wheel());
    let text = format!("{SCRIPT}import os\nprint('path', os.environ['PYTHONPATH'])\n");
    repository.commit(&[("main.py", &text)]);
    let mut variables = machine.variables();
    variables.push(("CLEARML_AGENT_FORCE_TASK_INIT", "1"));
    let run = || {
        let task = machine.context.enqueue(of(&repository));
        machine.context.run_one_task(&variables);
        machine.context.console(&task)
    };
    let console = run();
    let texts = [
        "\nForce clearml Task.init patch adding clearml package to requirements\n",
        "\nWarning: failed to install ClearML package\n",
    ];
    assert_order(&console, &texts);
    python(
        &["-c", CLEARML],
        std::path::Path::new(machine.packages.folder()),
    );
    let console = run();
    let builds = machine.context.home().join(".clearml/venvs-builds");
    let texts = [
        "\n + clearml==1.16\n",
        "\nanswer 42\n",
        &format!("\npath {}/3.", builds.display()),
    ];
    assert_order(&console, &texts);
    let path = console.lines().find(|line| line.starts_with("path "));
    assert!(
        path.is_some_and(|path| path.ends_with("/task_repository/project")),
        "{path:?}"
    );
}
