//! Reads a task's uncommitted changes: is it a diff at all (E-084), and which files does it expect (E-078).

use std::io::Write;

/// What a task's `script.diff` is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DiffField<'a> {
    /// Nothing.
    Empty,
    /// Uncommitted changes to a repository.
    Diff(&'a str),
    /// A whole script.
    Script(&'a str),
}

impl<'a> DiffField<'a> {
    /// E-084
    pub fn of(text: &'a str) -> Self {
        if text.is_empty() {
            return Self::Empty;
        }
        let mut lines = text.trim_start().lines().map(str::to_ascii_lowercase);
        let mut next = || lines.next().unwrap_or_default();
        let first = next();
        let is_diff = first.starts_with("diff ")
            || (first.starts_with("submodule ") && next().trim_start().starts_with("diff "));
        if is_diff {
            Self::Diff(text)
        } else {
            Self::Script(text)
        }
    }
}

/// A file that a diff changes, and that must therefore be there already.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Expected {
    /// Path from the repository's root.
    pub(super) path: String,
    /// True where the diff takes the file to be empty: git writes so for a file that was announced with
    /// `git add --intent-to-add`, which no commit has.
    pub(super) is_empty: bool,
}

/// A diff taken apart far enough for both ways of applying it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Parsed {
    pub(super) expected: Vec<Expected>,
    /// The diff without what libgit2 stumbles over: trailing blank lines, and context lines whose only blank was
    /// stripped on the way.
    pub(super) tidy: Vec<u8>,
}

/// Reads `diff` (the task's text and one more line feed, E-075) without judging it.
pub(super) fn parse(diff: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let mut hunk = Remaining::default();
    let mut old: Option<String> = None;
    for line in diff.split_inclusive('\n') {
        let text = line.trim_end_matches('\n');
        if hunk.is_open() {
            let is_stripped = text.is_empty() || text == "\r";
            hunk.take(if is_stripped { " " } else { text });
            if is_stripped {
                parsed.tidy.push(b' ');
            }
            parsed.tidy.extend_from_slice(line.as_bytes());
            continue;
        }
        if let Some(counts) = Remaining::of_header(text) {
            if let Some(path) = old.take() {
                parsed.expected.push(Expected {
                    path,
                    is_empty: counts.starts_from_nothing,
                });
            }
            hunk = counts;
            if let Some(header) = shifted(text) {
                let _ = writeln!(parsed.tidy, "{header}");
                continue;
            }
        } else if let Some(name) = text.strip_prefix("--- ") {
            old = old_path(name);
        } else if text.starts_with("diff ") {
            end_empty_file(&mut parsed.tidy);
            if let Some(name) = name_with_blanks(text) {
                let _ = writeln!(parsed.tidy, "diff --git \"a/{name}\" \"b/{name}\"");
                continue;
            }
        } else if let Some((keyword, name)) = moved(text) {
            if keyword.ends_with("from ") {
                parsed.expected.push(Expected {
                    path: unquote(name),
                    is_empty: false,
                });
            }
            if name.contains(' ') && !name.starts_with('"') {
                // git writes such names bare; libgit2 would stop reading at the blank.
                let _ = writeln!(parsed.tidy, "{keyword}\"{name}\"");
                continue;
            }
        }
        if !text.trim().is_empty() || is_binary_end(&parsed.tidy) {
            parsed.tidy.extend_from_slice(line.as_bytes());
        }
    }
    end_empty_file(&mut parsed.tidy);
    parsed
}

/// The header of a hunk that only removes lines, as libgit2 counts: git names the line before the gap in the new file,
/// libgit2 looks for the text at the line that is named.
fn shifted(header: &str) -> Option<String> {
    let (old, rest) = header.split_once(" +")?;
    let (start, rest) = rest.split_once(",0 @@")?;
    let start: usize = start.parse().ok().filter(|start| *start > 0)?;
    Some(format!("{old} +{},0 @@{rest}", start.checked_add(1)?))
}

/// The name of a file in `diff --git a/<name> b/<name>`, which git leaves bare and libgit2 reads only quoted.
fn name_with_blanks(line: &str) -> Option<&str> {
    let names = line.strip_prefix("diff --git ")?;
    let middle = names.len() / 2;
    let (old, new) = (
        names.get(..middle)?,
        names.get(middle..)?.strip_prefix(" b/")?,
    );
    let old = old.strip_prefix("a/")?;
    (old == new && old.contains(' ') && !old.contains(['"', '\\'])).then_some(old)
}

/// Keyword and path of a line that tells of a renamed or copied file.
fn moved(line: &str) -> Option<(&'static str, &str)> {
    ["rename from ", "rename to ", "copy from ", "copy to "]
        .into_iter()
        .find_map(|keyword| Some((keyword, line.strip_prefix(keyword)?)))
}

/// libgit2 takes `index` for the last line of a header only before this mark; git ends an empty file with it bare.
fn end_empty_file(tidy: &mut Vec<u8>) {
    let start = tidy.len().saturating_sub(1);
    let line = tidy[..start]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    if tidy[line..].starts_with(b"index ") {
        tidy.extend_from_slice(b"-- \n");
    }
}

