//! The link of one wheel, from the page of a version of CUDA (E-172, E-173).

use std::collections::HashMap;
use std::str::FromStr;

use pep440_rs::VersionSpecifiers;
use url::Url;

use super::super::requirement::{Requirement, Target};
use super::super::version::PythonVersion;
use super::wheel::{Wheel, links};
use super::{DirectTorch, TorchLine, TorchOptions};

/// So many versions of CUDA are tried, downwards.
const CUDA_VERSIONS: u32 = 15;

/// A wheel that fits.
#[derive(Debug)]
pub(super) struct FoundWheel(DirectTorch);

impl FoundWheel {
    pub(super) fn line(self, text: &str, parsed: &Requirement) -> TorchLine {
        TorchLine::Wheel {
            url: self.0.url.clone(),
            original: text.to_owned(),
            marker: parsed.marker.clone(),
            requested: self.0,
        }
    }
}

/// The pages of wheels; each is fetched once.
#[derive(Debug)]
pub(super) struct WheelPages<'a> {
    options: &'a TorchOptions,
    cuda: u32,
    python: PythonVersion,
    /// By address; none where nothing answers.
    known: HashMap<String, Option<String>>,
}

impl<'a> WheelPages<'a> {
    pub(super) fn new(options: &'a TorchOptions, cuda: u32, python: PythonVersion) -> Self {
        Self {
            options,
            cuda,
            python,
            known: HashMap::new(),
        }
    }

    /// The newest wheel that fits, for the highest version of CUDA that has one; never a build without CUDA for a machine
    /// with a GPU.
    pub(super) async fn find(
        &mut self,
        parsed: &Requirement,
        notices: &mut Vec<String>,
    ) -> Option<FoundWheel> {
        let name = parsed.name.as_deref()?;
        let Target::Index(specifiers) = &parsed.target else {
            return None;
        };
        let specifiers: Vec<String> = specifiers
            .iter()
            .map(|(operator, version)| format!("{operator}{version}"))
            .collect();
        // A local part says which build; the pages are those of this machine's.
        let specifiers = specifiers.join(",");
        let specifiers = VersionSpecifiers::from_str(&without_local(&specifiers)).ok()?;
        let requirement = parsed.without_marker().rendered();
        let mut next = Some(self.cuda);
        let mut tried = false;
        while let Some(from) = next {
            let Some((number, pages)) = self.highest(from).await else {
                break;
            };
            if number > 0 {
                notices.push(format!("Torch CUDA {number} download page found"));
                if tried {
                    notices.push(format!("Trying PyTorch CUDA version {number} support"));
                }
            }
            tried = true;
            for (address, text) in pages {
                if let Some((version, url)) = self.newest(&address, &text, name, &specifiers) {
                    notices.push(format!(
                        "Found PyTorch version {requirement} matching CUDA version {number}"
                    ));
                    return Some(FoundWheel(DirectTorch {
                        name: name.to_owned(),
                        version,
                        url,
                    }));
                }
            }
            notices.push(format!(
                "Warning, could not locate PyTorch {requirement} matching CUDA version {number}, best candidate None"
            ));
            next = number.checked_sub(1).filter(|number| *number > 0);
        }
        if tried {
            notices.push(format!(
                "Error! Could not locate PyTorch version {requirement} matching CUDA version {}",
                self.cuda
            ));
        }
        None
    }

    /// The pages of the highest version from `from` down that has any.
    async fn highest(&mut self, from: u32) -> Option<(u32, Vec<(String, String)>)> {
        let last = match self.cuda {
            0 => 0,
            cuda => cuda.saturating_sub(CUDA_VERSIONS - 1).max(1),
        };
        for number in (last..=from).rev() {
            let mut pages = Vec::new();
            let mut templates = vec![self.options.page.clone()];
            templates.extend(
                self.options
                    .nightly
                    .then(|| self.options.nightly_page.clone()),
            );
            for template in templates {
                let address = address(&template, number);
                if !self.known.contains_key(&address) {
                    self.fetch_down(&template, number, last).await;
                }
                if let Some(Some(text)) = self.known.get(&address) {
                    pages.push((address, text.clone()));
                }
            }
            if !pages.is_empty() {
                return Some((number, pages));
            }
        }
        None
    }

    /// Asks for all versions at once, so that a network that is away costs one time limit; remembers every answer that
    /// is known for sure.
    async fn fetch_down(&mut self, template: &str, from: u32, last: u32) {
        let addresses: Vec<String> = (last..=from)
            .rev()
            .map(|number| address(template, number))
            .collect();
        let found = self.options.pages.first(&addresses).await;
        let answered = found.as_ref().map_or(addresses.len(), |(place, _)| *place);
        for address in &addresses[..answered] {
            self.known.insert(address.clone(), None);
        }
        if let Some((place, text)) = found {
            self.known.insert(addresses[place].clone(), Some(text));
        }
    }

    fn newest(
        &self,
        page: &str,
        text: &str,
        name: &str,
        specifiers: &VersionSpecifiers,
    ) -> Option<(String, String)> {
        let base = Url::parse(page).ok()?;
        links(text)
            .into_iter()
            .filter_map(|link| {
                let wheel = Wheel::parse(link.rsplit('/').next()?)?;
                let fits = wheel.runs_on(name, self.python)
                    && wheel.fits(specifiers, self.options.nightly);
                fits.then_some((wheel.version, link))
            })
            .max_by(|(one, _), (other, _)| one.cmp(other))
            .and_then(|(version, link)| {
                let url = base.join(&link).ok()?;
                Some((version.without_local().to_string(), url.into()))
            })
    }
}

fn address(template: &str, number: u32) -> String {
    match number {
        0 => template.replace("cu{}", "cpu").replace("{}", "0"),
        number => template.replace("{}", &number.to_string()),
    }
}

fn without_local(specifiers: &str) -> String {
    let kept = specifiers.split(',').map(|specifier| {
        let end = specifier.find('+').unwrap_or(specifier.len());
        &specifier[..end]
    });
    kept.collect::<Vec<_>>().join(",")
}

/// A version that fits among the packages that are installed already, with the line that says so (E-173).
pub(super) fn preinstalled(parsed: &Requirement, packages: &[String]) -> Option<(String, String)> {
    let name = parsed.name.as_deref()?;
    let Target::Index(wanted) = &parsed.target else {
        return None;
    };
    let wanted: Vec<String> = wanted
        .iter()
        .map(|(operator, version)| format!("{operator}{version}"))
        .collect();
    let wanted = wanted.join(",");
    let specifiers = VersionSpecifiers::from_str(&wanted).ok()?;
    let version = packages.iter().find_map(|line| {
        let (installed, version) = line.split_once("==")?;
        (installed == name).then_some(version)
    })?;
    let parsed = pep440_rs::Version::from_str(version).ok()?;
    specifiers.contains(&parsed).then(|| {
        let notice = format!(
            "PyTorch: requested \"{name}\" version {wanted}, using pre-installed version {version}"
        );
        (version.to_owned(), notice)
    })
}
