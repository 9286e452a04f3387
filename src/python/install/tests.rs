//! Real environments: made, filled, kept, restored and stopped. Packages come from wheels that the tests write.
//!
//! Compiled under `#[cfg(test)]` only.

use std::process::Command as StdCommand;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::code_location::requirements_files;
use super::super::environment::create_environment;
use super::super::options::{CacheOptions, SkipEnvironment, StoreOptions};
use super::super::report::Report;
use super::super::requirements::TaskRequirements;
use super::super::tool::ToolContext;
use super::*;

mod making;

/// Writes the wheel of package `name` with one module that holds `VALUE`, and one console script.
const WHEEL: &str = r#"
import sys, zipfile
folder, name, version = sys.argv[1:4]
info = "%s-%s.dist-info" % (name, version)
with zipfile.ZipFile("%s/%s-%s-py3-none-any.whl" % (folder, name, version), "w") as wheel:
    wheel.writestr(name + ".py", "VALUE = %r\ndef main():\n    print(VALUE)\n" % version)
    wheel.writestr(info + "/METADATA", "Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (name, version))
    wheel.writestr(info + "/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "/entry_points.txt", "[console_scripts]\n%s-tool = %s:main\n" % (name, name))
    wheel.writestr(info + "/RECORD", "".join("%s/%s,,\n" % (info, f) for f in ("METADATA", "WHEEL", "RECORD")))
"#;

/// A project that builds itself without any other package; `step` is what its build does.
fn write_project(folder: &Path, step: &str) {
    let settings =
        "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";
    let backend = format!(
        "def build(folder):\n    import sys\n    sys.argv = ['', folder, 'localpackage', '3']\n    exec({WHEEL:?}, {{}})\n    \
         return 'localpackage-3-py3-none-any.whl'\n\
         def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):\n    return {step}\n",
    );
    fs::write(folder.join("pyproject.toml"), settings).expect("file");
    fs::write(folder.join("backend.py"), backend).expect("file");
}

/// One task on a machine of its own: environments, cache and wheels in a folder that goes with the test.
struct Task {
    folder: TempDir,
    request: PythonRequest,
    options: PythonOptions,
    links: Links,
    output: Output,
    cancel: CancellationToken,
}

impl Task {
    fn new(requirements: &Value) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path();
        fs::create_dir_all(path.join("wheels")).expect("folder");
        let options = PythonOptions {
            venvs_dir: path.join("venvs"),
            download_cache: None,
            // The pip that comes with Python, so that no test depends on the index.
            pip_version: vec![">=9".into()],
            venvs_cache: CacheOptions {
                path: path.join("cache"),
                ..CacheOptions::default()
            },
            store: StoreOptions {
                path: path.join("store"),
                free_space_threshold_gb: 0.0,
                ..StoreOptions::default()
            },
            extra_install_flags: vec![
                "--no-index".into(),
                format!("--find-links={}/wheels", path.display()),
            ],
            // Compiling takes longer than all the rest.
            installer_variables: vec![
                ("PIP_NO_INDEX".into(), "1".into()),
                ("PIP_NO_COMPILE".into(), "1".into()),
            ],
            ..PythonOptions::default()
        };
        let request = PythonRequest {
            binary: "python3".into(),
            requirements: TaskRequirements::from_value(requirements),
            entry_point: "main.py".into(),
            ..PythonRequest::default()
        };
        let output = Output::append(&path.join("output")).expect("output");
        let mut task = Self {
            request,
            options,
            links: Links::default(),
            output,
            cancel: CancellationToken::new(),
            folder,
        };
        task.add_pip_wheels();
        task
    }

    /// `pip install --upgrade pip` needs a pip in the folder of wheels: the one that Python carries.
    fn add_pip_wheels(&mut self) {
        let script = "import ensurepip, os; print(os.path.dirname(ensurepip.__file__))";
        let printed = StdCommand::new("python3")
            .args(["-c", script])
            .output()
            .expect("python3");
        let folder = String::from_utf8(printed.stdout).expect("a path");
        let bundled = Path::new(folder.trim()).join("_bundled");
        let wheels = self.folder.path().join("wheels");
        for entry in fs::read_dir(&bundled)
            .expect("python3 carries the wheels of ensurepip")
            .flatten()
        {
            fs::copy(entry.path(), wheels.join(entry.file_name())).expect("copied");
        }
        let variable = ("PIP_FIND_LINKS".into(), wheels.into());
        self.options.installer_variables.push(variable);
    }

    fn add_wheel(&self, name: &str, version: &str) {
        let folder = self.folder.path().join("wheels");
        let status = StdCommand::new("python3")
            .args(["-c", WHEEL])
            .arg(folder)
            .args([name, version])
            .status();
        assert!(status.expect("python3").success());
    }

    async fn create(&self) -> Environment {
        let created =
            create_environment(&self.request, &self.options, &self.output, &self.cancel).await;
        created.unwrap_or_else(|error| panic!("{error}\n{}", self.printed()))
    }

    async fn install(&self, environment: &mut Environment) -> Result<Installed, PythonError> {
        let code = environment.folder().join("code");
        fs::create_dir_all(&code).expect("folder");
        let location = CodeLocation {
            root: None,
            script_folder: &code,
        };
        environment
            .install(
                &self.request,
                location,
                &self.options,
                &self.links,
                &self.output,
                &self.cancel,
            )
            .await
    }

    /// The whole way of a task.
    async fn run(&self) -> (Environment, Option<Report>) {
        let mut environment = self.create().await;
        let installed = self.install(&mut environment).await;
        let installed = installed.unwrap_or_else(|error| panic!("{error}\n{}", self.printed()));
        let frozen = environment
            .freeze(&installed, &self.options, &self.output, &self.cancel)
            .await;
        let frozen = frozen.expect("frozen");
        if let Some(report) = &frozen {
            environment
                .keep(report, &self.output, &self.cancel)
                .await
                .expect("kept");
        }
        (environment, frozen)
    }

    fn printed(&self) -> String {
        fs::read_to_string(self.folder.path().join("output")).expect("output")
    }
}

fn run_python(environment: &Environment, script: &str) -> String {
    let run = StdCommand::new(environment.python())
        .args(["-c", script])
        .output()
        .expect("ran");
    String::from_utf8_lossy(&run.stdout).trim().to_owned() + &String::from_utf8_lossy(&run.stderr)
}

/// E-118, E-119, E-126, E-130, E-161, E-194, E-239, E-240, E-243, E-244, E-245, E-248: installed once, then taken from the cache, in another slot too.
#[tokio::test]
async fn a_second_run_takes_the_environment_from_the_cache() {
    let mut task = Task::new(&json!({"pip": "tinypackage==1.2\n"}));
    task.add_wheel("tinypackage", "1.2");
    let (environment, frozen) = task.run().await;
    let version = environment.version().short();
    assert_eq!(
        environment.folder(),
        task.folder.path().join("venvs").join(version)
    );
    assert_eq!(
        run_python(&environment, "import tinypackage; print(tinypackage.VALUE)"),
        "1.2"
    );
    let report = frozen.expect("frozen");
    assert_eq!(report.packages(), ["tinypackage==1.2"]);
    assert!(task.printed().contains("Adding venv into cache: "));

    // What the task left behind is gone in the next environment.
    fs::write(environment.folder().join("code/left"), "x").expect("file");
    let before = task.printed().len();
    task.options.venvs_dir = task.folder.path().join("venvs.1");
    let (restored, frozen) = task.run().await;
    assert!(restored.is_cached());
    let printed = task.printed().split_off(before);
    assert!(
        printed.contains("INFO: acquiring lock [timeout=30.0s] for cache folder: "),
        "{printed}"
    );
    assert!(
        printed.contains("::: Using Cached environment "),
        "{printed}"
    );
    assert!(
        printed.contains("Skipping 1 pre-installed packages:\n[tinypackage==1.2]\nRemaining 0 "),
        "{printed}"
    );
    assert!(!printed.contains("Successfully installed"), "{printed}");
    assert_eq!(frozen.expect("frozen").packages(), ["tinypackage==1.2"]);
    assert!(!restored.folder().join("code/left").exists());
    let tool = fs::read_to_string(restored.folder().join("bin/tinypackage-tool")).expect("script");
    assert!(
        tool.starts_with(&format!("#!{}/bin/python", restored.folder().display())),
        "{tool}"
    );

    // A clone of the finished task has the frozen list.
    task.request.requirements = TaskRequirements::from_value(&json!({"pip": ["tinypackage==1.2"]}));
    assert!(task.create().await.is_cached());
}

/// E-134: what every task begins with is made once, also where the packages are others; nothing of a task is in it.
#[tokio::test]
async fn a_base_environment_is_made_once() {
    let mut task = Task::new(&json!({"pip": "tinypackage==1.2"}));
    task.add_wheel("tinypackage", "1.2");
    task.run().await;
    let printed = task.printed();
    assert!(
        !printed.contains("::: Using base environment "),
        "{printed}"
    );
    task.request.requirements = TaskRequirements::default();
    // Whoever asked an index now would fail.
    let wheels = task.folder.path().join("wheels");
    fs::remove_dir_all(wheels).expect("removed");
    let (environment, _) = task.run().await;
    let printed = task.printed().split_off(printed.len());
    assert!(printed.contains("::: Using base environment "), "{printed}");
    assert!(run_python(&environment, "import tinypackage").contains("ModuleNotFoundError"));
    let pip = run_python(&environment, "import pip; print(pip.__file__)");
    assert!(Path::new(&pip).starts_with(environment.folder()), "{pip}");
}

/// E-250: a store that cannot be used is one line, and the task runs without it.
#[tokio::test]
async fn a_store_that_cannot_be_used_fails_no_task() {
    let mut task = Task::new(&json!({"pip": "tinypackage==1.2"}));
    task.add_wheel("tinypackage", "1.2");
    task.options.store.path = task.folder.path().join("file");
    fs::write(&task.options.store.path, "no folder").expect("file");
    let (_, frozen) = task.run().await;
    assert_eq!(frozen.expect("frozen").packages(), ["tinypackage==1.2"]);
    let printed = task.printed();
    let expected = format!(
        "WARNING: Failed accessing venvs cache at {}: ",
        task.options.store.path.display()
    );
    assert!(printed.contains(&expected), "{printed}");
}

/// E-119, E-120: an environment of an earlier task, or the ruin of one, does not reach the next.
#[tokio::test]
async fn every_task_starts_from_an_empty_environment() {
    let mut task = Task::new(&json!({"pip": "tinypackage"}));
    task.add_wheel("tinypackage", "1.2");
    task.options.venvs_cache.path = PathBuf::new();
    let (environment, _) = task.run().await;
    assert!(
        task.printed()
            .contains("::: Python virtual environment cache is DISABLED.")
    );
    fs::remove_file(environment.python()).expect("removed");
    task.request.requirements = TaskRequirements::default();
    let (environment, frozen) = task.run().await;
    assert!(frozen.is_none(), "E-133, E-195");
    assert!(run_python(&environment, "import tinypackage").contains("ModuleNotFoundError"));
}

/// E-132: the text, the exit code, and what names the requirement.
#[tokio::test]
async fn a_requirement_that_does_not_exist_is_named() {
    let task = Task::new(&json!({"pip": ["no-such-package-here==1.0"]}));
    let mut environment = task.create().await;
    let error = task
        .install(&mut environment)
        .await
        .expect_err("cannot be installed");
    let printed = task.printed();
    assert!(
        printed.ends_with("ERROR: installing pip requirements failed, requirements.txt:\nno-such-package-here==1.0\n\n"),
        "{printed}"
    );
    let text = error.to_string();
    assert!(
        text.starts_with("Could not install task requirements!\nCommand '['"),
        "{text}"
    );
    assert!(text.ends_with("returned non-zero exit status 1."), "{text}");
    assert!(
        error
            .hint()
            .expect("hint")
            .contains("no-such-package-here==1.0")
    );
    let PythonError::Requirements {
        requirements,
        command,
    } = error
    else {
        panic!("another error");
    };
    assert_eq!((requirements.len(), command.code), (1, 1));
}

/// E-131, E-178, E-196: files of the repository, from the root down to the script; local packages are reported as written.
#[tokio::test]
async fn the_repository_names_its_packages_where_the_task_does_not() {
    let mut task = Task::new(&json!({"pip": ""}));
    task.request.has_repository = true;
    task.request.entry_point = "sub/main.py".into();
    task.add_wheel("rootpackage", "1");
    task.add_wheel("subpackage", "2");
    let mut environment = task.create().await;
    let root = environment.folder().join("task_repository/demo");
    fs::create_dir_all(root.join("pkg/sub")).expect("folders");
    fs::write(root.join("requirements.txt"), "rootpackage\n-r more.txt\n").expect("file");
    fs::write(root.join("more.txt"), format!("{}\n", "./local")).expect("file");
    fs::create_dir_all(root.join("local")).expect("folder");
    write_project(&root.join("local"), "build(wheel_directory)");
    fs::write(root.join("pkg/sub/requirements.txt"), "subpackage==2\n").expect("file");
    let location = CodeLocation {
        root: Some(&root),
        script_folder: &root.join("pkg"),
    };
    let installed = environment
        .install(
            &task.request,
            location,
            &task.options,
            &task.links,
            &task.output,
            &task.cancel,
        )
        .await;
    let printed = task.printed();
    let installed = installed.unwrap_or_else(|error| panic!("{error}\n{printed}"));
    let root_line = printed.find(&format!(
        "Trying pip install: {}/requirements.txt",
        root.display()
    ));
    let sub_line = printed.find(&format!(
        "Trying pip install: {}/pkg/sub/requirements.txt",
        root.display()
    ));
    assert!(
        root_line.expect("root") < sub_line.expect("sub"),
        "{printed}"
    );
    let frozen = environment
        .freeze(&installed, &task.options, &task.output, &task.cancel)
        .await;
    let report = frozen.expect("frozen").expect("a list");
    assert_eq!(
        report.packages(),
        ["rootpackage==1", "subpackage==2", "./local"]
    );
}

/// E-153, E-180: a package that is installed on its own fails the task, an optional one does not.
#[tokio::test]
async fn a_post_package_that_fails_ends_the_task_unless_it_is_optional() {
    let mut task = Task::new(&json!({"pip": "tinypackage\nhorovod==9"}));
    task.add_wheel("tinypackage", "1.2");
    let mut environment = task.create().await;
    let error = task
        .install(&mut environment)
        .await
        .expect_err("horovod cannot be installed");
    assert!(
        matches!(&error, PythonError::Package { argument, .. } if argument == "horovod==9"),
        "{error}"
    );
    task.options.post_optional_packages = vec!["horovod".into()];
    let (_, frozen) = task.run().await;
    assert_eq!(frozen.expect("frozen").packages(), ["tinypackage==1.2"]);
}

/// E-229, E-231: packages go into an interpreter that is there, or nowhere.
#[tokio::test]
async fn an_existing_interpreter_is_used_where_that_is_asked_for() {
    let mut task = Task::new(&json!({"pip": "tinypackage"}));
    task.add_wheel("tinypackage", "1.2");
    task.options.venvs_cache.path = PathBuf::new();
    let own = task.folder.path().join("own");
    let made = StdCommand::new("python3")
        .args(["-m", "venv"])
        .arg(&own)
        .status();
    assert!(made.expect("python3").success());
    let python = own.join("bin/python").display().to_string();
    task.options.skip = SkipEnvironment::Interpreter(python.clone());
    let (environment, frozen) = task.run().await;
    assert!(task.printed().contains(&format!(
        "Python interpreter {python} is set from environment var"
    )));
    assert_eq!(
        run_python(&environment, "import tinypackage; print(tinypackage.VALUE)"),
        "1.2"
    );
    assert!(
        frozen
            .expect("frozen")
            .packages()
            .contains(&"tinypackage==1.2".to_owned())
    );
    assert!(!environment.folder().join("bin").exists());
    task.options.skip = SkipEnvironment::Everything(None);
    let (environment, frozen) = task.run().await;
    assert_eq!(environment.folder(), task.options.venvs_dir);
    assert!(frozen.is_none());
}

/// A stopped task kills the installer that runs, with what it started.
#[tokio::test]
async fn a_stopped_task_kills_the_installer() {
    let task = Task::new(&json!({"pip": "./slow"}));
    let mut environment = task.create().await;
    let slow = environment.folder().join("code/slow");
    fs::create_dir_all(&slow).expect("folder");
    let marker = task.folder.path().join("pid");
    let script = format!(
        "[o := __import__('os'), open({0:?} + '.new', 'w').write(str(o.getpid())), o.rename({0:?} + '.new', {0:?}), \
         __import__('time').sleep(600)]",
        marker.display().to_string()
    );
    write_project(&slow, &script);
    let cancel = task.cancel.clone();
    let watched = marker.clone();
    let stop = tokio::spawn(async move {
        while !watched.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        cancel.cancel();
    });
    let limit = std::time::Duration::from_mins(1);
    let ended = tokio::time::timeout(limit, task.install(&mut environment)).await;
    let error = ended.expect("in time").expect_err("was stopped");
    assert!(error.is_cancelled(), "{error}\n{}", task.printed());
    stop.await.expect("stopped");
    let pid = fs::read_to_string(marker)
        .expect("pid")
        .parse()
        .expect("a number");
    while crate::process::ProcessIdentity::of(pid).is_some() {
        tokio::task::yield_now().await;
    }
}

/// E-134: where no specification of pip fits the interpreter, the one that comes with it stays.
#[tokio::test]
async fn there_is_a_pip_even_where_no_specification_fits() {
    let mut task = Task::new(&json!({"pip": "tinypackage"}));
    task.add_wheel("tinypackage", "1.2");
    task.options.pip_version = vec!["<99 ; python_version < '3'".into()];
    let (_, report) = task.run().await;
    assert_eq!(report.expect("frozen").packages(), ["tinypackage==1.2"]);
}

/// E-134, E-140: the shipped version of pip, from the real index, and the resolver that goes with it.
#[tokio::test]
async fn the_shipped_configuration_installs_from_the_index() {
    let mut task = Task::new(&json!({"pip": "six==1.16.0\n"}));
    let shipped = PythonOptions::default();
    task.options.pip_version = shipped.pip_version;
    task.options.extra_install_flags = Vec::new();
    task.options.installer_variables = vec![("PIP_NO_COMPILE".into(), "1".into())];
    task.options.extra_index_url =
        vec![IndexUrl::new("http://bob:passwd-index@127.0.0.1:9/simple")];
    let (environment, frozen) = task.run().await;
    assert_eq!(frozen.expect("frozen").packages(), ["six==1.16.0"]);
    let printed = task.printed();
    let is_legacy = environment.version().minor <= 11;
    assert_eq!(
        printed.contains("INFO: Using legacy resolver for PIP"),
        is_legacy,
        "{printed}"
    );
    // E-141: pip knows the index, and nobody sees its password.
    assert!(printed.contains("127.0.0.1:9/simple"), "{printed}");
    assert!(!printed.contains("passwd-index"), "{printed}");
}

/// E-131: never outside the checkout.
#[test]
fn only_files_of_the_checkout_are_searched() {
    let folder = tempfile::tempdir().expect("folder");
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("a/b")).expect("folders");
    for place in [folder.path(), &root, &root.join("a/b")] {
        fs::write(place.join("requirements.txt"), "").expect("file");
    }
    let files = |entry: &str| requirements_files(&root, &root.join("a"), entry, &Path::is_file);
    let top = root.join("requirements.txt");
    assert_eq!(
        files("b/main.py"),
        [top.clone(), root.join("a/b/requirements.txt")]
    );
    assert_eq!(files("main.py --x 1/2"), std::slice::from_ref(&top));
    assert_eq!(files("-m b.main"), std::slice::from_ref(&top));
    assert_eq!(files("../../main.py"), std::slice::from_ref(&top));
    assert_eq!(files("/etc/passwd"), [top]);
}

