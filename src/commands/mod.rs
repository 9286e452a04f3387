//! One verb, one file: what each command does, with plain values and a printer.

mod background;
mod boot;
mod build;
mod cache;
mod config;
mod connect;
mod container;
mod crash;
mod cuda;
mod daemon;
mod docker_arguments;
mod doctor;
mod dynamic_gpus;
mod execute;
mod folders;
mod generate;
mod git_options;
mod glue;
mod hours;
mod init;
#[cfg(feature = "kubernetes")]
mod k8s;
#[cfg(not(feature = "kubernetes"))]
#[path = "without_kubernetes.rs"]
mod k8s;
mod left_runs;
mod list;
mod metrics;
mod options;
mod plan;
mod prefetch;
mod queues;
mod records;
mod renewal;
mod running;
mod sections;
mod service;
mod slot;
mod slurm;
mod status;
mod stop;
mod store;
mod supervise;
mod unavailable;
mod vaults;

use std::path::Path;
use std::process::ExitCode;

use tokio::task::LocalSet;

use records::Records;

use crate::REFERENCE_VERSION;
use crate::api::ApiError;
use crate::cli::{Cli, Command, GitCredentials, LogFormat};
use crate::secrets::SecretString;
use crate::settings::hocon::Kind;
use crate::settings::{Environment, Overrides, Settings, SettingsError};
use crate::ui::{self, Printer};

/// How a command ended, as the shell sees it (D 1.8).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ExitStatus(pub u8);

impl ExitStatus {
    /// Everything went well.
    pub const SUCCESS: Self = Self(0);
    /// A failure that was explained (D-056).
    pub const FAILURE: Self = Self(1);
    /// Ended by SIGINT or SIGTERM (D-058).
    pub const INTERRUPTED: Self = Self(254);
}

/// A failure with what the user can do about it.
#[derive(Debug)]
pub(crate) struct Failed {
    error: anyhow::Error,
    hint: Option<String>,
    /// A line before the error, where the reference has two (F-020).
    preamble: Option<String>,
    /// What the server said of an error of its own, for `--debug`.
    traceback: Option<String>,
}

impl Failed {
    pub(crate) fn new(error: impl Into<anyhow::Error>, hint: Option<&str>) -> Self {
        Self {
            error: error.into(),
            hint: hint.map(str::to_owned),
            preamble: None,
            traceback: None,
        }
    }

    /// What went wrong, in one line without the hint.
    pub(crate) fn text(&self) -> String {
        format!("{:#}", self.error)
    }

    pub(crate) fn message(text: impl Into<String>, hint: &str) -> Self {
        Self::new(anyhow::Error::msg(text.into()), Some(hint))
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        let error: anyhow::Error = error.into();
        if let Some(error) = error.downcast_ref::<ApiError>() {
            // D-066
            let failed = Self::new(anyhow::Error::msg(error.reference_text()), error.hint());
            let refusal = error.refusal().filter(|refusal| refusal.code == 500);
            return Self {
                traceback: refusal.and_then(|refusal| refusal.error_stack.clone()),
                ..failed
            };
        }
        let settings = error.downcast_ref::<SettingsError>();
        let hint = settings.and_then(SettingsError::hint);
        let preamble = settings.and_then(SettingsError::preamble);
        Self {
            error,
            hint,
            preamble,
            traceback: None,
        }
    }
}

/// Runs a parsed command line.
pub fn run(cli: Cli, environment: &Environment) -> ExitCode {
    let records = Records::start();
    crash::report_panics(environment);
    let debug = cli.debug;
    if cli.debug {
        records.say_more();
    }
    let printer = Printer::default();
    if cli.version {
        printer.line(format!("CLEARML-AGENT version {REFERENCE_VERSION}"));
        return ExitCode::SUCCESS;
    }
    match dispatch(cli, environment, &records, printer) {
        Ok(status) => ExitCode::from(status.0),
        Err(Failed {
            error,
            hint,
            preamble,
            traceback,
        }) => {
            if let (true, Some(traceback)) = (debug, traceback) {
                printer.note(format!("Server traceback:\n{traceback}"));
            }
            if let Some(preamble) = preamble {
                printer.line(preamble);
            }
            printer.error(&format!("{error:#}"), hint.as_deref());
            ExitCode::from(ExitStatus::FAILURE.0)
        }
    }
}

