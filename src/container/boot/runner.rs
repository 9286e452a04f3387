//! This program for containers: where it is on the host, and the folder from which it is mounted.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::storage::age;

/// The static build, beside the agent.
pub const RUNNER_NAME: &str = "clearml-agent-runner";
/// What a folder for containers holds.
const PROGRAM: &str = "clearml-agent";
/// The file of this process, also where it has no name any more.
const RUNNING: &str = "/proc/self/exe";
/// Brings Pythons to images without one, where it is beside the runner.
const UV: &str = "uv";

/// Why there is nothing to mount.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// `agent.docker_runner` names something else.
    #[error("the program for containers, `{path}`, cannot be read")]
    Unreadable {
        /// As it was named, or found.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// No room, or no permission.
    #[error("could not make `{folder}` with the program for containers")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl RunnerError {
    /// What a user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => {
                "name the static build of the agent in `agent.docker_runner`, or have it beside the agent as `clearml-agent-runner`"
            }
            Self::Folder { .. } => {
                "make room in the home of the agent, and let its user write there"
            }
        }
    }
}

/// What is mounted at [`super::RUNNER_FOLDER`], read-only.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RunnerFolder {
    /// The folder on the host; the same for the same program.
    pub path: PathBuf,
    /// The file it was made of.
    pub source: PathBuf,
    /// It is a build for containers, not the agent's own file, whose C library an image may not have.
    pub is_static: bool,
}

/// Finds the runner and gives it a folder of its own below `folder` (`~/.clearml/agent-runner`): a file that is mounted must
/// stay, while the agent may be replaced by a newer one. Any user of a container can run it (C-235).
///
/// `configured` is `agent.docker_runner`; else it is [`RUNNER_NAME`] beside `own`, this process's executable; else `own`.
pub fn locate(
    configured: Option<&Path>,
    own: &Path,
    folder: &Path,
) -> Result<RunnerFolder, RunnerError> {
    let Found {
        folder: found,
        mut program,
        uv,
    } = find(configured, own, folder)?;
    if found.path.join(PROGRAM).is_file() {
        // Says that it is in use; where that cannot be written it was made by somebody else, who sees to it.
        let _ = File::open(&found.path).and_then(|made| made.set_modified(SystemTime::now()));
        return Ok(found);
    }
    remove_unused(folder);
    make(&found.path, &mut program, uv.as_deref()).map_err(|source| RunnerError::Folder {
        folder: found.path.clone(),
        source,
    })?;
    Ok(found)
}

/// A folder of another build that has got no new container for so long is not kept for one that may still run.
const UNUSED: Duration = Duration::from_hours(365 * 24);

/// Removes what agents of old versions have left, and those who were killed while they made theirs.
fn remove_unused(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        if age(&path).is_some_and(|age| age > UNUSED) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// The folder that [`locate`] gives, which need not be there.
pub fn planned(
    configured: Option<&Path>,
    own: &Path,
    folder: &Path,
) -> Result<PathBuf, RunnerError> {
    Ok(find(configured, own, folder)?.folder.path)
}

/// The folder, and the files that go into it.
struct Found {
    folder: RunnerFolder,
    program: File,
    uv: Option<PathBuf>,
}

fn find(configured: Option<&Path>, own: &Path, folder: &Path) -> Result<Found, RunnerError> {
    let beside = own.with_file_name(RUNNER_NAME);
    let source = match configured {
        Some(configured) => configured.to_owned(),
        None if beside.is_file() => beside,
        None => own.to_owned(),
    };
    let unreadable = |source_error| RunnerError::Unreadable {
        path: source.clone(),
        source: source_error,
    };
    let program = match File::open(&source) {
        // A newer release may have taken its name.
        Err(_) if source == own => File::open(RUNNING),
        opened => opened,
    };
    let program = program.map_err(unreadable)?;
    let metadata = program.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(io::ErrorKind::InvalidInput.into()));
    }
    let uv = Some(source.with_file_name(UV)).filter(|uv| uv.is_file());
    let name = name(&metadata, uv.as_deref());
    let path = folder.join(name);
    let folder = RunnerFolder {
        is_static: source != own,
        path,
        source: source.clone(),
    };
    Ok(Found {
        folder,
        program,
        uv,
    })
}

/// The folder of exactly these files, found without reading them.
fn name(program: &fs::Metadata, uv: Option<&Path>) -> String {
    let mut digest = Sha256::new();
    for file in [
        Some(program.clone()),
        uv.and_then(|uv| fs::metadata(uv).ok()),
    ] {
        let Some(file) = file else { continue };
        for number in [file.dev(), file.ino(), file.size()] {
            digest.update(number.to_le_bytes());
        }
        for number in [file.mtime(), file.mtime_nsec()] {
            digest.update(number.to_le_bytes());
        }
    }
    let digest = digest.finalize();
    format!("{digest:x}")[..16].to_owned()
}

/// Copies the runner beside `own`, and what belongs to it, into a folder that is there: a volume of a pod.
pub fn deliver(own: &Path, folder: &Path) -> Result<(), RunnerError> {
    let Found {
        mut program, uv, ..
    } = find(None, own, folder)?;
    let mut copied = || {
        // Last, since it is what others look for.
        if let Some(uv) = &uv {
            copy_whole(&mut File::open(uv)?, &folder.join(UV))?;
        }
        copy_whole(&mut program, &folder.join(PROGRAM))
    };
    copied().map_err(|source| RunnerError::Folder {
        folder: folder.to_owned(),
        source,
    })
}

/// The container of the copy may be killed and started again: what has its name is whole.
fn copy_whole(from: &mut File, to: &Path) -> io::Result<()> {
    let aside = to.with_extension("part");
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => copy(from, &aside)?,
    }
    fs::rename(aside, to)
}

/// Fills a folder aside and puts it in its place in one step.
fn make(folder: &Path, program: &mut File, uv: Option<&Path>) -> io::Result<()> {
    let parent = folder.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(parent)?;
    let fresh = tempfile::Builder::new()
        .prefix(".making-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir_in(parent)?;
    copy(program, &fresh.path().join(PROGRAM))?;
    if let Some(uv) = uv {
        copy(&mut File::open(uv)?, &fresh.path().join(UV))?;
    }
    // The umask may have taken something away.
    fs::set_permissions(fresh.path(), Permissions::from_mode(0o755))?;
    let is_made = fs::rename(fresh.path(), folder);
    if is_made.is_err() && folder.join(PROGRAM).is_file() {
        // Another agent was faster.
        return Ok(());
    }
    is_made
}

/// The content at this moment; shared where the file system can.
fn copy(from: &mut File, to: &Path) -> io::Result<()> {
    let mut file = File::create_new(to)?;
    io::copy(from, &mut file)?;
    file.set_permissions(Permissions::from_mode(0o755))?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever copied before was killed in the middle, or was done.
    #[test]
    fn a_copy_is_whole_whatever_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        fs::write(&from, "whole").expect("written");
        fs::write(&to, "wh").expect("written");
        fs::write(folder.path().join("to.part"), "who").expect("written");
        let mut from = File::open(from).expect("open");
        copy_whole(&mut from, &to).expect("copied");
        assert_eq!(fs::read_to_string(&to).expect("read"), "whole");
        assert!(!folder.path().join("to.part").exists());
    }
}
