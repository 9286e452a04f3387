//! Where programs are.

use std::fs;
use std::path::{Path, PathBuf};

/// The first file of this name in the folders of `search_path`, a list as in `PATH`. Whether it can be run is not asked.
pub fn find_program(name: &str, search_path: &str) -> Option<PathBuf> {
    let mut paths = std::env::split_paths(search_path).map(|folder| folder.join(name));
    paths.find(|path| path.is_file())
}

/// True where programs find what loads the libraries that they need. Without, static programs run and no others: in an image
/// of busybox alone, say.
pub fn has_loader(root: &Path) -> bool {
    // Of glibc, of musl, of glibc on other machines; Nix has its own place for all of it.
    const BEGINNINGS: [&str; 3] = ["ld-linux", "ld-musl", "ld64.so"];
    let is_loader = |name: &str| {
        BEGINNINGS
            .iter()
            .any(|beginning| name.starts_with(beginning))
    };
    let folders = ["lib", "lib64", "usr/lib", "usr/lib64"];
    let files = folders.map(|folder| fs::read_dir(root.join(folder)));
    let mut files = files.into_iter().flatten().flatten().flatten();
    files.any(|file| file.file_name().to_str().is_some_and(is_loader))
        || root.join("nix/store").is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_runs_more_than_static_programs() {
        assert!(has_loader(Path::new("/")));
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("lib")).unwrap();
        fs::write(root.path().join("lib/libz.so"), "").unwrap();
        assert!(!has_loader(root.path()));
        fs::write(root.path().join("lib/ld-musl-x86_64.so.1"), "").unwrap();
        assert!(has_loader(root.path()));
    }
}
