//! A folder in which users who do not trust each other have a folder each: the container of one may not be that of another.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Places;

/// As the system's folder for temporary files: everybody makes entries, and nobody removes those of others.
const FOR_EVERYBODY: u32 = 0o1777;

/// Makes `folder` one in which every user may make a folder; its parents, where they are made, are the owner's alone.
pub fn create_shared(folder: &Path) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        Places::create(parent)?;
    }
    match DirBuilder::new().mode(FOR_EVERYBODY).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    let found = fs::symlink_metadata(folder)?;
    if !found.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    // The umask has taken something away.
    if found.mode() & 0o7777 != FOR_EVERYBODY {
        fs::set_permissions(folder, Permissions::from_mode(FOR_EVERYBODY))?;
    }
    Ok(())
}

/// The folder of this process's user in a shared one, named by the user's number, and made where it is missing. One that
/// somebody else has made in advance, or can write to, is refused.
pub fn own_folder(shared: &Path) -> io::Result<PathBuf> {
    let user = nix::unistd::geteuid();
    let folder = shared.join(user.to_string());
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    let found = fs::symlink_metadata(&folder)?;
    let is_own = found.is_dir() && found.uid() == user.as_raw() && found.mode() & 0o022 == 0;
    if is_own {
        return Ok(folder);
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("`{}` is another user's", folder.display()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_folder_and_no_other() {
        let folder = tempfile::tempdir().expect("folder");
        let shared = folder.path().join("store/all");
        for _ in 0..2 {
            create_shared(&shared).expect("made");
            let own = own_folder(&shared).expect("made");
            assert_eq!(own.parent(), Some(&*shared));
            assert_eq!(fs::metadata(&own).unwrap().mode() & 0o777, 0o700);
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&shared), 0o1777);
        assert_eq!(mode(shared.parent().expect("made")), 0o700);
        let own = own_folder(&shared).expect("there");
        fs::set_permissions(&own, Permissions::from_mode(0o777)).expect("mode");
        assert!(own_folder(&shared).is_err());
        fs::remove_dir(&own).expect("removed");
        std::os::unix::fs::symlink("/tmp", &own).expect("link");
        assert!(own_folder(&shared).is_err());
        fs::remove_dir_all(&shared).expect("removed");
        fs::write(&shared, "").expect("file");
        assert!(create_shared(&shared).is_err());
    }
}
