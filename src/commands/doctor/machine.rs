//! The machine: room on disks, folders that can be written to, limits of this user.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::{FsFlags, Statvfs, statvfs};
use nix::unistd::{AccessFlags, access};

use super::report::Finding;
use crate::commands::{Failed, options};
use crate::settings::Settings;

const GIBIBYTE: u64 = 1 << 30;
/// Less than this is too little for one environment.
const LITTLE: u64 = GIBIBYTE;
/// Less than this is too little for journals and consoles.
const SMALL: u64 = 16 << 20;
/// Programs with many workers and connections need more than this.
const FEW_FILES: u64 = 1024;
/// What data loaders of several processes share lies there.
const SHARED_MEMORY: &str = "/dev/shm";

/// A folder that tasks use, whether it is there yet or not.
#[derive(Debug)]
struct Wanted {
    /// What names it.
    key: &'static str,
    folder: PathBuf,
    /// Programs in it are started.
    has_programs: bool,
    /// What must be free there; ten times as much is enough.
    least: u64,
}

pub(super) fn look(settings: &Settings) -> Result<Vec<Finding>, Failed> {
    let settings = &settings.clone().with_folders(0);
    let agent = settings.agent()?;
    let places = options::known_places(&agent)?;
    let wanted = |key, folder: &Path, has_programs| Wanted {
        key,
        folder: folder.to_owned(),
        has_programs,
        least: LITTLE,
    };
    let small = |key, folder: &Path| Wanted {
        least: SMALL,
        ..wanted(key, folder, false)
    };
    let mut folders = vec![
        wanted("agent.venvs_dir", &agent.venvs_dir, true),
        wanted("agent.vcs_cache.path", &agent.vcs_cache.path, false),
        small("the folder of journals", &places.runs),
        small("the folder for temporary files", &places.temporary),
    ];
    if let Some(store) = &agent.store.path {
        folders.push(wanted("agent.store.path", store, true));
    }
    let mut findings: Vec<Finding> = folders.iter().filter_map(unusable).collect();
    if findings.is_empty() {
        let text = format!("{} can be written to", listed(&folders));
        findings.push(Finding::ok("folders", text));
    }
    findings.extend(disks(&folders));
    findings.extend(limits());
    Ok(findings)
}

fn listed(folders: &[Wanted]) -> String {
    let names: Vec<String> = folders
        .iter()
        .map(|wanted| wanted.folder.display().to_string())
        .collect();
    names.join(", ")
}

/// The folder, or what is there of the way to it.
fn existing(folder: &Path) -> &Path {
    let mut ways = folder.ancestors();
    ways.find(|way| way.exists()).unwrap_or(Path::new("/"))
}

/// Why the folder cannot be used; nothing is created.
fn unusable(wanted: &Wanted) -> Option<Finding> {
    const SUBJECT: &str = "folders";
    let place = existing(&wanted.folder);
    let shown = format!("{} ({})", wanted.folder.display(), wanted.key);
    if !place.is_dir() {
        let text = format!("{shown}: {} is no folder", place.display());
        return Some(Finding::fail(
            SUBJECT,
            text,
            "remove it, or name another folder",
        ));
    }
    if let Err(error) = access(place, AccessFlags::W_OK | AccessFlags::X_OK) {
        let text = format!(
            "{shown}: {} cannot be written to: {}",
            place.display(),
            error.desc()
        );
        let hint = format!(
            "give {} to the user of the agent, or name another folder",
            place.display()
        );
        return Some(Finding::fail(SUBJECT, text, hint));
    }
    let is_noexec = |disk: Statvfs| disk.flags().contains(FsFlags::ST_NOEXEC);
    if wanted.has_programs && statvfs(place).is_ok_and(is_noexec) {
        let text = format!("{shown}: nothing in it may be run (mounted with noexec)");
        return Some(Finding::fail(
            SUBJECT,
            text,
            "name a folder on another disk",
        ));
    }
    None
}

