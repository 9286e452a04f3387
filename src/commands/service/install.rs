//! `service install`: writes a unit, and starts it where that is wished.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::User;

use super::super::{ExitStatus, Failed};
use super::systemctl::Systemctl;
use super::unit::{self, Scope, Unit};
use super::{Folder, Written};
use crate::cli::{self, Command, Refused, ServiceInstall};
use crate::process::find_program;
use crate::settings::Environment;
use crate::storage;
use crate::ui::Printer;

const MODE: u32 = 0o644;

/// Writes the unit that was asked for; one that is there and differs is left alone without `--force`.
pub(super) fn install(
    options: &ServiceInstall,
    config_file: Option<&Path>,
    environment: &Environment,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    let folder = Folder::of(&options.place, environment)?;
    let file = file_name(options.name.as_deref(), options.gpus.is_some())?;
    check_gpus(options.gpus.as_deref().unwrap_or_default())?;
    let words = daemon_words(options, folder.scope, &file)?;
    let user = user(options, folder.scope, environment)?;
    let home = (folder.scope == Scope::User).then(|| environment.get("HOME"));
    let config_file = config_file.map(std::path::absolute).transpose()?;
    let config_file = config_file.map(|path| path.display().to_string());
    let unit = Unit {
        scope: folder.scope,
        user: user.clone(),
        is_template: options.gpus.is_some(),
        program: unit::program(&own_path(environment)?, home.flatten().map(Path::new)),
        options: config_file
            .map(|path| vec!["--config-file".to_owned(), path])
            .unwrap_or_default(),
        words,
    };
    let written = Written {
        path: folder.path.join(&file),
        file,
    };
    write(&written.path, &unit.text(), options.force, printer)?;
    if unit.options.is_empty() && options.place.root.is_none() {
        remind_of_configuration(user.as_deref(), environment, printer);
    }
    begin(&folder, &written, options, printer)
}

/// D-288: `--stop` and the others are no daemons that stay.
fn daemon_words(options: &ServiceInstall, scope: Scope, file: &str) -> Result<Vec<String>, Failed> {
    let mut call: Vec<OsString> = ["clearml-agent", "daemon"].map(OsString::from).to_vec();
    call.extend(options.daemon.iter().map(OsString::from));
    let parsed = cli::parse(call).map_err(|refused| not_of_daemon(&refused))?;
    let Some(Command::Daemon(daemon)) = parsed.command else {
        return Err(Failed::message(
            "what stands behind `--` is no call of `daemon`",
            "for example: clearml-agent service install -- --queue default",
        ));
    };
    if daemon.tasks.git.git_pass.is_some() {
        return Err(Failed::message(
            "`--git-pass` would stand in the unit, which everybody can read",
            &format!(
                "write `CLEARML_AGENT_GIT_PASS=...` to a file with mode 0600, and name it: `{} edit {file}`, \
                 [Service], EnvironmentFile=/path; or set `agent.git_pass` in the configuration file",
                Systemctl::name(scope)
            ),
        ));
    }
    let others = [
        ("--detached", daemon.detached),
        ("--stop", daemon.stop.is_some()),
        ("--status", daemon.status),
    ];
    if let Some((option, _)) = others.iter().find(|(_, is_given)| *is_given) {
        return Err(Failed::message(
            format!("`{option}` is not for a unit, which keeps its daemon in the foreground"),
            "leave it out",
        ));
    }
    if options.gpus.is_some() && (daemon.tasks.devices.gpus.is_some()) {
        return Err(Failed::message(
            "`--gpus` is given before and behind `--`",
            "before it: a worker for each GPU; behind it: one worker for all of them",
        ));
    }
    let words = options.daemon.iter().cloned();
    Ok(words.filter(|word| word != "--foreground").collect())
}

fn not_of_daemon(refused: &Refused) -> Failed {
    let said = match refused {
        Refused::Usage(mistake) => mistake.message.split_once(": error: "),
        Refused::Help(_) => None,
    };
    Failed::message(
        format!(
            "what stands behind `--` is no call of `daemon`: {}",
            said.map_or("it asks for help", |(_, said)| said)
        ),
        "`clearml-agent daemon --help` prints its options",
    )
}

