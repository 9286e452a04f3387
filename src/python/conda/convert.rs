//! Which packages conda installs and which pip does, and how conda writes them: pure rules (E-206, E-207, E-208).

use std::path::Path;

use super::super::lines::{RequirementLine, RequirementLines};
use super::super::marker;
use super::super::plan::without_missing_file;
use super::super::requirement::{Requirement, Target};
use super::super::version::PythonVersion;

/// What the rules look at beside the lists.
pub(super) struct CondaWorld<'a> {
    /// Channels by name or address.
    pub(super) channels: &'a [String],
    /// `agent.cuda_version` as digits, `0` without a GPU.
    pub(super) cuda_version: &'a str,
    /// Python of the environment.
    pub(super) python: PythonVersion,
    /// Whether a file of this machine is there (E-150).
    pub(super) exists: &'a dyn Fn(&Path) -> bool,
}

/// What conda is asked for, and what is left to pip.
#[derive(Debug, Default)]
pub(super) struct CondaPlan {
    /// What the console shows about it.
    pub(super) notices: Vec<String>,
    /// In the order of the list.
    pub(super) conda: Vec<CondaRequirement>,
    /// Lines for pip: first options, then requirements.
    pub(super) pip: Vec<String>,
    /// The task has a list of conda's own names.
    has_conda_list: bool,
}

/// One package of conda.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct CondaRequirement {
    pub(super) name: String,
    /// Operator and version.
    pub(super) specifiers: Vec<(String, String)>,
    marker: Option<String>,
    /// The line for pip, should conda not have the package; none for what only conda knows.
    pip_line: Option<String>,
}

/// What a line says, where conda can understand it.
struct Plain {
    name: String,
    specifiers: Vec<(String, String)>,
    marker: Option<String>,
}

/// Never installed by name: pip comes with Python, the others with the toolkit of CUDA.
const LEFT_OUT: [&str; 4] = ["pip", "virtualenv", "cudnn", "cupti"];
const TOOLKITS: [&str; 2] = ["cudatoolkit", "cuda-toolkit"];
/// conda has them, the index of pip has not, or has something else of this name.
const UNKNOWN_TO_PIP: [&str; 5] = [
    "python",
    "cudatoolkit",
    "cuda-toolkit",
    "cpuonly",
    "graphviz",
];
/// What matplotlib needs beside itself.
const WITH_MATPLOTLIB: [&str; 3] = ["graphviz", "python-graphviz", "kiwisolver"];

impl CondaPlan {
    /// Divides the lists of a task: with a list of conda's own the rest of `pip` is pip's, without one conda is asked for
    /// all of it first (E-206).
    pub(super) fn new(
        conda: Option<RequirementLines>,
        pip: RequirementLines,
        world: &CondaWorld<'_>,
    ) -> Self {
        let mut plan = Self::default();
        let mut has_toolkit = false;
        let rest = if let Some(conda) = conda {
            plan.has_conda_list = !conda.requirements.is_empty();
            plan.take_options(&conda);
            for line in conda.requirements {
                plan.add(line, world, &mut has_toolkit);
            }
            Some(pip)
        } else {
            plan.take_options(&pip);
            for line in pip.requirements {
                plan.add(line, world, &mut has_toolkit);
            }
            None
        };
        let mut has_matplotlib = plan.has("matplotlib");
        if let Some(rest) = rest {
            plan.take_options(&rest);
            for line in rest.requirements {
                has_matplotlib |= plan.add_rest(line, world);
            }
        }
        plan.complete(world, has_toolkit, has_matplotlib);
        plan
    }

    /// What conda is asked for, as the file names it (E-207).
    pub(super) fn dependencies(&self) -> Vec<String> {
        self.conda
            .iter()
            .map(CondaRequirement::dependency)
            .collect()
    }

    /// Leaves these packages to pip, by their names; false where none of them is in the list (E-208).
    pub(super) fn leave_to_pip(&mut self, names: &[String]) -> bool {
        let before = self.conda.len();
        let (left, kept) = std::mem::take(&mut self.conda)
            .into_iter()
            .partition(|package| names.iter().any(|name| is_same(name, &package.name)));
        self.conda = kept;
        self.give_to_pip(left);
        self.conda.len() < before
    }

    /// conda cannot say what is wrong, so pip has to do it all (E-208).
    pub(super) fn leave_all_to_pip(&mut self) {
        let all = std::mem::take(&mut self.conda);
        self.give_to_pip(all);
    }

    fn give_to_pip(&mut self, packages: Vec<CondaRequirement>) {
        self.pip
            .extend(packages.into_iter().filter_map(|package| package.pip_line));
    }

    fn has(&self, name: &str) -> bool {
        self.conda.iter().any(|package| package.name == name)
    }

