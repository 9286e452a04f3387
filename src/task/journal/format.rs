//! What releases may do to each other's journals.
//!
//! A journal says its version, which is raised only where an older release must not go by what a newer one has written. All else
//! changes within a version: a new member has a default, so that journals of older releases can be read, and a member that is not
//! known is kept. A new word in a known member (a phase, an outcome) makes a journal unreadable for older releases for as long as
//! it stands there: they leave it alone.

use std::path::PathBuf;

use serde::Deserialize;

use super::{Entry, JournalError};

/// The newest format that this release reads, and the one that it writes.
pub(super) const VERSION: u32 = 1;

#[derive(Deserialize)]
struct Head {
    version: u64,
}

/// What the journal says whose file has these bytes.
pub(super) fn entry(bytes: &[u8], journal: PathBuf) -> Result<Entry, JournalError> {
    // Nothing but the version is known of a format that is still to come.
    if let Ok(Head { version }) = serde_json::from_slice(bytes)
        && version > u64::from(VERSION)
    {
        return Err(JournalError::Newer { journal, version });
    }
    serde_json::from_slice(bytes).map_err(|error| JournalError::Unreadable {
        journal,
        why: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;
    use crate::task::journal::Phase;
    use crate::task::outcome::Outcome;

    /// Journals as they were written by the releases until now. Add to them when the form grows; change none.
    const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/journals/version-1");

    fn read(value: &Value) -> Result<Entry, JournalError> {
        entry(value.to_string().as_bytes(), "journal.json".into())
    }

    fn sample(name: &str) -> Value {
        let path = Path::new(SAMPLES).join(name).with_extension("json");
        let text = fs::read_to_string(&path);
        serde_json::from_str(&text.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
            .expect("JSON")
    }

    fn samples() -> Vec<String> {
        let files = fs::read_dir(SAMPLES).expect("samples").flatten();
        let stems = files.filter_map(|file| Some(file.path().file_stem()?.to_str()?.to_owned()));
        stems.collect()
    }

    /// All that `part` says is in `whole`.
    fn is_kept(part: &Value, whole: &Value) -> bool {
        match (part, whole) {
            (Value::Object(part), Value::Object(whole)) => part
                .iter()
                .all(|(name, value)| whole.get(name).is_some_and(|other| is_kept(value, other))),
            (part, whole) => part == whole,
        }
    }

    #[test]
    fn all_samples_are_read_and_written_again_as_they_are() {
        assert!(samples().len() >= 13);
        for name in samples() {
            let sample = sample(&name);
            let entry = read(&sample).unwrap_or_else(|error| panic!("{name}: {error}"));
            let written = serde_json::to_value(&entry).expect("written");
            assert!(is_kept(&sample, &written), "{name}: {written:#}");
        }
    }

    /// The compiler says where a sample is missing.
    #[test]
    fn there_is_a_sample_for_each_phase_and_outcome() {
        let of_outcome = |outcome: &Outcome| match outcome {
            Outcome::Aborted => "ended-aborted",
            Outcome::Exited(_) => "ended-exited",
            Outcome::Failed { .. } => "ended-failed",
            Outcome::Lost => "ended-lost",
            Outcome::NotStarted { .. } => "ended-not-started",
            Outcome::Reported(_) => "ended-reported",
            Outcome::Restarted => "ended-restarted",
            Outcome::Stopped(_) => "ended-stopped",
        };
        let mut known: BTreeSet<_> = samples().into_iter().collect();
        for name in samples() {
            let of_phase = match read(&sample(&name)).expect("read").phase {
                Phase::Pulled => "pulled",
                Phase::Preparing => "preparing",
                Phase::Running { .. } => "running",
                Phase::Contained => "contained",
                Phase::Ended { outcome } => of_outcome(&outcome),
                Phase::Announced { .. } => "announced",
            };
            if name == of_phase {
                known.remove(&name);
            }
        }
        assert_eq!(known.into_iter().collect::<Vec<_>>(), ["earliest"]);
    }

    /// A release before knew none of the members that have been added since.
    #[test]
    fn what_an_earlier_release_did_not_write_has_a_default() {
        let earliest = read(&sample("earliest")).expect("read");
        assert_eq!(
            (earliest.since, earliest.is_told, earliest.keeps_output),
            (0, false, false)
        );
        assert_eq!(earliest.options.log_level, "INFO");
        assert!(earliest.parent.is_none() && earliest.owner.is_none());
        assert!(earliest.container.is_none() && earliest.way_back.is_none());
        assert_eq!(earliest.task, "0123456789abcdef0123456789abcdef");
    }

    #[test]
    fn what_a_newer_release_has_added_is_kept() {
        let mut newer = sample("contained");
        newer["colour"] = json!({ "of": ["the", "bikeshed"] });
        newer["options"]["speed"] = json!(7);
        let mut entry = read(&newer).expect("read");
        entry.phase = Phase::Preparing;
        let written = serde_json::to_value(&entry).expect("written");
        assert_eq!(written["colour"], newer["colour"]);
        assert_eq!(written["phase"], "Preparing");
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_the_reason() {
        let refused = |value: Value| {
            let error = read(&value).expect_err("refused");
            assert!(error.hint().is_some());
            error.to_string()
        };
        // Whatever else it is by then.
        let newer = refused(json!({ "version": VERSION + 1, "phase": { "Dancing": 3 } }));
        let expected = "`journal.json` is of a newer release (format 2, this one reads up to 1)";
        assert_eq!(newer, expected);
        let mut word = sample("pulled");
        word["phase"] = json!("Dancing");
        let word = refused(word);
        assert!(word.contains("unknown variant `Dancing`"), "{word}");
        let none = refused(json!([]));
        assert!(none.contains("cannot be read as a journal"), "{none}");
        let error = entry(b"{\"version\": 1, \"ta", "journal.json".into()).expect_err("refused");
        assert!(matches!(error, JournalError::Unreadable { .. }));
    }
}
