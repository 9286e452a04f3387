//! Copies a folder tree; the one place to change for reflinks and hardlinks.

use std::fs::{self, File, FileTimes};
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use tokio_util::sync::CancellationToken;

/// Copies `from` to `to`, which does not exist, without the top-level entries named in `except`.
///
/// Symbolic links stay links. Times are kept, because Python tells by them whether its compiled files are current.
pub(super) fn tree(
    from: &Path,
    to: &Path,
    except: &[&str],
    cancel: &CancellationToken,
) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if cancel.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let name = entry.file_name();
        if except.iter().any(|excluded| name == *excluded) {
            continue;
        }
        let (source, target) = (entry.path(), to.join(&name));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if kind.is_dir() {
            tree(&source, &target, &[], cancel)?;
        } else if kind.is_file() {
            // Where the file system can share the content, the standard library's copy does.
            fs::copy(&source, &target)?;
            let metadata = entry.metadata()?;
            let times = FileTimes::new().set_modified(metadata.modified()?);
            set_times(&target, &metadata, times)?;
        }
    }
    Ok(())
}

/// A file without write permission cannot be opened for writing, but its times can be set through a reading handle.
fn set_times(target: &Path, metadata: &fs::Metadata, times: FileTimes) -> io::Result<()> {
    let file = if metadata.permissions().readonly() {
        File::open(target)?
    } else {
        File::options().append(true).open(target)?
    };
    file.set_times(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_times_and_modes_survive() {
        let folder = tempfile::tempdir().expect("folder");
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        fs::create_dir_all(from.join("lib/code")).expect("folders");
        fs::create_dir_all(from.join("code")).expect("folders");
        fs::write(from.join("lib/code/x.py"), "x = 1").expect("file");
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        let file = File::options()
            .append(true)
            .open(from.join("lib/code/x.py"))
            .expect("file");
        file.set_times(FileTimes::new().set_modified(old))
            .expect("times");
        let mut mode = file.metadata().expect("metadata").permissions();
        mode.set_readonly(true);
        file.set_permissions(mode).expect("permissions");
        symlink("lib", from.join("lib64")).expect("link");
        tree(&from, &to, &["code"], &CancellationToken::new()).expect("copied");
        let copied = fs::metadata(to.join("lib/code/x.py")).expect("copied");
        assert_eq!(copied.modified().expect("time"), old);
        assert!(copied.permissions().readonly());
        assert_eq!(
            fs::read_link(to.join("lib64")).expect("link"),
            Path::new("lib")
        );
        assert!(!to.join("code").exists());
    }
}
