//! Tasks whose repository poetry installs, with the real poetry from PyPI and a package of the test.

use std::cell::Cell;
use std::path::Path;

use super::code::{Repository, offline_packages};
use super::existing::{CLEARML, python};
use super::support::{TestContext, package_folder, path_with};
use super::uv::{assert_order, of};

const SCRIPT: &str =
    "import tinydep, sys\nprint('answer', tinydep.answer, sys.prefix != sys.base_prefix)\n";

/// E-192, E-213, E-214, E-215, E-216, E-217, E-218, E-219: a project is installed and run by poetry; without its files, and after a failure without a lock file, the
/// rules of pip hold; with a lock file a failure ends the run.
#[test]
fn projects_of_poetry() {
    let context = TestContext::new();
    let packages = offline_packages(&context);
    context.configure("agent.package_manager.type: poetry");
    let path = path_with(&package_folder("poetry==2.1.4"));
    let mut variables = packages.variables().to_vec();
    variables.extend([("PATH", path.as_str()), ("VIRTUAL_ENV", "/nowhere")]);
    python(&["-c", CLEARML], Path::new(packages.folder()));
    let forced = Cell::new(false);
    let run = |repository: &Repository| {
        let task = context.enqueue(of(repository));
        let mut variables = variables.clone();
        if forced.get() {
            variables.push(("CLEARML_AGENT_FORCE_TASK_INIT", "1"));
        }
        context.run_one_task(&variables);
        let requirements = context.field(&task, "script")["requirements"]["pip"].to_string();
        (context.status(&task), requirements, context.console(&task))
    };
    let project = |dependency: &str| {
        format!(
            "[tool.poetry]\npackage-mode = false\n[tool.poetry.dependencies]\npython = \">=3.9\"\n{dependency}\n"
        )
    };
    let folder = packages.folder();
    let wheel = format!("tinydep = {{ path = \"{folder}/tinydep-1.0-py3-none-any.whl\" }}");
    let repository = Repository::new(&context, "project");
    repository.commit(&[("main.py", SCRIPT), ("pyproject.toml", &project(&wheel))]);
    let (status, packages, console) = run(&repository);
    assert_eq!(status, "completed", "{console}");
    let texts = [
        "\nNotice: Poetry was found, no specific version required, skipping poetry installation\n",
        "\nPoetry Enabled: Ignoring requested python packages, using repository poetry lock file!\n",
        "/bin/poetry run python -u main.py\n",
        "\nanswer 42 True\n",
    ];
    assert_order(&console, &texts);
    assert!(packages.contains("tinydep==1.0"), "{packages}");

    forced.set(true);
    let (status, _, console) = run(&repository);
    forced.set(false);
    assert_eq!(status, "completed", "{console}");
    let texts = [
        "\nForce clearml Task.init patch adding clearml package to requirements\n",
        "\nSuccessfully installed clearml-1.16 neededdep-2.0\n",
        "\nanswer 42 True\n",
    ];
    assert_order(&console, &texts);

    repository.commit(&[
        ("pyproject.toml", "[tool.poetry]\n"),
        ("poetry.lock", "broken ["),
    ]);
    let (status, _, console) = run(&repository);
    assert_eq!(status, "failed", "{console}");
    let texts = [
        "\nfailed installing poetry requirements: Command '['",
        "\nclearml_agent: ERROR: Command '['",
        "\nhint: ",
    ];
    assert_order(&console, &texts);

    let other = Repository::new(&context, "other");
    other.commit(&[("main.py", SCRIPT), ("pyproject.toml", "broken [")]);
    let (status, _, console) = run(&other);
    assert_eq!(status, "failed", "{console}");
    let texts = [
        "\nfailed installing poetry requirements: ",
        "\nERROR: installing pip requirements failed, requirements.txt:\nnothing-of-this-name==9\n",
    ];
    assert_order(&console, &texts);
}
