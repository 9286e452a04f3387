//! What a job itself has printed. Whoever runs tasks may write into that folder.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

/// So much of it stands in the console of a task that its job has lost.
const LAST_LINES: usize = 20;
/// They are looked for in so many bytes of it.
const LAST_BYTES: u64 = 64 << 10;

/// The last lines of the file. No link is followed, nothing is waited for, and nothing of root's is shown where the jobs are
/// those of others.
pub(super) fn last_lines(path: &Path, is_of_others: bool) -> io::Result<String> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut options = File::options();
    let mut file = options.read(true).custom_flags(flags.bits()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || is_of_others && metadata.uid() == 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    file.seek(SeekFrom::Start(metadata.len().saturating_sub(LAST_BYTES)))?;
    let mut text = Vec::new();
    file.take(LAST_BYTES).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(LAST_LINES);
    Ok(lines[first..].join("\n"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;
    use nix::unistd::{getuid, mkfifo};

    use super::*;

    #[test]
    fn the_last_lines_of_a_large_file_are_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("log");
        let lines: Vec<String> = (0..100_000).map(|line| format!("line {line}")).collect();
        fs::write(&file, lines.join("\n")).expect("written");
        let shown = last_lines(&file, false).expect("read");
        assert_eq!(shown.lines().count(), LAST_LINES);
        assert!(shown.ends_with("line 99998\nline 99999"));
        fs::write(&file, "x".repeat(1 << 20)).expect("written");
        let shown = last_lines(&file, false).expect("read");
        assert_eq!(shown.len(), 64 << 10);
    }

    #[test]
    fn nothing_is_shown_that_is_not_the_jobs() {
        let folder = tempfile::tempdir().expect("a folder");
        let [file, link, pipe] = ["file", "link", "pipe"].map(|name| folder.path().join(name));
        fs::write(&file, "root's\n").expect("written");
        symlink(&file, &link).expect("a link");
        mkfifo(&pipe, Mode::S_IRWXU).expect("a pipe");
        assert!(last_lines(&link, false).is_err());
        assert!(last_lines(&pipe, false).is_err());
        assert_eq!(last_lines(&file, true).is_err(), getuid().is_root());
        assert_eq!(last_lines(&file, false).expect("read"), "root's");
    }
}
