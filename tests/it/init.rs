//! `init`: through a pipe and through a terminal, against a server of the test's own.

mod terminal;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use local_server::{Credentials, LocalServer, Options};
use nix::sys::signal::Signal;

use super::official::official;
use super::support::{Finished, TestContext, package_folder};

/// No output URI, no git user, no index.
const REST: &str = "\n\n\n";

/// A world without a configuration file.
fn without_configuration() -> TestContext {
    let context = TestContext::new();
    fs::remove_file(file(&context)).unwrap();
    context
}

fn file(context: &TestContext) -> PathBuf {
    context.home().join("clearml.conf")
}

/// The block that the web page gives to be copied.
fn block(context: &TestContext) -> String {
    context.server.configuration()
}

/// `init` with these lines on a pipe.
fn init(context: &TestContext, lines: &str) -> Finished {
    init_with(context.command(&["init"]), context, lines)
}

fn init_with(mut command: Command, context: &TestContext, lines: &str) -> Finished {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(lines.as_bytes()).unwrap();
    drop(writer);
    command.stdin(reader);
    context.finish(command)
}

fn secret(context: &TestContext) -> String {
    context.server.credentials().secret_key.clone()
}

fn mode(path: &PathBuf) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

const INTRODUCTION: &str = "CLEARML-AGENT setup process

Please create new clearml credentials through the settings page in your `clearml-server` web app, 
or create a free account at https://app.clear.ml/settings/webapp-configuration
    
In the settings > workspace  page, press \"Create new credentials\", then press \"Copy to clipboard\".

Paste copied configuration here: 
";

/// F-131, F-132, F-133, F-145, F-147, F-155, D-334, D-335: the recorded dialogue from the first to the last byte, and the
/// file that is left alone afterwards.
#[test]
fn a_pasted_block_becomes_a_configuration_that_works() {
    let context = without_configuration();
    let finished = init(&context, &format!("{}\n\n\n{REST}", block(&context)));
    let (server, path) = (&context.server, file(&context));
    let (web, api, files) = (server.web_url(), server.url(), server.files_url());
    let key = &server.credentials().access_key;
    let expected = format!(
        "{INTRODUCTION}Detected credentials key=\"{key}\" secret=\"{}***\"
WEB Host configured to: [{web}] API Host configured to: [{api}] File Store Host configured to: [{files}] 
ClearML Hosts configuration:
Web App: {web}
API: {api}
File Store: {files}

Verifying credentials ...
Credentials verified!
Default Output URI (used to automatically store models and artifacts): (N)one/ClearML (S)erver/(C)ustom [None] 
Default Output URI: not set
Enter git username for repository cloning (leave blank for SSH key authentication): [] 
Enter additional artifact repository (extra-index-url) to use when installing python packages (leave blank if not required):
New configuration stored in {path}
CLEARML-AGENT setup completed successfully.
",
        &secret(&context)[..4],
        path = path.display(),
    );
    assert_eq!(finished.stdout, expected);
    assert_eq!((finished.code, finished.stderr.as_str()), (0, ""));
    assert_eq!(mode(&path), 0o600);
    let entries: Vec<_> = fs::read_dir(context.home()).unwrap().collect();
    assert_eq!(entries.len(), 1, "{entries:?}");

    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(
        (requests[0].endpoint.as_str(), requests[0].status),
        ("auth.login", Some(200))
    );

    let config = context.run(&["config"]);
    for line in [
        format!("\napi.api_server = {api}\n"),
        format!("\napi.web_server = {web}\n"),
        format!("\napi.files_server = {files}\n"),
        format!("\napi.credentials.access_key = {key}\n"),
        "\nagent.git_user = \n".to_owned(),
    ] {
        assert!(
            config.stdout.contains(&line),
            "{line} is not in {}",
            config.stdout
        );
    }
    let before = fs::read(&path).unwrap();
    let again = init(&context, "");
    let expected = format!(
        "CLEARML-AGENT setup process
Configuration file already exists: {}
Leaving setup. If you've previously initialized the ClearML SDK on this machine, manually add an 'agent' section to this file.
",
        path.display()
    );
    assert_eq!(
        (again.code, again.stdout, again.stderr.as_str()),
        (0, expected, "")
    );
    assert_eq!(fs::read(&path).unwrap(), before);

    let mut daemon = context.daemon();
    daemon.wait_for_output("No tasks in Queues");
    daemon.terminate();
}

