//! Whether a disk has room.

use std::path::Path;

use nix::sys::statvfs::{FsFlags, Statvfs, statvfs};

/// With less than this a disk is full.
const LEAST: u64 = 1 << 20;
/// A small one with less than this part of it.
const SMALL_PART: u64 = 8;

/// True where the file system of `folder` takes nothing more from this user: no bytes, or no files. A folder that cannot be
/// looked at is not full.
pub fn is_full(folder: &Path) -> bool {
    let Ok(disk) = statvfs(folder) else {
        return false;
    };
    if disk.flags().contains(FsFlags::ST_RDONLY) {
        return false;
    }
    // What is kept for root counts as taken: some file systems keep more back than root can have.
    let free = free_bytes(&disk);
    let whole = disk.blocks().saturating_mul(disk.fragment_size());
    let has_no_files = disk.files() > 0 && disk.files_free() == 0;
    // What only shows files of the kernel has no size.
    whole > 0 && (free < LEAST.min(whole / SMALL_PART) || has_no_files)
}

/// The folder whose file system has the fewest bytes left for this user; none where none can be looked at.
pub fn with_least_room<'a>(folders: impl IntoIterator<Item = &'a Path>) -> Option<&'a Path> {
    let room = |folder: &Path| statvfs(folder).ok().as_ref().map(free_bytes);
    let known = folders
        .into_iter()
        .filter_map(|folder| Some((room(folder)?, folder)));
    known
        .min_by_key(|(free, _)| *free)
        .map(|(_, folder)| folder)
}

fn free_bytes(disk: &Statvfs) -> u64 {
    disk.blocks_available().saturating_mul(disk.fragment_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_can_be_written_is_not_full() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("file"), "written").expect("written");
        assert!(!is_full(folder.path()));
        // What shows the kernel's own files alone has no size.
        assert!(!is_full(Path::new("/proc")));
        assert!(!is_full(Path::new("/no/such/folder")));
    }
}
