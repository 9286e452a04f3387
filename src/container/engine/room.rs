//! Room on the engine's disk, where it is a disk of this machine.

use std::path::PathBuf;

use super::Engine;
use crate::storage::is_full;

impl Engine {
    /// The folder of images and containers, where its disk is full. Then programs cannot write in their containers, and the
    /// engine may not be able to keep what they print.
    pub async fn full_disk(&self) -> Option<PathBuf> {
        if self.endpoint().is_remote() {
            return None;
        }
        let folder = PathBuf::from(self.docker.info().await.ok()?.docker_root_dir?);
        is_full(&folder).then_some(folder)
    }
}