/// F-141, D-335, W15, W17
#[test]
fn keys_that_are_refused_twice_leave_no_file() {
    let context = without_configuration();
    let block = block(&context).replace(&secret(&context), "wrongsecret");
    let key = context.server.credentials().access_key.clone();
    let finished = init(&context, &format!("{block}\n\n\n{key}\nalsowrong\n"));
    let wrong = |begin: &str| {
        format!(
            "Verifying credentials ...
Error: could not verify credentials: key={key} secret={begin}***
the server at {} does not accept these keys (code 401/22: Unauthorized (invalid credentials) (failed to locate provided credentials))
hint: create new credentials on the web page under Settings, Workspace, and copy both keys whole
",
            context.server.url()
        )
    };
    let expected = format!(
        "{}Enter user access key: Enter user secret: {}Exiting setup without creating configuration file\n",
        wrong("wron"),
        wrong("also")
    );
    assert!(finished.stdout.ends_with(&expected), "{}", finished.stdout);
    assert_eq!((finished.code, finished.stderr.as_str()), (1, ""));
    for secret in ["wrongsecret", "alsowrong"] {
        assert!(!finished.stdout.contains(secret), "{}", finished.stdout);
    }
    assert!(!file(&context).exists());
    assert_eq!(context.requests("auth.login").len(), 2);
}

/// F-146, D-337
#[test]
fn the_end_of_the_input_ends_the_setup() {
    let context = without_configuration();
    let finished = init(&context, "nothing useful\n\n");
    let expected = format!(
        "{INTRODUCTION}Could not parse credentials, please try entering them manually.
Enter user access key: 
clearml_agent: ERROR: EOF when reading a line

"
    );
    assert_eq!((finished.code, finished.stdout), (1, expected));
    assert!(!file(&context).exists());
}

/// F-005, F-130
#[test]
fn the_existing_configuration_is_read_first() {
    let context = TestContext::new();
    fs::write(file(&context), "api {").unwrap();
    let broken = init(&context, "");
    assert_eq!(broken.code, 1);
    assert!(
        broken
            .stdout
            .contains("clearml_agent: ERROR: Failed parsing "),
        "{}",
        broken.stdout
    );
    assert!(
        !broken.stdout.contains("setup process"),
        "{}",
        broken.stdout
    );
    fs::remove_file(file(&context)).unwrap();
    let missing = context.run(&["--config-file", "/no/such.conf", "init"]);
    assert_eq!(missing.code, 1);
    assert!(
        missing
            .stdout
            .contains("Could not open configuration file: /no/such.conf")
    );
    assert!(!file(&context).exists());
}

/// F-131, F-132: `--config-file` does not change the target, an empty file is no configuration.
#[test]
fn the_target_is_the_file_that_is_there() {
    let context = without_configuration();
    let legacy = context.home().join("trains.conf");
    fs::write(&legacy, "").unwrap();
    let other = context.folder().join("other.conf");
    fs::write(&other, "agent.worker_name: other\n").unwrap();
    let command = context.command(&["--config-file", other.to_str().unwrap(), "init"]);
    let lines = format!("{}\n\n\n{REST}", block(&context));
    let finished = init_with(command, &context, &lines);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    assert!(
        finished
            .stdout
            .contains(&format!("stored in {}\n", legacy.display()))
    );
    assert!(!file(&context).exists());
    assert_eq!(mode(&legacy), 0o600);
    assert!(
        fs::read_to_string(&legacy)
            .unwrap()
            .starts_with("# CLEARML-AGENT configuration file\napi {\n")
    );
}

/// F-145: nothing that others write is lost.
#[test]
fn a_file_that_appears_meanwhile_is_left_alone() {
    let context = without_configuration();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut command = context.command(&["init"]);
    command.stdin(reader);
    let mut agent = context.start_command(command);
    writer
        .write_all(format!("{}\n\n\n", block(&context)).as_bytes())
        .unwrap();
    agent.wait_for_output("(C)ustom [None]");
    fs::write(file(&context), "agent.worker_name: mine\n").unwrap();
    writer.write_all(REST.as_bytes()).unwrap();
    assert_eq!(agent.wait(), 1, "{}", agent.output());
    assert_eq!(
        fs::read_to_string(file(&context)).unwrap(),
        "agent.worker_name: mine\n"
    );
    let expected = format!(
        "Error! Could not write configuration file at: {}\n",
        file(&context).display()
    );
    assert!(agent.output().contains(&expected), "{}", agent.output());
}

/// F-145, W17
#[test]
fn a_home_that_takes_no_file_is_said() {
    let context = without_configuration();
    let home = context.home().join("missing");
    let mut command = context.command(&["init"]);
    command.env("HOME", &home);
    let finished = init_with(
        command,
        &context,
        &format!("{}\n\n\n{REST}", block(&context)),
    );
    assert_eq!(finished.code, 1);
    let expected = format!(
        "Error! Could not write configuration file at: {}/clearml.conf\n",
        home.display()
    );
    assert!(finished.stdout.contains(&expected), "{}", finished.stdout);
    assert!(finished.stdout.contains("hint: "), "{}", finished.stdout);
}

