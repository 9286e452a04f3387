//! What reads bytes that others have written, as functions of these bytes: none may panic, whatever they are.
//!
//! Fuzzers drive them with coverage (`tests/fuzz/`), and the tests here with pieces of each language, from a fixed seed.

use std::path::Path;
use std::time::Instant;

use crate::container::args::{ApiVersion, HostContext, parse};
use crate::logs::{Batch, Level, LineRules, Spool};
use crate::secrets::Masker;
use crate::settings::hocon::{self, Source, World};
use crate::task::Entry;
use crate::{api, python, source, visible};

/// A configuration file; what is read is printed so that it reads the same.
pub fn hocon(bytes: &[u8]) {
    let world = || World {
        variable: &|name| (name == "HOME").then(|| "/home/user".to_owned()),
        read: &|_| Ok("a: 1".to_owned()),
    };
    let text = String::from_utf8_lossy(bytes);
    if let Ok(object) = hocon::parse(&text, Source::Text, world()) {
        let printed = hocon::print(&object);
        let read = hocon::parse(&printed, Source::Text, world());
        assert!(read.is_ok(), "what is printed is not read: {printed}");
    }
}

/// Arguments of a container.
pub fn docker_words(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Some(mut words) = shlex::split(&text) else {
        return;
    };
    // Files that an argument names are not a matter of reading it.
    words.retain(|word| !word.contains("file"));
    if let Ok(command) = parse(&words) {
        for minor in [24, 41, 50] {
            let _ = command.create_request(ApiVersion::new(1, minor), &HostContext::default());
        }
    }
}

/// The URL of a repository.
pub fn git_url(bytes: &[u8]) {
    source::fuzz::url(&String::from_utf8_lossy(bytes));
}

/// A list of packages.
pub fn requirements(bytes: &[u8]) {
    let checked = python::fuzz::check(&String::from_utf8_lossy(bytes));
    assert!(checked.is_ok(), "{checked:?}");
}

/// Uncommitted changes, an entry point, a working folder.
pub fn diff(bytes: &[u8]) {
    source::fuzz::diff(&String::from_utf8_lossy(bytes));
}

/// An answer of the server.
pub fn answer(bytes: &[u8]) {
    api::fuzz::answer(bytes);
}

/// The journal of a run; what is read is written so that it reads the same.
pub fn journal(bytes: &[u8]) {
    if let Ok(entry) = serde_json::from_slice::<Entry>(bytes) {
        let written = serde_json::to_vec(&entry).unwrap_or_default();
        let again = serde_json::from_slice::<Entry>(&written);
        let again = again.map(|again| serde_json::to_vec(&again).unwrap_or_default());
        assert!(again.is_ok_and(|again| again == written), "{entry:?}");
    }
}

/// The output file of a program: all of it is sent, once, and no secret in it. The first byte says how it is cut.
pub fn console(bytes: &[u8]) {
    const SECRET: &str = "hunter2-secret";
    let Some((cut, bytes)) = bytes.split_first() else {
        return;
    };
    let masker = Masker::new([&SECRET.to_owned()]);
    let Ok(file) = tempfile::NamedTempFile::new() else {
        return;
    };
    if std::fs::write(file.path(), bytes).is_err() {
        return;
    }
    let sent = spooled(file.path(), bytes.len(), u64::from(*cut), &masker);
    assert_eq!(sent, masker.mask_bytes(bytes), "cut every {cut} bytes");
    for fold_carriage_returns in [true, false] {
        let rules = LineRules {
            fold_carriage_returns,
        };
        let text = rules.text(&sent);
        let batches = Batch::split(&text, Level::Info, 0);
        let events = batches.iter().flat_map(|batch| &batch.events);
        let joined: String = events.map(|event| event.message.as_str()).collect();
        assert_eq!(joined, text);
        let _ = (visible::lines(&text), visible::line(&text));
    }
}

