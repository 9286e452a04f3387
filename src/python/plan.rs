//! What is installed, in which order: the rules for requirement lines as a pure function (E-151..E-161, E-177..E-179).
//!
//! What a torch package becomes has been found out before ([`super::torch`]), because that takes the network.

use std::path::Path;

use percent_encoding::percent_decode_str;

use super::index_url::IndexUrl;
use super::lines::{RequirementLine, RequirementLines};
use super::links::Links;
use super::options::PythonOptions;
use super::requirement::{Requirement, Target, Vcs};
use super::torch::{DirectTorch, TorchChoices, TorchLine};

/// The installer calls for one list of requirements.
#[derive(Debug, Default)]
pub(super) struct InstallPlan {
    /// What the console shows about it.
    pub(super) notices: Vec<String>,
    /// Installed first, one by one; kept in the main file (E-151, E-152).
    pub(super) before: Vec<Before>,
    /// The lines of the main file.
    pub(super) main: Vec<MainLine>,
    /// Installed last, one by one (E-153, E-177, E-178).
    pub(super) after: Vec<Separate>,
    /// Extra indexes that the list itself names (E-146).
    pub(super) indexes: Vec<IndexUrl>,
    /// Options for every call (E-147).
    pub(super) options: Vec<String>,
    /// What the report turns back (E-196).
    pub(super) requested: Requested,
}

/// A priority package.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Before {
    pub(super) argument: String,
    /// The place of its line in the main file, left out where an optional package fails.
    pub(super) line: usize,
    pub(super) is_optional: bool,
}

/// A line of the main file.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct MainLine {
    pub(super) text: String,
    /// `--hash=...` and the like.
    pub(super) options: String,
    /// The line is this link, which the download cache may serve (E-184).
    pub(super) download: Option<String>,
    /// Stands behind the downloaded file in place of the line's own marker.
    pub(super) marker: Option<String>,
}

/// A package that gets an installer call of its own.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Separate {
    pub(super) argument: String,
    /// The argument without a password.
    pub(super) shown: String,
    pub(super) kind: SeparateKind,
}

#[derive(Debug, Eq, PartialEq)]
pub(super) enum SeparateKind {
    Post { is_optional: bool },
    Vcs { name: Option<String>, vcs: Vcs },
    Local,
}

/// Lines of the list that the report shows as they were asked for (E-196).
#[derive(Clone, Debug, Default)]
pub(super) struct Requested {
    pub(super) setuptools: Option<String>,
    pub(super) pip: bool,
    /// Local folders and files as written.
    pub(super) locals: Vec<String>,
    /// Packages from links that nobody wrote.
    pub(super) torch: Vec<DirectTorch>,
}

/// Of several lines for one of these the last counts, at the end of the file (E-154).
const COLLECTED: [&str; 4] = ["trains", "clearml", "nbconvert", "ipython"];

/// The world that the rules look at.
pub(super) struct PlanContext<'a> {
    pub(super) options: &'a PythonOptions,
    pub(super) links: &'a Links,
    /// Lines of `freeze --all` before the installation (E-161).
    pub(super) existing: &'a [String],
    /// Whether a file of this machine is there (E-150).
    pub(super) exists: &'a dyn Fn(&Path) -> bool,
    /// What the torch packages of the list become.
    pub(super) torch: &'a TorchChoices,
}

impl InstallPlan {
    /// The calls for a fresh environment.
    pub(super) fn fresh(lines: RequirementLines, context: &PlanContext<'_>) -> Self {
        let (mut plan, remaining) = Self::begin(lines, context);
        plan.notices.extend(context.torch.notices.iter().cloned());
        plan.indexes.extend(context.torch.indexes.iter().cloned());
        let mut collected: Vec<(usize, MainLine)> = Vec::new();
        for (line, parsed) in remaining {
            match parsed {
                Some(parsed) => plan.add(line, &parsed, context, &mut collected),
                None => plan.add_local(line),
            }
        }
        collected.sort_by_key(|(place, _)| *place);
        plan.main
            .extend(collected.into_iter().map(|(_, line)| line));
        if context.torch.needs_old_setuptools {
            plan.add_old_setuptools();
        }
        // Post packages before links (E section 7.1).
        plan.after
            .sort_by_key(|package| !matches!(package.kind, SeparateKind::Post { .. }));
        plan
    }

    /// What is processed again in an environment from the cache (E-244).
    pub(super) fn cached(lines: RequirementLines, context: &PlanContext<'_>) -> Self {
        let (mut plan, remaining) = Self::begin(lines, context);
        for (line, parsed) in remaining {
            let text = match &parsed {
                None => line.text,
                Some(parsed) => match &parsed.target {
                    Target::Vcs(vcs)
                        if is_installed(parsed.name.as_deref(), vcs, context.existing) =>
                    {
                        continue;
                    }
                    Target::Vcs(vcs) => plan.link_argument(parsed, vcs, context.links).argument,
                    Target::Path(_) => local_argument(&line.text),
                    Target::Url(_) if is_separate_url(parsed) => parsed.rendered(),
                    _ if parsed.is_one_of(&["pip", "setuptools"]) => parsed.rendered(),
                    _ => continue,
                },
            };
            plan.main.push(MainLine::new(text, line.options));
        }
        plan
    }

