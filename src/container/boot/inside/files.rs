//! Files that the agent on the host has mounted, put where programs look for them (C-222); and small changes of the image.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use nix::unistd::{Uid, chown, geteuid};

use super::{Place, expanded};

/// How the configuration comes into a container, and the copy that images made with `build` keep (step 19).
pub(super) const CONFIGURATION: (&str, &str) = ("tmp/clearml.conf", "default_clearml.conf");

/// Copies mounted ssh keys into their folder, and the files of git into the home (C-222). What cannot be copied is said.
pub fn files(place: Place<'_>, ssh: Option<(&Path, &Path)>, git: Option<&Path>) {
    if let Some((from, to)) = ssh {
        let to = expanded(to, place.home);
        let copied = copy_below(from, &to)
            .and_then(|()| fs::set_permissions(&to, Permissions::from_mode(0o700)));
        said(place, copied, from, "ssh keys");
    }
    if let Some(from) = git {
        said(place, copy_below(from, place.home), from, "git's files");
    }
}

/// Copies the configuration that was mounted into the home (step 19).
pub fn configuration(place: Place<'_>) {
    let from = place.root.join(CONFIGURATION.0);
    if from.is_file() {
        let copied = fs::read(&from).and_then(|bytes| {
            crate::storage::replace(&place.home.join(CONFIGURATION.1), &bytes, 0o600)
        });
        said(place, copied, &from, "the configuration");
    }
}

/// Packages that were fetched stay in the mounted cache (step 1).
pub(super) fn keep_archives(place: Place<'_>) {
    let folder = place.root.join("etc/apt/apt.conf.d");
    if folder.is_dir() {
        let text = "Binary::apt::APT::Keep-Downloaded-Packages \"true\";\n";
        // Without it, they are fetched again.
        let _ = fs::write(folder.join("docker-clean"), text);
    }
}

/// pip uses no cache that belongs to another user (step 2).
pub(super) fn own_pip_cache(place: Place<'_>) {
    let folder = place.home.join(".cache/pip");
    let user = geteuid();
    if user.is_root() && fs::metadata(&folder).is_ok_and(|folder| folder.uid() != user.as_raw()) {
        let _ = chown(&folder, Some(Uid::from_raw(0)), None);
    }
}

/// Lets pip install beside the packages of the distribution (step 12).
pub(super) fn allow_packages(place: Place<'_>) {
    let Ok(entries) = fs::read_dir(place.root.join("usr/lib")) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with("python3.") {
            // Most often it is not there.
            let _ = fs::remove_file(entry.path().join("EXTERNALLY-MANAGED"));
        }
    }
}

fn said(place: Place<'_>, copied: io::Result<()>, from: &Path, what: &str) {
    if let Err(error) = copied {
        let from = from.display();
        let text = format!("could not copy {what} from `{from}`: {error}");
        place.printer.warning(&text);
    }
}

/// Copies files and folders; the copies are this user's alone, as ssh wants its keys; links are followed.
fn copy_below(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() || from == to {
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (source, target) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        // Sockets of an ssh that is running, and links to nowhere, are left out.
        let Ok(metadata) = fs::metadata(&source) else {
            continue;
        };
        if metadata.is_dir() {
            copy_below(&source, &target)?;
        } else if metadata.is_file() {
            let mode = (metadata.mode() & 0o700) | 0o600;
            crate::storage::replace(&target, &fs::read(&source)?, mode)?;
        }
    }
    Ok(())
}