fn file_name(name: Option<&str>, is_template: bool) -> Result<String, Failed> {
    let default = if is_template {
        "clearml-agent-gpu"
    } else {
        "clearml-agent"
    };
    let name = name.unwrap_or(default).trim_end_matches(".service");
    let is_good = |letter: char| letter.is_ascii_alphanumeric() || ":-_.".contains(letter);
    if name.is_empty()
        || name.len() > 200
        || name.starts_with(['.', '-'])
        || !name.chars().all(is_good)
    {
        return Err(Failed::message(
            format!("`{name}` is no name for a unit"),
            "letters, digits, `-`, `_` and `.`; for example `--name clearml-agent`",
        ));
    }
    let at = if is_template { "@" } else { "" };
    Ok(format!("{name}{at}.service"))
}

fn check_gpus(gpus: &[String]) -> Result<(), Failed> {
    let is_good = |letter: char| letter.is_ascii_alphanumeric() || ":-_.".contains(letter);
    match gpus
        .iter()
        .find(|gpu| gpu.is_empty() || !gpu.chars().all(is_good))
    {
        Some(gpu) => Err(Failed::message(
            format!("`{gpu}` is no GPU that a unit can have to itself"),
            "`--gpus 0 1` makes two workers; one for both is `-- --gpus 0,1`",
        )),
        None => Ok(()),
    }
}

/// Who runs the tasks; nobody is made root by leaving something out.
fn user(
    options: &ServiceInstall,
    scope: Scope,
    environment: &Environment,
) -> Result<Option<String>, Failed> {
    let asked = options.run_as.as_deref();
    if scope == Scope::User {
        return match asked {
            None => Ok(None),
            Some(_) => Err(Failed::message(
                "a unit of your own runs as you: `--run-as` is for units of the system",
                "leave it out, or add `--system` as root",
            )),
        };
    }
    let caller = environment.get("SUDO_USER").filter(|user| *user != "root");
    let Some(name) = asked.or(caller) else {
        return Err(Failed::message(
            "a unit of the system needs the user that its tasks run as",
            "for example `--run-as clearml`; `--run-as root` if it must be",
        ));
    };
    // The users of another system are not known here.
    let is_known =
        options.place.root.is_some() || User::from_name(name).is_ok_and(|user| user.is_some());
    let is_word = !name.is_empty()
        && !name.contains(|letter: char| {
            letter.is_whitespace() || letter.is_control() || letter == '%'
        });
    if !is_known || !is_word {
        return Err(Failed::message(
            format!("there is no user `{name}` on this machine"),
            "make it first: `useradd --create-home NAME`",
        ));
    }
    Ok(Some(name.to_owned()))
}

/// The program as it was called, so that a link to the newest version stays one; else where it is.
fn own_path(environment: &Environment) -> Result<PathBuf, Failed> {
    let running = std::env::current_exe()?;
    let called = std::env::args_os().next().map(PathBuf::from);
    let called = called.and_then(|called| match called.to_str() {
        Some(name) if !name.contains('/') => {
            find_program(name, environment.get("PATH").unwrap_or_default())
        }
        _ => std::path::absolute(called).ok(),
    });
    let is_it = |path: &PathBuf| {
        path.is_absolute() && fs::canonicalize(path).is_ok_and(|path| path == running)
    };
    let path = called.filter(is_it).unwrap_or(running);
    if path.is_file() {
        return Ok(path);
    }
    Err(Failed::message(
        format!("`{}` is not there any more", path.display()),
        "call the program by the path that the unit is to have",
    ))
}

fn write(path: &Path, text: &str, force: bool, printer: Printer) -> Result<(), Failed> {
    let shown = path.display();
    match fs::read(path) {
        Ok(old) if old == text.as_bytes() => {
            printer.line(format!("Unchanged: {shown}"));
            return Ok(());
        }
        Ok(old) if !force => {
            return Err(Failed::message(
                difference(path, &String::from_utf8_lossy(&old), text),
                "`--force` replaces it, `--name` writes another one",
            ));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound && !force => {
            return Err(not_written(path, &error));
        }
        Ok(_) | Err(_) => {}
    }
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| storage::replace(path, text.as_bytes(), MODE))
        .map_err(|error| not_written(path, &error))?;
    printer.line(format!("Written: {shown}"));
    Ok(())
}

