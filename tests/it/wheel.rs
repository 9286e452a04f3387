//! The agent as a Python wheel (`.ci/wheel`): what `pip install` of the file puts on PATH.

use std::path::Path;
use std::process::Command;

use super::support::TestContext;

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn pip_installs_the_agent_and_removes_it() {
    let context = TestContext::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/wheel");
    let agent = env!("CARGO_BIN_EXE_clearml-agent");
    let folder = context.folder();
    let platform = format!("linux_{}", std::env::consts::ARCH);
    let mut make = Command::new(script);
    let wheel = run(make.arg(folder).arg(&platform).arg(agent));
    let environment = folder.join("environment");
    let environment = environment.as_path();
    run(Command::new("python3")
        .args(["-m", "venv"])
        .arg(environment));
    let pip = || Command::new(environment.join("bin/pip"));
    run(pip().args(["install", "--no-index", wheel.trim_end()]));
    let mut installed = context.beside_agent(environment.join("bin/clearml-agent"));
    assert_eq!(
        run(installed.arg("--version")),
        "CLEARML-AGENT version 3.0.3\n"
    );
    assert!(run(pip().arg("list")).contains("clearml-agent-rust"));
    run(pip().args(["uninstall", "--yes", "clearml-agent-rust"]));
    assert!(!environment.join("bin/clearml-agent").exists());
}
