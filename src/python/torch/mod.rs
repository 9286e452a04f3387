//! Which build of torch a task gets: an index for its CUDA or ROCm version, or the link of one wheel (E section 7.6).

mod direct;
mod index;
mod line;
mod pages;
mod rocm;
#[cfg(test)]
mod tests;
mod wheel;

use std::collections::HashMap;

use self::direct::WheelPages;
use self::index::TorchIndex;
use super::index_url::IndexUrl;
use super::requirement::{Requirement, Target};
use super::version::PythonVersion;

pub use pages::{PageAnswer, Pages};
pub use rocm::Rocm;

/// The packages that are built once for each version of CUDA (E-162).
const PACKAGES: [&str; 5] = [
    "torch",
    "torchvision",
    "torchaudio",
    "torchcsprng",
    "torchtext",
];

/// How torch packages are found (E-163).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TorchMode {
    /// By an index for the CUDA version.
    #[default]
    Pip,
    /// By the link of a wheel.
    Direct,
    /// Like every other package (E-164).
    None,
}

/// Settings of torch; addresses may hold `{}` for the version.
#[derive(Clone, Debug)]
pub struct TorchOptions {
    /// `agent.package_manager.pytorch_resolve`.
    pub mode: TorchMode,
    /// A word for the mode that nobody knows.
    pub unknown_mode: Option<String>,
    /// `agent.package_manager.torch_nightly`.
    pub nightly: bool,
    /// `agent.package_manager.extra_index_url_template`.
    pub index: String,
    /// `agent.package_manager.nightly_extra_index_url_template`.
    pub nightly_index: String,
    /// `agent.package_manager.rocm_extra_index_url_template`.
    pub rocm_index: String,
    /// `agent.package_manager.nightly_rocm_extra_index_url_template`.
    pub nightly_rocm_index: String,
    /// `agent.package_manager.torch_page`.
    pub page: String,
    /// `agent.package_manager.torch_nightly_page`.
    pub nightly_page: String,
    /// The machine's ROCm (E-171).
    pub rocm: Rocm,
    /// How pages are fetched.
    pub pages: Pages,
}

impl Default for TorchOptions {
    fn default() -> Self {
        let page = |path: &str| format!("https://download.pytorch.org/whl/{path}");
        Self {
            mode: TorchMode::Pip,
            unknown_mode: None,
            nightly: false,
            index: page("cu{}/"),
            nightly_index: page("nightly/cu{}/"),
            rocm_index: page("rocm{}.{}/"),
            nightly_rocm_index: page("nightly/rocm{}.{}/"),
            page: page("cu{}/torch_stable.html"),
            nightly_page: page("nightly/cu{}/torch_nightly.html"),
            rocm: Rocm::Absent,
            pages: Pages::default(),
        }
    }
}

/// What stands in the main file for a torch package.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum TorchLine {
    /// This requirement.
    Text(String),
    /// This wheel, which the download cache may serve.
    Wheel {
        /// Its link.
        url: String,
        /// The requirement where the link is not to be had.
        original: String,
        /// Marker of the requirement.
        marker: Option<String>,
        /// What the report shows (E-196).
        requested: DirectTorch,
    },
}

/// A package that was installed from a link that nobody wrote (E-196).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct DirectTorch {
    pub(super) name: String,
    /// Version without its local part, so that other machines find their own build.
    pub(super) version: String,
    pub(super) url: String,
}

/// What was found out about the torch packages of one list.
#[derive(Debug, Default)]
pub(super) struct TorchChoices {
    lines: HashMap<String, TorchLine>,
    /// What the console shows about it.
    pub(super) notices: Vec<String>,
    /// Indexes to look at beside the others.
    pub(super) indexes: Vec<IndexUrl>,
    /// `setuptools<59` is needed (E-169).
    pub(super) needs_old_setuptools: bool,
}

impl TorchChoices {
    /// The choice for a line of the list, by its text.
    pub(super) fn get(&self, line: &str) -> Option<&TorchLine> {
        self.lines.get(line)
    }
}

/// The search for one run; what it has found out, or not found, is remembered (E-175, E-176).
#[derive(Debug)]
pub(super) struct Torch<'a> {
    options: &'a TorchOptions,
    cuda: u32,
    /// Not yet looked for; looked for and not found; found.
    indexes: Option<Vec<TorchIndex>>,
    wheels: WheelPages<'a>,
}

impl<'a> Torch<'a> {
    /// `cuda` is `agent.cuda_version`, `version` that of the interpreter of the environment.
    pub(super) fn new(options: &'a TorchOptions, cuda: &str, version: PythonVersion) -> Self {
        let cuda = cuda_number(cuda);
        Self {
            options,
            cuda,
            indexes: None,
            wheels: WheelPages::new(options, cuda, version),
        }
    }

