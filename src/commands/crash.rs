//! What is said and kept of a mistake of the program itself (D-170, D-310).

use std::backtrace::Backtrace;
use std::collections::HashSet;
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::secrets;
use crate::settings::{Environment, env_vars};
use crate::storage::{create_temporary, temporaries};
use crate::ui::Printer;

/// Lets every panic of this process be said in one line, and kept in a file with all that is known.
///
/// Many panics at one place leave one file.
pub(super) fn report_panics(environment: &Environment) {
    let folder = environment
        .text(&env_vars::TEMP_STDOUT_FILE_DIR)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let known = Mutex::new(HashSet::new());
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = known.insert(place.clone());
        drop(known);
        let text = secrets::mask(&text_of(panic));
        let kept = is_new.then(|| keep(&folder, &place, &text));
        let kept = kept.map(|kept| match kept {
            Ok(path) => format!("\nhint: {} has what is needed to report it", path.display()),
            Err(error) => format!("\nhint: no file could be written about it: {error}"),
        });
        // A stdout that is closed must not become a panic in a panic.
        Printer::default().line(format!(
            "FATAL ERROR:\n{text} ({place}){}",
            kept.unwrap_or_default()
        ));
    }));
}

fn text_of(panic: &PanicHookInfo<'_>) -> String {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the program has made a mistake".to_owned())
}

/// Files of crashes that stay, the newest.
const MOST_FILES: usize = 20;

/// The file of a crash, for its owner alone; the oldest go.
fn keep(folder: &Path, place: &str, text: &str) -> io::Result<PathBuf> {
    let (prefix, suffix) = (".clearml_agent-crash", ".log");
    let (path, mut file) = create_temporary(folder, prefix, suffix)?;
    for old in temporaries(folder, prefix, suffix).iter().skip(MOST_FILES) {
        // Another process that crashes may have been faster.
        let _ = std::fs::remove_file(old);
    }
    let verb: Vec<String> = std::env::args().skip(1).take(1).collect();
    let version = env!("CARGO_PKG_VERSION");
    writeln!(
        file,
        "clearml-agent {version} {}\n{text}\nat {place}\n\n{}",
        verb.join(" "),
        Backtrace::force_capture()
    )?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// D-170, D-310
    #[test]
    fn a_crash_leaves_a_file_for_its_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = keep(folder.path(), "src/a.rs:1:2", "something is wrong").expect("kept");
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.expect("a name");
        let random = name.strip_prefix(".clearml_agent-crash");
        let random = random.and_then(|rest| rest.strip_suffix(".log"));
        assert_eq!(random.map(str::len), Some(8), "{name}");
        let text = std::fs::read_to_string(&path).expect("read");
        assert!(
            text.contains("something is wrong\nat src/a.rs:1:2\n"),
            "{text}"
        );
        let mode = std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    /// However often the program crashes, the disk does not fill; nobody else's file goes.
    #[test]
    fn the_files_of_the_last_crashes_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let other = folder.path().join(".clearml_agent-crash-notes.log");
        std::fs::write(&other, "").expect("written");
        let first = keep(folder.path(), "src/a.rs:1:2", "first").expect("kept");
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        let file = std::fs::File::options().write(true).open(&first);
        file.and_then(|file| file.set_modified(long_ago))
            .expect("set");
        for _ in 1..MOST_FILES {
            keep(folder.path(), "src/a.rs:1:2", "more").expect("kept");
        }
        assert!(first.exists());
        let last = keep(folder.path(), "src/a.rs:1:2", "last").expect("kept");
        assert!(!first.exists() && last.exists() && other.exists());
        assert_eq!(
            temporaries(folder.path(), ".clearml_agent-crash", ".log").len(),
            MOST_FILES
        );
    }
}