/// What a spool gives of a file that grows by `step` bytes at a time.
fn spooled(path: &Path, length: usize, step: u64, masker: &Masker) -> Vec<u8> {
    let mut sent = Vec::new();
    let Ok(mut spool) = Spool::open(path, 0) else {
        return sent;
    };
    let length = length as u64;
    let mut limit = 0;
    while limit < length {
        limit = (limit + step.max(1)).min(length);
        spool.limit_to(limit);
        while let Ok(Some(segment)) = spool.next(masker, limit == length, Instant::now()) {
            sent.extend(segment.bytes);
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

    use super::*;

    fn number(variable: &str, default: u64) -> u64 {
        std::env::var(variable).map_or(default, |text| {
            text.parse()
                .unwrap_or_else(|_| panic!("{variable} is a whole number"))
        })
    }

    /// Drives `entry` with texts of these pieces, and with others.
    fn drive(entry: fn(&[u8]), pieces: &'static [&'static str]) {
        let config = Config {
            cases: u32::try_from(number("FUZZ_CASES", 3_000)).unwrap_or(u32::MAX),
            failure_persistence: None,
            ..Config::default()
        };
        let seed = number("FUZZ_SEED", 0x00c1_ea41).to_le_bytes().repeat(4);
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let piece = prop_oneof![
            8 => prop::sample::select(pieces).prop_map(|piece| piece.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..6),
        ];
        let texts = prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat());
        let tried = TestRunner::new_with_rng(config, random).run(&texts, |bytes| {
            entry(&bytes);
            Ok(())
        });
        if let Err(error) = tried {
            panic!("{error}");
        }
    }

    /// E-039, E-048
    #[test]
    fn any_url_is_read() {
        drive(
            git_url,
            &[
                "https", "ssh", "file", "ext", "://", "::", ":", "@", "/", "//", "..", ".git", "~",
                "%2F", "%00", "git", "user", "pass", "host", "[::1]", ":22", "?", "#", "-o", "\n",
                "é", " ",
            ],
        );
    }

    /// E-075, E-084, E-090, E-094
    #[test]
    fn any_change_is_read() {
        drive(
            diff,
            &[
                "diff --git a/x b/x\n",
                "--- a/",
                "+++ b/",
                "--- /dev/null\n",
                "@@ -1 +1 @@\n",
                "@@ -0,0 +1,9 @@\n",
                "@@ -99999999999,",
                "index e69de29..1 100644\n",
                "new file mode 120000\n",
                "rename from ",
                "GIT binary patch\n",
                "../",
                "/",
                ".git",
                "\\303",
                "\"",
                "\n",
                "\r\n",
                "+a\n",
                "-a\n",
                " a\n",
                "main.py",
                "-m ",
                "{\"cells\": []}",
                "from __future__ import a\n",
            ],
        );
    }

    /// A-040, A-041
    #[test]
    fn any_answer_is_read() {
        drive(
            answer,
            &[
                "{",
                "}",
                "[",
                "]",
                ",",
                ":",
                "\"meta\":",
                "\"data\":",
                "{\"meta\":{\"result_code\":200},\"data\":",
                "{\"meta\":{\"result_code\":400,\"result_msg\":\"no\\n\"}}",
                "\"id\":",
                "\"task\":",
                "\"script\":",
                "\"hyperparams\":",
                "\"entries\":",
                "\"status\":",
                "\"queued\"",
                "null",
                "true",
                "-1",
                "1e999",
                "18446744073709551616",
                "0.5",
                "\"\"",
                "\"../x\"",
                "\"\\u001b\"",
                "e30.",
                "e30.e30.",
                "Wed, 21 Oct 2015 07:28:00 GMT",
            ],
        );
    }

    #[test]
    fn any_journal_is_read() {
        drive(
            journal,
            &[
                "{",
                "}",
                "[",
                "]",
                ",",
                ":",
                "\"version\":",
                "1",
                "\"task\":\"a\"",
                "\"phase\":",
                "\"started\"",
                "\"outcome\":",
                "null",
                "true",
                "-1",
                "18446744073709551615",
                "1.5",
                "\"x\"",
                "\"pid\":",
                "\"worker\":\"host:0\"",
            ],
        );
    }

    /// D-220, D-223
    #[test]
    fn any_console_is_sent_whole() {
        drive(
            console,
            &[
                "hunter2-secret",
                "hunter2",
                "-secret",
                "\n",
                "\r",
                "\r\n",
                "\u{8}",
                "\u{1b}[2K",
                "50 %",
                "é",
                "😀",
                "a line\n",
                "\u{0}",
                "\u{2028}",
            ],
        );
    }
}