    /// True for a package that is treated here.
    pub(super) fn concerns(&self, parsed: &Requirement) -> bool {
        let is_known = |name: &String| PACKAGES.contains(&name.as_str());
        self.options.mode != TorchMode::None
            && !parsed.editable
            && matches!(parsed.target, Target::Index(_) | Target::Url(_))
            && parsed.name.as_ref().is_some_and(is_known)
    }

    /// Finds a build for each line; `preinstalled` are the packages that the environment sees already (E-173).
    pub(super) async fn resolve(
        &mut self,
        lines: &[(&str, Requirement)],
        preinstalled: &[String],
    ) -> TorchChoices {
        let mut choices = TorchChoices::default();
        if let Some(word) = &self.options.unknown_mode {
            choices.notices.push(format!(
                "WARNING: agent.package_manager.pytorch_resolve=={word} not in ('pip', 'direct', 'none') reverting to 'pip'"
            ));
        }
        for (text, parsed) in lines {
            choices.needs_old_setuptools |= line::needs_old_setuptools(parsed);
            let line = match self.options.mode {
                TorchMode::Direct => {
                    self.direct_first(text, parsed, preinstalled, &mut choices)
                        .await
                }
                TorchMode::Pip | TorchMode::None => {
                    self.index_first(text, parsed, &mut choices).await
                }
            };
            choices.lines.insert((*text).to_owned(), line);
        }
        choices
    }

    async fn index_first(
        &mut self,
        text: &str,
        parsed: &Requirement,
        choices: &mut TorchChoices,
    ) -> TorchLine {
        if let Some(line) = self.by_index(text, parsed, choices).await {
            return line;
        }
        // E-168
        match self.wheels.find(parsed, &mut choices.notices).await {
            Some(wheel) => wheel.line(text, parsed),
            None => self.as_written(text, choices),
        }
    }

    async fn direct_first(
        &mut self,
        text: &str,
        parsed: &Requirement,
        preinstalled: &[String],
        choices: &mut TorchChoices,
    ) -> TorchLine {
        if let Some((version, notice)) = direct::preinstalled(parsed, preinstalled) {
            choices.notices.push(notice);
            let name = parsed.name.as_deref().unwrap_or_default();
            return TorchLine::Text(format!("{name}=={version}"));
        }
        if let Some(wheel) = self.wheels.find(parsed, &mut choices.notices).await {
            return wheel.line(text, parsed);
        }
        choices.notices.push(
            "Warning: Failed resolving using `pytorch_resolve=direct` reverting to `pytorch_resolve=pip`".to_owned(),
        );
        match self.by_index(text, parsed, choices).await {
            Some(line) => line,
            None => self.as_written(text, choices),
        }
    }

    async fn by_index(
        &mut self,
        text: &str,
        parsed: &Requirement,
        choices: &mut TorchChoices,
    ) -> Option<TorchLine> {
        let indexes = if let Some(indexes) = &self.indexes {
            indexes
        } else {
            let found = index::search(self.options, self.cuda).await;
            choices.notices.extend(found.iter().map(TorchIndex::notice));
            self.indexes.insert(found)
        };
        let first = indexes.first()?;
        for index in indexes {
            let address = IndexUrl::new(&index.url);
            if !choices.indexes.contains(&address) {
                choices.indexes.push(address);
            }
        }
        let line = line::for_index(text, parsed);
        choices.notices.push(format!(
            "PyTorch: Adding index `{}` and installing `{line}`",
            IndexUrl::new(&first.url)
        ));
        Some(TorchLine::Text(line))
    }

    /// Neither an index nor a wheel: the other indexes, a mirror maybe, can still have it (E-174, E-175).
    fn as_written(&self, text: &str, choices: &mut TorchChoices) -> TorchLine {
        let wanted = match self.cuda {
            0 => "without CUDA".to_owned(),
            cuda => format!("for CUDA {cuda}"),
        };
        choices.notices.push(format!(
            "WARNING: no index of PyTorch {wanted} could be reached, installing `{text}` from the other package indexes"
        ));
        TorchLine::Text(text.to_owned())
    }
}

/// 10 * major + minor of a version of CUDA, `12.4` or `124` (E-165); 0 without a GPU.
fn cuda_number(version: &str) -> u32 {
    let mut parts = version.trim().split('.').map(|part| part.parse().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor)) => 10 * major + minor,
        // A major version alone: there is no CUDA 1.0.
        (Some(number), None) if number < 50 => 10 * number,
        (Some(number), None) => number,
        (None, _) => 0,
    }
}