/// Prints the answer to a question of git, if there is one.
pub fn answer(answer: Option<&str>) -> ExitCode {
    use std::io::Write;
    // Not through the printer: this is the one place where a secret is meant to be printed, to git's own pipe.
    match answer.map(|answer| writeln!(std::io::stdout(), "{answer}")) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(_)) | None => ExitCode::FAILURE,
    }
}

fn dispatch(
    cli: Cli,
    environment: &Environment,
    records: &Records,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    let Some(command) = cli.command else {
        printer.line(Cli::summary());
        return Ok(ExitStatus::SUCCESS);
    };
    let waiting = background::Waiting::of(environment);
    let environment = &with_home(environment.without_name(background::READY));
    let command = match command {
        Command::Service(arguments) => {
            let config_file = cli.config_file.as_deref();
            return service::service(arguments, config_file, environment, printer);
        }
        command => command,
    };
    let mut overrides = Overrides::of_file(cli.config_file);
    let log_format = match &command {
        Command::Daemon(options) => options.log_format,
        Command::Supervise(options) => options.log_format,
        Command::Kubernetes(options) => options.log_format,
        Command::Slurm(options) => options.log_format,
        _ => LogFormat::Text,
    };
    if log_format == LogFormat::Json {
        ui::log_as_json();
    }
    if is_quiet(&command) {
        ui::be_quiet();
    }
    match &command {
        Command::Supervise(options) => {
            return block_on(supervise::supervise(&options.journal, environment));
        }
        Command::Prefetch(options) => {
            return block_on(prefetch::prefetch(&options.folder, environment));
        }
        Command::Boot(options) => return boot::boot(options, environment, printer),
        Command::Generate(options) => return generate::generate(&options.kind, printer),
        Command::InstallBootstrap(_) => {
            printer.line("Nothing to install: this agent needs no bootstrap package");
            return Ok(ExitStatus::SUCCESS);
        }
        Command::Build(options) => overrides = with_credentials(overrides, &options.tasks.git),
        Command::Daemon(options) => overrides = with_credentials(overrides, &options.tasks.git),
        Command::Execute(options) => {
            if let Some(ended) = execute::attended(options) {
                return Ok(ended);
            }
            overrides = with_credentials(overrides, &options.tasks.git);
        }
        Command::Cache(_)
        | Command::Config(_)
        | Command::Doctor(_)
        | Command::Init(_)
        | Command::List(_)
        | Command::Service(_)
        | Command::Kubernetes(_)
        | Command::Slurm(_) => {}
    }
    let home = Path::new(environment.get("HOME").unwrap_or("/"));
    let settings = Settings::load(environment, home, &overrides)?;
    let asks_so = matches!(&command, Command::Kubernetes(arguments) if arguments.debug);
    let is_debug = cli.debug || asks_so || settings.is_debug();
    if is_debug {
        records.say_more();
    }
    if is_debug {
        for key in settings.unknown_keys() {
            printer.note(key.to_string());
        }
    }
    match command {
        Command::Build(arguments) => block_on(build::build(settings, arguments, is_debug, printer)),
        Command::Cache(arguments) => block_on(cache::cache(settings, arguments, printer)),
        Command::Config(arguments) => block_on(config::config(&settings, &arguments, printer)),
        Command::Daemon(arguments) => {
            let printer = if arguments.json {
                printer.beside_data()
            } else {
                printer
            };
            block_on(daemon::daemon(
                settings, *arguments, is_debug, waiting, printer,
            ))
        }
        Command::Doctor(arguments) => block_on(doctor::doctor(&settings, &arguments, printer)),
        Command::Execute(arguments) => {
            block_on(execute::execute(settings, arguments, is_debug, printer))
        }
        Command::Init(options) => block_on(init::init(settings, options, printer)),
        Command::List(arguments) => block_on(list::list(&settings, &arguments, printer)),
        Command::Kubernetes(arguments) => block_on(k8s::k8s(settings, *arguments, printer)),
        Command::Slurm(arguments) => block_on(slurm::slurm(settings, arguments, printer)),
        Command::Boot(_)
        | Command::Generate(_)
        | Command::InstallBootstrap(_)
        | Command::Prefetch(_)
        | Command::Service(_)
        | Command::Supervise(_) => Ok(ExitStatus::FAILURE),
    }
}

