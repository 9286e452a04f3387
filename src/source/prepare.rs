//! Gets a task's code into its environment folder, from the task's raw fields to the folder in which it starts.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::checkout::{Checkout, Files, Plan};
use super::diff::DiffField;
use super::entry_point::{Interpreter, lexical};
use super::git::Git;
use super::literal::{self, Placement, Run};
use super::mirror::{Mirror, Wanted, remove_folder};
use super::request::{CheckedOut, Code, CodeRequest, SourceOptions};
use super::submodules::Submodules;
use super::{GitUrl, SourceError, apply, blocking, filters, task_init};
use crate::process::Output;
use crate::visible;

/// Prepares the code of one task below `environment_folder`: `task_repository/<name>` for a checkout, `code` for a
/// script without repository (E-073). What earlier tasks left in these two folders is deleted first.
///
/// Lines for the console go to `output`. A failed repository leaves `Repository cloning failed: ...` there as its last
/// line; the text that follows it is [`SourceError::console_text`]. Runs programs, so call it from the main thread.
pub async fn fetch_code(
    request: &CodeRequest,
    options: &SourceOptions,
    environment_folder: &Path,
    output: &Output,
    cancel: &CancellationToken,
) -> Result<Code, SourceError> {
    let request = request.normalised(options);
    if options.force_exec_script.is_some() {
        let (folder, script) = (&request.working_dir, &request.entry_point);
        output.line(format!(
            "WARNING: Using forced script entry [{folder}:{script}]"
        ));
    }
    if let Some(folder) = &options.force_code_dir {
        return forced_folder(folder, &request);
    }
    warn_of_fields(&request, output);
    let prepared = Preparation {
        request: &request,
        options,
        output,
        cancel,
    };
    let code = prepared.run(environment_folder).await.map_err(|error| {
        // Whatever a stopped step says of itself.
        if cancel.is_cancelled() {
            SourceError::Cancelled
        } else {
            error
        }
    })?;
    if options.force_task_init {
        task_init::patch(&code, output);
    }
    Ok(code)
}

struct Preparation<'a> {
    request: &'a CodeRequest,
    options: &'a SourceOptions,
    output: &'a Output,
    cancel: &'a CancellationToken,
}