    /// Options and indexes of a list are for pip alone.
    fn take_options(&mut self, lines: &RequirementLines) {
        self.notices.extend(lines.warnings.iter().cloned());
        let indexes = lines.indexes.iter();
        self.pip
            .extend(indexes.map(|index| format!("--extra-index-url {}", index.expose())));
        let mut words = lines.options.iter().peekable();
        while let Some(option) = words.next() {
            let value = words.next_if(|word| !word.starts_with('-'));
            self.pip.push(match value {
                Some(value) => format!("{option} {value}"),
                None => option.clone(),
            });
        }
    }

    /// A line of the list that conda is asked for.
    fn add(&mut self, line: RequirementLine, world: &CondaWorld<'_>, has_toolkit: &mut bool) {
        let Some(plain) = self.plain(&line, world) else {
            self.pip.push(full(line));
            return;
        };
        let lower = plain.name.to_lowercase();
        if LEFT_OUT.contains(&lower.as_str()) {
            return;
        }
        if lower.contains("clearml") && !world.channels.iter().any(|channel| channel == "clearml") {
            self.pip.push(full(line));
            return;
        }
        let mut package = CondaRequirement {
            pip_line: pip_line(&lower, line),
            name: plain.name,
            specifiers: plain.specifiers,
            marker: plain.marker,
        };
        let has_gpu = cuda(world.cuda_version).is_some();
        match lower.as_str() {
            "python" => {
                let Some((operator, version)) = package.specifiers.first() else {
                    return;
                };
                let short = numbers(version, 2);
                if !short.contains('.') {
                    return;
                }
                package.specifiers = vec![(operator.clone(), short)];
            }
            "cudatoolkit" | "cuda-toolkit" => {
                let Some((major, _)) = cuda(world.cuda_version) else {
                    return;
                };
                *has_toolkit = true;
                if let Some((_, version)) = package.specifiers.first() {
                    let short = numbers(version, 2);
                    let wanted: u32 = numbers(version, 1).parse().unwrap_or_default();
                    if wanted > major {
                        self.notices.push(format!(
                            "WARNING: ignoring `{name} {short}`, this machine has CUDA {major}",
                            name = package.name
                        ));
                        return;
                    }
                    package.specifiers = vec![("=".to_owned(), short)];
                }
            }
            "torch" => "pytorch".clone_into(&mut package.name),
            "tensorflow" | "tensorflow-gpu" | "tensorflow_gpu" => {
                let name = if has_gpu {
                    "tensorflow-gpu"
                } else {
                    "tensorflow"
                };
                name.clone_into(&mut package.name);
            }
            _ => {}
        }
        self.conda.push(package);
    }

    /// A line of `pip` where conda has a list of its own; true for matplotlib (E-206).
    fn add_rest(&mut self, line: RequirementLine, world: &CondaWorld<'_>) -> bool {
        let plain = self.plain(&line, world);
        let Some(Plain {
            name, specifiers, ..
        }) = plain
        else {
            self.pip.push(full(line));
            return false;
        };
        if let Some(package) = self
            .conda
            .iter_mut()
            .find(|package| is_same(&package.name, &name))
        {
            // The list of pip is the one that people change.
            if !TOOLKITS.contains(&package.name.as_str()) && package.name != "python" {
                package.specifiers = specifiers;
                package.pip_line = Some(full(line));
            }
            return false;
        }
        if !LEFT_OUT.contains(&name.to_lowercase().as_str()) {
            self.pip.push(full(line));
        }
        name.eq_ignore_ascii_case("matplotlib")
    }

    /// Name, versions and marker of what conda can understand: no links, no files, no extras, no installer options.
    fn plain(&mut self, line: &RequirementLine, world: &CondaWorld<'_>) -> Option<Plain> {
        // Only conda has names that begin so.
        let (mark, text) = match line.text.strip_prefix('_') {
            Some(text) => ("_", text),
            None => ("", line.text.as_str()),
        };
        let mut parsed = Requirement::parse(text).ok()?;
        let notice = without_missing_file(&mut parsed, &line.text, world.exists);
        self.notices.extend(notice);
        if !line.options.is_empty() || !parsed.extras.is_empty() || parsed.editable {
            return None;
        }
        match parsed.target {
            Target::Index(specifiers) => Some(Plain {
                name: format!("{mark}{}", parsed.name?),
                specifiers,
                marker: parsed.marker,
            }),
            Target::Vcs(_) | Target::Url(_) | Target::Path(_) => None,
        }
    }