/// One line for each disk that the folders are on.
fn disks(folders: &[Wanted]) -> Vec<Finding> {
    let device = |place: &Path| place.metadata().map(|it| it.dev()).ok();
    let mut seen = HashSet::new();
    let mut findings = Vec::new();
    for wanted in folders {
        let place = existing(&wanted.folder);
        let Ok(disk) = statvfs(place) else { continue };
        let Some(number) = device(place).filter(|number| seen.insert(*number)) else {
            continue;
        };
        // The folder that needs most says how much is enough.
        let beside = folders
            .iter()
            .filter(|other| device(existing(&other.folder)) == Some(number));
        let least = beside.map(|other| other.least).max();
        let free = disk.blocks_available() * disk.fragment_size();
        findings.push(room(
            place,
            free,
            disk.files_available(),
            least.unwrap_or(wanted.least),
        ));
    }
    findings
}

fn room(place: &Path, free: u64, files: u64, least: u64) -> Finding {
    const SUBJECT: &str = "disk";
    const HINT: &str = "make room; `clearml-agent cache prune` removes environments";
    let text = format!("{}: {} free", place.display(), amount(free));
    // Some file systems do not count files, and say 0 or the most that there can be.
    if (1..10_000).contains(&files) {
        let text = format!("{text}, and room for {files} files alone");
        return Finding::warn(
            SUBJECT,
            text,
            "remove small files: an environment has tens of thousands",
        );
    }
    match free / least {
        0 => Finding::fail(SUBJECT, text, HINT),
        1..10 => Finding::warn(SUBJECT, text, HINT),
        _ => Finding::ok(SUBJECT, text),
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn amount(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / GIBIBYTE as f64)
}

fn limits() -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        findings.push(open_files(soft, hard));
    }
    if let Ok(memory) = statvfs(SHARED_MEMORY) {
        findings.push(shared_memory(memory.blocks() * memory.fragment_size()));
    }
    findings
}

fn open_files(soft: u64, hard: u64) -> Finding {
    const SUBJECT: &str = "open files";
    let text = format!("{soft} for each process (at most {hard})");
    if soft < FEW_FILES {
        return Finding::warn(
            SUBJECT,
            text,
            "raise it: `ulimit -n 65536`, in a unit `LimitNOFILE=65536`",
        );
    }
    Finding::ok(SUBJECT, text)
}

fn shared_memory(size: u64) -> Finding {
    const SUBJECT: &str = "shared memory";
    let text = format!("{SHARED_MEMORY}: {}", amount(size));
    if size < GIBIBYTE {
        return Finding::warn(
            SUBJECT,
            text,
            "data loaders of several processes (PyTorch) need more: mount it larger, or start the container with --shm-size",
        );
    }
    Finding::ok(SUBJECT, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(finding: &Finding) -> String {
        serde_json::to_value(finding).unwrap()["state"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_looked_at_by_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = |path: PathBuf| Wanted {
            key: "key",
            folder: path,
            has_programs: false,
            least: LITTLE,
        };
        assert_eq!(unusable(&wanted(folder.path().join("a/b"))), None);
        assert!(!folder.path().join("a").exists());
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let found = unusable(&wanted(file.join("b"))).unwrap();
        assert_eq!(state(&found), "fail");
    }

    #[test]
    fn room_has_three_states() {
        let of = |free, files| state(&room(Path::new("/"), free, files, LITTLE));
        assert_eq!(of(LITTLE - 1, 0), "fail");
        assert_eq!(of(LITTLE, 0), "warn");
        assert_eq!(of(10 * LITTLE, 0), "ok");
        assert_eq!(of(10 * LITTLE, 9_999), "warn");
    }

    #[test]
    fn limits_are_compared() {
        assert_eq!(state(&open_files(1023, 4096)), "warn");
        assert_eq!(state(&open_files(1024, 4096)), "ok");
        assert_eq!(state(&shared_memory(64 << 20)), "warn");
        assert_eq!(state(&shared_memory(GIBIBYTE)), "ok");
    }
}
