//! When this agent itself has touched the inodes that environments and store share.
//!
//! Making or removing a link changes the time of the inode, just as writing does. Each time this agent does so it notes
//! from when to when; a file that was touched at any other time is suspect. The clock is that of the file system.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::entry::times_of;
use super::manifest::ctime;
use crate::storage::replace;

/// From here on what is older is left out.
const LONG: u64 = 16 * 1024;

/// The noted times of one entry, in nanoseconds of the file system's clock.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnTimes(Vec<(i64, i64)>);

impl OwnTimes {
    pub(super) fn read(entry: &Path) -> Self {
        let text = fs::read_to_string(times_of(entry)).unwrap_or_default();
        let pair = |line: &str| {
            let (begin, end) = line.split_once(' ')?;
            Some((begin.parse().ok()?, end.parse().ok()?))
        };
        Self(text.lines().filter_map(pair).collect())
    }

    pub(super) fn contain(&self, time: i64) -> bool {
        self.0
            .iter()
            .any(|(begin, end)| (*begin..=*end).contains(&time))
    }
}

/// A stretch of time in which links to an entry's files are made or removed.
#[derive(Debug)]
pub(super) struct Stretch {
    path: PathBuf,
    begin: i64,
}

impl Stretch {
    pub(super) fn begin(entry: &Path) -> io::Result<Self> {
        let path = times_of(entry);
        let begin = clock(&path)?;
        Ok(Self { path, begin })
    }

    /// Notes it.
    pub(super) fn end(self) -> io::Result<()> {
        let line = format!("{} {}\n", self.begin, clock(&self.path)?);
        File::options()
            .append(true)
            .open(&self.path)?
            .write_all(line.as_bytes())
    }

    /// Notes it where every file was compared within it: what was touched before does not matter any more.
    pub(super) fn end_compared(self) -> io::Result<()> {
        let line = format!("0 {}\n", clock(&self.path)?);
        if fs::metadata(&self.path)?.len() > LONG {
            return replace(&self.path, line.as_bytes(), 0o600);
        }
        File::options()
            .append(true)
            .open(&self.path)?
            .write_all(line.as_bytes())
    }
}

/// The time that the file system gives to an inode that is touched now.
fn clock(path: &Path) -> io::Result<i64> {
    let file = File::options().create(true).append(true).open(path)?;
    file.set_modified(SystemTime::now())?;
    Ok(ctime(&file.metadata()?))
}
