//! Loading from files, variables and the command line together.
//!
//! Compiled under `#[cfg(test)]` only.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::hocon::{Kind, Origin, Source};
use super::{Environment, Overrides, Settings, SettingsError};
use crate::secrets::SecretString;

/// A file of the shape that the wizard writes (F-155).
const WIZARD_FILE: &str = include_str!("../../tests/data/settings/wizard.conf");

fn home(files: &[(&str, &str)]) -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        fs::write(home.path().join(name), text).expect("written");
    }
    home
}

fn load(
    home: &Path,
    variables: &[(&str, &str)],
    overrides: &Overrides,
) -> Result<Settings, SettingsError> {
    Settings::load(&variables.iter().copied().collect(), home, overrides)
}

fn text(settings: &Settings, key: &str) -> String {
    settings.text(key).unwrap_or_default()
}

/// F-010, F-013
#[test]
fn each_layer_covers_the_one_below() {
    let home = home(&[
        (
            "trains.conf",
            "agent { worker_name: legacy, git_user: legacy, vcs_cache.path: /legacy }",
        ),
        (
            "clearml.conf",
            "agent {\n  worker_name: file\n  git_user: file }",
        ),
    ]);
    let key = "agent.worker_name";
    let dynamic = ("CLEARML_AGENT__AGENT__WORKER_NAME", "dynamic");
    let registered = ("TRAINS_WORKER_NAME", "registered");
    let option = Overrides::default().with(key, Kind::Text("option".to_owned()), "--name");
    let none = Overrides::default();
    for (variables, overrides, expected, origin) in [
        (
            vec![],
            &none,
            "file",
            format!("{}:2", home.path().join("clearml.conf").display()),
        ),
        (
            vec![dynamic],
            &none,
            "dynamic",
            format!("environment variable {}", dynamic.0),
        ),
        (
            vec![dynamic, registered],
            &none,
            "registered",
            format!("environment variable {}", registered.0),
        ),
        (
            vec![dynamic, registered],
            &option,
            "option",
            "option --name".to_owned(),
        ),
    ] {
        let settings = load(home.path(), &variables, overrides).expect("good");
        assert_eq!(text(&settings, key), expected);
        assert_eq!(settings.origin(key).map(ToString::to_string), Some(origin));
        assert_eq!(text(&settings, "agent.vcs_cache.path"), "/legacy");
        assert_eq!(text(&settings, "agent.git_user"), "file");
        assert_eq!(
            settings.origin("agent.venvs_dir").map(Origin::source),
            Some(&Source::Defaults)
        );
    }
}

/// F-014
#[test]
fn a_file_cannot_refer_to_a_default() {
    let home = home(&[("clearml.conf", "x: ${agent.venvs_dir}")]);
    let error = load(home.path(), &[], &Overrides::default()).expect_err("not in this file");
    assert_eq!(
        error.to_string(),
        "Cannot resolve variable ${agent.venvs_dir} (line: 1, col: 4)"
    );
    assert_eq!(
        error.preamble(),
        Some(format!(
            "Failed loading {}: {error}",
            home.path().join("clearml.conf").display()
        ))
    );
}

/// F-020, F-021
#[test]
fn a_mistake_is_reported_with_file_line_and_column() {
    let home = home(&[("clearml.conf", "agent {\n  git_pass: p@ss\n}\n")]);
    let error = load(home.path(), &[], &Overrides::default()).expect_err("@ needs quotes");
    assert_eq!(
        error.to_string(),
        format!(
            "Failed parsing {} (ParseSyntaxException): (at char 21, line:2, col:14)",
            home.path().join("clearml.conf").display()
        )
    );
    assert!(error.hint().expect("a hint").contains("line 2"));
    assert!(!error.to_string().contains("p@ss"));
}

/// W10
#[test]
fn a_mistake_in_a_variable_names_the_variable() {
    let home = home(&[]);
    let variables = [("CLEARML_AGENT__AGENT__GIT_PASS", "p@ss")];
    let error = load(home.path(), &variables, &Overrides::default()).expect_err("@ needs quotes");
    assert!(
        error
            .hint()
            .expect("a hint")
            .contains("CLEARML_AGENT__AGENT__GIT_PASS")
    );
}

