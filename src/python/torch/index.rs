//! The index of the builds for this machine (E-166, E-171, E-174).

use super::super::index_url::IndexUrl;
use super::{Rocm, TorchOptions};

/// So many versions of CUDA are tried, downwards.
const CUDA_VERSIONS: u32 = 15;

/// An index that answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct TorchIndex {
    /// `CUDA 124`, `ROCm 6.1`, `CPU`.
    build: String,
    pub(super) url: String,
}

impl TorchIndex {
    pub(super) fn notice(&self) -> String {
        let url = IndexUrl::new(&self.url);
        format!("Torch {} index page found, adding `{url}`", self.build)
    }
}

/// The index of the newest version that is not newer than the machine's, and that of its nightly builds where they are
/// allowed; empty where none answers.
pub(super) async fn search(options: &TorchOptions, cuda: u32) -> Vec<TorchIndex> {
    let mut found = Vec::new();
    if let Rocm::Present(version) = options.rocm {
        let versions = super::rocm::downwards(version);
        found.extend(first(options, &rocm(&options.rocm_index, &versions)).await);
        if options.nightly {
            found.extend(first(options, &rocm(&options.nightly_rocm_index, &versions)).await);
        }
    }
    if found.is_empty() {
        found.extend(first(options, &candidates(&options.index, cuda)).await);
        if options.nightly {
            found.extend(first(options, &candidates(&options.nightly_index, cuda)).await);
        }
    }
    found
}

async fn first(options: &TorchOptions, candidates: &[TorchIndex]) -> Option<TorchIndex> {
    let addresses: Vec<String> = candidates.iter().map(|index| index.url.clone()).collect();
    let (place, _) = options.pages.first(&addresses).await?;
    candidates.get(place).cloned()
}

fn candidates(template: &str, cuda: u32) -> Vec<TorchIndex> {
    let of_number = |number: u32| TorchIndex {
        build: format!("CUDA {number}"),
        url: template.replace("{}", &number.to_string()),
    };
    if cuda == 0 {
        // The builds without CUDA have a name in place of the number.
        let mut found = vec![of_number(0)];
        if template.contains("cu{}") {
            let url = template.replace("cu{}", "cpu");
            let build = "CPU".to_owned();
            found.insert(0, TorchIndex { build, url });
        }
        return found;
    }
    let last = cuda.saturating_sub(CUDA_VERSIONS - 1);
    (last..=cuda).rev().map(of_number).collect()
}

fn rocm(template: &str, versions: &[(u32, u32)]) -> Vec<TorchIndex> {
    let of_version = |(major, minor): &(u32, u32)| TorchIndex {
        build: format!("ROCm {major}.{minor}"),
        url: template
            .replacen("{}", &major.to_string(), 1)
            .replacen("{}", &minor.to_string(), 1),
    };
    versions.iter().map(of_version).collect()
}
