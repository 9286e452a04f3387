//! Where programs are.

use std::path::PathBuf;

/// The first file of this name in the folders of `search_path`, a list as in `PATH`. Whether it can be run is not asked.
pub fn find_program(name: &str, search_path: &str) -> Option<PathBuf> {
    let mut paths = std::env::split_paths(search_path).map(|folder| folder.join(name));
    paths.find(|path| path.is_file())
}
