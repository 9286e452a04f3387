//! Repositories behind a password, on a real git server by HTTP: who gets which password, and who never sees it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::code::{NO_ENVIRONMENT, Repository, offline_packages, programs_without_git};
use super::support::{GitServer, Script, ServerIdentity, TestContext, TlsFront, path_with};

const PASSWORD: &str = "p@ss/of git";

/// A private repository and the server that keeps it.
struct Private {
    context: TestContext,
    server: GitServer,
    commit: String,
}

impl Private {
    fn new() -> Self {
        let context = TestContext::new();
        let repository = Repository::new(&context, "demo");
        let commit = repository.commit(&[("main.sh", "echo from the repository")]);
        let root = context.folder().join("repositories");
        let server = GitServer::start(&root, "me", PASSWORD);
        Self {
            context,
            server,
            commit,
        }
    }

    fn script(&self) -> Script {
        Script::shell("")
            .with("repository", self.server.url("127.0.0.1", "demo/.git"))
            .with("branch", "master")
            .with("version_num", self.commit.as_str())
    }

    /// Runs the task to its end; its status and its console.
    fn run(&self, script: Script, variables: &[(&str, &str)]) -> (String, String) {
        let task = self.context.enqueue(script);
        let all: Vec<_> = [NO_ENVIRONMENT, variables].concat();
        let output = self.context.run_one_task(&all);
        assert!(!output.contains(PASSWORD), "{output}");
        let console = self.context.console(&task);
        assert!(!console.contains(PASSWORD), "{console}");
        (self.context.status(&task), console)
    }
}

/// A `git` that writes down its arguments and its own environment before it becomes the real one.
fn watched_git(context: &TestContext) -> (PathBuf, PathBuf) {
    let (bin, log) = (context.folder().join("bin"), context.folder().join("log"));
    fs::create_dir_all(&bin).unwrap();
    let real = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|folder| folder.join("git"))
        .find(|git| git.is_file())
        .expect("git is installed");
    let text = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" >> '{}'\nexec '{}' \"$@\"\n",
        log.display(),
        real.display()
    );
    fs::write(bin.join("git"), text).unwrap();
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    (bin, log)
}

/// Files below `folder` that hold any of these texts.
fn holders(folder: &Path, texts: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holders(&path, texts));
        } else {
            let bytes = fs::read(&path).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            if texts.iter().any(|secret| text.contains(secret)) {
                found.push(path);
            }
        }
    }
    found
}

/// E-050, E-051: the password reaches the server, and no argument, URL, configuration or cache of git.
#[test]
fn a_private_repository_is_cloned_with_the_configured_password() {
    let private = Private::new();
    let context = &private.context;
    context.configure(&format!(
        "agent {{ git_user: me, git_pass: \"{PASSWORD}\" }}"
    ));
    let (bin, log) = watched_git(context);
    let path = path_with(&bin);
    let (status, console) = private.run(private.script(), &[("PATH", &path)]);
    assert_eq!(status, "completed", "{console}");
    assert!(console.contains("\nfrom the repository\n"), "{console}");
    assert!(
        private
            .server
            .authorizations()
            .contains(&format!("me:{PASSWORD}"))
    );
    let forms = [PASSWORD, "p%40ss%2Fof%20git", "p%40ss"];
    let arguments = fs::read_to_string(log).unwrap();
    assert!(arguments.contains("fetch"), "{arguments}");
    for form in forms {
        assert!(!arguments.contains(form), "{arguments}");
    }
    let folder = context.home().join(".clearml");
    assert_eq!(holders(&folder, &forms), Vec::<PathBuf>::new());
}

/// E-045
#[test]
fn variables_name_the_user_as_well() {
    let private = Private::new();
    let variables = [
        ("CLEARML_AGENT_GIT_USER", "me"),
        ("CLEARML_AGENT_GIT_PASS", PASSWORD),
    ];
    let (status, console) = private.run(private.script(), &variables);
    assert_eq!(status, "completed", "{console}");
}

/// E-052: a password for one host is not given to another that asks for it.
#[test]
fn the_password_of_another_host_is_not_sent() {
    let private = Private::new();
    let other =
        format!("agent {{ git_host: git.example.com, git_user: me, git_pass: \"{PASSWORD}\" }}");
    private.context.configure(&other);
    let (status, console) = private.run(private.script(), &[]);
    assert_eq!(status, "failed", "{console}");
    assert_eq!(private.server.authorizations(), Vec::<String>::new());
}

/// E-050: nobody is asked for a password that nobody can type, and the reason is named.
#[test]
fn a_refused_password_is_a_failure_with_its_reason() {
    let private = Private::new();
    private
        .context
        .configure("agent { git_user: me, git_pass: \"wrong-password\" }");
    let (status, console) = private.run(private.script(), &[]);
    assert_eq!(status, "failed", "{console}");
    assert!(!console.contains("wrong-password"), "{console}");
    assert!(
        console.contains("127.0.0.1") && console.contains("Authentication failed"),
        "{console}"
    );
    assert!(console.contains("hint: "), "{console}");
}

