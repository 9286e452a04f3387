//! What happens in a container before its task: our own program in images of all kinds, on a real engine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use axum::Router;
use axum::body::Bytes;
use axum::routing::get;
use clearml_agent::container::boot::{BootScript, InnerAgent};

use super::support::images::{self, docker};
use super::support::{Boot, Script, TestContext};

/// The words of a task that this server has.
fn script(task: &str) -> BootScript {
    BootScript {
        arguments: format!("execute --disable-monitoring  --id {task}"),
        visible_devices: "none".to_owned(),
        ..BootScript::default()
    }
}

fn task(context: &TestContext, text: &str) -> String {
    context.create(Script::shell(text).with("binary", "/bin/sh"))
}

/// What a task says of the place where it runs.
const TELL: &str = "echo \"python=$LOCAL_PYTHON devices=$NVIDIA_VISIBLE_DEVICES a=$A\"; command -v clearml-agent; clearml-agent --version; exit 5";

/// C-204, C-207, C-232, C-234, C-235, C-239: nothing is installed, and the image needs neither a libc, a Python, a git nor root.
#[test]
fn the_runner_works_in_any_image() {
    let context = TestContext::new();
    let boot = Boot::new(&context);
    let on_debian = "Python: 3.11.2 (/usr/bin/python3.11), from the image";
    let has_python = |image: String| (image, "bash", on_debian, "/usr/bin/python3.11");
    for (image, shell, said, python) in [
        (images::empty(), "sh", "Python: none; ", "python3"),
        has_python(images::python()),
        has_python(images::non_root()),
    ] {
        // The version is that of the machine's own Debian.
        let said = said.split_once("3.11").map_or(said, |_| "Python: 3.");
        let id = task(&context, TELL);
        let script = BootScript {
            setup: "export A=1 # why".to_owned(),
            is_standalone: python == "python3",
            ..script(&id)
        };
        let (code, console) = boot.run(&image, shell, &script.text(shell));
        assert_eq!(code, Some(5), "{image}: {console}");
        assert!(console.contains(said), "{image}: {console}");
        let python = if python == "python3" {
            "python3 "
        } else {
            "/usr/bin/python3."
        };
        assert!(
            console.contains(&format!("\npython={python}")),
            "{image}: {console}"
        );
        let rest = "devices=none a=1\n/.clearml-agent/clearml-agent\nCLEARML-AGENT version 3.0.3\n";
        assert!(console.contains(rest), "{image}: {console}");
        assert!(!console.contains("Installing"), "{image}: {console}");
        assert_eq!(context.status(&id), "in_progress");
    }
}

/// C-204, C-232: an environment with a package, made in a container whose Python has nothing of the agent's.
#[test]
fn a_python_task_gets_its_environment() {
    let context = TestContext::new();
    let boot = Boot::new(&context);
    let text = "import six, sys\nprint('six', six.__version__, sys.prefix)\nsys.exit(5)\n";
    let id = context.create(Script::python(text, "six==1.16.0\n"));
    let (code, console) = boot.run(&images::python(), "bash", &script(&id).text("bash"));
    assert_eq!(code, Some(5), "{console}");
    assert!(
        console.contains("\nsix 1.16.0 /root/.clearml/venvs-builds/"),
        "{console}"
    );
}

/// C-231, C-238: Debian's Python without pip is good enough, since environments get theirs from `ensurepip`.
#[test]
fn a_python_without_pip_is_taken() {
    let context = TestContext::new();
    let boot = Boot::new(&context);
    let text = "import six, sys\nprint('six', six.__version__, sys.prefix)\nsys.exit(5)\n";
    let id = context.create(Script::python(text, "six==1.16.0\n"));
    let (code, console) = boot.run(&images::without_pip(), "bash", &script(&id).text("bash"));
    assert_eq!(code, Some(5), "{console}");
    assert!(console.contains(", from the image\n"), "{console}");
    assert!(
        console.contains("\nsix 1.16.0 /root/.clearml/venvs-builds/"),
        "{console}"
    );
    assert!(
        !console.contains("with uv") && !console.contains("apt-get"),
        "{console}"
    );
}

