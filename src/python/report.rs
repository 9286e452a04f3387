//! The list of installed packages as the task's page gets it (E-196, E-199).

use std::path::{Component, Path, PathBuf};

use percent_encoding::percent_decode_str;

use super::conda::{CondaEnvironment, CondaReport};
use super::install::Installed;

/// Installed packages, with the agent's own replacements turned back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    packages: Vec<String>,
    frozen: Vec<String>,
    /// The packages of pip alone, where conda has installed others.
    of_pip: Option<Vec<String>>,
    conda: Option<CondaReport>,
}

impl Report {
    pub(super) fn new(freeze: Vec<String>, installed: &Installed, pip: Option<String>) -> Self {
        let mut packages = Vec::new();
        let mut locals = Vec::new();
        let frozen = freeze.clone();
        for line in freeze {
            if line.contains("clearml-agent") {
                continue;
            }
            if let Some(original) = local_requirement(&line, installed) {
                locals.push(original);
                continue;
            }
            packages.push(requested_torch(
                with_original_link(line, installed),
                installed,
            ));
        }
        packages.extend(locals);
        let requested = &installed.requested;
        if let Some(setuptools) = &requested.setuptools {
            packages.retain(|line| !line.to_lowercase().starts_with("setuptools="));
            packages.insert(0, setuptools.clone());
        }
        if requested.pip
            && let Some(pip) = pip
        {
            packages.retain(|line| !line.to_lowercase().starts_with("pip="));
            packages.insert(0, pip);
        }
        Self {
            packages,
            frozen,
            of_pip: None,
            conda: None,
        }
    }

    /// The same with the packages of conda (E-210).
    pub(super) fn with_conda(self, conda: CondaReport) -> Self {
        Self {
            packages: CondaEnvironment::together(&conda, &self.packages),
            frozen: self.frozen,
            of_pip: Some(self.packages),
            conda: Some(conda),
        }
    }

    /// What conda says about the environment.
    pub fn conda(&self) -> Option<&CondaReport> {
        self.conda.as_ref()
    }

    /// False where the list is only shown, and the task keeps the one that it has (E-198).
    pub fn is_written_to_the_task(&self) -> bool {
        self.conda.as_ref().is_none_or(|conda| !conda.is_kept_back)
    }

    /// The packages that conda has not installed.
    pub(super) fn of_pip(&self) -> &[String] {
        self.of_pip.as_ref().unwrap_or(&self.packages)
    }

    /// The lines of `freeze` as they are.
    pub(super) fn frozen(&self) -> &[String] {
        &self.frozen
    }

    /// One line for each package, in the order of `freeze`.
    pub fn packages(&self) -> &[String] {
        &self.packages
    }

    /// What the console shows before the program starts (E-199).
    pub fn summary(&self) -> String {
        let mut text = "Summary - installed python packages:\n".to_owned();
        let conda = self.conda.as_ref().map(|conda| ("conda", &conda.conda));
        let pip = ("pip", self.of_pip.as_ref().unwrap_or(&self.packages));
        for (name, lines) in conda.into_iter().chain([pip]) {
            let mut sorted: Vec<&String> = lines.iter().collect();
            sorted.sort_by_key(|line| line.to_lowercase());
            text.push_str(name);
            text.push_str(":\n");
            for line in sorted {
                text.push_str("- ");
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}

fn local_requirement(line: &str, installed: &Installed) -> Option<String> {
    let (_, address) = line.split_once(" @ file://")?;
    let address = percent_decode_str(address).decode_utf8_lossy().into_owned();
    let place = normalized(Path::new(&address));
    let locals = &installed.requested.locals;
    locals
        .iter()
        .find(|local| {
            let path = local.split(['#', '[', ';']).next().unwrap_or(local);
            let path = path
                .trim_start_matches("--editable")
                .trim_start_matches("-e");
            normalized(&installed.folder.join(path.trim())) == place
        })
        .cloned()
}

fn with_original_link(line: String, installed: &Installed) -> String {
    for (cached, original) in &installed.downloads {
        // pip writes the hash of the file behind it.
        let place = line.split("#sha256=").next().unwrap_or(&line);
        if let Some(name) = place.strip_suffix(cached.as_str()) {
            return format!("{name}{original}");
        }
    }
    line
}

/// A wheel that the agent has found by itself is shown as a version, which other machines find their own build of (E-196).
fn requested_torch(line: String, installed: &Installed) -> String {
    let torch = &installed.requested.torch;
    let found = line.split_once(" @ ").and_then(|(name, url)| {
        torch
            .iter()
            .find(|torch| torch.name == name && torch.url == url)
    });
    match found {
        Some(torch) => format!("{} == {} # {}", torch.name, torch.version, torch.url),
        None => line,
    }
}

fn normalized(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                result.pop();
            }
            part => result.push(part),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::super::cases::{case_id, cases, strings};
    use super::super::lines::RequirementLines;
    use super::super::links::Links;
    use super::super::plan::tests::{options_of, torch_of};
    use super::super::plan::{InstallPlan, PlanContext};
    use super::*;

    /// E-196, E-291: every recorded report.
    #[tokio::test]
    async fn replacements_are_turned_back() {
        let mut count = 0;
        for case in cases("replace_back") {
            let id = case_id(&case);
            count += 1;
            let text = case["requirements"].as_str().expect("requirements");
            let folder = Path::new("/code");
            let lines = RequirementLines::read(text, folder, &|_| None);
            let options = options_of(&case);
            let torch = torch_of(&case, &options, &lines).await;
            let context = PlanContext {
                torch: &torch,
                options: &options,
                links: &Links::default(),
                existing: &[],
                exists: &|_| true,
            };
            let plan = InstallPlan::fresh(lines, &context);
            let downloads = plan.main.iter().filter_map(|line| line.download.clone());
            let downloads = downloads.map(|url| {
                let name = url.rsplit('/').next().expect("a name").to_owned();
                (
                    format!("file://$HOME/.clearml/pip-download-cache/cu0/{name}"),
                    url,
                )
            });
            let installed = Installed {
                is_changed: true,
                has_source: true,
                requested: plan.requested,
                downloads: downloads.collect(),
                folder: folder.to_owned(),
            };
            let freeze = strings(&case["freeze"])
                .iter()
                .map(|line| line.replace("$CWD", "/code"))
                .collect();
            let pip = strings(&case["full_freeze"])
                .into_iter()
                .find(|line| line.starts_with("pip=="));
            let report = Report::new(freeze, &installed, pip);
            assert_eq!(
                report.packages(),
                strings(&case["expect"]["reported"]["pip"]),
                "{id}"
            );
        }
        assert_eq!(count, 8);
    }

    fn report(lines: &[&str]) -> Report {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Report::new(lines, &Installed::default(), None)
    }

    /// E-194
    #[test]
    fn the_agent_itself_is_not_reported() {
        let report = report(&["Six==1.16.0", "clearml-agent==3.0.3", "attrs==1"]);
        assert_eq!(report.packages(), ["Six==1.16.0", "attrs==1"]);
    }

    /// E-199
    #[test]
    fn the_summary_is_sorted_without_regard_to_case() {
        assert_eq!(
            report(&["Zope==1", "attrs==1", "Bottle==1"]).summary(),
            "Summary - installed python packages:\npip:\n- attrs==1\n- Bottle==1\n- Zope==1\n"
        );
    }
}
