//! A folder that is entered once and then held: what is made in it gets there, whoever puts something else in its place.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, fstat, mkdirat, open, openat, unlinkat};
use rustix::process::geteuid;

use super::temporary_name;

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);
const FRESH: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
const PRIVATE: u32 = 0o700;

/// An open folder.
#[derive(Debug)]
pub struct HeldFolder(OwnedFd);

impl HeldFolder {
    /// The folder at `path`, whosever it is.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(open(path, FOLDER, Mode::empty())?))
    }

    /// Makes a folder of this user alone below this one. Fails where there is something already, and where somebody else, who
    /// may write here, has put something in its place meanwhile.
    pub fn create(&self, name: &OsStr) -> io::Result<Self> {
        mkdirat(&self.0, name, Mode::from_raw_mode(PRIVATE))?;
        self.enter(name)
    }

    /// The folder below this one that this user has made for itself alone.
    fn enter(&self, name: &OsStr) -> io::Result<Self> {
        let folder = openat(&self.0, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
        let found = fstat(&folder)?;
        let folder = Self(folder);
        let is_private = Mode::from_raw_mode(found.st_mode).bits() & 0o777 == PRIVATE;
        let is_own = || Ok::<_, io::Error>(found.st_uid == folder.user()?);
        if is_private && (found.st_uid == geteuid().as_raw() || is_own()?) {
            return Ok(folder);
        }
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "`{}` is another user's, who may write to the folder around it: let nobody else write there, or set its \
                 sticky bit (`chmod +t`)",
                name.display()
            ),
        ))
    }

    /// Whose a file is that this process makes here: a distant file system may know this user by another number.
    fn user(&self) -> io::Result<u32> {
        let name = temporary_name(".clearml-agent.", ".owner");
        let file = openat(&self.0, &name, FRESH, Mode::RUSR)?;
        let found = fstat(&file);
        unlinkat(&self.0, &name, AtFlags::empty())?;
        Ok(found?.st_uid)
    }

    /// Writes a file that is not there, or takes the place of one.
    pub fn write(&self, name: &OsStr, bytes: &[u8], mode: u32) -> io::Result<()> {
        let mut file = self.fresh(name)?;
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(mode))
    }

    /// Copies a file with its mode.
    pub fn copy(&self, from: &Path, name: &OsStr) -> io::Result<()> {
        let mut from = File::open(from)?;
        let mode = from.metadata()?.mode() & 0o7777;
        let mut file = self.fresh(name)?;
        io::copy(&mut from, &mut file)?;
        file.set_permissions(Permissions::from_mode(mode))
    }

    fn fresh(&self, name: &OsStr) -> io::Result<File> {
        match unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(openat(&self.0, name, FRESH, Mode::RUSR | Mode::WUSR)?.into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    const STRANGER: u32 = 54_321;

    /// What another user puts in the place of a private folder between two calls is not written to.
    #[test]
    fn a_folder_in_the_place_of_a_private_one_is_not_entered() {
        let around = tempfile::tempdir().expect("folder");
        let at = |name: &str| around.path().join(name);
        let held = HeldFolder::open(around.path()).expect("open");
        let folder = |name: &str, mode: u32| {
            fs::create_dir(at(name)).expect("made");
            fs::set_permissions(at(name), Permissions::from_mode(mode)).expect("mode");
        };
        folder("own", 0o700);
        folder("open", 0o755);
        folder("others", 0o700);
        folder("others-open", 0o777);
        for name in ["others", "others-open"] {
            chown(at(name), Some(STRANGER), None).expect("run the tests as root");
        }
        symlink(at("own"), at("link")).expect("link");
        held.enter("own".as_ref()).expect("entered");
        for name in ["open", "others", "others-open"] {
            let error = held.enter(name.as_ref()).expect_err(name);
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{name}");
            assert!(error.to_string().contains("`chmod +t`"), "{error}");
            assert!(fs::read_dir(at(name)).expect("there").next().is_none());
        }
        for name in ["link", "own", "others", "others-open"] {
            assert!(held.create(name.as_ref()).is_err(), "{name}");
        }
        assert!(held.enter("link".as_ref()).is_err());
    }

    /// A folder that is held takes what is made in it along, wherever it is moved.
    #[test]
    fn what_is_made_in_a_held_folder_gets_there() {
        let around = tempfile::tempdir().expect("folder");
        let at = |name: &str| around.path().join(name);
        let held = HeldFolder::open(around.path()).expect("open");
        let private = held.create("private".as_ref()).expect("made");
        assert_eq!(fs::metadata(at("private")).unwrap().mode() & 0o777, 0o700);
        fs::rename(at("private"), at("away")).expect("renamed");
        fs::create_dir(at("private")).expect("made");
        fs::write(at("key"), "key").expect("written");
        fs::set_permissions(at("key"), Permissions::from_mode(0o640)).expect("mode");
        symlink(at("victim"), at("away/conf")).expect("link");
        for _ in 0..2 {
            private
                .write("conf".as_ref(), b"text", 0o644)
                .expect("written");
            private.copy(&at("key"), "key".as_ref()).expect("copied");
        }
        assert!(fs::read_dir(at("private")).expect("there").next().is_none());
        assert!(!at("victim").exists());
        for (name, text, mode) in [("conf", "text", 0o644), ("key", "key", 0o640)] {
            let path = at("away").join(name);
            assert_eq!(fs::read_to_string(&path).expect("there"), text);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode, "{name}");
        }
    }
}