/// E-181, E-246: a package from a private repository is installed with the configured password, which is in no argument.
#[test]
fn a_private_package_is_installed_with_the_configured_password() {
    let private = Private::new();
    let context = &private.context;
    context.configure(&format!(
        "agent {{ git_user: me, git_pass: \"{PASSWORD}\" }}"
    ));
    let packages = offline_packages(context);
    let library = Repository::new(context, "library");
    let backend = "import zipfile\n\
        def build_wheel(folder, config_settings=None, metadata_directory=None):\n\
        \x20   name, info = 'privatelib-1-py3-none-any.whl', 'privatelib-1.dist-info/'\n\
        \x20   with zipfile.ZipFile(folder + '/' + name, 'w') as wheel:\n\
        \x20       wheel.writestr('privatelib.py', 'answer = 7\\n')\n\
        \x20       wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: privatelib\\nVersion: 1\\n')\n\
        \x20       wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
        \x20       wheel.writestr(info + 'RECORD', '')\n\
        \x20   return name\n";
    let project =
        "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";
    library.commit(&[("pyproject.toml", project), ("backend.py", backend)]);
    let (bin, log) = watched_git(context);
    let path = path_with(&bin);
    let link = format!("git+{}", private.server.url("127.0.0.1", "library/.git"));
    let script = Script::python(
        "import privatelib\nprint('answer', privatelib.answer)\n",
        &link,
    );
    let task = context.enqueue(script);
    let mut variables = packages.variables().to_vec();
    variables.push(("PATH", &path));
    context.run_one_task(&variables);
    let console = context.console(&task);
    assert_eq!(context.status(&task), "completed", "{console}");
    assert!(console.contains("\nanswer 7\n"), "{console}");
    let seen = private.server.authorizations();
    assert!(seen.contains(&format!("me:{PASSWORD}")), "{seen:?}");
    let arguments = fs::read_to_string(log).unwrap();
    for form in [PASSWORD, "p%40ss%2Fof%20git", "p%40ss"] {
        assert!(!console.contains(form), "{console}");
        assert!(!arguments.contains(form), "{arguments}");
    }
}

/// E-045, E-072: without a git program a private repository comes by https, with the certificates that the agent trusts;
/// a server that nobody vouches for gets no password.
#[test]
fn a_private_repository_needs_no_git_program() {
    let private = Private::new();
    let context = &private.context;
    let programs = programs_without_git(context);
    let identity = ServerIdentity::by_authority(&["127.0.0.1"]);
    let authority = context.folder().join("authority.pem");
    fs::write(&authority, identity.trusted()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let front = runtime.block_on(TlsFront::start(private.server.address(), &identity));
    let url = format!("https://{}/demo/.git", front.address());
    let script = || private.script().with("repository", url.as_str());
    let path = ("PATH", programs.to_str().unwrap());
    let user = ("CLEARML_AGENT_GIT_USER", "me");
    let password = ("CLEARML_AGENT_GIT_PASS", PASSWORD);
    let (status, console) = private.run(script(), &[path, user, password]);
    assert_eq!(status, "failed", "{console}");
    assert!(console.contains("certificate"), "{console}");
    assert!(
        console.contains("hint: ") && console.contains("SSL_CERT_FILE"),
        "{console}"
    );
    assert_eq!(private.server.authorizations(), Vec::<String>::new());
    let trust = ("REQUESTS_CA_BUNDLE", authority.to_str().unwrap());
    let wrong = ("CLEARML_AGENT_GIT_PASS", "wrong-password");
    let (status, console) = private.run(script(), &[path, trust, user, wrong]);
    assert_eq!(status, "failed", "{console}");
    let hint = "host `127.0.0.1`: tried `CLEARML_AGENT_GIT_USER` and `CLEARML_AGENT_GIT_PASS` (user `me`); ";
    assert!(console.contains(hint), "{console}");
    assert_eq!(private.server.authorizations(), ["me:wrong-password"]);
    let (status, console) = private.run(script(), &[path, trust, user, password]);
    assert_eq!(status, "completed", "{console}");
    assert!(console.contains("\nfrom the repository\n"), "{console}");
}

/// E-101: the variable reaches the script.
#[test]
fn a_script_is_made_a_task_by_a_variable() {
    let context = TestContext::new();
    let repository = Repository::new(&context, "demo");
    repository.commit(&[
        ("main.py", "print(open(__file__).readline(), end='')\n"),
        ("clearml.py", "class Task:\n    init = print\n"),
    ]);
    let script = Script::python("", "")
        .with("repository", repository.url())
        .with("entry_point", "main.py");
    let task = context.enqueue(script);
    let on = ("CLEARML_AGENT_FORCE_TASK_INIT", "1");
    context.run_one_task(&[NO_ENVIRONMENT, &[on]].concat());
    let console = context.console(&task);
    assert_eq!(context.status(&task), "completed", "{console}");
    assert!(
        console.contains("\nfrom clearml import Task\n"),
        "{console}"
    );
}
