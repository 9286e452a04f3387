//! `clearml-agent init`: asks for server, keys and the rest, and writes the configuration file (F-130 to F-155).

mod dialogue;
mod file;
mod hosts;
mod paste;
mod unattended;
mod verify;

use std::io;
use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};

use super::{ExitStatus, Failed};
use crate::cli::Init;
use crate::secrets::SecretString;
use crate::settings::{FILE_NAME, LEGACY_FILE_NAME, Settings, env_vars};
use crate::storage::create_private;
use crate::ui::{Input, NoAnswer, Printer};
use dialogue::{Console, Ended, Server, Start};
use verify::{Cause, Verified};
pub(super) use verify::{cause, clock_warning};

/// A pair of keys.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Keys {
    access_key: String,
    secret_key: SecretString,
}

/// The addresses of one server.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Hosts {
    web: String,
    api: String,
    files: String,
}

/// Who clones repositories over https.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Git {
    user: String,
    token: SecretString,
}

/// All that the new file says beside the defaults.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Answers {
    hosts: Hosts,
    keys: Keys,
    output_uri: Option<String>,
    git: Option<Git>,
    indexes: Vec<String>,
}

/// How much of a secret may be shown, so that its owner knows it again (F-137, W15).
fn shown(secret: &SecretString) -> String {
    let begin: String = secret.expose().chars().take(4).collect();
    if begin.len() < secret.expose().len() {
        format!("{begin}***")
    } else {
        "***".to_owned()
    }
}

/// Makes the configuration file; an existing one is left as it is, and that is no failure (F-132, D-054).
pub(super) async fn init(
    settings: Settings,
    options: Init,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    printer.line("CLEARML-AGENT setup process");
    let target = target(settings.home());
    if target
        .metadata()
        .is_ok_and(|file| file.is_file() && file.len() > 0)
    {
        printer.line(already_there(&target));
        return Ok(ExitStatus::SUCCESS);
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let answers = async {
        if options.non_interactive {
            unattended(&settings, &options, printer).await
        } else {
            asked(&settings, &target, printer).await
        }
    };
    // F-146: nothing has been written until here.
    let answers = tokio::select! {
        answers = answers => answers?,
        _ = interrupt.recv() => Err(ExitStatus::INTERRUPTED),
        _ = terminate.recv() => Err(ExitStatus::INTERRUPTED),
    };
    match answers {
        Err(status) => {
            if status == ExitStatus::INTERRUPTED {
                printer.line("");
            }
            Ok(status)
        }
        Ok(answers) => write(&target, &answers, printer),
    }
}

/// The file of the program's earlier name is taken where it exists (F-131).
fn target(home: &Path) -> PathBuf {
    [LEGACY_FILE_NAME, FILE_NAME]
        .map(|name| home.join(name))
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| home.join(FILE_NAME))
}

/// F-132
fn already_there(target: &Path) -> String {
    format!(
        "Configuration file already exists: {}\n\
         Leaving setup. If you've previously initialized the ClearML SDK on this machine, \
         manually add an 'agent' section to this file.",
        target.display()
    )
}

/// Answers, or how the program ends without them.
type Outcome = Result<Answers, ExitStatus>;

/// The answers of a person or of a script.
async fn asked(settings: &Settings, target: &Path, printer: Printer) -> Result<Outcome, Failed> {
    let environment = settings.environment();
    let mut console = Dialogue {
        input: Input::of_process(environment.get("TERM"), printer),
        printer,
    };
    let example = environment.text(&env_vars::API_HOST);
    let start = Start {
        target: target.display().to_string(),
        example: example.unwrap_or("http://localhost:8080").to_owned(),
    };
    let answers = dialogue::hold(&mut console, &OfSettings(settings), &start).await;
    // The terminal is as before when the result is told.
    drop(console);
    match answers {
        Ok(answers) => Ok(Ok(answers)),
        Err(Ended::NoAnswer(NoAnswer::Interrupted)) => Ok(Err(ExitStatus::INTERRUPTED)),
        // W17
        Err(Ended::Unverified) => Ok(Err(ExitStatus::FAILURE)),
        Err(Ended::NoAnswer(error)) => Err(Failed::new(error, None)),
        Err(Ended::Address(error)) => Err(Failed::new(
            error,
            Some("an address looks like https://app.clear.ml or http://localhost:8080"),
        )),
    }
}

/// The answers of options and variables, verified unless that is not wanted.
async fn unattended(
    settings: &Settings,
    options: &Init,
    printer: Printer,
) -> Result<Outcome, Failed> {
    let found = unattended::collect(options, settings.environment(), io::stdin())?;
    for warning in found.warnings {
        printer.warning(&warning);
    }
    let answers = found.answers;
    printer.line(dialogue::summary(&answers.hosts));
    if !options.no_verify {
        printer.line("Verifying credentials ...");
        let verified = verify::verify(settings, &answers.hosts.api, &answers.keys).await;
        let verified = verified.map_err(|cause| {
            let text = format!("could not verify credentials: {}", cause.text);
            Failed::message(text, &cause.hint)
        })?;
        printer.line("Credentials verified!");
        if let Some(warning) = verified.warning {
            printer.warning(&warning);
        }
    }
    Ok(Ok(answers))
}

/// F-145; never over a file that has appeared meanwhile.
fn write(target: &Path, answers: &Answers, printer: Printer) -> Result<ExitStatus, Failed> {
    let text = file::text(answers)?;
    match create_private(target, text.as_bytes()) {
        Ok(()) => {
            printer.line(format!(
                "\nNew configuration stored in {}\nCLEARML-AGENT setup completed successfully.",
                target.display()
            ));
            Ok(ExitStatus::SUCCESS)
        }
        Err(error) => {
            printer.line(format!(
                "Error! Could not write configuration file at: {}",
                target.display()
            ));
            Err(match error.kind() {
                io::ErrorKind::AlreadyExists => Failed::message(
                    "the file was made by somebody else while this setup ran; it was left as it is",
                    "look at that file, move it away, and start again",
                ),
                _ => Failed::message(
                    format!("{}: {error}", target.display()),
                    "check that the folder exists, is yours and has space left",
                ),
            })
        }
    }
}

/// The process's own terminal or pipes.
struct Dialogue {
    input: Input,
    printer: Printer,
}

impl Console for Dialogue {
    fn say(&mut self, text: &str) {
        self.printer.line(text);
    }

    async fn ask(&mut self, prompt: &str) -> Result<String, NoAnswer> {
        self.input.line(prompt).await
    }

    async fn ask_with_secrets(&mut self, prompt: &str) -> Result<String, NoAnswer> {
        self.input.line_with_secrets(prompt).await
    }

    async fn ask_secret(&mut self, prompt: &str) -> Result<String, NoAnswer> {
        self.input.secret(prompt).await
    }
}

struct OfSettings<'a>(&'a Settings);

impl Server for OfSettings<'_> {
    async fn verify(&self, api_host: &str, keys: &Keys) -> Result<Verified, Cause> {
        verify::verify(self.0, api_host, keys).await
    }
}