/// F-146
#[test]
fn an_interrupt_ends_the_setup_with_254() {
    let context = without_configuration();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut command = context.command(&["init"]);
        command.stdin(Stdio::piped());
        let mut agent = context.start_command(command);
        agent.wait_for_output("Paste copied configuration here:");
        agent.signal(signal);
        assert_eq!(agent.wait(), 254);
        assert!(!file(&context).exists());
    }
}

/// A server whose secret has every character that may need quoting.
fn with_a_difficult_secret() -> TestContext {
    let mut context = without_configuration();
    let credentials = Credentials {
        access_key: "ACCESS=KEY#1".to_owned(),
        secret_key: "x7!k_Q-#v\\n\"Y(h$A{n}&DI=5,${HOME}".to_owned(),
    };
    let options = Options {
        credentials: Some(credentials),
        ..Options::default()
    };
    context.server = LocalServer::start_blocking(options).unwrap();
    context
}

/// `init --non-interactive` from options and variables.
fn provision(context: &TestContext, words: &[&str]) -> Finished {
    let server = &context.server;
    let (web, api, files) = (server.web_url(), server.url(), server.files_url());
    let key = &server.credentials().access_key;
    let mut all = vec![
        "init",
        "--non-interactive",
        "--api-host",
        &api,
        "--web-host",
        &web,
    ];
    all.extend(["--files-host", &files, "--access-key", key]);
    all.extend(words);
    let mut command = context.command(&all);
    command
        .env("CLEARML_API_SECRET_KEY", secret(context))
        .env("CLEARML_AGENT_GIT_PASS", "git\"token#=\\");
    context.finish(command)
}

/// F-155, W16: what is written is read by this agent, the official one and the SDK, down to the last character.
#[test]
fn the_official_agent_and_the_sdk_read_the_file() {
    let context = with_a_difficult_secret();
    let words = [
        "--git-user",
        "me",
        "--extra-index-url",
        "http://a/simple",
        "--extra-index-url",
        "http://b/simple",
        "--output-uri",
        "s3://bucket/out",
    ];
    let finished = provision(&context, &words);
    assert_eq!(
        (finished.code, finished.stderr.as_str()),
        (0, ""),
        "{}",
        finished.stdout
    );
    assert!(
        finished.stdout.contains("Credentials verified!\n"),
        "{}",
        finished.stdout
    );
    assert!(!finished.stdout.contains(&secret(&context)));
    assert_eq!(mode(&file(&context)), 0o600);

    let official_config = context.finish(official(&context, &["config"]));
    assert_eq!(official_config.code, 0, "{}", official_config.stdout);
    let ours = context.run(&["config"]);
    let lines = |text: &str| -> Vec<String> {
        let keys = ["api.", "agent.git_", "agent.package_manager.", "sdk."];
        let mut lines: Vec<String> = text
            .lines()
            .filter(|line| keys.iter().any(|key| line.starts_with(key)))
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(&official_config.stdout), lines(&ours.stdout));
    assert!(
        ours.stdout
            .contains("\nsdk.development.default_output_uri = s3://bucket/out\n"),
        "{}",
        ours.stdout
    );

    // Both log in with the secret of the file.
    for command in [
        official(&context, &["list"]),
        sdk(
            &context,
            "from clearml.backend_api import Session\nSession()\n",
        ),
    ] {
        let before = context.requests("auth.login").len();
        let finished = context.finish(command);
        assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
        let logins = context.requests("auth.login");
        assert!(logins.len() > before);
        assert!(
            logins.iter().all(|login| login.status == Some(200)),
            "{logins:?}"
        );
    }
}

/// The release of `sdk::`.
const SDK: &str = "clearml==2.1.12";

/// A program of the ClearML SDK.
fn sdk(context: &TestContext, program: &str) -> Command {
    let python = package_folder(SDK).join("python");
    let mut command = context.beside_agent(python);
    command.args(["-c", program]);
    command
}

