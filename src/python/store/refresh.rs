//! Turns an environment that was made from an entry back into what it was, without touching what is so still (E-119).

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::check_out::ORIGIN;
use super::manifest::{FileRecord, FolderRecord, LinkRecord, Manifest};

/// What belongs to a path.
#[derive(Clone, Copy)]
enum Known<'a> {
    Folder(&'a FolderRecord),
    Link(&'a LinkRecord),
    File(&'a FileRecord),
}

/// Removes everything from `target` that is not exactly what the entry has there; the paths of the rest.
///
/// Of the files only those stay that are the entry's own, which are compared with it anyway: who knows what a task has done
/// to a copy.
pub(super) fn refresh(
    manifest: &Manifest,
    tree: &Path,
    target: &Path,
) -> io::Result<HashSet<String>> {
    let folders = manifest.folders.iter();
    let folders = folders.map(|folder| (folder.path.as_str(), Known::Folder(folder)));
    let links = manifest.links.iter();
    let links = links.map(|link| (link.path.as_str(), Known::Link(link)));
    let files = manifest.files.iter();
    let files = files.map(|file| (file.path.as_str(), Known::File(file)));
    let mut walk = Walk {
        known: folders.chain(links).chain(files).collect(),
        device: fs::metadata(tree)?.dev(),
        target,
        kept: HashSet::new(),
    };
    walk.folder("")?;
    Ok(walk.kept)
}

struct Walk<'a> {
    known: HashMap<&'a str, Known<'a>>,
    /// Inodes are those of this device.
    device: u64,
    target: &'a Path,
    kept: HashSet<String>,
}

impl Walk<'_> {
    fn folder(&mut self, below: &str) -> io::Result<()> {
        for entry in fs::read_dir(self.target.join(below))? {
            let entry = entry?;
            let (place, file) = (entry.path(), entry.metadata()?);
            let name = entry.file_name();
            if below.is_empty() && name == ORIGIN {
                continue;
            }
            let path = match name.to_str() {
                Some(name) if below.is_empty() => name.to_owned(),
                Some(name) => format!("{below}/{name}"),
                None => String::new(),
            };
            let stays = match self.known.get(path.as_str()) {
                Some(known) => self.is_still(*known, &place, &file)?,
                None => false,
            };
            if !stays {
                if file.is_dir() {
                    fs::remove_dir_all(&place)?;
                } else {
                    fs::remove_file(&place)?;
                }
                continue;
            }
            if file.is_dir() {
                self.folder(&path)?;
            }
            self.kept.insert(path);
        }
        Ok(())
    }

    fn is_still(&self, known: Known<'_>, place: &Path, file: &Metadata) -> io::Result<bool> {
        Ok(match known {
            Known::Folder(folder) => file.is_dir() && file.mode() & 0o7777 == folder.mode,
            Known::Link(link) => {
                file.is_symlink() && fs::read_link(place)? == Path::new(&link.target)
            }
            Known::File(record) => {
                let is_shared = record.sha256.is_some() && file.is_file();
                is_shared && file.ino() == record.inode && file.dev() == self.device
            }
        })
    }
}
