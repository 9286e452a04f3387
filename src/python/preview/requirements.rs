//! Which packages would be installed, by which calls.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::super::code_location::{CodeLocation, requirements_files};
use super::super::error::PythonError;
use super::super::install::{added_packages, download_place, resolve_torch, with_added};
use super::super::interpreter::Interpreter;
use super::super::lines::{RequirementLines, read_file};
use super::super::links::Links;
use super::super::options::{PythonOptions, PythonRequest};
use super::super::pip::{Pip, has_old_resolver, pip_specifications};
use super::super::plan::{InstallPlan, MainLine, PlanContext};
use super::super::requirements::RequirementList;
use super::super::torch::Torch;
use super::project::Project;
use super::{EnvironmentKind, EnvironmentPreview};
use crate::process::Output;

/// Stands for the list of a run (E-159).
const MAIN_FILE: &str = "cached-reqs.txt";

/// The packages of a task as they would be installed (E 6, 7).
#[derive(Clone, Debug, Default, Serialize)]
pub struct RequirementsPreview {
    /// Where the list comes from, in one word: `task`, `original`, `repository`, `project`, `none`.
    pub source: &'static str,
    /// Lines of the main file.
    pub lines: Vec<String>,
    /// Installed one by one before it (E-151, E-152).
    pub before: Vec<String>,
    /// Installed one by one after it (E-153, E-177, E-178).
    pub after: Vec<String>,
    /// Extra indexes, configured ones first (E-141).
    pub extra_index_urls: Vec<String>,
    /// The calls, in order.
    pub install: Vec<Vec<String>>,
    /// The words that would stand for the interpreter, for a project of uv or poetry (E-219, E-223).
    #[serde(skip)]
    pub launcher: Option<Vec<String>>,
    /// What a user should know.
    #[serde(skip)]
    pub notices: Vec<String>,
}

/// Text of a file by its path from the root of the checkout.
pub type TextOfFile<'a> = dyn Fn(&Path) -> Option<String> + 'a;

/// The code of the task, as far as it is known.
#[derive(Clone, Copy)]
pub struct CodeFiles<'a> {
    /// Where it would be.
    pub location: CodeLocation<'a>,
    /// None where the files are not known.
    pub text: Option<&'a TextOfFile<'a>>,
}

impl CodeFiles<'_> {
    fn read(&self, path: &Path) -> Option<String> {
        let inside = self.location.root.and_then(|root| {
            let inside = path.strip_prefix(root).ok()?;
            Some(inside.components().as_path().to_owned())
        });
        match (inside, self.text) {
            (Some(inside), Some(text)) => text(&inside),
            (Some(_), None) => None,
            (None, _) => read_file(path),
        }
    }

    pub(super) fn has(&self, path: &Path) -> bool {
        self.read(path).is_some()
    }
}

impl std::fmt::Debug for CodeFiles<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CodeFiles")
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

impl EnvironmentPreview {
    /// The packages that a run would install.
    pub async fn requirements(
        &self,
        request: &PythonRequest,
        options: &PythonOptions,
        links: &Links,
        code: CodeFiles<'_>,
        cancel: &CancellationToken,
    ) -> Result<RequirementsPreview, PythonError> {
        let mut preview = RequirementsPreview {
            source: self.source,
            ..RequirementsPreview::default()
        };
        let Some((interpreter, _)) = self.interpreter.as_ref().filter(|_| self.kind.installs())
        else {
            preview.source = "none";
            return Ok(preview);
        };
        let nowhere =
            Output::nowhere().map_err(PythonError::files("open", Path::new("/dev/null")))?;
        let python = self.python().unwrap_or_default();
        let mut pip = Pip::new(&python, options, &nowhere, cancel);
        let (added, notices) = added_packages(request, options);
        preview
            .notices
            .extend(notices.into_iter().map(str::to_owned));
        let project = Project::of(self.kind, code, options);
        if let Some(project) = project {
            project.describe(&mut preview, options, &added);
            return Ok(preview);
        }
        if self.kind == EnvironmentKind::Conda {
            preview.notices.push(
                "conda gets what it has of the list; the lines and calls are those of pip for what it does not have"
                    .to_owned(),
            );
        }
        if self.kind == EnvironmentKind::Uv {
            preview
                .notices
                .push("INFO: using UV as pip drop-in replacement".to_owned());
        } else if !self.is_cached {
            let specifications = pip_specifications(options, &self.requirements);
            pip.is_legacy = has_old_resolver(&specifications, interpreter.version, options);
            if self.keeps_bundled_pip(request, &added, code) {
                preview.notices.push(
                    "nothing is installed: pip stays as the interpreter brings it".to_owned(),
                );
            } else {
                let mut words = vec!["install".to_owned()];
                words.extend(specifications);
                words.push("--upgrade".to_owned());
                preview.install.push(pip.shown(&words));
            }
        }
        let mut torch = Torch::new(&options.torch, &options.cuda_version, interpreter.version);
        let folder = code.location.root.unwrap_or(code.location.script_folder);
        for text in self.lists(request, &added, code, &mut preview) {
            let read = |path: &Path| code.read(path);
            let lines = RequirementLines::read(&text, folder, &read);
            let choices = if self.is_cached {
                super::super::torch::TorchChoices::default()
            } else {
                tokio::select! {
                    choices = resolve_torch(&mut torch, &lines, &[], &[]) => choices,
                    () = cancel.cancelled() => return Err(PythonError::Cancelled),
                }
            };
            let context = PlanContext {
                options,
                links,
                existing: &[],
                exists: &|path| path.exists(),
                torch: &choices,
            };
            let plan = if self.is_cached {
                InstallPlan::cached(lines, &context)
            } else {
                InstallPlan::fresh(lines, &context)
            };
            preview.add(plan, &mut pip);
        }
        preview.extra_index_urls = pip.indexes.iter().map(ToString::to_string).collect();
        Ok(preview)
    }