fn not_written(path: &Path, error: &io::Error) -> Failed {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "call it with sudo, or with `--user` for a unit of your own"
        }
        _ => "`--root DIR` writes it below another folder",
    };
    Failed::message(
        format!("could not write `{}`: {error}", path.display()),
        hint,
    )
}

/// The first line that differs. What stands there now may be a secret, so its name is all that is shown.
fn difference(path: &Path, old: &str, new: &str) -> String {
    let (mut old, mut new) = (old.lines(), new.lines());
    let mut number = 1;
    loop {
        match (old.next(), new.next()) {
            (Some(old), Some(new)) if old == new => number += 1,
            (there, wanted) => {
                let there = match there {
                    Some(line) => match line.split_once('=') {
                        Some((key, _)) => format!("has `{key}=...`"),
                        None => "is another text".to_owned(),
                    },
                    None => "is not there".to_owned(),
                };
                return format!(
                    "`{}` is there and differs: line {number} {there} instead of `{}`",
                    path.display(),
                    wanted.unwrap_or_default()
                );
            }
        }
    }
}

/// A unit without a configuration ends at once.
fn remind_of_configuration(user: Option<&str>, environment: &Environment, printer: Printer) {
    let home = match user {
        Some(user) => User::from_name(user).ok().flatten().map(|user| user.dir),
        None => environment.get("HOME").map(PathBuf::from),
    };
    let Some(path) = home.map(|home| home.join("clearml.conf")) else {
        return;
    };
    // Also said of one that may not be looked at: whether it is there is not known then.
    if matches!(path.try_exists(), Ok(false)) {
        let init = match user {
            Some(user) => format!("sudo -iu {user} clearml-agent init"),
            None => "clearml-agent init".to_owned(),
        };
        printer.line(format!(
            "Still missing: {}; `{init}` makes it",
            path.display()
        ));
    }
}

fn begin(
    folder: &Folder,
    unit: &Written,
    options: &ServiceInstall,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    let name = unit.file.trim_end_matches(".service");
    let gpus = options.gpus.as_ref().filter(|gpus| !gpus.is_empty());
    let units: Vec<String> = match (&options.gpus, gpus) {
        (None, _) => vec![name.to_owned()],
        (Some(_), Some(gpus)) => gpus.iter().map(|gpu| format!("{name}{gpu}")).collect(),
        (Some(_), None) => vec![format!("{name}0")],
    };
    let systemctl = Systemctl::name(folder.scope);
    let enable = format!("{systemctl} enable --now {}", units.join(" "));
    if let Some(root) = &options.place.root {
        printer.line(match folder.scope {
            Scope::System => format!(
                "Enable it: systemctl --root={} enable {}",
                root.display(),
                units.join(" ")
            ),
            // systemctl enables units of a user in the running system alone.
            Scope::User => format!("Enable it, once that system runs, as its user: {enable}"),
        });
        return Ok(ExitStatus::SUCCESS);
    }
    let Some(manager) = folder.systemctl else {
        printer.line(format!(
            "systemd does not run here; where it does: {systemctl} daemon-reload && {enable}"
        ));
        return Ok(if options.start {
            ExitStatus::FAILURE
        } else {
            ExitStatus::SUCCESS
        });
    };
    manager.reload()?;
    if !options.start || (options.gpus.is_some() && gpus.is_none()) {
        printer.line(format!("Start it: {enable}"));
        return Ok(ExitStatus::SUCCESS);
    }
    let mut words = vec!["enable", "--now"];
    words.extend(units.iter().map(String::as_str));
    let user = if folder.scope == Scope::User {
        " --user"
    } else {
        ""
    };
    let hint = format!(
        "`journalctl{user} -u {}` has the reason in its last lines",
        units[0]
    );
    manager.call(&words, &hint)?;
    printer.line(format!("Started: {}", units.join(" ")));
    Ok(ExitStatus::SUCCESS)
}
