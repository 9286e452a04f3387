//! Installs what the task or its repository names into the environment (E section 7.1).

use std::fs;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::code_location::CodeLocation;
use super::environment::{Environment, Origin, Project};
use super::error::{FailedCommand, PythonError};
use super::index_url::IndexUrl;
use super::installed;
use super::installer_folder::InstallerFolder;
use super::lines::{RequirementLines, read_file};
use super::links::Links;
use super::options::{PackageManager, PythonOptions, PythonRequest};
use super::pip::{Pip, has_old_resolver, list_file, pip_specifications, wants_legacy_resolver};
use super::plan::{InstallPlan, MainLine, PlanContext, Requested, SeparateKind, is_existing};
use super::requirement::Requirement;
use super::requirements::RequirementList;
use super::tool::ToolContext;
use super::torch::{Torch, TorchChoices};
use crate::process::Output;
use crate::secrets;

/// What was installed, for the report.
#[derive(Clone, Debug, Default)]
pub struct Installed {
    /// True where there was something to install from: a list of the task, or a repository (E-195).
    pub(super) has_source: bool,
    pub(super) requested: Requested,
    /// Address of a file in the download cache, and the link that it stands for.
    pub(super) downloads: Vec<(String, String)>,
    /// True where the installer was told to install anything.
    pub(super) is_changed: bool,
    /// Folder in which local packages are looked up.
    pub(super) folder: PathBuf,
}

/// How a list ends in an error (E-132).
enum Source<'a> {
    Task,
    File(&'a Path),
}

