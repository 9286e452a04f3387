//! Interpreters that are there, that uv has, or that are not there at all; real environments and the real uv.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::code::{Packages, offline_packages};
use super::support::{Script, TestContext, package_folder, path_with};
use super::uv::assert_order;

/// A wheel named clearml, which needs another package.
pub(crate) const CLEARML: &str = r#"
import sys, zipfile
def write(name, version, more):
    info = "%s-%s.dist-info/" % (name, version)
    with zipfile.ZipFile("%s/%s-%s-py3-none-any.whl" % (sys.argv[1], name, version), "w") as wheel:
        wheel.writestr(name + ".py", "class Task:\n    @staticmethod\n    def init():\n        print('task init')\n")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: %s\nVersion: %s\n%s" % (name, version, more))
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(info + "RECORD", "".join(info + file + ",,\n" for file in ("METADATA", "WHEEL", "RECORD")))
write("clearml", "1.16", "Requires-Dist: neededdep\nRequires-Dist: tinydep\n")
write("neededdep", "2.0", "")
"#;

pub(crate) fn python(words: &[&str], folder: &Path) {
    let status = Command::new("python3").args(words).arg(folder).status();
    assert!(status.unwrap().success(), "python3 {words:?}");
}

/// An environment that somebody has made: with `tinydep`, with or without pip.
fn image(context: &TestContext, packages: &Packages, has_pip: bool) -> PathBuf {
    let folder = context.folder().join("image");
    let flags: &[&str] = if has_pip { &[] } else { &["--without-pip"] };
    python(&[&["-m", "venv"], flags].concat(), &folder);
    let site = fs::read_dir(folder.join("lib")).unwrap().next().unwrap();
    let site = site.unwrap().path().join("site-packages");
    let wheel = Path::new(packages.folder()).join("tinydep-1.0-py3-none-any.whl");
    python(
        &["-m", "zipfile", "-e", &wheel.display().to_string()],
        &site,
    );
    folder
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let is_folder = entry.file_type().unwrap().is_dir();
            if is_folder {
                folders.push(entry.path());
            } else if entry.path().extension().is_none_or(|end| end != "pyc") {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    files
}

const SCRIPT: &str = "import sys, tinydep\nprint('in', sys.prefix, tinydep.__file__)\n\
    try:\n    import clearml, neededdep\n    print('clearml', clearml.__file__)\nexcept ImportError as error:\n    print(error)\n";

/// A user property of a task.
fn set_property(context: &TestContext, task: &str, value: &str) {
    let property = json!({"section": "properties", "name": "environment", "value": value});
    let sections = json!({"properties": {"environment": property}});
    let edit = json!({"task": task, "hyperparams": sections});
    context.call("tasks.edit", edit);
}

/// Nothing is installed into an existing environment; clearml comes from beside it, with what it needs and the environment does not have.
#[test]
fn an_existing_environment_is_used_as_it_is() {
    let context = TestContext::new();
    let packages = offline_packages(&context);
    python(&["-c", CLEARML], Path::new(packages.folder()));
    let image = image(&context, &packages, false);
    let before = files_below(&image);
    context.configure(&format!(
        "agent.environment {{ mode: existing, python: {:?} }}",
        image.join("bin/python")
    ));
    let script = Script::python(SCRIPT, "nothing-of-this-name==9\nclearml==1.16\n");
    let run = |property: Option<&str>| {
        let task = context.create(script.clone());
        if let Some(value) = property {
            set_property(&context, &task, value);
        }
        let queue = context.queue();
        context.call("tasks.enqueue", json!({"task": task, "queue": queue}));
        context.run_one_task(&packages.variables());
        (context.status(&task), context.console(&task))
    };
    let (status, console) = run(None);
    assert_eq!(status, "completed", "{console}");
    let python = image.join("bin/python").display().to_string();
    let overlay = context.home().join(".clearml/venvs-builds/overlay");
    let shown = (image.display(), overlay.display());
    let texts = [
        &format!("\nUsing the existing environment of {python} (Python 3."),
        ", agent.environment.python), nothing is installed\n",
        &format!(
            "\n{python} cannot import clearml, adding `clearml==1.16` in {}/",
            shown.1
        ),
        "\nNo freeze information available\n",
        &format!("\nin {} {}/lib/", shown.0, shown.0),
        &format!("\nclearml {}/", shown.1),
    ];
    assert_order(&console, &texts);
    assert_eq!(files_below(&image), before, "the environment was changed");
    let names: Vec<String> = files_below(&overlay)
        .iter()
        .map(|file| file.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert!(names.contains(&"neededdep.py".to_owned()), "{names:?}");
    // It would hide that of the environment.
    assert!(!names.contains(&"tinydep.py".to_owned()), "{names:?}");

    // The folder is kept for the next task.
    let (_, console) = run(Some("existing"));
    assert!(!console.contains("adding `clearml"), "{console}");
    assert_order(&console, &["\nclearml /"]);
    let (_, console) = run(Some("what"));
    let text = "\nWARNING: the task's property environment=what is neither existing nor build\n";
    assert_order(&console, &[text, "\nUsing the existing environment of "]);
    // The task has the last word.
    let (status, console) = run(Some("build"));
    assert_eq!(status, "failed", "{console}");
    assert!(console.contains("nothing-of-this-name"), "{console}");
}

/// A task alone can ask for the active environment; an agent whose interpreter is gone says so.
#[test]
fn one_task_can_ask_for_the_active_environment() {
    let context = TestContext::new();
    let packages = offline_packages(&context);
    let image = image(&context, &packages, true);
    let task = context.create(Script::python(SCRIPT, "nothing-of-this-name==9"));
    set_property(&context, &task, "existing");
    let queue = context.queue();
    let enqueue = |task: &str| {
        context.call("tasks.enqueue", json!({"task": task, "queue": queue}));
    };
    enqueue(&task);
    let active = image.display().to_string();
    let mut variables = packages.variables().to_vec();
    variables.push(("VIRTUAL_ENV", &active));
    context.run_one_task(&variables);
    let console = context.console(&task);
    assert_eq!(context.status(&task), "completed", "{console}");
    let texts = [
        "\nUsing the existing environment of ",
        ", VIRTUAL_ENV), nothing is installed\n",
        // No such wheel here; the script may do without.
        "\nWarning: failed to install ClearML package: Command '['",
        &format!("\nin {active} {active}/lib/"),
    ];
    assert_order(&console, &texts);

    context.configure("agent.environment { mode: existing, python: /no/such/python }");
    let task = context.enqueue(Script::python(SCRIPT, ""));
    context.run_one_task(&packages.variables());
    let console = context.console(&task);
    assert_eq!(context.status(&task), "failed", "{console}");
    let text = "\nclearml_agent: ERROR: `/no/such/python`, named by agent.environment.python, is no Python that runs\nhint: ";
    assert_order(&console, &[text]);
}

/// E-230, E-233: packages go into the chosen interpreter, and into an environment that a container has activated.
#[test]
fn packages_go_into_an_interpreter_that_is_there() {
    let context = TestContext::new();
    let packages = offline_packages(&context);
    context.configure("agent.package_manager.system_site_packages: true");
    let image = context.folder().join("image");
    python(&["-m", "venv"], &image);
    let path = path_with(&image.join("bin"));
    let active = image.display().to_string();
    let text = "import sys, tinydep\nprint('in', sys.prefix, tinydep.answer)\n";
    let run = |more: &[(&str, &str)]| {
        let mut variables = packages.variables().to_vec();
        variables.push(("PATH", &path));
        variables.extend(more);
        let task = context.enqueue(Script::python(text, "tinydep==1.0"));
        context.run_one_task(&variables);
        let console = context.console(&task);
        assert_eq!(context.status(&task), "completed", "{console}");
        console
    };
    let active_in_container = [
        ("CLEARML_DOCKER_IMAGE", "image"),
        ("VIRTUAL_ENV", active.as_str()),
    ];
    let warning = format!(
        "\nWarning! Found python virtual environment [{active}] already activated inside the container, \
         installing packages into venv (pip does not support inherit/nested venv)\n"
    );
    let console = run(&active_in_container);
    assert_order(&console, &[&warning, &format!("\nin {active} 42\n")]);
    // Outside of a container it is only somebody's shell.
    let console = run(&active_in_container[1..]);
    assert!(!console.contains("already activated"), "{console}");
    assert!(
        !console.contains(&format!("\nin {active} 42\n")),
        "{console}"
    );
    let console = run(&[("CLEARML_AGENT_SKIP_PIP_VENV_INSTALL", "yes")]);
    let found = format!("\nInterpreter 'python3' found at '{active}/bin/python3'\n");
    assert_order(&console, &[&found, &format!("\nin {active} 42\n")]);
    let console = run(&[("CLEARML_AGENT_SKIP_PIP_VENV_INSTALL", "no")]);
    assert!(!console.contains("found at"), "{console}");
}

/// A folder with all programs of the machine but Python and pip.
fn programs_without_python(context: &TestContext) -> PathBuf {
    let folder = context.folder().join("programs");
    fs::create_dir_all(&folder).unwrap();
    let search = std::env::var("PATH").unwrap();
    let places = std::env::split_paths(&search).filter_map(|place| fs::read_dir(place).ok());
    for entry in places.flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_left_out = ["python", "pip", "uv", "conda"]
            .iter()
            .any(|start| name.starts_with(start));
        let target = folder.join(&name);
        if !is_left_out && !target.exists() {
            // The target of a broken link exists for nobody.
            let _ = symlink(entry.path(), target);
        }
    }
    folder
}

/// E-114, E-232, E-287: without any Python a shell script still runs, and a Python task says what is missing.
#[test]
fn without_python_shell_scripts_still_run() {
    let context = TestContext::new();
    let programs = programs_without_python(&context);
    let path = programs.display().to_string();
    let task = context.enqueue(Script::shell("echo ran; command -v python3 || echo none"));
    context.run_one_task(&[("PATH", &path)]);
    let console = context.console(&task);
    assert_eq!(context.status(&task), "completed", "{console}");
    assert_order(&console, &["\nran\nnone\n"]);
    let task = context.enqueue(Script::python("print('ran')\n", ""));
    context.run_one_task(&[("PATH", &path)]);
    let console = context.console(&task);
    assert_eq!(context.status(&task), "failed", "{console}");
    let text = "\nclearml_agent: ERROR: Python executable with version '3' requested by the Task, key 'agent.default_python', \
        not found in path, tried: ('python3', 'python'";
    assert_order(&console, &[text, "\nhint: install Python 3"]);
}

/// E-117, E-221, E-289: where no Python of the machine runs and there is a uv, it brings one and stands in for pip.
#[test]
fn without_python_uv_serves_the_task() {
    let context = TestContext::new();
    let packages = offline_packages(&context);
    let programs = programs_without_python(&context);
    // What `uv python install` makes, of the interpreter that is here: nothing can be downloaded.
    let ask = "import sys, platform; print(platform.python_version(), platform.machine(), sys.base_prefix)";
    let told = Command::new("python3").args(["-c", ask]).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let words: Vec<&str> = told.split_whitespace().collect();
    let [version, machine, prefix] = words[..] else {
        panic!("{told}");
    };
    let managed = context.folder().join("managed");
    let place = managed.join(format!("cpython-{version}-linux-{machine}-gnu"));
    fs::create_dir_all(&place).unwrap();
    for entry in fs::read_dir(prefix).unwrap().flatten() {
        symlink(entry.path(), place.join(entry.file_name())).unwrap();
    }
    let uv = package_folder("uv==0.9.5").join("uv");
    symlink(&uv, programs.join("uv")).unwrap();
    let path = programs.display().to_string();
    let managed = managed.display().to_string();
    let mut variables = packages.variables().to_vec();
    variables.extend([
        ("PATH", path.as_str()),
        ("UV_PYTHON_INSTALL_DIR", managed.as_str()),
        ("UV_OFFLINE", "1"),
        ("UV_FIND_LINKS", packages.folder()),
    ]);
    let task = context.enqueue(Script::python(
        "import tinydep\nprint('answer', tinydep.answer)\n",
        "tinydep==1.0",
    ));
    context.run_one_task(&variables);
    let console = context.console(&task);
    assert_eq!(context.status(&task), "completed", "{console}");
    let texts = [
        "\nNo Python of this machine runs, uv is asked for version 3\n",
        "/uv', 'venv', '--python', '3', ",
        &format!("\nUsing Python {version} that uv has at "),
        "\nINFO: using UV as pip drop-in replacement\n",
        "\n + tinydep==1.0\n",
        "\nanswer 42\n",
    ];
    assert_order(&console, &texts);
    let task = context.enqueue(Script::python("print('ran')\n", "").with("binary", "python3.4"));
    context.run_one_task(&variables);
    let console = context.console(&task);
    assert_eq!(context.status(&task), "failed", "{console}");
    let texts = [
        "\nNo Python of this machine runs, uv is asked for version 3.4\n",
        "\nclearml_agent: ERROR: Python executable with version '3.4' requested by the Task",
    ];
    assert_order(&console, &texts);
}

/// What the test's interpreter has as virtualenv: says how it was called and lets venv do the work.
const VIRTUALENV: &str =
    "import sys\nprint('called', *sys.argv[1:])\nfrom venv import main\nmain(sys.argv[3:])\n";

/// E-121, E-287: where the chosen interpreter can make no environment, the virtualenv of the machine's own python3 is tried.
#[test]
fn the_virtualenv_of_another_interpreter_is_the_last_resort() {
    let context = TestContext::new();
    let packages = offline_packages(&context);
    let make = |name: &str| {
        let folder = context.folder().join(name);
        python(&["-m", "venv", "--without-pip"], &folder);
        let mut versions = fs::read_dir(folder.join("lib")).unwrap();
        let site = versions.next().unwrap().unwrap().path();
        (folder.join("bin"), site.join("site-packages"))
    };
    let (own, site) = make("own");
    fs::write(site.join("virtualenv.py"), VIRTUALENV).unwrap();
    let (chosen, site) = make("chosen");
    fs::write(site.join("venv.py"), "raise SystemExit(4)\n").unwrap();
    let first = "import site, sys; sys.path.insert(0, site.getsitepackages()[0])\n";
    fs::write(site.join("first.pth"), first).unwrap();
    let chosen = chosen.join("python").display().to_string();
    context.configure(&format!("agent.python_binary: {chosen:?}"));
    let script = Script::python(
        "import tinydep\nprint('answer', tinydep.answer)\n",
        "tinydep",
    );
    let task = context.enqueue(script.with("binary", "python"));
    let path = path_with(&own);
    let mut variables = packages.variables().to_vec();
    variables.push(("PATH", &path));
    context.run_one_task(&variables);
    let console = context.console(&task);
    assert_eq!(context.status(&task), "completed", "{console}");
    let texts = [
        &format!(
            "\nWARNING: virtualenv and venv failed with [{chosen}] trying virtualenv with python ["
        ),
        &format!("\ncalled --python {chosen} "),
        "\nanswer 42\n",
    ];
    assert_order(&console, &texts);
}
