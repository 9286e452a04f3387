//! Where the code of a task lies, and which lists of requirements it has.

use std::path::{Path, PathBuf};

use super::options::{PackageManager, PythonOptions};
use super::requirements::TaskRequirements;

/// Where the task's code is.
#[derive(Clone, Copy, Debug)]
pub struct CodeLocation<'a> {
    /// The checkout; none for a task without a repository.
    pub root: Option<&'a Path>,
    /// The folder in which the program starts.
    pub script_folder: &'a Path,
}

impl CodeLocation<'_> {
    /// Where the files of a project are looked for: the root of the checkout, or the script's folder (E-213).
    pub(super) fn project_folder(&self, in_working_dir: bool) -> Option<&Path> {
        let root = self.root?;
        Some(if in_working_dir {
            self.script_folder
        } else {
            root
        })
    }

    /// The package manager with a file of its own in the repository, by which it knows a project (E-216, E-222).
    pub fn project_file(&self, options: &PythonOptions) -> Option<(&'static str, PathBuf)> {
        let (tool, lock, in_working_dir) = match options.package_manager {
            PackageManager::Uv => ("uv", "uv.lock", options.uv.files_from_working_dir),
            PackageManager::Poetry => (
                "poetry",
                "poetry.lock",
                options.poetry.files_from_working_dir,
            ),
            PackageManager::Pip | PackageManager::Conda => return None,
        };
        let folder = self.project_folder(in_working_dir)?;
        let files = ["pyproject.toml", lock].map(|name| folder.join(name));
        let file = files.into_iter().find(|file| file.is_file())?;
        Some((tool, file))
    }

    /// The files of the repository that are installed where the task itself has no list (E-130, E-131).
    pub(super) fn repository_lists(
        &self,
        requirements: &TaskRequirements,
        entry_point: &str,
        is_file: &dyn Fn(&Path) -> bool,
    ) -> Vec<PathBuf> {
        match self.root {
            Some(root) if requirements.is_empty() => {
                requirements_files(root, self.script_folder, entry_point, is_file)
            }
            _ => Vec::new(),
        }
    }
}

/// Every `requirements.txt` from `root` down to the folder of the script, never outside `root` (E-131).
pub(super) fn requirements_files(
    root: &Path,
    script_folder: &Path,
    entry_point: &str,
    is_file: &dyn Fn(&Path) -> bool,
) -> Vec<PathBuf> {
    let mut folders = vec![root.to_owned()];
    let is_module = entry_point.split_whitespace().next() == Some("-m");
    let script = script_folder.join(entry_point);
    let inside = script
        .parent()
        .and_then(|folder| folder.strip_prefix(root).ok());
    if let (false, Some(inside)) = (is_module, inside) {
        let mut folder = root.to_owned();
        for part in inside.components() {
            match part {
                std::path::Component::Normal(name) => folder.push(name),
                std::path::Component::CurDir => continue,
                _ => break,
            }
            folders.push(folder.clone());
        }
    }
    folders
        .iter()
        .map(|folder| folder.join("requirements.txt"))
        .filter(|file| is_file(file))
        .collect()
}