impl Preparation<'_> {
    async fn run(&self, environment_folder: &Path) -> Result<Code, SourceError> {
        let repository_folder = environment_folder.join("task_repository");
        let code_folder = environment_folder.join("code");
        if !self.options.is_standalone {
            remove_folder(&repository_folder)?;
            remove_folder(&code_folder)?;
        }
        if self.request.repository.is_empty() {
            return self.without_repository(&code_folder);
        }
        if self.options.is_standalone {
            return self
                .with_repository(self.prepared_checkout(&repository_folder)?)
                .await;
        }
        let checkout = self
            .check_out(&repository_folder)
            .await
            .map_err(SourceError::in_repository);
        if let Err(error) = &checkout
            && error.is_repository_failure()
            && !self.cancel.is_cancelled()
        {
            self.output
                .line(format!("Repository cloning failed: {error}"));
        }
        self.with_repository(checkout?).await
    }

    /// The checkout that an earlier run has left (E-029).
    fn prepared_checkout(&self, repository_folder: &Path) -> Result<Checkout, SourceError> {
        let remote = self
            .options
            .rules
            .resolve(&GitUrl::parse(&self.request.repository));
        let folder = repository_folder.join(remote.task_url.folder_name());
        let root = fs::canonicalize(&folder)
            .map_err(|_| SourceError::PreparedCodeMissing(folder.clone()))?;
        let commit = git2::Repository::open(&root)
            .and_then(|repository| Ok(repository.head()?.peel_to_commit()?.id().to_string()))
            .map_err(SourceError::git("read the checkout that is there"))?;
        self.output.line(format!("root: {}", root.display()));
        Ok(Checkout {
            title: commit.clone(),
            git_folder: root.join(".git"),
            root,
            commit,
            filters: BTreeSet::new(),
            files: Files::Written,
            has_submodules: false,
        })
    }

    fn check_wanted(&self) -> Result<(), SourceError> {
        if self.cancel.is_cancelled() {
            return Err(SourceError::Cancelled);
        }
        Ok(())
    }

    async fn check_out(&self, repository_folder: &Path) -> Result<Checkout, SourceError> {
        reject_options(self.request)?;
        let remote = self
            .options
            .rules
            .resolve(&GitUrl::parse(&self.request.repository));
        for message in &remote.messages {
            self.output.line(message);
        }
        let revision = self.request.revision();
        fs::create_dir_all(repository_folder)
            .map_err(SourceError::file("create", repository_folder))?;
        let wanted = Wanted {
            remote: &remote,
            revision: &revision,
            private_folder: repository_folder,
        };
        let mirror = Mirror::prepare(&wanted, self.options, self.output, self.cancel).await?;
        self.check_wanted()?;
        let plan = Plan {
            mirror: mirror.path.clone(),
            folder: repository_folder.join(remote.task_url.folder_name()),
            git_folder: None,
            url: remote.url.to_string(),
            revision,
            has_git_program: Git::find(&self.options.environment).is_some(),
        };
        let cancel = self.cancel.clone();
        let checkout = blocking(move || plan.carry_out(&cancel)).await?;
        let (options, output, cancel) = (self.options, self.output, self.cancel);
        filters::finish(&checkout, &mirror.path, &remote, options, output, cancel).await?;
        // Nobody has to wait for the submodules.
        drop(mirror);
        self.output
            .line(format!("HEAD is now at {}", checkout.title));
        if checkout.has_submodules {
            let submodules = Submodules {
                options,
                output,
                cancel,
            };
            submodules.update(&checkout, &remote, 0).await?;
        }
        for line in [
            "type: git",
            &format!("url: {}", remote.task_url),
            "branch: HEAD",
        ] {
            self.output.line(line);
        }
        self.output.line(format!("commit: {}", checkout.commit));
        self.output
            .line(format!("root: {}", checkout.root.display()));
        Ok(checkout)
    }

    async fn with_repository(&self, checkout: Checkout) -> Result<Code, SourceError> {
        self.check_wanted()?;
        let request = self.request;
        let mut working_dir = request.working_dir.clone();
        let mut entry_point = request.entry_point.clone();
        let script_folder;
        match DiffField::of(&request.diff) {
            DiffField::Script(script) => {
                let (placement, text) = self.placement(script);
                working_dir.clone_from(&placement.working_dir);
                script_folder = folder_inside(&checkout.root, &working_dir)?;
                // A program may be started behind a link, but nothing is written there.
                let real = fs::canonicalize(&script_folder);
                let below = real.as_ref().map(|real| real.strip_prefix(&checkout.root));
                if !matches!(below, Ok(Ok(below)) if !literal::is_of_git(below)) {
                    return Err(SourceError::OutsideFolder {
                        field: "working dir",
                        value: working_dir,
                    });
                }
                entry_point = write(&script_folder, &placement, &text)?;
            }
            DiffField::Diff(diff) => {
                apply::apply(diff, &checkout.root, self.options, self.output, self.cancel).await?;
                script_folder = folder_inside(&checkout.root, &working_dir)?;
            }
            DiffField::Empty => script_folder = folder_inside(&checkout.root, &working_dir)?,
        }
        self.output.line("");
        self.output.line("");
        Ok(Code {
            repository: Some(CheckedOut {
                url: request.shown_repository(),
                branch: "HEAD".to_owned(),
                commit: checkout.commit,
            }),
            root: checkout.root,
            script_folder,
            entry_point,
            working_dir,
        })
    }

    /// E-085, E-087
    fn without_repository(&self, code_folder: &Path) -> Result<Code, SourceError> {
        let request = self.request;
        fs::create_dir_all(code_folder).map_err(SourceError::file("create", code_folder))?;
        let root = fs::canonicalize(code_folder).map_err(SourceError::file("find", code_folder))?;
        let mut working_dir = request.working_dir.clone();
        let mut entry_point = request.entry_point.clone();
        if let DiffField::Script(script) = DiffField::of(&request.diff) {
            let (placement, text) = self.placement(script);
            working_dir.clone_from(&placement.working_dir);
            if !matches!(working_dir.as_str(), "" | ".") {
                self.output.line(format!(
                    "found task with `script.working_dir` (`{}`) but without `script.repository`, ignoring",
                    visible::line(&working_dir)
                ));
            }
            entry_point = write(&root, &placement, &text)?;
        } else {
            self.output.line(
                "WARNING: running a task without repository or literal script in `script.diff`",
            );
        }
        Ok(Code {
            script_folder: root.clone(),
            root,
            entry_point,
            working_dir,
            repository: None,
        })
    }

    fn placement(&self, script: &str) -> (Placement, String) {
        let interpreter = Interpreter::of(&self.request.binary);
        let placement = literal::place(
            &self.request.entry_point,
            &self.request.working_dir,
            interpreter,
            script,
        );
        if let Some(notice) = &placement.notice {
            self.output.line(visible::line(notice));
        }
        (placement, literal::text(script, interpreter))
    }
}