impl Environment {
    /// Installs the task's list, else the `requirements.txt` files of the repository (E-130).
    pub async fn install(
        &mut self,
        request: &PythonRequest,
        code: CodeLocation<'_>,
        options: &PythonOptions,
        links: &Links,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<Installed, PythonError> {
        let installed = self.install_wanted(request, code, options, links, output, cancel);
        let installed = Box::pin(installed).await?;
        self.is_changed |= installed.is_changed;
        Ok(installed)
    }

    async fn install_wanted(
        &mut self,
        request: &PythonRequest,
        code: CodeLocation<'_>,
        options: &PythonOptions,
        links: &Links,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<Installed, PythonError> {
        let folder = code.root.unwrap_or(code.script_folder).to_owned();
        let mut installed = Installed {
            has_source: !self.requirements.is_empty() || code.root.is_some(),
            folder: folder.clone(),
            ..Installed::default()
        };
        if self.origin == Origin::Untouched {
            if self.is_as_it_is {
                let context = ToolContext {
                    options,
                    output,
                    cancel,
                };
                Box::pin(self.add_clearml(context)).await?;
            }
            return Ok(Installed::default());
        }
        let mut pip = Pip::new(self.python(), options, output, cancel);
        pip.folder = Some(folder.clone());
        let list_folder = folder;
        let temporary = InstallerFolder::create().map_err(PythonError::files(
            "make a folder in",
            &std::env::temp_dir(),
        ))?;
        pip.temporary = Some(temporary.path().to_owned());
        let (added, notices) = added_packages(request, options);
        for notice in notices {
            output.line(notice);
        }
        let context = ToolContext {
            options,
            output,
            cancel,
        };
        if let Some(conda) = &self.conda {
            if conda.is_read_only {
                output.line("Conda environment in read-only mode, skipping pip upgrade.");
                output.line(
                    "Conda environment in read-only mode, skipping requirements installation.",
                );
                return Ok(installed);
            }
            pip.conda = Some(conda.activation.clone());
        } else if Box::pin(self.install_project(code, &added, &mut pip, context)).await? {
            return Ok(installed);
        }
        let mut session = Session {
            existing: Vec::new(),
            links,
            installed: &mut installed,
            pip,
            is_cached: self.is_cached(),
            torch: Torch::new(&options.torch, &options.cuda_version, self.version()),
        };
        let list = self.requirements.pip.as_ref().map(RequirementList::text);
        let files = code.repository_lists(&self.requirements, &request.entry_point, &Path::is_file);
        let installs = !self.requirements.is_empty() || !added.is_empty() || !files.is_empty();
        if session.is_cached {
            let has_links = list.as_ref().is_some_and(|list| list.contains(['@', '/']));
            session.existing = session.find_existing(self, has_links).await?;
        } else {
            if let Some(conda) = &self.conda {
                conda
                    .upgrade_pip(&self.requirements, self.version(), context)
                    .await?;
            }
            let has_pip = self.conda.is_some() || session.pip.uv.is_some();
            if !has_pip && !installs && self.take_bundled_pip(&session.pip).await? {
                session.expect_pip(self);
            } else {
                if !has_pip {
                    self.prepare_pip(&session.pip).await?;
                }
                session.look_around(self).await?;
            }
        }
        if !self.requirements.is_empty() || code.root.is_none() {
            let text = with_added(&added, list.as_deref().unwrap_or_default());
            let task = Some(&self.requirements);
            let text = self.for_pip(text, task, &list_folder, context).await?;
            session.install_list(&text, &Source::Task).await?;
        } else {
            if files.is_empty() {
                session
                    .install_list(&with_added(&added, ""), &Source::Task)
                    .await?;
                output.line("Warning: installing NO task requirements or repository requirements");
            }
            for (place, file) in files.iter().enumerate() {
                output.line(format!("Trying pip install: {}", file.display()));
                let text = fs::read(file).map_err(PythonError::files("read", file))?;
                let text = String::from_utf8_lossy(&text);
                let text = with_added(if place == 0 { &added } else { &[] }, &text);
                let text = self.for_pip(text, None, &list_folder, context).await?;
                session.install_list(&text, &Source::File(file)).await?;
            }
        }
        Ok(installed)
    }
}

impl Environment {
    /// Installs a project of the repository, where a manager other than pip finds one; false where the rules of pip hold.
    async fn install_project(
        &mut self,
        code: CodeLocation<'_>,
        added: &[&str],
        pip: &mut Pip<'_>,
        context: ToolContext<'_>,
    ) -> Result<bool, PythonError> {
        if !matches!(self.origin, Origin::Fresh(_)) {
            return Ok(false);
        }
        if context.options.package_manager == PackageManager::Poetry {
            let project = self.install_by_poetry(code, added, context).await?;
            let is_project = project.is_some();
            if let Some(project) = project {
                self.set_project(Project::Poetry(project));
            }
            return Ok(is_project);
        }
        let Some(uv) = self.uv.clone() else {
            return Ok(false);
        };
        // Where uv only brings the interpreter, its projects are those of another tool.
        if !self.uses_uv_pip
            && let Some(project) = self.install_by_uv(&uv, code, added, context).await?
        {
            self.set_project(Project::Uv(project));
            return Ok(true);
        }
        context
            .output
            .line("INFO: using UV as pip drop-in replacement");
        pip.uv = Some(uv);
        self.uses_uv_pip = true;
        Ok(false)
    }
}

/// One run of the installer over all lists of a task.
struct Session<'a> {
    pip: Pip<'a>,
    /// What was there before (E-161).
    existing: Vec<String>,
    links: &'a Links,
    installed: &'a mut Installed,
    is_cached: bool,
    torch: Torch<'a>,
}

impl Session<'_> {
    /// Lines of what the environment holds.
    ///
    /// One that sees no other packages can be read without starting pip, unless links are to be compared.
    async fn find_existing(
        &self,
        environment: &Environment,
        has_links: bool,
    ) -> Result<Vec<String>, PythonError> {
        let is_own = environment.origin != Origin::Existing;
        if is_own && !self.pip.options.system_site_packages && !has_links {
            let packages = installed::packages(environment.folder());
            return Ok(packages
                .iter()
                .map(installed::InstalledPackage::line)
                .collect());
        }
        let place = environment.cache.as_ref().filter(|_| is_own);
        let sees_system = self.pip.options.system_site_packages;
        if let Some(frozen) = place.and_then(|place| place.known_freeze(sees_system)) {
            // And the installers, which it leaves out.
            let own = installed::packages(environment.folder());
            let own = own.iter().map(installed::InstalledPackage::line);
            return Ok(frozen.iter().cloned().chain(own).collect());
        }
        Ok(self.pip.freeze(true).await?.unwrap_or_default())
    }

    /// Says what the wanted pip would get, where nothing is installed and it is not there (E-140).
    fn expect_pip(&mut self, environment: &Environment) {
        let options = self.pip.options;
        let wanted = pip_specifications(options, &environment.requirements);
        self.pip.is_legacy = has_old_resolver(&wanted, environment.version(), options);
        self.say_resolver();
    }

    fn say_resolver(&self) {
        if self.pip.is_legacy {
            self.pip.output.line(
                "INFO: Using legacy resolver for PIP to avoid inconsistency with package versions!",
            );
        }
    }

    /// Notes what the environment holds, and decides about the resolver (E-140, E-161).
    async fn look_around(&mut self, environment: &Environment) -> Result<(), PythonError> {
        self.existing = self.find_existing(environment, false).await?;
        let version = self
            .existing
            .iter()
            .find_map(|line| line.strip_prefix("pip=="));
        let rules = &self.pip.options.pip_legacy_resolver;
        self.pip.is_legacy = version.is_some_and(|version| wants_legacy_resolver(rules, version));
        self.say_resolver();
        Ok(())
    }

