//! Room on the engine's disk, where it is a disk of this machine.

use std::path::PathBuf;

use nix::sys::statvfs::statvfs;

use super::Engine;

/// With less than this a disk is full.
const LEAST: u64 = 1 << 20;

impl Engine {
    /// The folder of images and containers, where its disk is full. Then programs cannot write in their containers, and the
    /// engine may not be able to keep what they print.
    pub async fn full_disk(&self) -> Option<PathBuf> {
        if self.endpoint().is_remote() {
            return None;
        }
        let folder = PathBuf::from(self.docker.info().await.ok()?.docker_root_dir?);
        let disk = statvfs(&folder).ok()?;
        let free = disk.blocks_available().saturating_mul(disk.fragment_size());
        (free < LEAST).then_some(folder)
    }
}
