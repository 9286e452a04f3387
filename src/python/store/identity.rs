//! Files and folders by what changes when they are replaced.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sha2::{Digest, Sha256};

const NOT_THERE: &str = "not there";

/// A file or folder of this machine.
pub(in crate::python) fn file_identity(path: &Path) -> String {
    match fs::metadata(path) {
        Ok(file) => format!(
            "{} bytes, inode {}, modified {}.{:09}",
            file.len(),
            file.ino(),
            file.mtime(),
            file.mtime_nsec()
        ),
        Err(_) => NOT_THERE.to_owned(),
    }
}

/// A file in a container, which is the same in the next one of the same image; its inode may be another there.
pub(in crate::python) fn file_in_image(path: &Path) -> String {
    match fs::metadata(path) {
        Ok(file) => format!(
            "{} bytes, modified {}.{:09}",
            file.len(),
            file.mtime(),
            file.mtime_nsec()
        ),
        Err(_) => NOT_THERE.to_owned(),
    }
}

/// The packages in a folder of a container, by the names of its entries, in which their versions are, and by the `*.pth`
/// files, which name more folders. A script may install the same packages in each container anew: times say nothing.
pub(in crate::python) fn packages_in_image(folder: &Path) -> String {
    let Ok(entries) = fs::read_dir(folder) else {
        return NOT_THERE.to_owned();
    };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    // Python itself makes it, or does not.
    names.retain(|name| name != "__pycache__");
    names.sort();
    let mut digest = Sha256::new();
    for name in &names {
        let is_path_file = Path::new(name).extension().is_some_and(|end| end == "pth");
        let bytes = if is_path_file {
            fs::read(folder.join(name)).unwrap_or_default()
        } else {
            Vec::new()
        };
        // With their lengths no two folders make the same text.
        digest.update(format!("{} {}\n", name.len(), bytes.len()));
        digest.update(name.as_bytes());
        digest.update(bytes);
    }
    let digest = format!("{:x}", digest.finalize());
    format!("{} entries, {}", names.len(), &digest[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_the_same_whenever_they_were_installed() {
        let folder = tempfile::tempdir().expect("folder");
        let made = |name: &str, text: &str| {
            let site = folder.path().join(name);
            for package in ["six-1.16.0.dist-info", "__pycache__"] {
                fs::create_dir_all(site.join(package)).expect("folder");
            }
            fs::write(site.join("more.pth"), text).expect("file");
            site
        };
        let (one, same, other) = (made("one", "/a"), made("same", "/a"), made("other", "/b"));
        fs::remove_dir(same.join("__pycache__")).expect("removed");
        assert_eq!(packages_in_image(&one), packages_in_image(&same));
        assert_ne!(packages_in_image(&one), packages_in_image(&other));
        let before = packages_in_image(&one);
        fs::rename(
            one.join("six-1.16.0.dist-info"),
            one.join("six-1.17.0.dist-info"),
        )
        .expect("renamed");
        assert_ne!(packages_in_image(&one), before);
        assert_eq!(packages_in_image(&one.join("none")), NOT_THERE);
    }

    #[test]
    fn a_file_of_an_image_has_no_inode() {
        let folder = tempfile::tempdir().expect("folder");
        let (file, copy) = (folder.path().join("python"), folder.path().join("copy"));
        fs::write(&file, "x").expect("file");
        fs::copy(&file, &copy).expect("copied");
        let time = fs::metadata(&file).unwrap().modified().unwrap();
        let opened = fs::File::options().write(true).open(&copy).expect("there");
        opened.set_modified(time).expect("set");
        assert_eq!(file_in_image(&file), file_in_image(&copy));
        assert_ne!(file_identity(&file), file_identity(&copy));
    }
}