    fn begin(
        lines: RequirementLines,
        context: &PlanContext<'_>,
    ) -> (Self, Vec<(RequirementLine, Option<Requirement>)>) {
        let mut plan = Self {
            indexes: lines.indexes,
            options: lines.options,
            notices: lines.warnings,
            ..Self::default()
        };
        for index in &plan.indexes {
            let notice = format!("appended {index} to list of extra pip indices");
            plan.notices.push(notice);
        }
        let mut skipped = Vec::new();
        let mut remaining = Vec::new();
        for line in lines.requirements {
            let mut parsed = Requirement::parse(&line.text).ok();
            if let Some(parsed) = &mut parsed {
                let notice = without_missing_file(parsed, &line.text, context.exists);
                plan.notices.extend(notice);
            }
            plan.note_request(&line, parsed.as_ref());
            match &parsed {
                Some(parsed) if is_existing(parsed, context.existing) => {
                    skipped.push(parsed.rendered());
                }
                _ => remaining.push((line, parsed)),
            }
        }
        if !skipped.is_empty() {
            plan.notices.extend([
                format!("Skipping {} pre-installed packages:", skipped.len()),
                format!("[{}]", skipped.join(", ")),
                format!(
                    "Remaining {} additional packages to install",
                    remaining.len()
                ),
            ]);
        }
        (plan, remaining)
    }

    fn add(
        &mut self,
        line: RequirementLine,
        parsed: &Requirement,
        context: &PlanContext<'_>,
        collected: &mut Vec<(usize, MainLine)>,
    ) {
        let options = context.options;
        // A package with options of its own can only stand in a file.
        let on_its_own = line.options.is_empty();
        match &parsed.target {
            Target::Vcs(vcs) => {
                let package = self.link_argument(parsed, vcs, context.links);
                self.after.push(package);
                return;
            }
            Target::Path(_) => {
                self.add_local(line);
                return;
            }
            _ if parsed.editable || is_separate_url(parsed) => {
                self.add_local(line);
                return;
            }
            Target::Index(_) | Target::Url(_) => {}
        }
        if let Some(choice) = context.torch.get(&line.text).filter(|_| on_its_own) {
            self.add_torch(choice);
            return;
        }
        let is_optional = parsed.is_one_of(&options.priority_optional_packages);
        if (is_optional || parsed.is_one_of(&options.priority_packages)) && on_its_own {
            self.before.push(Before {
                argument: parsed.rendered(),
                line: self.main.len(),
                is_optional,
            });
            self.main
                .push(MainLine::new(parsed.rendered(), String::new()));
            return;
        }
        let is_optional = parsed.is_one_of(&options.post_optional_packages);
        if (is_optional || parsed.is_one_of(&options.post_packages)) && on_its_own {
            let argument = parsed.without_marker().rendered();
            self.after.push(Separate {
                shown: argument.clone(),
                argument,
                kind: SeparateKind::Post { is_optional },
            });
            return;
        }
        let mut main = MainLine::new(parsed.rendered(), line.options);
        if let Target::Url(url) = &parsed.target {
            if url.starts_with("file://") {
                main.text = line.text;
            } else {
                main.download = Some(url.clone());
            }
        }
        let place = COLLECTED.iter().position(|name| parsed.is_one_of(&[name]));
        match place {
            Some(place) => {
                collected.retain(|(other, _)| *other != place);
                collected.push((place, main));
            }
            None => self.main.push(main),
        }
    }

    fn add_torch(&mut self, choice: &TorchLine) {
        let line = match choice {
            TorchLine::Text(text) => MainLine::new(text.clone(), String::new()),
            TorchLine::Wheel {
                url,
                original,
                marker,
                requested,
            } => {
                self.requested.torch.push(requested.clone());
                MainLine {
                    download: Some(url.clone()),
                    marker: marker.clone(),
                    ..MainLine::new(original.clone(), String::new())
                }
            }
        };
        self.main.push(line);
    }

    /// What old versions of torch need, unless the list has an own idea of it (E-157).
    fn add_old_setuptools(&mut self) {
        const OLD: &str = "setuptools<59";
        if self.requested.setuptools.is_some() {
            self.notices.push(format!(
                "SKIPPING additional auto installed package: \"{OLD}\""
            ));
        } else {
            self.main.push(MainLine::new(OLD.to_owned(), String::new()));
        }
    }

    /// A folder, a file, or a line that nobody but the installer understands (E-149, E-178).
    fn add_local(&mut self, line: RequirementLine) {
        let argument = local_argument(&line.text);
        if is_wheel(&argument) || !line.options.is_empty() {
            self.main.push(MainLine::new(argument, line.options));
            return;
        }
        self.after.push(Separate {
            shown: argument.clone(),
            argument,
            kind: SeparateKind::Local,
        });
    }