    /// What nobody asks for by name, and the last look at every package.
    fn complete(&mut self, world: &CondaWorld<'_>, has_toolkit: bool, has_matplotlib: bool) {
        let has_torch = self.conda.iter().any(|package| {
            let name = package.name.to_lowercase();
            name.starts_with("torch") || name == "pytorch"
        });
        match cuda(world.cuda_version) {
            Some((major, minor)) if !has_toolkit => {
                // The channel of NVIDIA has the newer versions, under this name.
                let has_nvidia = world.channels.iter().any(|channel| channel == "nvidia");
                let name = TOOLKITS[usize::from(has_nvidia)];
                let version = ("=".to_owned(), format!("{major}.{minor}"));
                self.add_own(name, vec![version]);
            }
            None if has_torch => self.add_own("cpuonly", Vec::new()),
            _ => {}
        }
        if has_matplotlib {
            for name in WITH_MATPLOTLIB {
                self.add_own(name, Vec::new());
            }
        }
        let mut kept: Vec<CondaRequirement> = Vec::new();
        for mut package in std::mem::take(&mut self.conda) {
            if !self.is_wanted(&package, world.python) {
                continue;
            }
            package.conform(self.has_conda_list);
            // Of several lines for one package the last counts.
            match kept.iter_mut().find(|other| other.name == package.name) {
                Some(other) => *other = package,
                None => kept.push(package),
            }
        }
        self.conda = kept;
    }

    fn add_own(&mut self, name: &str, specifiers: Vec<(String, String)>) {
        if !self.has(name) {
            self.conda.push(CondaRequirement {
                name: name.to_owned(),
                specifiers,
                marker: None,
                pip_line: None,
            });
        }
    }

    /// conda knows no markers, so they are judged here.
    fn is_wanted(&mut self, package: &CondaRequirement, python: PythonVersion) -> bool {
        let Some(text) = &package.marker else {
            return true;
        };
        let shown = format!("{}; {text}", package.dependency());
        match marker::fits(text, python) {
            Ok(false) => self.notices.push(format!(
                "SKIPPING package `{shown}` not required python version {}",
                python.short()
            )),
            Ok(true) => self
                .notices
                .push(format!("WARNING: ignoring marker in `{shown}`")),
            Err(error) => self.notices.push(format!(
                "WARNING: failed parsing, assuming package is okay {error}"
            )),
        }
        marker::fits(text, python) != Ok(false)
    }
}

impl CondaRequirement {
    /// As conda reads it.
    fn dependency(&self) -> String {
        let specifiers: Vec<String> = self
            .specifiers
            .iter()
            .map(|(operator, version)| format!("{operator}{version}"))
            .collect();
        format!("{}{}", self.name, specifiers.join(","))
    }

    /// Names and versions in conda's spelling; `==` gives it room to find what goes together.
    fn conform(&mut self, has_conda_list: bool) {
        if !self.name.starts_with('_') && !has_conda_list {
            self.name = self.name.replace('_', "-");
        }
        let is_python = self.name == "python";
        for (operator, version) in &mut self.specifiers {
            let plain = version.split(".post").next().unwrap_or(version);
            // What stands behind `+` names a build of pip's index.
            let plain = plain.split('+').next().unwrap_or(plain);
            *version = if plain.contains('.') {
                plain.to_owned()
            } else {
                format!("{plain}.0")
            };
            let loose = match operator.as_str() {
                // `~=3.11` would let conda take 3.12.
                "==" | "===" if is_python => "=",
                "==" | "===" if version.ends_with(".*") => "==",
                "==" | "===" => "~=",
                _ => continue,
            };
            loose.clone_into(operator);
        }
    }
}

/// The line for pip; none where pip has no such package.
fn pip_line(name: &str, line: RequirementLine) -> Option<String> {
    if UNKNOWN_TO_PIP.contains(&name) || name.starts_with('_') {
        return None;
    }
    if name != "pytorch" {
        return Some(full(line));
    }
    let rest = line.text.get("pytorch".len()..).unwrap_or_default();
    Some(format!("torch{rest}"))
}

fn full(line: RequirementLine) -> String {
    if line.options.is_empty() {
        return line.text;
    }
    format!("{} {}", line.text, line.options)
}

/// Names of packages, as conda and pip each write them.
fn is_same(one: &str, other: &str) -> bool {
    let plain = |name: &str| match name.to_lowercase().replace(['_', '.'], "-").as_str() {
        "pytorch" => "torch".to_owned(),
        name => name.to_owned(),
    };
    plain(one) == plain(other)
}

/// The first numbers of a version, joined again.
fn numbers(version: &str, count: usize) -> String {
    let numbers: Vec<&str> = version.split('.').take(count).collect();
    numbers.join(".")
}

/// Major and minor version of `agent.cuda_version`, which is written `112` or `11.2`; none without a GPU.
fn cuda(version: &str) -> Option<(u32, u32)> {
    let version = version.trim();
    let (major, minor) = if let Some((major, minor)) = version.split_once('.') {
        (major.parse().ok()?, minor.parse().ok()?)
    } else {
        let number: u32 = version.parse().ok()?;
        (number / 10, number % 10)
    };
    (major > 0).then_some((major, minor))
}

#[cfg(test)]
mod tests;
