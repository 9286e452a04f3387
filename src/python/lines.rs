//! A requirements text as logical lines: comments and continuations gone, options told apart (E-143..E-147).

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::index_url::IndexUrl;

/// What a requirements text says.
#[derive(Debug, Default)]
pub(super) struct RequirementLines {
    /// Requirements in order, each with the installer options that belong to it.
    pub(super) requirements: Vec<RequirementLine>,
    /// Extra package indexes (E-146).
    pub(super) indexes: Vec<IndexUrl>,
    /// Options for every installer call of this list, word by word (E-147).
    pub(super) options: Vec<String>,
    /// What the user should know: dropped lines, files that are missing.
    pub(super) warnings: Vec<String>,
}

/// A requirement as it was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct RequirementLine {
    /// The line without comment and options.
    pub(super) text: String,
    /// `--hash=...` and the like, behind the requirement.
    pub(super) options: String,
}

/// Dropped, because they would change where everything else comes from (E-145).
const DROPPED: [(&str, bool); 7] = [
    ("-i", true),
    ("--index-url", true),
    ("-f", true),
    ("--find-links", true),
    ("--no-index", false),
    ("-Z", false),
    ("--always-unzip", false),
];
/// Passed on to the installer; true where a value follows (E-147).
const PASSED: [(&str, bool); 8] = [
    ("-c", true),
    ("--constraint", true),
    ("--pre", false),
    ("--prefer-binary", false),
    ("--require-hashes", false),
    ("--only-binary", true),
    ("--no-binary", true),
    ("--trusted-host", true),
];

/// Bytes; no list comes near it, and a device such as `/dev/zero` has no end.
const LONGEST_FILE: u64 = 16 << 20;