/// The blank line that ends a binary patch has a meaning.
fn is_binary_end(tidy: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&tidy[tidy.len().saturating_sub(200)..]).into_owned();
    let last = text
        .trim_end_matches('\n')
        .rsplit('\n')
        .next()
        .unwrap_or_default();
    let is_data = last.len() > 1
        && !last.contains(' ')
        && last.starts_with(|c: char| c.is_ascii_alphabetic());
    is_data && text.ends_with('\n') && !text.ends_with("\n\n")
}

/// Lines of a hunk that are still to come.
#[derive(Clone, Copy, Debug, Default)]
struct Remaining {
    old: usize,
    new: usize,
    starts_from_nothing: bool,
}

impl Remaining {
    /// Reads `@@ -a,b +c,d @@ ...`.
    fn of_header(line: &str) -> Option<Self> {
        let (old, rest) = line.strip_prefix("@@ -")?.split_once(" +")?;
        let (new, _) = rest.split_once(" @@")?;
        let count = |range: &str| match range.split_once(',') {
            None => Some(1),
            Some((_, count)) => count.parse().ok(),
        };
        Some(Self {
            old: count(old)?,
            new: count(new)?,
            starts_from_nothing: old == "0,0",
        })
    }

    fn is_open(self) -> bool {
        self.old > 0 || self.new > 0
    }

    fn take(&mut self, line: &str) {
        match line.as_bytes().first() {
            Some(b'-') => self.old = self.old.saturating_sub(1),
            Some(b'+') => self.new = self.new.saturating_sub(1),
            Some(b'\\') => {}
            _ => {
                self.old = self.old.saturating_sub(1);
                self.new = self.new.saturating_sub(1);
            }
        }
    }
}

/// `a/<path>` of a `---` line; none for `/dev/null`, which stands for a file that the diff adds.
fn old_path(name: &str) -> Option<String> {
    let name = unquote(name.split('\t').next().unwrap_or(name));
    if name == "/dev/null" {
        return None;
    }
    // Any first folder: `diff.mnemonicPrefix` writes `i/` and `w/`.
    name.split_once('/').map(|(_, path)| path.to_owned())
}

/// Takes C quoting off a path that git has put between double quotes.
fn unquote(name: &str) -> String {
    let Some(quoted) = name
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return name.to_owned();
    };
    let mut bytes = Vec::new();
    let mut rest = quoted.bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(digit @ b'0'..=b'7') => {
                let mut value = u32::from(digit - b'0');
                while let Some(digit) =
                    rest.next_if(|byte| matches!(byte, b'0'..=b'7') && value < 32)
                {
                    value = value * 8 + u32::from(digit - b'0');
                }
                bytes.push(u8::try_from(value & 0xff).unwrap_or_default());
            }
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(b'r') => bytes.push(b'\r'),
            Some(other) => bytes.push(other),
            None => {}
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// E-084
    #[test]
    fn a_diff_is_told_from_a_script() {
        for text in [
            "diff --git a/x b/x\n",
            "\n  DIFF --git a/x b/x\n",
            "Submodule sub 1..2:\ndiff --git a/x b/x",
        ] {
            assert!(matches!(DiffField::of(text), DiffField::Diff(_)), "{text}");
        }
        for text in [
            "import os\n",
            "different = 1",
            "submodule sub 1..2:\nprint(1)",
            " \n",
            "--- a/x\n+++ b/x\n",
        ] {
            assert!(
                matches!(DiffField::of(text), DiffField::Script(_)),
                "{text}"
            );
        }
        assert_eq!(DiffField::of(""), DiffField::Empty);
    }

    /// E-078
    #[test]
    fn files_that_must_be_there_are_listed() {
        let diff = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n--- a/no\n+b\n\
                    diff --git a/n b/n\nnew file mode 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+b\n\
                    diff --git a/i b/i\nindex e69de29..1\n--- a/i\n+++ b/i\n@@ -0,0 +1 @@\n+b\n\
                    --- \"a/\\303\\244 b\"\n+++ b/q\n@@ -1 +0,0 @@\n-b\n\
                    rename from old\nrename to new\n";
        let names: Vec<_> = parse(diff)
            .expected
            .into_iter()
            .map(|file| (file.path, file.is_empty))
            .collect();
        let expected = [
            ("x", false),
            ("i", true),
            ("\u{e4} b", false),
            ("old", false),
        ];
        assert_eq!(
            names,
            expected.map(|(path, is_empty)| (path.to_owned(), is_empty))
        );
    }

    #[test]
    fn stripped_context_lines_are_mended() {
        let parsed = parse("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n a\n+b\n\n\n");
        assert!(parsed.tidy.ends_with(b"@@ -1,2 +1,3 @@\n a\n+b\n \n"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([-+@ ]|\\PC|\n|--- |@@ -1,2 \\+1 @@|\"|\\\\[0-9a-z]){0,80}") {
            let _ = parse(&text);
            let _ = DiffField::of(&text);
        }
    }
}
