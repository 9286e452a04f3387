//! The `git` program: where it is, and with which variables it runs (E-053 to E-055, E-062).

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::askpass::{ASKPASS_ANSWERS, ASKPASS_MODE, Answers};
use super::credentials::{CredentialRules, Delivery};
use super::request::SourceOptions;
use super::rewrite::Remote;
use crate::process::{Command, find_program};

/// Variables by which a caller's git would change which repository ours works on.
const REPOSITORY_VARIABLES: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
];

/// The agent's own environment, as far as git is concerned.
pub(super) type Environment = HashMap<String, String>;

/// The installed git program.
#[derive(Clone, Debug)]
pub(super) struct Git {
    program: PathBuf,
}

/// What a git call on the network needs: who is asked for passwords, and headers.
#[derive(Debug, Default)]
pub(super) struct Access {
    answers: Answers,
    header: Option<(String, String)>,
}

impl Git {
    /// Looks on the PATH of `environment`.
    pub(super) fn find(environment: &Environment) -> Option<Self> {
        use std::os::unix::fs::PermissionsExt;
        let path = environment.get("PATH")?;
        std::env::split_paths(path)
            .map(|folder| folder.join("git"))
            .find(|file| {
                file.metadata()
                    .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
            })
            .map(|program| Self { program })
    }

    /// A call that stays on this machine.
    pub(super) fn local(&self, environment: &Environment) -> Command {
        self.command(environment, &[])
    }

    /// A call that may reach servers: it never waits for a person, and gets passwords by askpass alone.
    pub(super) fn network(
        &self,
        environment: &Environment,
        access: &Access,
        askpass_program: &std::path::Path,
        extra: &[(&str, &str)],
        stall_limit: Duration,
    ) -> Command {
        let mut settings = extra.to_vec();
        let seconds = stall_limit.as_secs().max(1).to_string();
        // A server that works at an answer says a little every few seconds.
        let patience = [
            ("http.lowSpeedLimit", "1"),
            ("http.lowSpeedTime", &*seconds),
        ];
        if !has_own_patience() {
            settings.extend(patience);
        }
        if let Some((key, value)) = &access.header {
            settings.push((key, value));
        }
        if !access.answers.is_empty() {
            // A credential helper would be asked first, and would write our password into its own store afterwards.
            settings.push(("credential.helper", ""));
        }
        let mut command = self.command(environment, &settings);
        for (name, value) in [
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_SSH_COMMAND", &ssh_command(stall_limit)),
        ] {
            if !environment.contains_key(name) {
                command = command.env(name, value);
            }
        }
        for (name, value) in access.variables(askpass_program) {
            command = command.env(name, value);
        }
        command
    }

    fn command(&self, environment: &Environment, settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new(&self.program)
            .env("LC_ALL", "C")
            .env("LANGUAGE", "C");
        for name in REPOSITORY_VARIABLES {
            command = command.env_remove(name);
        }
        if let Some(path) = environment.get("PATH") {
            // Its helpers come from where it was found itself.
            command = command.env("PATH", path);
        }
        // Settings of the environment are appended to those that are there already.
        let mut count: usize = environment
            .get("GIT_CONFIG_COUNT")
            .and_then(|count| count.parse().ok())
            .unwrap_or(0);
        let own = [
            ("safe.directory", "*"),
            ("gc.auto", "0"),
            ("maintenance.auto", "false"),
            // What is open in this process is none of a repository.
            ("protocol.fd.allow", "never"),
        ];
        for (key, value) in own.iter().chain(settings) {
            command = command
                .env(format!("GIT_CONFIG_KEY_{count}"), key)
                .env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string())
    }
}

/// ssh that asks nobody, and that gives up on a server which does not answer (E-055).
fn ssh_command(stall_limit: Duration) -> String {
    let seconds = stall_limit.as_secs().max(1);
    let (connect, alive) = (seconds.min(30), seconds.div_ceil(4));
    format!(
        "ssh -oBatchMode=yes -oConnectTimeout={connect} -oServerAliveInterval={alive} -oServerAliveCountMax=4"
    )
}

/// The words with which ssh is started, as git takes them from the environment; none where it is not installed.
pub(super) fn ssh_words(options: &SourceOptions) -> Option<Vec<String>> {
    let environment = &options.environment;
    let command = match environment.get("GIT_SSH_COMMAND") {
        Some(own) => own.clone(),
        None => ssh_command(options.stall_limit),
    };
    let mut words = shlex::split(&command).filter(|words| !words.is_empty())?;
    if !words[0].contains('/') {
        let path = environment.get("PATH")?;
        let program = find_program(&words[0], path)?;
        program.to_str()?.clone_into(&mut words[0]);
    }
    Some(words)
}

/// Whether the user's git has been told how long to wait.
fn has_own_patience() -> bool {
    git2::Config::open_default()
        .is_ok_and(|settings| settings.get_entry("http.lowspeedtime").is_ok())
}

impl Access {
    /// For a fetch of `remote` alone.
    pub(super) fn to_remote(remote: &Remote) -> Self {
        match remote.delivery {
            Delivery::Askpass => Self {
                answers: Answers::for_remote(remote),
                header: None,
            },
            Delivery::AzurePat | Delivery::EntraToken => Self {
                answers: Answers::default(),
                header: header(remote),
            },
        }
    }

    /// The value of `Authorization` for `remote`, where no git program asks for it.
    pub(super) fn authorization(remote: &Remote) -> Option<String> {
        let pair = remote.credentials.as_ref()?;
        match remote.delivery {
            Delivery::Askpass => Some(basic(&pair.user, pair.password.expose())),
            Delivery::AzurePat | Delivery::EntraToken => token(remote),
        }
    }

    /// For git calls in the checkout of `remote` that may reach other servers too: submodules, filters.
    pub(super) fn to_any(remote: Option<&Remote>, rules: &CredentialRules) -> Self {
        Self {
            answers: Answers::for_any(remote, rules),
            header: remote.and_then(header),
        }
    }

    /// The variables that make git ask this binary; empty where no credentials apply, so that the user's own
    /// askpass program and credential helpers stay in force.
    pub(super) fn variables(&self, askpass_program: &std::path::Path) -> Vec<(OsString, OsString)> {
        if self.answers.is_empty() {
            return Vec::new();
        }
        vec![
            ("GIT_ASKPASS".into(), askpass_program.into()),
            (ASKPASS_MODE.into(), "1".into()),
            (ASKPASS_ANSWERS.into(), self.answers.to_variable().into()),
        ]
    }

    pub(super) fn answers_mut(&mut self) -> &mut Answers {
        &mut self.answers
    }
}

/// The form of basic authentication.
fn basic(user: &str, password: &str) -> String {
    let encoded = STANDARD.encode(format!("{user}:{password}"));
    // The encoded form is a secret of its own, for instance in git's trace output.
    crate::secrets::Registry::global().register(&encoded);
    format!("Basic {encoded}")
}

/// E-053: the token of Azure DevOps or Entra; none where the pair is an ordinary one.
fn token(remote: &Remote) -> Option<String> {
    let pair = remote.credentials.as_ref()?;
    match remote.delivery {
        Delivery::Askpass => None,
        Delivery::AzurePat => Some(basic("", pair.password.expose())),
        Delivery::EntraToken => Some(format!("Bearer {}", pair.password.expose())),
    }
}

/// E-053, E-054: the header as a setting of the environment, for the remote's own server alone.
fn header(remote: &Remote) -> Option<(String, String)> {
    let value = format!("Authorization: {}", token(remote)?);
    Some((format!("http.{}/.extraHeader", remote.url.origin()?), value))
}
