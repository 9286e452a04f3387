//! What a successor makes of an output file that has lost its end.

use std::fs::File;
use std::io;

use crate::task::journal::{Entry, Journal};

/// The bytes that are left are sent, those that the server has are no hole that is sent, and what the engine still has of
/// a container's output follows what is there.
pub(super) fn in_place(journal: &Journal) -> io::Result<Entry> {
    let found = journal.entry();
    let file = File::options().append(true).open(&found.output)?;
    let mut entry = found.clone();
    if let Some(length) = mend(&mut entry, file.metadata()?.len()) {
        file.set_len(length)?;
    }
    if entry != found {
        let (progress, container) = (entry.progress.clone(), entry.container.clone());
        journal.update(|entry| {
            entry.progress = progress;
            entry.container = container;
        });
    }
    Ok(entry)
}

/// Makes the entry fit a file of this length; what the length must become where it is too short.
fn mend(entry: &mut Entry, length: u64) -> Option<u64> {
    let base = entry.container.as_ref().map_or(0, |one| one.base);
    let acknowledged = entry.progress.acknowledged;
    if length >= acknowledged.max(base) {
        return None;
    }
    if entry.container.is_some() && acknowledged >= base {
        // The server has all that is not the container's: its output goes on behind that.
        return Some(acknowledged);
    }
    entry.progress.acknowledged = acknowledged.min(length);
    // Its bytes are gone, and others have their places.
    entry.progress.in_doubt = None;
    if let Some(contained) = &mut entry.container {
        contained.base = length;
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::task::container::Contained;

    /// What becomes of an entry whose file has 50 bytes: the file's new length, bytes acknowledged, bytes in front of the
    /// container's, whether a request is still in doubt.
    fn mended(acknowledged: u64, base: Option<u64>) -> (Option<u64>, u64, Option<u64>, bool) {
        let text = String::new;
        let mut entry = Entry::new(text(), text(), text(), "".into(), "".into());
        entry.progress.acknowledged = acknowledged;
        let doubt = json!({"end": 200, "timestamp": 1});
        entry.progress.in_doubt = Some(serde_json::from_value(doubt).expect("read"));
        entry.container = base.map(|base| Contained {
            id: None,
            has_terminal: false,
            base,
            copies: Vec::new(),
            is_late: false,
        });
        let length = mend(&mut entry, 50);
        (
            length,
            entry.progress.acknowledged,
            entry.container.map(|one| one.base),
            entry.progress.in_doubt.is_some(),
        )
    }

    /// D-222, C-314
    #[test]
    fn nothing_is_sent_twice_and_nothing_left_out() {
        // All is there.
        assert_eq!(mended(50, None), (None, 50, None, true));
        assert_eq!(mended(20, Some(50)), (None, 20, Some(50), true));
        // What is lost was the program's own.
        assert_eq!(mended(80, None), (None, 50, None, false));
        // Bytes in front of the container's are lost that the server does not have.
        assert_eq!(mended(40, Some(80)), (None, 40, Some(50), false));
        assert_eq!(mended(70, Some(80)), (None, 50, Some(50), false));
        // It has them, and none, or some, of the container's.
        assert_eq!(mended(80, Some(80)), (Some(80), 80, Some(80), true));
        assert_eq!(mended(90, Some(80)), (Some(90), 90, Some(80), true));
    }
}