/// E-214, E-220: a tool goes into an environment of its own, and stays there for the next task.
#[tokio::test]
async fn a_tool_gets_an_environment_of_its_own() {
    let task = Task::new(&json!({}));
    task.add_wheel("localtool", "3");
    let context = ToolContext {
        options: &task.options,
        output: &task.output,
        cancel: &task.cancel,
    };
    let interpreter = super::super::interpreter::probe("python3", &task.cancel)
        .await
        .expect("asked")
        .expect("python3 runs");
    let folder = task.folder.path().join("venvs/3_tool");
    let install = async |requirement: &str| {
        context
            .install("localtool-tool", requirement, &interpreter, &folder)
            .await
            .expect("pip runs")
    };
    let program = install("localtool").await.expect("installed");
    assert!(program.starts_with(&folder));
    assert_eq!(
        context.version(&program).await.expect("asked").as_deref(),
        Some("3")
    );
    task.add_wheel("localtool", "4");
    install("localtool>=4").await.expect("installed");
    assert_eq!(
        context.version(&program).await.expect("asked").as_deref(),
        Some("4")
    );
    assert!(install("localtool>=9").await.is_err());
    let own = StdCommand::new("python3")
        .args(["-c", "import localtool"])
        .output()
        .expect("python3");
    assert!(!own.status.success());
}
