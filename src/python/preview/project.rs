//! A project of uv or poetry in the repository: what its program would be told (E-215 to E-223).

use std::path::PathBuf;

use super::super::options::PythonOptions;
use super::EnvironmentKind;
use super::requirements::{CodeFiles, RequirementsPreview, project_folder};

/// A project that would be installed instead of the task's packages.
#[derive(Debug)]
pub(super) struct Project {
    kind: EnvironmentKind,
    folder: PathBuf,
    has_lock: bool,
}

impl Project {
    /// The project in the task's repository, where its package manager finds one.
    pub(super) fn of(
        kind: EnvironmentKind,
        code: CodeFiles<'_>,
        options: &PythonOptions,
    ) -> Option<Self> {
        let (in_working_dir, lock) = match kind {
            EnvironmentKind::Uv => (options.uv.files_from_working_dir, "uv.lock"),
            EnvironmentKind::Poetry => (options.poetry.files_from_working_dir, "poetry.lock"),
            _ => return None,
        };
        let (folder, files) = project_folder(code, in_working_dir, &["pyproject.toml", lock])?;
        Some(Self {
            kind,
            folder,
            has_lock: files.iter().any(|file| file.ends_with(lock)),
        })
    }

    /// Tells of the project in place of the task's list.
    pub(super) fn describe(
        self,
        preview: &mut RequirementsPreview,
        options: &PythonOptions,
        added: &[&str],
    ) {
        preview.source = "project";
        let python_of_project = self.folder.join(".venv/bin/python");
        let python_of_project = python_of_project.display().to_string();
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let install: Vec<Vec<String>> = if self.kind == EnvironmentKind::Uv {
            preview.notices.push(
                "UV Enabled: Ignoring requested python packages, using repository uv lock file!"
                    .to_owned(),
            );
            let mut sync: Vec<String> = words(&["uv", "sync"]);
            if self.has_lock && options.uv.is_locked {
                sync.push("--locked".to_owned());
            }
            sync.extend(options.uv.sync_arguments.iter().cloned());
            for index in &options.extra_index_url {
                sync.extend(["--extra-index-url".to_owned(), index.to_string()]);
            }
            let mut launcher: Vec<String> = words(&["uv", "run"]);
            launcher.extend(options.uv.run_arguments.iter().cloned());
            launcher.extend(["--python".to_owned(), python_of_project.clone()]);
            launcher.push("python".to_owned());
            preview.launcher = Some(launcher);
            vec![sync]
        } else {
            preview.notices.push(
                "Poetry Enabled: Ignoring requested python packages, using repository poetry lock file!"
                    .to_owned(),
            );
            let mut install: Vec<String> = words(&["poetry", "install", "-n"]);
            install.extend(options.poetry.install_arguments.iter().cloned());
            preview.launcher = Some(words(&["poetry", "run", "python"]));
            vec![
                words(&[
                    "poetry",
                    "config",
                    "--local",
                    "virtualenvs.in-project",
                    "true",
                ]),
                install,
            ]
        };
        preview.install = install;
        if !added.is_empty() {
            let mut add: Vec<String> = if self.kind == EnvironmentKind::Uv {
                words(&["uv", "pip", "install", "--python", &python_of_project])
            } else {
                words(&["poetry", "run", "python", "-m", "pip", "install"])
            };
            add.extend(added.iter().map(|&package| package.to_owned()));
            preview.install.push(add);
        }
    }
}