/// Whether the user wants to hear less.
fn is_quiet(command: &Command) -> bool {
    match command {
        Command::Build(options) => options.tasks.quiet,
        Command::Daemon(options) => options.tasks.quiet && !options.status,
        Command::Execute(options) => options.tasks.quiet && !options.plan,
        Command::Supervise(options) => options.quiet,
        _ => false,
    }
}

/// Where `HOME` says nothing, as in units of the system, home is what the machine knows of the user (F-116).
fn with_home(environment: Environment) -> Environment {
    if environment.get("HOME").is_some_and(|home| !home.is_empty()) {
        return environment;
    }
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok();
    let home = user.flatten().map(|user| user.dir);
    match home.as_deref().and_then(Path::to_str) {
        Some(home) => environment.with("HOME", home),
        None => environment.without_name("HOME"),
    }
}

/// The command line comes before the configuration and its variables (E-027).
fn with_credentials(overrides: Overrides, git: &GitCredentials) -> Overrides {
    let user = git.git_user.as_deref();
    let password = git.git_pass.as_ref().map(SecretString::expose);
    let options = [
        ("agent.git_user", user, "--git-user"),
        ("agent.git_pass", password, "--git-pass"),
    ];
    options
        .into_iter()
        .fold(overrides, |overrides, (key, value, option)| match value {
            Some(value) => overrides.with(key, Kind::Text(value.to_owned()), option),
            None => overrides,
        })
}

/// One thread: children die with the thread that starts them, so it must be the one that lives longest.
fn block_on<T>(work: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = LocalSet::new().block_on(&runtime, work);
    // What still runs in the background (a fetch that was given up) is not waited for.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F-116
    #[test]
    fn home_is_that_of_the_user_where_the_variable_says_nothing() {
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
        let known = user.unwrap().unwrap().dir;
        for (variables, expected) in [
            (vec![("HOME", "/home/me")], "/home/me"),
            (vec![("HOME", "")], known.to_str().unwrap()),
            (vec![("USER", "me")], known.to_str().unwrap()),
        ] {
            let environment = with_home(variables.into_iter().collect());
            assert_eq!(environment.get("HOME"), Some(expected));
        }
    }

    /// E-027, D-020
    #[test]
    fn credentials_of_the_command_line_come_first() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("clearml.conf");
        std::fs::write(file, "agent { git_user: file, git_pass: password-of-file }").unwrap();
        let environment = Environment::from([
            ("CLEARML_AGENT_GIT_USER", "variable"),
            ("TRAINS_AGENT_GIT_PASS", "password-of-variable"),
        ]);
        let git = |user: Option<&str>, password: Option<&str>| {
            let given = GitCredentials {
                git_user: user.map(str::to_owned),
                git_pass: password.map(SecretString::new),
            };
            let overrides = with_credentials(Overrides::default(), &given);
            let settings = Settings::load(&environment, home.path(), &overrides).unwrap();
            let written = home.path().join("written.conf");
            settings.write(&written).unwrap();
            let read = Overrides::of_file(Some(written));
            let child = Settings::load(settings.environment(), home.path(), &read).unwrap();
            let [own, inherited] = [settings, child].map(|settings| {
                let git = settings.agent().unwrap().git;
                (git.user, git.password)
            });
            assert_eq!(own, inherited);
            own
        };
        let pair =
            |user: &str, password| (Some(user.to_owned()), Some(SecretString::new(password)));
        assert_eq!(git(None, None), pair("variable", "password-of-variable"));
        assert_eq!(git(Some("me"), None), pair("me", "password-of-variable"));
        assert_eq!(
            git(Some("me"), Some("password-of-option")),
            pair("me", "password-of-option")
        );
    }
}