    /// A list may replace pip by one without the old resolver (E-140).
    async fn check_resolver(&mut self) -> Result<(), PythonError> {
        if !self.pip.is_legacy {
            return Ok(());
        }
        let now = self.pip.freeze(true).await?.unwrap_or_default();
        let version = now.iter().find_map(|line| line.strip_prefix("pip=="));
        let rules = &self.pip.options.pip_legacy_resolver;
        if version.is_some_and(|version| !wants_legacy_resolver(rules, version)) {
            self.pip.is_legacy = false;
            self.pip.output.line("INFO: removing pip legacy resolver!");
        }
        Ok(())
    }

    async fn install_list(&mut self, text: &str, source: &Source<'_>) -> Result<(), PythonError> {
        let lines = RequirementLines::read(text, &self.installed.folder, &read_file);
        let torch = if self.is_cached {
            TorchChoices::default()
        } else {
            self.resolve_torch(&lines).await?
        };
        let context = PlanContext {
            torch: &torch,
            options: self.pip.options,
            links: self.links,
            existing: &self.existing,
            exists: &|path| path.exists(),
        };
        let mut plan = if self.is_cached {
            InstallPlan::cached(lines, &context)
        } else {
            InstallPlan::fresh(lines, &context)
        };
        for notice in &plan.notices {
            self.pip.output.line(notice);
        }
        self.pip.link_variables = self.links.variables();
        self.pip.add_indexes(&plan.indexes);
        self.pip.list_options = std::mem::take(&mut plan.options);
        let requested = std::mem::take(&mut plan.requested);
        self.installed.requested.add(requested);
        let left_out = self.install_before(&plan).await?;
        self.install_main(&plan, &left_out, source).await?;
        self.install_after(&plan).await
    }

    async fn resolve_torch(
        &mut self,
        lines: &RequirementLines,
    ) -> Result<TorchChoices, PythonError> {
        let preinstalled: &[String] = if self.pip.options.system_site_packages {
            &self.existing
        } else {
            &[]
        };
        tokio::select! {
            choices = resolve_torch(&mut self.torch, lines, &self.existing, preinstalled) => Ok(choices),
            () = self.pip.cancel.cancelled() => Err(PythonError::Cancelled),
        }
    }

    /// Priority packages; the places of the lines that the main file leaves out (E-151, E-152).
    async fn install_before(&mut self, plan: &InstallPlan) -> Result<Vec<usize>, PythonError> {
        let mut left_out = Vec::new();
        for package in &plan.before {
            let argument = [package.argument.as_str()];
            self.installed.is_changed = true;
            if self.pip.install(&argument, &argument).await?.is_err() && package.is_optional {
                left_out.push(package.line);
            }
            if self.installed.requested.pip {
                self.check_resolver().await?;
            }
        }
        Ok(left_out)
    }

