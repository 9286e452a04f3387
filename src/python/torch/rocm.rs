//! The machine's ROCm, as its files tell it (E-171).

use std::fs;
use std::path::Path;

use crate::monitor::is_amd_below;

/// What is tried where the version is not known.
const NEWEST: (u32, u32) = (6, 4);
const OLDEST_MAJOR: u32 = 4;
const MOST_PROBES: usize = 30;

/// Whether the machine has AMD's GPUs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Rocm {
    /// None, or NVIDIA's beside them.
    #[default]
    Absent,
    /// With this version of ROCm, major and minor; none where no file tells it.
    Present(Option<(u32, u32)>),
}

impl Rocm {
    /// Looks below `machine`, `/` but for tests; `installation` is `ROCM_PATH` where it is set.
    pub fn detect(machine: &Path, installation: Option<&str>) -> Self {
        if !is_amd_below(machine) {
            return Self::Absent;
        }
        let default = machine.join("opt/rocm");
        let folder = installation.map_or(default.as_path(), Path::new);
        let written = ["version", "version-dev", "version-utils"]
            .iter()
            .filter_map(|name| fs::read_to_string(folder.join(".info").join(name)).ok())
            .find_map(|text| version(&text));
        Self::Present(written.or_else(|| newest_folder(&machine.join("opt"))))
    }
}

fn newest_folder(folder: &Path) -> Option<(u32, u32)> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    entries
        .filter_map(|entry| version(entry.file_name().to_str()?.strip_prefix("rocm-")?))
        .max()
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().split(['.', '-']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The versions to try, the newest first.
pub(super) fn downwards(known: Option<(u32, u32)>) -> Vec<(u32, u32)> {
    let (major, minor) = known.unwrap_or(NEWEST);
    (OLDEST_MAJOR..=major)
        .rev()
        .flat_map(|each| {
            let highest = if each == major { minor } else { 9 };
            (0..=highest).rev().map(move |minor| (each, minor))
        })
        .take(MOST_PROBES)
        .collect()
}
