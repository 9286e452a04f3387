//! Builds of torch from indexes on this machine, through the whole agent.

use std::process::Command;

use super::code::offline_packages;
use super::support::{IndexServer, Script, TestContext};

/// The bytes of a wheel that stands for a build of torch.
fn wheel(context: &TestContext, version: &str) -> Vec<u8> {
    let program = r#"
import sys, zipfile
path, version = sys.argv[1:]
info = "torch-%s.dist-info/" % version
with zipfile.ZipFile(path, "w") as wheel:
    wheel.writestr("torch.py", "__version__ = %r\n" % version)
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: torch\nVersion: %s\n" % version)
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "RECORD", "torch.py,,\n" + "".join(info + n + ",,\n" for n in ("METADATA", "WHEEL", "RECORD")))
"#;
    let path = context.folder().join("torch.whl");
    let status = Command::new("python3")
        .args(["-c", program])
        .arg(&path)
        .arg(version)
        .status();
    assert!(status.unwrap().success());
    std::fs::read(path).unwrap()
}

/// A machine with CUDA 12.6 (so it says), whose package index has no torch at all.
fn machine() -> (TestContext, IndexServer, Vec<(&'static str, String)>) {
    let context = TestContext::new();
    let packages = offline_packages(&context);
    let server = IndexServer::start();
    let variables = vec![
        ("CUDA_VERSION", "12.6".to_owned()),
        ("PIP_INDEX_URL", server.url("/simple/")),
        ("PIP_FIND_LINKS", packages.folder().to_owned()),
    ];
    (context, server, variables)
}

/// Runs a task that needs torch; its list of packages and its console.
fn run(context: &TestContext, variables: &[(&str, String)], requirement: &str) -> (String, String) {
    let text = "import torch\nprint('torch', torch.__version__)\n";
    let task = context.enqueue(Script::python(text, requirement));
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    context.run_one_task(&variables);
    let console = context.console(&task);
    assert_eq!(context.status(&task), "completed", "{console}");
    let packages = context.field(&task, "script")["requirements"]["pip"].to_string();
    (packages, console)
}

/// E-165, E-166, E-167: the newest index that is not newer than the machine's CUDA, asked by the agent, used by pip.
#[test]
fn the_build_for_the_cuda_version_is_installed() {
    let (context, server, variables) = machine();
    let name = "torch-2.4.0%2Bcu124-py3-none-any.whl";
    server.add("/whl/cu124/", "<a href='torch/'>torch</a>");
    server.add("/whl/cu118/", "");
    server.add(
        "/whl/cu124/torch/",
        format!("<a href='/files/{name}'>{name}</a>"),
    );
    server.add(&format!("/files/{name}"), wheel(&context, "2.4.0+cu124"));
    context.configure(&format!(
        "agent.package_manager.extra_index_url_template: \"{}\"",
        server.url("/whl/cu{}/")
    ));
    let (packages, console) = run(&context, &variables, "torch==2.4.0\n");
    let index = server.url("/whl/cu124/");
    for line in [
        format!("\nTorch CUDA 124 index page found, adding `{index}`\n"),
        format!("\nPyTorch: Adding index `{index}` and installing `torch ==2.4.0.*`\n"),
        "\ntorch 2.4.0+cu124\n".to_owned(),
    ] {
        assert!(console.contains(&line), "{line}\n{console}");
    }
    assert_eq!(packages, "[\"torch==2.4.0+cu124\"]");
    assert!(server.asked().contains(&"/whl/cu126/".to_owned()));
}

/// E-172, E-184, E-196: the wheel of a page goes through the download cache and is reported as a version.
#[test]
fn a_wheel_is_found_on_its_page() {
    let (context, server, variables) = machine();
    let name = "torch-2.4.0%2Bcu124-py3-none-any.whl";
    server.add(
        "/whl/cu124/torch_stable.html",
        format!("<a href='{name}'>torch</a>"),
    );
    server.add(
        &format!("/whl/cu124/{name}"),
        wheel(&context, "2.4.0+cu124"),
    );
    context.configure(&format!(
        "agent.package_manager {{ pytorch_resolve: direct, torch_page: \"{}\" }}",
        server.url("/whl/cu{}/torch_stable.html")
    ));
    let (packages, console) = run(&context, &variables, "torch>=2.4\n");
    let url = server.url(&format!("/whl/cu124/{name}"));
    for line in [
        "\nTorch CUDA 124 download page found\n".to_owned(),
        "\nFound PyTorch version torch>=2.4 matching CUDA version 124\n".to_owned(),
        format!("\nclearml-agent: Downloading \"{url}\" to pip cache\n"),
        "\ntorch 2.4.0+cu124\n".to_owned(),
    ] {
        assert!(console.contains(&line), "{line}\n{console}");
    }
    assert_eq!(packages, format!("[\"torch == 2.4.0 # {url}\"]"));
}

/// E-163, E-164: nothing of PyTorch is asked for; a word that nobody knows is said, and counts as `pip`.
#[test]
fn torch_like_every_other_package() {
    let (context, server, mut variables) = machine();
    let name = "torch-2.4.0-py3-none-any.whl";
    server.add(
        "/simple/torch/",
        format!("<a href='/files/{name}'>{name}</a>"),
    );
    server.add(&format!("/files/{name}"), wheel(&context, "2.4.0"));
    context.configure(&format!(
        "agent.package_manager {{ pytorch_resolve: other, extra_index_url_template: \"{}\" }}",
        server.url("/whl/cu{}/")
    ));
    variables.push(("CLEARML_AGENT_PACKAGE_PYTORCH_RESOLVE", "none".to_owned()));
    let (packages, _) = run(&context, &variables, "torch==2.4.0\n");
    assert_eq!(packages, "[\"torch==2.4.0\"]");
    let asked = server.asked();
    assert!(
        !asked.iter().any(|path| path.contains("whl/cu")),
        "{asked:?}"
    );
}
