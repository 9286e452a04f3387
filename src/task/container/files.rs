//! Files of this machine that a container needs before it is made, and that go with it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::container::command::ContainerCommand;
use crate::storage::HeldFolder;

/// Ends the name of the private folder beside a file whose own folder is open to others.
const ASIDE: &str = ".private";

/// What is made for `command`, and to be removed with its container; to be written down before anything is made.
pub(super) fn made(command: &ContainerCommand) -> Vec<PathBuf> {
    let copies = command.copies.iter().map(|copy| copy.to.clone());
    std::iter::once(command.configuration.clone())
        .chain(copies)
        .flat_map(|path| [Some(path.clone()), aside(&path)])
        .flatten()
        .collect()
}

/// Makes the folders, the configuration and the copies of `command`.
pub(super) fn make(command: &ContainerCommand, configuration: &str) -> io::Result<()> {
    for folder in &command.folders {
        named(fs::create_dir_all(folder), folder)?;
    }
    named(
        write_for_container(&command.configuration, configuration),
        &command.configuration,
    )?;
    for copy in &command.copies {
        named(self::copy(&copy.from, &copy.to), &copy.to)?;
    }
    Ok(())
}

/// What is gone already needs no removing.
pub(super) fn remove(made: &[PathBuf]) {
    for path in made {
        let _ = if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        };
    }
}

/// Any user of the image may read it, and on this machine only who gets into its folder: the agent's user (C-124).
fn write_for_container(path: &Path, text: &str) -> io::Result<()> {
    place(path)?.write(name(path), text.as_bytes(), 0o644)
}

/// The folder for the file `path`: its own, or, where others may enter that, such as the folder of a host mount, a private
/// one beside the file, to which a link leads by the name that the official agent has for the file (C-074).
fn place(path: &Path) -> io::Result<HeldFolder> {
    let around = around(path)?;
    let Some(folder) = aside(path) else {
        return Ok(around);
    };
    // Of an agent with the same id that is gone.
    remove(&[folder.clone(), path.to_owned()]);
    let place = around.create(name(&folder))?;
    // Relative: the engine has these folders elsewhere.
    let beside = Path::new(name(&folder)).join(name(path));
    std::os::unix::fs::symlink(beside, path)?;
    Ok(place)
}

fn name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

/// The folder in which `path` is, made where it is missing. One that is there already, such as one below a mount of the
/// agent's own container, stays as it is.
fn around(path: &Path) -> io::Result<HeldFolder> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    if !folder.is_dir() {
        let mut private = fs::DirBuilder::new();
        private.recursive(true).mode(0o700).create(folder)?;
    }
    HeldFolder::open(folder)
}

/// The private folder for the file `path`; none where its own folder is private, or will be.
fn aside(path: &Path) -> Option<PathBuf> {
    let open = fs::metadata(path.parent()?).ok()?.permissions().mode() & 0o077 != 0;
    let mut name = path.file_name()?.to_owned();
    name.push(ASIDE);
    open.then(|| path.with_file_name(name))
}

/// A file or a folder, by the names that the container's command has for it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let kind = fs::metadata(from)?;
    if kind.is_file() {
        return place(to)?.copy(from, name(to));
    }
    if kind.is_dir() {
        // Of an agent with the same id that is gone.
        remove(&[to.to_owned()]);
        return copy_tree(from, &around(to)?, name(to));
    }
    Ok(())
}

/// Sockets, such as those of an ssh that shares connections, mean nothing elsewhere and are left out.
fn copy_tree(from: &Path, into: &HeldFolder, name: &OsStr) -> io::Result<()> {
    let kind = fs::metadata(from)?;
    if kind.is_dir() {
        let folder = into.create(name)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            match copy_tree(&entry.path(), &folder, &entry.file_name()) {
                // A link that leads nowhere.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
    } else if kind.is_file() {
        // With its mode: ssh refuses keys that others may read.
        into.copy(from, name)?;
    }
    Ok(())
}

fn named(result: io::Result<()>, path: &Path) -> io::Result<()> {
    result.map_err(|error| io::Error::new(error.kind(), format!("`{}`: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    /// C-112, C-114, C-124
    #[test]
    fn files_of_a_container_are_private_and_go_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let ssh = folder.path().join("ssh");
        fs::create_dir(&ssh).unwrap();
        fs::write(ssh.join("id"), "key").unwrap();
        fs::set_permissions(ssh.join("id"), fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink("nowhere", ssh.join("broken")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(ssh.join("control")).unwrap();
        let own = folder.path().join("own");
        let command = ContainerCommand {
            folders: vec![folder.path().join("cache/pip")],
            configuration: own.join("clearml.conf"),
            copies: vec![crate::container::command::Copy {
                from: ssh,
                to: own.join("ssh"),
            }],
            ..ContainerCommand::default()
        };
        let made = made(&command);
        make(&command, "{}").unwrap();
        assert!(folder.path().join("cache/pip").is_dir());
        assert_eq!(mode(&own), 0o700);
        assert_eq!(mode(&own.join("clearml.conf")), 0o644);
        assert_eq!(mode(&own.join("ssh/id")), 0o600);
        assert!(!own.join("ssh/control").exists());
        remove(&made);
        assert!(fs::read_dir(own).unwrap().next().is_none());
    }

    /// C-074, C-074a: the names are those of the official agent, and who gets into the folder reads nothing all the same.
    #[test]
    fn files_in_a_folder_that_is_open_are_private_behind_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (home, open) = (folder.path().join("home"), folder.path().join("open"));
        for folder in [&home, &open] {
            fs::create_dir(folder).unwrap();
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(home.join(".gitconfig"), "name").unwrap();
        let name = |end: &str| open.join(format!(".clearml_agent.host%3A0.{end}"));
        let command = ContainerCommand {
            configuration: name("cfg"),
            copies: vec![crate::container::command::Copy {
                from: home.join(".gitconfig"),
                to: name("gitconfig"),
            }],
            ..ContainerCommand::default()
        };
        let made = made(&command);
        // Of one that was killed.
        fs::write(name("cfg"), "old").unwrap();
        for _ in 0..2 {
            make(&command, "{}").unwrap();
        }
        assert_eq!(fs::read_to_string(name("cfg")).unwrap(), "{}");
        assert_eq!(fs::read_to_string(name("gitconfig")).unwrap(), "name");
        for end in ["cfg", "gitconfig"] {
            let place = fs::canonicalize(name(end)).unwrap();
            assert_eq!(mode(place.parent().unwrap()), 0o700);
            let link = fs::read_link(name(end)).unwrap();
            assert!(link.is_relative(), "{}", link.display());
        }
        remove(&made);
        assert!(fs::read_dir(open).unwrap().next().is_none());
    }
}