impl RequirementLines {
    /// Reads `text`; `-r` files are looked up from `folder` on and read by `read`.
    pub(super) fn read(text: &str, folder: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Self {
        let mut lines = Self::default();
        lines.add(text, folder, None, read, &mut HashSet::new());
        lines
    }

    /// `including` is the folder of the file that is read, none for the task's own text.
    fn add(
        &mut self,
        text: &str,
        base: &Path,
        including: Option<&Path>,
        read: &dyn Fn(&Path) -> Option<String>,
        seen: &mut HashSet<PathBuf>,
    ) {
        let folder = including.unwrap_or(base);
        for line in logical_lines(text) {
            if !line.starts_with('-') {
                self.add_requirement(&line);
            } else if let Some(file) = value_of(&line, "-r").or(value_of(&line, "--requirement")) {
                let path = folder.join(file);
                if !seen.insert(path.clone()) {
                    continue;
                }
                match read(&path) {
                    Some(inner) => self.add(&inner, base, path.parent(), read, seen),
                    None => self
                        .warnings
                        .push(format!("Requirements file not found, skipping [{line}]")),
                }
            } else if let Some(url) = value_of(&line, "--extra-index-url") {
                self.indexes.push(IndexUrl::new(url));
            } else if value_of(&line, "-e")
                .or(value_of(&line, "--editable"))
                .is_some()
            {
                self.add_requirement(&line);
            } else {
                self.add_option(&line, including);
            }
        }
    }

    fn add_requirement(&mut self, line: &str) {
        // A link may hold a password, which no message must show.
        for word in line.split_whitespace().filter(|word| word.contains("://")) {
            IndexUrl::new(word);
        }
        let (text, options) = split_options(line);
        self.requirements.push(RequirementLine { text, options });
    }

    fn add_option(&mut self, line: &str, including: Option<&Path>) {
        for (name, takes_value) in PASSED {
            if !takes_value && line == name {
                self.options.push(name.to_owned());
                return;
            }
            let Some(value) = value_of(line, name).filter(|_| takes_value) else {
                continue;
            };
            self.options.push(name.to_owned());
            // The installer runs in the folder of the first file, nested ones are relative to their own.
            self.options.push(match including {
                Some(folder) if name.starts_with("-c") || name == "--constraint" => {
                    if value.contains("://") {
                        value.to_owned()
                    } else {
                        folder.join(value).display().to_string()
                    }
                }
                _ => value.to_owned(),
            });
            return;
        }
        let known = DROPPED.iter().any(|(name, takes_value)| {
            line == *name || *takes_value && value_of(line, name).is_some()
        });
        let reason = if known { "not used" } else { "not known" };
        let shown = match line.split_once(char::is_whitespace) {
            Some((name, value)) => format!("{name} {}", IndexUrl::new(value.trim())),
            None => match line.split_once('=') {
                Some((name, value)) => format!("{name}={}", IndexUrl::new(value)),
                None => line.to_owned(),
            },
        };
        self.warnings.push(format!(
            "Ignoring requirements option, {reason} by the agent [{shown}]"
        ));
    }
}

/// The text of a list; none where there is no such file, or where it is too large for one.
pub(super) fn read_file(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > LONGEST_FILE {
        return None;
    }
    let bytes = std::fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The value of option `name` in `line`, written with a blank or with `=`.
fn value_of<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(name)?;
    let value = rest
        .strip_prefix(|c: char| c == '=' || c.is_whitespace())?
        .trim();
    (!value.is_empty()).then_some(value)
}

/// Trimmed lines without comments; a backslash at the end joins the next line.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut held = String::new();
    for line in text.replace("\r\n", "\n").split(is_line_end) {
        let is_comment = line.trim_start().starts_with('#');
        match line.strip_suffix('\\') {
            Some(start) if !is_comment => held.push_str(start),
            _ => {
                if !is_comment {
                    held.push_str(line);
                }
                lines.push(std::mem::take(&mut held));
            }
        }
    }
    lines.push(held);
    lines
        .iter()
        .map(|line| without_comment(line).trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// Where the installers end a line as well, so that nothing in one of ours is an option to them.
fn is_line_end(c: char) -> bool {
    matches!(
        c,
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// A `#` starts a comment at the beginning of a line or behind white space.
fn without_comment(line: &str) -> &str {
    let mut before = None;
    for (at, c) in line.char_indices() {
        if c == '#' && before.is_none_or(char::is_whitespace) {
            return &line[..at];
        }
        before = Some(c);
    }
    line
}

/// `name==1 --hash=...` as requirement and options.
fn split_options(line: &str) -> (String, String) {
    let start = usize::from(line.starts_with('-'));
    match line[start..].find(" --").map(|at| start + at) {
        Some(at) => (line[..at].trim().to_owned(), line[at..].trim().to_owned()),
        None => (line.to_owned(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> RequirementLines {
        RequirementLines::read(text, Path::new("/code"), &|path| match path.to_str()? {
            "/code/reqs/base.txt" => Some("a\n-c pins.txt\n-r more.txt\n-r base.txt".into()),
            "/code/reqs/more.txt" => Some("b".into()),
            _ => None,
        })
    }

    fn texts(lines: &RequirementLines) -> Vec<&str> {
        lines
            .requirements
            .iter()
            .map(|line| line.text.as_str())
            .collect()
    }

    /// E-144: nested files are relative to their own folder; a file that includes itself is read once.
    #[test]
    fn files_are_inlined_where_they_stand() {
        let lines = read("x\n-r reqs/base.txt\n--requirement=missing.txt\ny");
        assert_eq!(texts(&lines), ["x", "a", "b", "y"]);
        assert_eq!(lines.options, ["-c", "/code/reqs/pins.txt"]);
        assert_eq!(lines.warnings.len(), 1);
    }

    /// E-146, E-147
    #[test]
    fn options_reach_the_installer_and_stay_with_their_requirement() {
        let lines = read(
            "--extra-index-url=https://i/simple # c\n-c pins.txt\n--pre\n--only-binary :all:\n\
             a==1 \\\n  --hash=sha256:1 \\\n  --hash=sha256:2\n-i https://u:passwd1@h/s\n--what",
        );
        assert_eq!(lines.indexes, [IndexUrl::new("https://i/simple")]);
        assert_eq!(
            lines.options,
            ["-c", "pins.txt", "--pre", "--only-binary", ":all:"]
        );
        assert_eq!(lines.requirements[0].text, "a==1");
        assert_eq!(lines.requirements[0].options.split_whitespace().count(), 2);
        assert_eq!(lines.warnings.len(), 2);
        assert!(!lines.warnings[0].contains("passwd1"));
    }

    /// E-145: whatever pip takes for the end of a line ends one here, so that no option is smuggled past.
    #[test]
    fn no_option_hides_behind_the_end_of_a_line() {
        for end in [
            "\n", "\r", "\r\n", "\u{b}", "\u{c}", "\u{1c}", "\u{1d}", "\u{1e}", "\u{85}",
            "\u{2028}", "\u{2029}",
        ] {
            let lines = read(&format!(
                "six{end}--index-url http://e/{end}-f /x{end}--no-index"
            ));
            assert_eq!(texts(&lines), ["six"], "{end:?}");
            assert!(lines.options.is_empty() && lines.indexes.is_empty());
            assert_eq!(lines.warnings.len(), 3, "{:?}", lines.warnings);
        }
    }

    /// Nobody waits for what never ends, and nothing is read that is no file.
    #[test]
    fn a_list_is_a_file_of_bearable_size() {
        let folder = tempfile::tempdir().unwrap();
        let (small, large) = (folder.path().join("small"), folder.path().join("large"));
        std::fs::write(&small, "six\n").unwrap();
        std::fs::File::create(&large)
            .unwrap()
            .set_len(LONGEST_FILE + 1)
            .unwrap();
        assert_eq!(read_file(&small).as_deref(), Some("six\n"));
        for path in [&large, Path::new("/dev/zero"), folder.path()] {
            assert_eq!(read_file(path), None, "{}", path.display());
        }
    }

    proptest! {
        /// Broken texts never panic.
        #[test]
        fn any_text_is_read(text in "(?s)[-a-z#\\\\= \n@:/.]{0,200}") {
            let _ = read(&text);
        }
    }
}