    async fn install_main(
        &mut self,
        plan: &InstallPlan,
        left_out: &[usize],
        source: &Source<'_>,
    ) -> Result<(), PythonError> {
        let mut lines = Vec::new();
        for (place, line) in plan.main.iter().enumerate() {
            if left_out.contains(&place) {
                continue;
            }
            match &line.download {
                Some(url) => lines.push(self.download_cached(url, line).await?),
                None => lines.push(line.full()),
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        self.installed.is_changed = true;
        let file = list_file(&(lines.join("\n") + "\n"))?;
        let path = file.path().display().to_string();
        let arguments = ["-r", path.as_str()];
        match self.pip.install(&arguments, &arguments).await? {
            Ok(()) => Ok(()),
            Err(command) => Err(self.list_failed(&lines, command, source)),
        }
    }

    fn list_failed(
        &self,
        requirements: &[String],
        command: FailedCommand,
        source: &Source<'_>,
    ) -> PythonError {
        let output = self.pip.output;
        let text = requirements.join("\n");
        output.line(format!(
            "ERROR: installing pip requirements failed, requirements.txt:\n{text}\n"
        ));
        match source {
            Source::Task => PythonError::Requirements {
                requirements: masked(requirements),
                command,
            },
            Source::File(path) => {
                output.line(format!(
                    "ERROR: Failed installing requirements.txt:\n{text}"
                ));
                PythonError::RequirementsFile {
                    path: (*path).to_owned(),
                    requirements: masked(requirements),
                    command,
                }
            }
        }
    }

    /// Fetches a link once for all tasks of this machine (E-184).
    async fn download_cached(&mut self, url: &str, line: &MainLine) -> Result<String, PythonError> {
        // uv has a cache of its own.
        let place = download_place(self.pip.options, url).filter(|_| self.pip.uv.is_none());
        let Some((folder, name)) = place else {
            return Ok(line.uncached(url));
        };
        if let Err(error) = fs::create_dir_all(&folder) {
            self.pip.output.line(format!(
                "Failed creating pip download cache folder at `{}`: {error}",
                folder.display()
            ));
            return Ok(line.full());
        }
        let shown = IndexUrl::new(url);
        self.pip.output.line(format!(
            "clearml-agent: Downloading \"{shown}\" to pip cache"
        ));
        if self.pip.download(url, &folder).await?.is_err() {
            self.pip.output.line(format!(
                "clearml_agent: ERROR: Could not download wheel name of \"{shown}\""
            ));
            return Ok(line.full());
        }
        let cached = format!("file://{}/{name}", folder.display());
        self.installed
            .downloads
            .push((cached.clone(), url.to_owned()));
        Ok(line.with_place(&cached))
    }

    /// Post packages, links and local packages, one by one (E-153, E-177, E-178).
    async fn install_after(&mut self, plan: &InstallPlan) -> Result<(), PythonError> {
        let mut freeze = None;
        for package in &plan.after {
            if matches!(package.kind, SeparateKind::Vcs { .. }) {
                if freeze.is_none() {
                    freeze = Some(self.pip.freeze(false).await?.unwrap_or_default());
                }
                let notice = freeze
                    .as_deref()
                    .and_then(|freeze| package.already_installed(freeze));
                if let Some(notice) = notice {
                    self.pip.output.line(notice);
                    continue;
                }
            }
            self.installed.is_changed = true;
            let result = self
                .pip
                .install(&[&package.argument], &[&package.shown])
                .await?;
            let is_optional = matches!(package.kind, SeparateKind::Post { is_optional: true });
            match result {
                Err(command) if !is_optional => {
                    return Err(PythonError::Package {
                        argument: secrets::mask(&package.shown),
                        command,
                    });
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

fn masked(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| secrets::mask(line)).collect()
}

impl Requested {
    fn add(&mut self, other: Self) {
        self.setuptools = other.setuptools.or(self.setuptools.take());
        self.pip |= other.pip;
        self.locals.extend(other.locals);
        self.torch.extend(other.torch);
    }
}

/// Folder and name of a link in the download cache; none where there is no cache (E-184).
pub(super) fn download_place<'a>(
    options: &PythonOptions,
    url: &'a str,
) -> Option<(PathBuf, &'a str)> {
    let name = url.rsplit('/').next().filter(|name| !name.is_empty())?;
    let cache = options.download_cache.as_ref()?;
    Some((cache.join(format!("cu{}", options.cuda_version)), name))
}

/// Packages that the agent itself needs for this task, and what the console says of them (E-192, E-193).
pub(super) fn added_packages(
    request: &PythonRequest,
    options: &PythonOptions,
) -> (Vec<&'static str>, Vec<&'static str>) {
    let (mut added, mut notices) = (Vec::new(), Vec::new());
    if options.force_task_init {
        notices.push("Force clearml Task.init patch adding clearml package to requirements");
        added.push("clearml");
    }
    if request.entry_point.to_lowercase().ends_with(".ipynb") {
        notices.push("Force nbconvert patch to convert .ipynb to python");
        added.extend(["nbconvert", "ipython"]);
    }
    (added, notices)
}

pub(super) fn with_added(added: &[&str], text: &str) -> String {
    let mut lines: Vec<&str> = added.to_vec();
    lines.push(text);
    lines.join("\n")
}

/// Finds builds for the torch packages that are not there yet (E section 7.6); `preinstalled` as in [`Torch::resolve`].
pub(super) async fn resolve_torch(
    torch: &mut Torch<'_>,
    lines: &RequirementLines,
    existing: &[String],
    preinstalled: &[String],
) -> TorchChoices {
    let lines: Vec<(&str, Requirement)> = lines
        .requirements
        .iter()
        .filter(|line| line.options.is_empty())
        .filter_map(|line| Some((line.text.as_str(), Requirement::parse(&line.text).ok()?)))
        .filter(|(_, parsed)| torch.concerns(parsed))
        .filter(|(_, parsed)| !is_existing(parsed, existing))
        .collect();
    if lines.is_empty() {
        return TorchChoices::default();
    }
    torch.resolve(&lines, preinstalled).await
}

#[cfg(test)]
mod tests;