    /// The link with the credentials that it needs (E-246). A marker stays, because the installer evaluates it.
    fn link_argument(&mut self, parsed: &Requirement, vcs: &Vcs, links: &Links) -> Separate {
        let mut link = vcs.clone();
        let mut shown = vcs.clone();
        let plain = vcs
            .uri
            .strip_prefix("git+")
            .or(vcs.uri.starts_with("git:").then_some(vcs.uri.as_str()));
        if let Some(rewritten) = plain.and_then(|url| links.rewrite(url)) {
            link.uri = format!("git+{}", rewritten.url);
            shown.uri = format!("git+{}", rewritten.shown);
            if link.uri != vcs.uri {
                self.notices.push(format!(
                    "Replacing original pip vcs '{}' with '{}'",
                    crate::secrets::mask(&vcs.link()),
                    shown.link()
                ));
            }
        }
        let with_marker = |link: String| match &parsed.marker {
            Some(marker) => format!("{link} ; {marker}"),
            None => link,
        };
        Separate {
            argument: with_marker(link.link()),
            shown: with_marker(shown.link()),
            kind: SeparateKind::Vcs {
                name: parsed.name.clone(),
                vcs: vcs.clone(),
            },
        }
    }

    fn note_request(&mut self, line: &RequirementLine, parsed: Option<&Requirement>) {
        match parsed {
            Some(parsed) if parsed.is_one_of(&["setuptools"]) => {
                self.requested.setuptools = Some(parsed.rendered());
            }
            Some(parsed) if parsed.is_one_of(&["pip"]) => self.requested.pip = true,
            Some(Requirement {
                target: Target::Path(_),
                ..
            })
            | None => self.requested.locals.push(line.text.clone()),
            Some(_) => {}
        }
    }
}

impl MainLine {
    fn new(text: String, options: String) -> Self {
        Self {
            text,
            options,
            download: None,
            marker: None,
        }
    }

    /// The line where there is no download cache: the link itself, written by the user or found for them.
    pub(super) fn uncached(&self, url: &str) -> String {
        if self.text.contains(url) {
            self.full()
        } else {
            self.with_place(url)
        }
    }

    /// The line with a file in place of its link.
    pub(super) fn with_place(&self, place: &str) -> String {
        match &self.marker {
            Some(marker) => format!("{place} ; {marker}"),
            None => place.to_owned(),
        }
    }

    /// The line as the file holds it.
    pub(super) fn full(&self) -> String {
        format!("{} {}", self.text, self.options).trim().to_owned()
    }
}

impl Separate {
    /// The line to say where the same commit is installed already (E-179).
    pub(super) fn already_installed(&self, freeze: &[String]) -> Option<String> {
        let SeparateKind::Vcs { name, vcs } = &self.kind else {
            return None;
        };
        is_installed(name.as_deref(), vcs, freeze).then(|| {
            let name = name.as_deref().unwrap_or(&self.shown);
            format!("No need to reinstall '{name}' from VCS, the exact same version is already installed")
        })
    }
}

fn is_installed(name: Option<&str>, wanted: &Vcs, freeze: &[String]) -> bool {
    wanted.revision.is_some()
        && freeze.iter().any(|line| {
            let Ok(Requirement {
                name: installed_name,
                target: Target::Vcs(installed),
                ..
            }) = Requirement::parse(line)
            else {
                return false;
            };
            let is_same = match (name, installed_name) {
                (Some(wanted), Some(installed)) => wanted.eq_ignore_ascii_case(&installed),
                _ => installed.uri == wanted.uri,
            };
            is_same && installed.revision == wanted.revision
        })
}

/// Whether a package is there before the installation, in the very version (E-161).
pub(super) fn is_existing(parsed: &Requirement, existing: &[String]) -> bool {
    let rendered = parsed.rendered();
    existing.iter().any(|line| {
        *line == rendered
            || Requirement::parse(line).is_ok_and(|installed| installed.rendered() == rendered)
    })
}

/// Frozen lists of other machines name files that are not here; the package is taken from the index, which is said (E-150).
pub(super) fn without_missing_file(
    parsed: &mut Requirement,
    line: &str,
    exists: &dyn Fn(&Path) -> bool,
) -> Option<String> {
    let Target::Url(url) = &parsed.target else {
        return None;
    };
    let path = url
        .strip_prefix("file://")
        .filter(|_| parsed.name.is_some())?;
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    if exists(Path::new(path)) || exists(Path::new(decoded.as_ref())) {
        return None;
    }
    parsed.target = Target::Index(Vec::new());
    Some(format!("Local file not found [{line}], references removed"))
}

/// Links without a name that are no wheel are installed on their own (E-178).
fn is_separate_url(parsed: &Requirement) -> bool {
    matches!(&parsed.target, Target::Url(url) if parsed.name.is_none() && !is_wheel(url))
}

fn is_wheel(place: &str) -> bool {
    Path::new(place)
        .extension()
        .is_some_and(|extension| extension == "whl")
}

fn local_argument(text: &str) -> String {
    ["-e ", "--editable ", "--editable="]
        .iter()
        .find_map(|flag| text.strip_prefix(flag))
        .unwrap_or(text)
        .trim()
        .to_owned()
}

#[cfg(test)]
pub(super) mod tests;