    /// Whether pip would not be brought to the wanted version, because there is nothing to install.
    fn keeps_bundled_pip(
        &self,
        request: &PythonRequest,
        added: &[&str],
        code: CodeFiles<'_>,
    ) -> bool {
        let is_new = self.kind.is_made() && self.kind != EnvironmentKind::Conda;
        let is_old = |(interpreter, _): &(Interpreter, String)| interpreter.version.is_before_3_9();
        let is_known = code.location.root.is_none() || code.text.is_some();
        let entry_point = &request.entry_point;
        let has_file = |path: &Path| code.has(path);
        let location = code.location;
        let files = location.repository_lists(&self.requirements, entry_point, &has_file);
        let has_list = !self.requirements.is_empty() || !added.is_empty() || !files.is_empty();
        is_new && is_known && !has_list && !self.interpreter.as_ref().is_some_and(is_old)
    }

    /// The texts of which each is installed on its own (E-130, E-131).
    fn lists(
        &self,
        request: &PythonRequest,
        added: &[&str],
        code: CodeFiles<'_>,
        preview: &mut RequirementsPreview,
    ) -> Vec<String> {
        let list = self.requirements.pip.as_ref().map(RequirementList::text);
        let root = match code.location.root {
            Some(root) if self.requirements.is_empty() => root,
            _ => return vec![with_added(added, list.as_deref().unwrap_or_default())],
        };
        let script_folder = code.location.script_folder;
        let files = requirements_files(root, script_folder, &request.entry_point, &|path| {
            code.has(path)
        });
        if code.text.is_none() {
            preview.source = "repository";
            preview.notices.push(
                "whatever `requirements.txt` the repository has would be installed".to_owned(),
            );
        } else if files.is_empty() {
            preview.notices.push(
                "Warning: installing NO task requirements or repository requirements".to_owned(),
            );
        }
        if files.is_empty() {
            return vec![with_added(added, "")];
        }
        preview.source = "repository";
        let texts = files.iter().enumerate().map(|(place, file)| {
            let text = code.read(file).unwrap_or_default();
            with_added(if place == 0 { added } else { &[] }, &text)
        });
        texts.collect()
    }
}

impl RequirementsPreview {
    /// One more list, as the run would go through it.
    fn add(&mut self, plan: InstallPlan, pip: &mut Pip<'_>) {
        self.notices.extend(plan.notices);
        pip.add_indexes(&plan.indexes);
        pip.list_options = plan.options;
        for package in plan.before {
            self.install
                .push(pip.shown_install(std::slice::from_ref(&package.argument)));
            self.before.push(package.argument);
        }
        let mut has_main = false;
        for line in plan.main {
            has_main = true;
            let text = match &line.download {
                Some(url) => self.add_download(url, &line, pip),
                None => line.full(),
            };
            self.lines.push(text);
        }
        if has_main {
            self.install
                .push(pip.shown_install(&["-r".to_owned(), MAIN_FILE.to_owned()]));
        }
        for package in plan.after {
            self.install
                .push(pip.shown_install(std::slice::from_ref(&package.shown)));
            self.after.push(package.shown);
        }
    }
}

impl RequirementsPreview {
    /// E-184
    fn add_download(&mut self, url: &str, line: &MainLine, pip: &Pip<'_>) -> String {
        let Some((folder, name)) = download_place(pip.options, url) else {
            return line.uncached(url);
        };
        let folder = folder.display().to_string();
        let words = ["download", url, "--dest", &folder, "--no-deps"].map(str::to_owned);
        self.install.push(pip.shown(&words));
        line.with_place(&format!("file://{folder}/{name}"))
    }
}

/// The folder of a project, if there is one.
pub(super) fn project_folder(
    code: CodeFiles<'_>,
    in_working_dir: bool,
    files: &[&str],
) -> Option<(PathBuf, Vec<PathBuf>)> {
    let folder = code.location.project_folder(in_working_dir)?.to_owned();
    let found: Vec<PathBuf> = files
        .iter()
        .map(|name| folder.join(name))
        .filter(|path| code.has(path))
        .collect();
    (!found.is_empty()).then_some((folder, found))
}