/// F-003, F-005
#[test]
fn the_file_of_the_option_replaces_the_others_and_is_inherited() {
    let home = home(&[("clearml.conf", "a: 1"), ("own.conf", "b: 2")]);
    let folder = home.path().display().to_string();
    let overrides = Overrides::of_file(Some("$WHERE/own.conf".into()));
    let settings = load(home.path(), &[("WHERE", &folder)], &overrides).expect("good");
    let path = format!("{folder}/own.conf");
    assert_eq!(
        (text(&settings, "a"), text(&settings, "b")),
        (String::new(), "2".to_owned())
    );
    assert_eq!(settings.location(), Some(&*path));
    for name in ["CLEARML_CONFIG_FILE", "TRAINS_CONFIG_FILE"] {
        assert_eq!(settings.environment().get(name), Some(&*path));
    }
    assert_eq!(
        settings.notices(),
        [format!(
            "Using custom configuration file from env var: {path}"
        )]
    );

    let missing = Overrides::of_file(Some("/no/such.conf".into()));
    let error = load(home.path(), &[], &missing).expect_err("no such file");
    assert_eq!(
        error.to_string(),
        "Could not open configuration file: /no/such.conf"
    );
}

/// F-002, F-017: no file is no error, and the location is `None`.
#[test]
fn no_file_at_all_gives_the_defaults() {
    let home = home(&[("clearml.conf", "")]);
    let settings = load(home.path(), &[], &Overrides::default()).expect("an empty file is good");
    assert_eq!(text(&settings, "agent.package_manager.type"), "pip");
    fs::remove_file(home.path().join("clearml.conf")).expect("removed");
    fs::create_dir(home.path().join("trains.conf")).expect("made");
    let settings = load(home.path(), &[], &Overrides::default()).expect("a folder is no file");
    assert!(
        settings
            .printout()
            .starts_with("Current configuration (clearml_agent v")
    );
    assert!(matches!(
        settings.api(),
        Err(SettingsError::NoConfiguration)
    ));
}

/// F-155: the file that the wizard writes gives what was entered.
#[test]
fn the_file_of_the_wizard_is_read() {
    let home = home(&[("clearml.conf", WIZARD_FILE)]);
    let settings = load(home.path(), &[], &Overrides::default()).expect("good");
    let api = settings.api().expect("server and keys are there");
    assert_eq!(api.host, "http://127.0.0.1:18008");
    assert_eq!(api.web_server.as_deref(), Some("http://127.0.0.1:8080"));
    let agent = settings.agent().expect("good");
    assert_eq!(agent.git.user.as_deref(), Some("gituser"));
    assert_eq!(
        agent.git.password.as_ref().map(SecretString::expose),
        Some("git@token=")
    );
    assert_eq!(
        agent.package_manager.extra_index_url,
        ["http://127.0.0.1:3141/simple"]
    );
    assert_eq!(
        text(&settings, "sdk.development.default_output_uri"),
        "s3://bucket/out"
    );
}

/// F-117: what is written for another process is what it reads, and no other user can.
#[test]
fn a_written_file_gives_the_same_settings() {
    let home = home(&[("clearml.conf", WIZARD_FILE)]);
    let variables = [
        ("CLEARML_AGENT__AGENT__DEFAULT_PYTHON", "\"3.10\""),
        (
            "CLEARML_AGENT__X",
            "[{a: 1.0, b: \"x\\\"\\ny=#\"}, [], null, 12345678901234567890]",
        ),
    ];
    let settings = load(home.path(), &variables, &Overrides::default()).expect("good");
    let path = home.path().join("handed-over.cfg");
    settings.write(&path).expect("written");
    let mode = fs::metadata(&path).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let there = path.display().to_string();
    let read = load(
        home.path(),
        &[("CLEARML_CONFIG_FILE", &there)],
        &Overrides::default(),
    );
    assert_eq!(read.expect("good").root(), settings.root());
    let json: serde_json::Value =
        serde_json::from_str(&settings.to_hocon()).expect("it is JSON as well");
    assert_eq!(json["agent"]["default_python"], "3.10");
}

/// F-024
#[test]
fn a_file_that_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let error = super::files::read(folder.path()).expect_err("a folder is no file");
    let expected = format!("{}: Is a directory (os error 21)", folder.path().display());
    assert_eq!(error.to_string(), expected);
}

/// F-206, F-200: unknown keys and the `logging` section stay.
#[test]
fn unknown_keys_are_kept() {
    let settings = Settings::from_text(
        "agent.something_new: 1\nlogging.handlers.file.level: DEBUG",
        &Environment::default(),
    )
    .expect("good");
    assert_eq!(text(&settings, "agent.something_new"), "1");
    assert_eq!(text(&settings, "logging.handlers.file.level"), "DEBUG");
    assert_eq!(text(&settings, "logging.loggers.urllib3.level"), "ERROR");
}
