//! What would become of a task's code, without fetching or writing anything: for a plan that is only shown.

use std::path::{Path, PathBuf};

use super::diff::DiffField;
use super::entry_point::{Interpreter, lexical};
use super::known_files::KnownFiles;
use super::literal::{self, Run};
use super::mirror;
use super::prepare::{reject_options, relative_folder};
use super::request::{CodeRequest, SourceOptions};
use super::rewrite::Remote;
use super::{Delivery, GitUrl, SourceError};

/// The code of a task as it would be.
#[derive(Debug)]
pub struct CodePreview {
    /// Where it comes from; none for a script without a repository.
    pub repository: Option<RepositoryPreview>,
    /// The checkout, or the folder of the script.
    pub root: PathBuf,
    /// Where the program would start (E-093).
    pub script_folder: PathBuf,
    /// The entry point as it would be run (E-091).
    pub entry_point: String,
    /// The working folder as it is shown (E-087).
    pub working_dir: String,
    /// What the entry point is.
    pub kind: ScriptKind,
    /// The files of the checkout, where the mirror on this machine has them.
    pub files: Option<KnownFiles>,
    /// What a user should know.
    pub notices: Vec<String>,
    /// The script that the task brings itself, from the script folder.
    written: Option<String>,
}

/// A repository as git would be told of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RepositoryPreview {
    /// What git gets: no password.
    pub url: String,
    /// How credentials would reach the server, in one word: `none`, `askpass`, `azure_pat_header`, `entra_header`.
    pub credentials: &'static str,
    /// The user and where the pair comes from.
    pub credential_source: Option<String>,
    /// The commit is on this machine: no network call would be made.
    pub is_cached: bool,
}

/// What an entry point is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ScriptKind {
    /// A file of the repository.
    File,
    /// The task's own text.
    Literal,
    /// `-m ...`
    Module,
    /// `-c ...`
    Command,
    /// A notebook, which is converted first.
    Notebook,
    /// A script for a shell.
    Shell,
}

impl ScriptKind {
    /// The kind in one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Literal => "literal",
            Self::Module => "module",
            Self::Command => "command",
            Self::Notebook => "notebook",
            Self::Shell => "shell",
        }
    }

    fn of(request: &CodeRequest) -> Self {
        let entry_point = request.entry_point.trim();
        let first = entry_point.split_whitespace().next().unwrap_or_default();
        let is_notebook = Path::new(entry_point)
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("ipynb"));
        let is_literal = matches!(DiffField::of(&request.diff), DiffField::Script(_));
        if Interpreter::of(&request.binary) == Interpreter::Shell {
            Self::Shell
        } else if first == "-m" {
            Self::Module
        } else if first == "-c" {
            Self::Command
        } else if is_notebook {
            Self::Notebook
        } else if is_literal {
            Self::Literal
        } else {
            Self::File
        }
    }
}

impl CodePreview {
    /// The code of `request`, whose fields are normalised, as it would be below `environment_folder`.
    ///
    /// Fails where a run would refuse the task for what its fields say. Blocks for as long as the mirror takes to be read.
    pub fn of(
        request: &CodeRequest,
        options: &SourceOptions,
        environment_folder: &Path,
    ) -> Result<Self, SourceError> {
        let mut preview = Self {
            repository: None,
            root: environment_folder.join("code"),
            script_folder: PathBuf::new(),
            entry_point: request.entry_point.clone(),
            working_dir: request.working_dir.clone(),
            kind: ScriptKind::of(request),
            files: None,
            notices: Vec::new(),
            written: None,
        };
        if let Some(folder) = &options.force_code_dir {
            preview.root.clone_from(folder);
            preview.script_folder.clone_from(folder);
            return Ok(preview);
        }
        if !request.repository.is_empty() {
            reject_options(request)?;
            preview.add_repository(request, options, environment_folder);
        }
        let run = match DiffField::of(&request.diff) {
            DiffField::Script(script) => Some(preview.add_script(request, script)),
            DiffField::Diff(_) | DiffField::Empty => None,
        };
        preview.script_folder = if preview.repository.is_some() {
            preview.folder_of_script()?
        } else {
            preview.root.clone()
        };
        match (run, &preview.written) {
            (Some(Run::AsGiven(entry_point)), _) => preview.entry_point = entry_point,
            (Some(Run::WrittenFile), Some(file)) => {
                let path = preview.script_folder.join(file);
                preview.entry_point = path.display().to_string();
            }
            _ => {}
        }
        Ok(preview)
    }

    /// E-093, E-094
    fn folder_of_script(&self) -> Result<PathBuf, SourceError> {
        let relative = relative_folder(&self.working_dir)?;
        let Some(relative) = relative else {
            return Ok(self.root.clone());
        };
        let is_missing = self.files.as_ref();
        if is_missing.is_some_and(|files| !files.is_folder(Path::new(&relative))) {
            let folder = self.working_dir.clone();
            return Err(SourceError::WorkingDirectoryMissing(folder));
        }
        Ok(self.root.join(relative))
    }

    fn add_repository(
        &mut self,
        request: &CodeRequest,
        options: &SourceOptions,
        environment_folder: &Path,
    ) {
        let remote = options.rules.resolve(&GitUrl::parse(&request.repository));
        self.notices.extend(remote.messages.iter().cloned());
        self.root = environment_folder
            .join("task_repository")
            .join(remote.task_url.folder_name());
        let mirror = mirror::place(options, &remote);
        let is_cached = options.cache_enabled && mirror::is_cached(&mirror, &remote, request);
        let files = KnownFiles::in_mirror(&mirror, request);
        match &files {
            None => self.notices.push(
                "what is wanted of the repository is not on this machine yet: its files are not known".to_owned(),
            ),
            Some(Ok(_)) if !is_cached => self
                .notices
                .push("the repository's files are shown as they were fetched last".to_owned()),
            Some(Ok(_)) => {}
            Some(Err(error)) => self.notices.push(error.to_string()),
        }
        self.files = files.and_then(Result::ok);
        let pair = remote.credentials.as_ref();
        self.repository = Some(RepositoryPreview {
            url: remote.url.to_string(),
            credentials: credentials_word(&remote),
            credential_source: pair
                .map(|pair| format!("user `{}` from {}", pair.user, pair.source.describe())),
            is_cached,
        });
    }

    fn add_script(&mut self, request: &CodeRequest, script: &str) -> Run {
        let placement = literal::place(
            &request.entry_point,
            &request.working_dir,
            Interpreter::of(&request.binary),
            script,
        );
        self.notices.extend(placement.notice);
        self.working_dir = placement.working_dir;
        self.written = Some(placement.file);
        placement.run
    }

    /// Whether the entry point would be a file in the script folder (E-098).
    pub fn is_file(&self) -> bool {
        let path = self.script_folder.join(&self.entry_point);
        if let Some(written) = &self.written
            && path == self.script_folder.join(written)
        {
            return true;
        }
        match (&self.files, path.strip_prefix(&self.root)) {
            (Some(files), Ok(inside)) => files.is_file(&lexical_path(inside)),
            _ => !self.entry_point.contains(char::is_whitespace),
        }
    }
}

fn lexical_path(path: &Path) -> PathBuf {
    PathBuf::from(lexical(&path.to_string_lossy()))
}

fn credentials_word(remote: &Remote) -> &'static str {
    match (&remote.credentials, remote.delivery) {
        (None, _) => "none",
        (Some(_), Delivery::Askpass) => "askpass",
        (Some(_), Delivery::AzurePat) => "azure_pat_header",
        (Some(_), Delivery::EntraToken) => "entra_header",
    }
}
