//! `clearml-agent service`: units of systemd are written, looked at and removed, so that nobody needs to copy any.

mod install;
mod status;
mod systemctl;
mod uninstall;
mod unit;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{ExitStatus, Failed};
use crate::cli::{Service, ServiceCommand, ServicePlace};
use crate::settings::Environment;
use crate::ui::Printer;

use systemctl::Systemctl;
use unit::Scope;

/// Does what is asked for; neither server nor configuration are needed. `config_file` is for the daemons to come.
pub(super) fn service(
    arguments: Service,
    config_file: Option<&Path>,
    environment: &Environment,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    match arguments.command {
        ServiceCommand::Install(options) => {
            install::install(&options, config_file, environment, printer)
        }
        ServiceCommand::Uninstall { place, name } => {
            uninstall::uninstall(&place, name.as_deref(), environment, printer)
        }
        ServiceCommand::Status { place } => status::status(&place, environment, printer),
    }
}

/// Where the units of one scope are.
#[derive(Debug)]
struct Folder {
    scope: Scope,
    path: PathBuf,
    /// Who starts and stops them; none where systemd does not run, and for another system.
    systemctl: Option<Systemctl>,
}

/// A unit that we have written.
#[derive(Debug)]
struct Written {
    path: PathBuf,
    /// Such as `clearml-agent.service`, or `clearml-agent-gpu@.service`.
    file: String,
}

impl Folder {
    /// That of the scope that is asked for, else of root or of the user.
    fn of(place: &ServicePlace, environment: &Environment) -> Result<Self, Failed> {
        let is_root = nix::unistd::geteuid().is_root();
        let scope = if place.system || (is_root && !place.user) {
            Scope::System
        } else {
            Scope::User
        };
        Self::new(scope, place, environment)
    }

    fn new(scope: Scope, place: &ServicePlace, environment: &Environment) -> Result<Self, Failed> {
        let path = match scope {
            Scope::System => PathBuf::from("/etc/systemd/system"),
            Scope::User => user_folder(environment)?,
        };
        Ok(match &place.root {
            Some(root) => Self {
                scope,
                path: root.join(path.strip_prefix("/").unwrap_or(&path)),
                systemctl: None,
            },
            None => Self {
                scope,
                path,
                systemctl: Systemctl::here(scope),
            },
        })
    }

    /// The units here that are ours, by name.
    fn written(&self) -> Result<Vec<Written>, Failed> {
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| self.unreadable(&error))?,
        };
        let mut units = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| self.unreadable(&error))?;
            let file = entry.file_name().to_string_lossy().into_owned();
            let path = entry.path();
            let is_ours = file.ends_with(".service")
                && path.is_file()
                && fs::read_to_string(&path).is_ok_and(|text| unit::is_ours(&text));
            if is_ours {
                units.push(Written { path, file });
            }
        }
        units.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(units)
    }

    fn unreadable(&self, error: &io::Error) -> Failed {
        Failed::message(
            format!("could not read `{}`: {error}", self.path.display()),
            "call it as the user who may",
        )
    }
}

impl Written {
    /// All instances of a template; else the unit itself.
    fn pattern(&self) -> String {
        self.file.replace("@.", "@*.")
    }

    /// True for the unit, or an instance of it.
    fn means(&self, file: &str) -> bool {
        match self.file.split_once("@.") {
            Some((name, _)) => file
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('@') && rest.ends_with(".service")),
            None => self.file == file,
        }
    }
}

fn user_folder(environment: &Environment) -> Result<PathBuf, Failed> {
    let absolute = |name| environment.get(name).filter(|path| path.starts_with('/'));
    let configuration = match (absolute("XDG_CONFIG_HOME"), absolute("HOME")) {
        (Some(configuration), _) => PathBuf::from(configuration),
        (None, Some(home)) => Path::new(home).join(".config"),
        (None, None) => {
            return Err(Failed::message(
                "a unit of your own needs a home folder, and `HOME` is not set",
                "set `HOME`, or call it with `--system` as root",
            ));
        }
    };
    Ok(configuration.join("systemd/user"))
}