/// C-231, C-238: an image without Python gets one from uv, which takes it where `UV_PYTHON_INSTALL_MIRROR` says.
#[test]
fn uv_brings_a_python_to_an_image_without_one() {
    let context = TestContext::new();
    let (architecture, libc) = (std::env::consts::ARCH, "gnu");
    // An interpreter with its libraries, as it is in another image.
    let pack = "set -e; mkdir -p /t/python/bin /t/python/lib; cd /usr/bin; cp python3.[0-9]* /t/python/bin/; cd ../lib\n\
         cp -rL python3.[0-9]* */libexpat.so.1 /t/python/lib/; tar --create --gzip --directory /t python";
    let packed = docker(&["run", "--rm", &images::python(), "sh", "-c", pack])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&packed.stderr);
    assert!(packed.status.success(), "{said}");
    let version = docker(&["run", "--rm", &images::python(), "python3", "--version"])
        .output()
        .unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let version = version.trim().trim_start_matches("Python ").to_owned();
    let numbers: Vec<&str> = version.split('.').collect();
    let key = format!("cpython-{version}-linux-{architecture}-{libc}");
    let list = serde_json::json!({ &key: {
        "name": "cpython", "arch": { "family": architecture, "variant": null }, "os": "linux", "libc": libc,
        "major": numbers[0].parse::<u8>().unwrap(), "minor": numbers[1].parse::<u8>().unwrap(), "patch": numbers[2].parse::<u8>().unwrap(),
        "prerelease": "", "sha256": null, "variant": null, "build": "20991231",
        "url": format!("https://github.com/astral-sh/python-build-standalone/releases/download/20991231/{key}.tar.gz"),
    }});
    let downloads = context.folder().join("downloads.json");
    fs::write(&downloads, list.to_string()).unwrap();
    let mirror = mirror(&format!("/20991231/{key}.tar.gz"), packed.stdout);
    let boot = Boot::new(&context)
        .with_uv()
        .volume(&downloads, "/downloads.json")
        .variable("UV_PYTHON_DOWNLOADS_JSON_URL", "/downloads.json")
        .variable("UV_PYTHON_INSTALL_MIRROR", &mirror)
        .variable("CLEARML_PYTHON_VER", &numbers[..2].join("."))
        .variable(
            "LD_LIBRARY_PATH",
            &format!("/root/.local/share/uv/python/{key}/lib"),
        );
    let text = "\"$LOCAL_PYTHON\" -c 'import json; print(json.dumps({\"ran\": True}))'";
    let id = task(&context, text);
    let (code, console) = boot.run(&images::bare(), "bash", &script(&id).text("bash"));
    assert_eq!(code, Some(0), "{console}");
    let place = format!(
        "/root/.local/share/uv/python/{key}/bin/python3.{}",
        numbers[1]
    );
    assert!(
        console.contains(&format!("Python: {version} ({place}), brought by uv\n")),
        "{console}"
    );
    assert!(console.contains("{\"ran\": true}"), "{console}");
    assert!(!console.contains("Installing packages"), "{console}");
}

/// A server on this machine that has one file; its address.
fn mirror(path: &str, file: Vec<u8>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let file = Bytes::from(file);
    let router = Router::new().route(path, get(move || async move { file }));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await.unwrap();
        });
    });
    address
}

/// C-231: packages that were asked for; the package step also brings Python where nothing else does.
#[test]
fn packages_that_were_asked_for_are_installed() {
    let context = TestContext::new();
    let boot = Boot::new(&context).variable("CLEARML_APT_INSTALL", "tree");
    let id = task(
        &context,
        "command -v tree; \"$LOCAL_PYTHON\" -m pip --version; echo \"asked=$CLEARML_APT_INSTALL\"",
    );
    let (code, console) = boot.run(&images::bare(), "bash", &script(&id).text("bash"));
    assert_eq!(code, Some(0), "{console}");
    assert!(
        console.contains("Installing packages with apt-get: tree\n"),
        "{console}"
    );
    assert!(console.contains("\n/usr/bin/tree\npip "), "{console}");
    assert!(console.contains(", from a package\n"), "{console}");
}

/// C-222, C-231: keys and files of git are the container user's own, whoever that is; the configuration is kept.
#[test]
fn keys_are_the_users_own() {
    let context = TestContext::new();
    let write = |path: &str, text: &str| {
        let path = context.folder().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    };
    write("ssh/id_rsa", "the key\n");
    write("git/.gitconfig", "[user]\n");
    let boot = Boot::new(&context)
        .volume(&context.folder().join("ssh"), "/.ssh:ro")
        .volume(&context.folder().join("git"), "/.ssh.git:ro");
    for (image, user) in [
        (images::python(), "root"),
        (images::non_root(), images::USER),
    ] {
        for is_standalone in [false, true] {
            let tell = "cd ~; stat -c '%a %U %n' .ssh .ssh/id_rsa .gitconfig default_clearml.conf; cat .ssh/id_rsa";
            let id = task(&context, tell);
            let script = BootScript {
                ssh: Some(("/.ssh".to_owned(), "~/.ssh".to_owned())),
                git: Some("/.ssh.git".to_owned()),
                is_standalone,
                ..script(&id)
            };
            let (code, console) = boot.run(&image, "bash", &script.text("bash"));
            assert_eq!(code, Some(0), "{console}");
            let expected = format!(
                "700 {user} .ssh\n600 {user} .ssh/id_rsa\n600 {user} .gitconfig\n600 {user} default_clearml.conf\nthe key\n"
            );
            assert!(console.contains(&expected), "{console}");
        }
    }
}

