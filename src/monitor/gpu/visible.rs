//! Which GPUs a selection names (D-320).

use std::path::Path;

use super::GpuReading;

/// The GPUs that a worker reports.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum VisibleGpus {
    /// Every one.
    #[default]
    All,
    /// None.
    None,
    /// Those that one of these items names: an index, `0.1` for a part of a GPU, a UUID or its beginning.
    Listed(Vec<String>),
}

impl VisibleGpus {
    /// What the selection says, which may be the path of a folder whose entries are the items.
    pub fn of(selection: Option<&str>) -> Self {
        let text = selection.unwrap_or_default().trim();
        match text {
            "" | "all" => Self::All,
            "none" => Self::None,
            path if Path::new(path).is_dir() => Self::Listed(entries(Path::new(path))),
            list => Self::Listed(list.split(',').map(item).collect()),
        }
    }

    /// The readings of these GPUs. A list that names none of them is not about this machine's names, as `void` in a
    /// container: everything is reported then.
    pub fn keep(&self, readings: Vec<GpuReading>) -> Vec<GpuReading> {
        let items = match self {
            Self::All => return readings,
            Self::None => return Vec::new(),
            Self::Listed(items) => items,
        };
        let is_named = |reading: &GpuReading| items.iter().any(|item| names(item, reading));
        if !readings.iter().any(is_named) {
            return readings;
        }
        readings.into_iter().filter(is_named).collect()
    }
}

fn item(text: &str) -> String {
    text.trim().replace(':', ".")
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| item(&entry.file_name().to_string_lossy()))
        .collect()
}

/// A whole GPU's name stands for all of its parts as well.
fn names(item: &str, reading: &GpuReading) -> bool {
    let is_uuid = item.starts_with("GPU-") || item.starts_with("MIG-");
    let begins = |uuid: &str| is_uuid && uuid.starts_with(item);
    let part = reading.part.map(|part| format!("{}.{part}", reading.index));
    item == reading.index.to_string()
        || part.is_some_and(|part| part == item)
        || begins(&reading.uuid)
        || reading.part_uuid.as_deref().is_some_and(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(index: u32, part: Option<u32>) -> GpuReading {
        GpuReading {
            index,
            part,
            uuid: format!("GPU-{index}aaa-bbb"),
            part_uuid: part.map(|part| format!("MIG-{index}ccc-{part}")),
            name: String::new(),
            temperature: None,
            usage: None,
            memory: None,
        }
    }

    /// The places of the GPUs that are kept of 0, 1.0, 1.1, 2 and 10.
    fn kept(selection: Option<&str>) -> Vec<String> {
        let all = vec![
            reading(0, None),
            reading(1, Some(0)),
            reading(1, Some(1)),
            reading(2, None),
            reading(10, None),
        ];
        let kept = VisibleGpus::of(selection).keep(all);
        kept.iter()
            .map(|reading| match reading.part {
                Some(part) => format!("{}.{part}", reading.index),
                None => reading.index.to_string(),
            })
            .collect()
    }

    const EVERYTHING: [&str; 5] = ["0", "1.0", "1.1", "2", "10"];

    /// D-320
    #[test]
    fn a_selection_names_gpus() {
        for (selection, expected) in [
            (None, &EVERYTHING as &[&str]),
            (Some(""), &EVERYTHING),
            (Some("all"), &EVERYTHING),
            (Some("none"), &[]),
            (Some("0"), &["0"]),
            (Some("1"), &["1.0", "1.1"]),
            (Some("0, 10"), &["0", "10"]),
            (Some("1.1"), &["1.1"]),
            (Some("1:0,2"), &["1.0", "2"]),
            (Some("GPU-2aaa-bbb"), &["2"]),
            (Some("GPU-2"), &["2"]),
            (Some("MIG-1ccc-1"), &["1.1"]),
            (Some("MIG-1ccc-1,0"), &["0", "1.1"]),
            // Nothing of it is here.
            (Some("void"), &EVERYTHING),
            (Some("7"), &EVERYTHING),
            (Some("GPU-ffff"), &EVERYTHING),
        ] {
            assert_eq!(kept(selection), expected, "{selection:?}");
        }
    }

    /// D-320
    #[test]
    fn the_entries_of_a_folder_name_gpus() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("GPU-0aaa-bbb"), "").unwrap();
        std::fs::write(folder.path().join("10"), "").unwrap();
        assert_eq!(kept(folder.path().to_str()), ["0", "10"]);
    }
}
