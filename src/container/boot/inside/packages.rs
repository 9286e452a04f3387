//! Packages of the image's own distribution, where they were asked for (C-505).

use std::io;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use super::Place;
use crate::process::find_program;

/// A program that installs packages.
#[derive(Debug)]
pub(super) struct Installer {
    pub(super) program: &'static str,
    /// What brings its lists up to date.
    update: &'static [&'static str],
    install: &'static [&'static str],
}

/// In this order; where one fails, the next.
const INSTALLERS: [Installer; 5] = [
    Installer {
        program: "apt-get",
        update: &["update"],
        install: &["install", "-y"],
    },
    Installer {
        program: "dnf",
        update: &[],
        install: &["install", "-y"],
    },
    Installer {
        program: "microdnf",
        update: &[],
        install: &["install", "-y"],
    },
    Installer {
        program: "yum",
        update: &[],
        install: &["install", "-y"],
    },
    Installer {
        program: "apk",
        update: &[],
        install: &["add", "--no-cache"],
    },
];

/// Installs packages, whose names depend on the distribution; false where that does not work, which is said.
pub(super) fn install<'a>(place: Place<'_>, packages: impl Fn(&Installer) -> Vec<&'a str>) -> bool {
    let path = place.environment.get("PATH").unwrap_or_default();
    let is_root = nix::unistd::geteuid().is_root();
    let sudo = find_program("sudo", path).filter(|_| !is_root);
    for installer in &INSTALLERS {
        let Some(program) = find_program(installer.program, path) else {
            continue;
        };
        let packages = packages(installer);
        place.printer.line(format!(
            "Installing packages with {}: {}",
            installer.program,
            packages.join(" ")
        ));
        let call = |words: &[&str]| {
            let mut command = match &sudo {
                Some(sudo) => {
                    let mut command = Command::new(sudo);
                    command.arg("-n").arg(&program);
                    command
                }
                None => Command::new(&program),
            };
            command
                .args(words)
                .env("DEBIAN_FRONTEND", "noninteractive")
                .stdin(Stdio::null());
            succeeds(place, &mut command)
        };
        let is_updated = installer.update.is_empty() || call(installer.update);
        if is_updated && call(&[installer.install, &packages[..]].concat()) {
            return true;
        }
    }
    place
        .printer
        .warning("the packages could not be installed; the task goes on without them");
    false
}

/// Runs a program with the console for its output.
pub(super) fn succeeds(place: Place<'_>, command: &mut Command) -> bool {
    let started = console().and_then(|console| command.stdout(console).status());
    match started {
        Ok(status) => status.success(),
        Err(error) => {
            let program = command.get_program().to_string_lossy();
            let text = format!("could not run `{program}`: {error}");
            place.printer.warning(&text);
            false
        }
    }
}

fn console() -> io::Result<Stdio> {
    io::stderr().as_fd().try_clone_to_owned().map(Stdio::from)
}