fn write(folder: &Path, placement: &Placement, text: &str) -> Result<String, SourceError> {
    let path = literal::write_inside(folder, Path::new(&placement.file), text.as_bytes())?;
    Ok(match &placement.run {
        Run::AsGiven(entry_point) => entry_point.clone(),
        Run::WrittenFile => path.to_string_lossy().into_owned(),
    })
}

/// E-074
fn forced_folder(folder: &Path, request: &CodeRequest) -> Result<Code, SourceError> {
    let root = fs::canonicalize(folder)
        .ok()
        .filter(|root| root.is_dir())
        .ok_or_else(|| SourceError::CodeFolderMissing(folder.to_owned()))?;
    Ok(Code {
        script_folder: root.clone(),
        root,
        entry_point: request.entry_point.clone(),
        working_dir: request.working_dir.clone(),
        repository: None,
    })
}

/// E-013
fn warn_of_fields(request: &CodeRequest, output: &Output) {
    if request.working_dir.contains('\\') {
        output.line(format!(
            "clearml_agent: Warning: Working dir \"{}\" contains backslashes. All path separators must be forward slashes.",
            visible::line(&request.working_dir)
        ));
    }
    if request.entry_point.is_empty() {
        output.line("notice: `script.entry_point` is empty");
    }
}

/// E-036, and what no repository, branch, tag or commit has in its name.
pub(super) fn reject_options(request: &CodeRequest) -> Result<(), SourceError> {
    let fields = [
        ("repository", &request.repository),
        ("version_num", &request.version_num),
        ("tag", &request.tag),
        ("branch", &request.branch),
    ];
    for (field, value) in fields {
        let value = value.clone();
        if value.starts_with('-') {
            return Err(SourceError::OptionLike { field, value });
        }
        if value.contains(char::is_control) {
            return Err(SourceError::ControlCharacter { field, value });
        }
    }
    Ok(())
}

/// The working folder from the root of the checkout, none for the root itself; it never leads out.
pub(super) fn relative_folder(working_dir: &str) -> Result<Option<String>, SourceError> {
    let relative = lexical(working_dir);
    let is_outside = relative.starts_with('/')
        || relative == ".."
        || relative.starts_with("../")
        || literal::is_of_git(Path::new(&relative));
    if is_outside {
        return Err(SourceError::OutsideFolder {
            field: "working dir",
            value: working_dir.to_owned(),
        });
    }
    Ok(Some(relative).filter(|relative| relative != "."))
}

/// E-093, E-094: the working folder, which lies in the checkout.
fn folder_inside(root: &Path, working_dir: &str) -> Result<PathBuf, SourceError> {
    let folder = match relative_folder(working_dir)? {
        Some(relative) => root.join(relative),
        None => root.to_owned(),
    };
    if folder.is_dir() {
        Ok(folder)
    } else {
        Err(SourceError::WorkingDirectoryMissing(working_dir.to_owned()))
    }
}