/// C-235: an agent that is not static says so where the image has no libc for it.
#[test]
fn a_build_that_does_not_fit_is_said() {
    let context = TestContext::new();
    let boot = Boot::new(&context);
    let own = env!("CARGO_BIN_EXE_clearml-agent");
    fs::copy(own, context.folder().join("runner/clearml-agent")).unwrap();
    let (code, console) = boot.run(&images::empty(), "sh", &script("none").text("sh"));
    assert_eq!(code, Some(126), "{console}");
    assert!(
        console.contains("does not run in this image\nhint: "),
        "{console}"
    );
}

/// C-235: an image may name modules of its own C library, which a static program of another one cannot load.
#[test]
fn modules_of_the_image_are_not_loaded() {
    let context = TestContext::new();
    let source = context.folder().join("module.c");
    let module = context.folder().join("libnss_alien.so.2");
    // What any module of another C library may do to us.
    let functions = [
        "gethostbyname4_r",
        "gethostbyname3_r",
        "gethostbyname2_r",
        "getpwuid_r",
    ];
    let text: String = functions
        .iter()
        .map(|name| format!("int _nss_alien_{name}(void) {{ __builtin_trap(); }}\n"))
        .collect();
    fs::write(&source, text).unwrap();
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-nostdlib", "-o"])
        .args([&module, &source])
        .status();
    assert!(
        compiled.is_ok_and(|status| status.success()),
        "`apt-get install gcc`"
    );
    let switch = context.folder().join("nsswitch.conf");
    fs::write(&switch, "hosts: alien files dns\npasswd: alien files\n").unwrap();
    let configuration = context.home().join("clearml.conf");
    let text = fs::read_to_string(&configuration).unwrap();
    fs::write(configuration, text.replace("127.0.0.1", "localhost")).unwrap();
    let folder = format!(
        "/lib/{}-linux-gnu/libnss_alien.so.2",
        std::env::consts::ARCH
    );
    let boot = Boot::new(&context)
        .volume(&switch, "/etc/nsswitch.conf:ro")
        .volume(&module, &folder);
    let id = task(&context, "echo done; exit 5");
    // Without a home, ours asks who the user is; dash does not.
    let boot = boot.variable("HOME", "");
    let script = BootScript {
        is_standalone: true,
        ..script(&id)
    };
    let (code, console) = boot.run(&images::python(), "sh", &script.text("sh"));
    assert_eq!(code, Some(5), "{console}");
}

/// C-201, C-208, C-233: `FORCE_CLEARML_AGENT_REPO` and the like still install and run the official agent.
#[test]
fn the_official_agent_can_run_the_task() {
    let context = TestContext::new();
    let boot = Boot::new(&context);
    let id = context.create(Script::shell("echo \"a=$A\"; exit 5"));
    let script = |requirement: &str| BootScript {
        agent: InnerAgent::Python(requirement.to_owned()),
        setup: "export A=1 # why".to_owned(),
        pip_specifiers: vec!["pip<24".to_owned()],
        ..script(&id)
    };
    let text = script("clearml-agent==3.0.3").text("bash");
    let (code, console) = boot.run(&images::python(), "bash", &text);
    assert_eq!(code, Some(5), "{console}");
    assert!(console.contains("Successfully installed"), "{console}");
    assert!(console.contains("\na=1\n"), "{console}");
    let text = script("/tmp/no-such-0-py3-none-any.whl").text("bash");
    let (code, console) = boot.run(&images::python(), "bash", &text);
    assert_eq!(code, Some(1), "{console}");
    assert!(
        console.contains("No module named clearml_agent"),
        "{console}"
    );
}

/// C-235: the figures of the release are of programs that start anywhere.
#[test]
fn the_runner_needs_no_library() {
    let context = TestContext::new();
    let _ = Boot::new(&context);
    let runner = context.folder().join("runner/clearml-agent");
    let listed = Command::new("ldd").arg(&runner).output().unwrap();
    let text = String::from_utf8_lossy(&[listed.stdout, listed.stderr].concat()).into_owned();
    assert!(text.contains("statically linked"), "{text}");
}

/// C-238: to an image without a C library no interpreter can be brought, and one line says so.
#[test]
fn an_image_without_a_c_library_gets_no_python() {
    let context = TestContext::new();
    let boot = Boot::new(&context).with_uv();
    let id = context.create(Script::python("print('never')", "six"));
    let (code, console) = boot.run(&images::empty(), "sh", &script(&id).text("sh"));
    assert_eq!(code, Some(1), "{console}");
    let error = "\nclearml_agent: ERROR: there is no Python, and none can be brought: without a C library (a static image, such as \
                 one of busybox) only static programs run\nhint: choose an image with a Python, ";
    assert!(console.contains(error), "{console}");
    for misleading in ["uv ", "Warning", "requested by the Task"] {
        assert!(!console.contains(misleading), "{misleading}: {console}");
    }
}