/// Provisioning scripts learn what is missing, and are not stopped by a machine that is set up already.
#[test]
fn a_script_sets_a_machine_up_without_questions() {
    let context = without_configuration();
    let missing = context.run(&["init", "--non-interactive", "--api-host", "http://h:8008"]);
    assert_eq!(missing.code, 1);
    let expected = "clearml_agent: ERROR: missing the access key: --access-key or CLEARML_API_ACCESS_KEY; \
                    the secret key: CLEARML_API_SECRET_KEY, or --secret-key-stdin and a line on standard input\n\
                    hint: see `clearml-agent init --help`\n";
    assert!(missing.stdout.contains(expected), "{}", missing.stdout);

    let wrong = context.run_with(
        &["init", "--non-interactive"],
        &[
            ("CLEARML_API_HOST", &context.server.web_url()),
            ("CLEARML_WEB_HOST", "http://w"),
            ("CLEARML_FILES_HOST", "http://f"),
            ("CLEARML_API_ACCESS_KEY", "ACCESS"),
            ("CLEARML_API_SECRET_KEY", "SECRETKEY"),
        ],
    );
    assert_eq!(wrong.code, 1);
    assert!(
        wrong.stdout.contains("could not verify credentials: "),
        "{}",
        wrong.stdout
    );
    assert!(
        wrong.stdout.contains("is not a ClearML API server"),
        "{}",
        wrong.stdout
    );
    assert!(!file(&context).exists());

    let refused = context.run(&["init", "--api-host", "http://h:8008"]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("--non-interactive"),
        "{}",
        refused.stderr
    );

    let words = [
        "init",
        "--non-interactive",
        "--no-verify",
        "--api-host",
        "http://h:8008",
    ];
    let words = [
        &words[..],
        &["--access-key", "ACCESS", "--secret-key-stdin"],
    ]
    .concat();
    let finished = init_with(context.command(&words), &context, "SECRET-OF-STDIN\n");
    assert_eq!(
        (finished.code, finished.stderr.as_str()),
        (0, ""),
        "{}",
        finished.stdout
    );
    let text = fs::read_to_string(file(&context)).unwrap();
    assert!(
        text.contains("\"secret_key\": \"SECRET-OF-STDIN\"}"),
        "{text}"
    );
    assert!(text.contains("web_server: \"http://h:8080\"\n"), "{text}");
    assert!(context.server.requests().is_empty());

    let again = provision(&context, &[]);
    assert_eq!(again.code, 0);
    assert!(
        again.stdout.contains("Configuration file already exists: "),
        "{}",
        again.stdout
    );
    assert_eq!(fs::read_to_string(file(&context)).unwrap(), text);
}

/// F-133 to F-145, F-150 to F-155: the official wizard, given the same answers, says the same, and its file means the same.
#[test]
fn the_official_wizard_says_and_writes_the_same() {
    let context = without_configuration();
    let server = &context.server;
    let (api, files) = (server.url(), server.files_url());
    let typed_keys = format!(
        "nothing useful\n\n{}\n{}\n",
        server.credentials().access_key,
        server.credentials().secret_key
    );
    let pasted = format!(
        "api {{\n  api_server: {api}\n  credentials {{\n    \"access_key\" = \"{}\"\n    \"secret_key\" = \"{}\"\n  }}\n}}\n",
        server.credentials().access_key,
        server.credentials().secret_key
    );
    for lines in [
        format!(
            "{typed_keys}http://h:8080?x\n{api}\n\nC\ns3://bucket/out\n\nhttp://i/simple\nhttp://j/simple\n\n"
        ),
        format!("{typed_keys}http://api.h:8080/p/\n{api}\n\nwhat\ns\n\n\n"),
        format!("{typed_keys}https://h\nn\n81\n\n82\n{api}\ny\n{REST}"),
        format!("{typed_keys}https://h/\nYes\n{api}\n\n{REST}"),
        format!("{pasted}y\nlocalhost\n{files}/x?y#z\n{REST}"),
        format!("{pasted}y\n\nlocalhost:1\n\n"),
        format!("{pasted}h:99999\n"),
    ] {
        let mut results =
            [official(&context, &["init"]), context.command(&["init"])].map(|command| {
                let finished = init_with(command, &context, &lines);
                let config = context.run(&["config"]).stdout;
                // No file is left by answers that lead nowhere.
                let _ = fs::remove_file(file(&context));
                (finished.code, finished.stdout, config)
            });
        for (_, text, _) in &mut results {
            // What a person can do about it is ours.
            if let Some(at) = text.find("\nhint: ") {
                text.truncate(at + 1);
            } else if text.contains("ERROR: ") {
                text.truncate(text.trim_end().len() + 1);
            }
        }
        let [official, ours] = results;
        assert_eq!((ours.0, ours.1), (official.0, official.1), "{lines}");
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        for (ours, official) in lines(&ours.2).iter().zip(&lines(&official.2)) {
            assert_eq!(ours, official);
        }
        assert_eq!(ours.2.lines().count(), official.2.lines().count());
    }
}
