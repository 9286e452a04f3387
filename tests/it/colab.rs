//! The commands of docs/colab.md, as they stand there, on a machine that is a container.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::support::containers::docker;
use super::support::{Script, TestContext, images, wait_until};

/// A container that waits; it is removed with its value.
struct Notebook {
    name: String,
    exports: String,
}

impl Notebook {
    fn start(context: &TestContext) -> Self {
        let folder = context.folder().to_str().unwrap();
        let name = format!("clearml-agent-test-notebook-{}", std::process::id());
        let words = [
            "run",
            "--detach",
            "--init",
            "--network",
            "host",
            "--name",
            &name,
        ];
        let folders = [
            "--volume",
            &format!("{folder}:/content"),
            "--workdir",
            "/content",
        ];
        let pip = [
            "--env",
            "PIP_BREAK_SYSTEM_PACKAGES=1",
            "--env",
            "PIP_NO_INDEX=1",
        ];
        let image = images::python();
        let rest = [image.as_str(), "sleep", "infinity"];
        docker(&[&words[..], &folders, &pip, &rest].concat());
        Self {
            name,
            exports: String::new(),
        }
    }

    /// The cell with what earlier ones have set.
    fn command(&self, cell: &str) -> Command {
        let mut command = images::docker(&["exec", &self.name, "bash", "-c"]);
        command.arg(format!("{}{cell}", self.exports));
        command
    }

    fn run(&mut self, cell: &str) -> String {
        if cell.starts_with("export ") {
            self.exports.push_str(cell);
        }
        let output = self.command(cell).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{cell}\n{printed}{errors}");
        printed
    }
}

impl Drop for Notebook {
    fn drop(&mut self) {
        // It may not have been made.
        let _ = images::docker(&["rm", "--force", &self.name]).output();
    }
}

/// Blocks of the page, with the server and the keys of this one.
fn cells(context: &TestContext) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/colab.md");
    let keys = context.server.credentials();
    let page = fs::read_to_string(page)
        .unwrap()
        .replace("https://api.clear.ml", &context.server.url())
        .replace("https://app.clear.ml", &context.server.web_url())
        .replace("https://files.clear.ml", &context.server.files_url())
        .replace("YOUR_ACCESS_KEY", &keys.access_key)
        .replace("YOUR_SECRET_KEY", &keys.secret_key);
    let blocks = page.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split_once("```").expect("an end").0.to_owned())
        .collect()
}

/// Root, no systemd, no engine, no configuration file.
#[test]
fn a_notebook_becomes_a_worker_with_the_commands_of_the_page() {
    let context = TestContext::new();
    let wheel = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/wheel");
    let platform = format!("linux_{}", std::env::consts::ARCH);
    let made = Command::new(wheel)
        .arg(context.folder())
        .args([&platform, env!("CARGO_BIN_EXE_clearml-agent")])
        .output();
    assert!(made.unwrap().status.success());
    let mut notebook = Notebook::start(&context);
    let cells = cells(&context);
    let [install, variables, doctor, daemon, stop] = &cells[..] else {
        panic!("other cells: {cells:?}");
    };
    notebook.run(install);
    notebook.run(variables);
    let findings = notebook.run(doctor);
    assert!(findings.contains("ok    login"), "{findings}");
    let mut worker = notebook.command(daemon).spawn().unwrap();
    let queues = || context.call("queues.get_all", json!({ "name": "colab" }))["queues"].clone();
    assert!(wait_until(|| queues()[0]["id"].is_string()), "{}", queues());
    let queue = queues()[0]["id"].as_str().unwrap().to_owned();
    let text = "import sys; print('in a notebook', sys.version_info.major)";
    let task = context.enqueue_to(&queue, Script::python(text, ""));
    context.wait_for_status(&task, "completed");
    let console = context.console(&task);
    assert!(console.contains("in a notebook 3\n"), "{console}");
    notebook.run(stop);
    assert!(wait_until(|| worker.try_wait().unwrap().is_some()));
}
