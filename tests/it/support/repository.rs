//! A git repository for a task's code.

use std::fs;
use std::path::{Path, PathBuf};

use git2::{DiffFormat, IndexAddOption, Repository as Git, RepositoryInitOptions, Signature};

/// A repository with one commit on `main`.
#[derive(Debug)]
pub(crate) struct Repository {
    folder: PathBuf,
    commit: String,
}

impl Repository {
    /// Commits these files, with `one` as the message.
    pub(crate) fn create(folder: &Path, files: &[(&str, &str)]) -> Self {
        let mut options = RepositoryInitOptions::new();
        let git = Git::init_opts(folder, options.initial_head("main").mkpath(true)).unwrap();
        for (file, text) in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().expect("a folder")).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut index = git.index().unwrap();
        index.add_all(["*"], IndexAddOption::DEFAULT, None).unwrap();
        index.write().unwrap();
        let tree = git.find_tree(index.write_tree().unwrap()).unwrap();
        let author = Signature::now("Author", "author@example.com").unwrap();
        let commit = git.commit(Some("HEAD"), &author, &author, "one", &tree, &[]);
        Self {
            folder: folder.to_owned(),
            commit: commit.unwrap().to_string(),
        }
    }

    /// `file://…`
    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.folder.display())
    }

    /// The commit's id.
    pub(crate) fn commit(&self) -> &str {
        &self.commit
    }

    /// Adds `text` to a file without committing it, and gives the difference as `git diff` does.
    pub(crate) fn append(&self, file: &str, text: &str) -> String {
        let path = self.folder.join(file);
        let committed = fs::read_to_string(&path).unwrap();
        fs::write(path, committed + text).unwrap();
        let git = Git::open(&self.folder).unwrap();
        let diff = git.diff_index_to_workdir(None, None).unwrap();
        let mut patch = String::new();
        diff.print(DiffFormat::Patch, |_, _, line| {
            if matches!(line.origin(), '+' | '-' | ' ') {
                patch.push(line.origin());
            }
            patch.push_str(std::str::from_utf8(line.content()).expect("a text"));
            true
        })
        .unwrap();
        patch
    }
}
