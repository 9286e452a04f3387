//! Puts a call of `Task.init` into the script of a task that has none (E-101).

use std::fs;
use std::path::{Path, PathBuf};

use super::future::end_of_future_imports;
use super::literal::first_word;
use super::request::Code;
use crate::process::Output;

const ADDED: [&str; 2] = [
    "from clearml import Task\n",
    "(__name__ != \"__main__\") or Task.init()\n",
];

/// Adds the two lines to the script that `code` starts, and says so; a module (`-m`) is left alone.
pub(super) fn patch(code: &Code, output: &Output) {
    if let Some(path) = script(code) {
        add_task_init(&code.root, &path, output);
    }
}

/// Adds the two lines to this script below `root`, and says so: for what becomes a script after the code was fetched, a
/// notebook.
pub fn add_task_init(root: &Path, path: &Path, output: &Output) {
    let shown = path.display();
    output.line(match patch_file(root, path) {
        Ok(true) => format!("Force clearml Task.init patch adding to entry point script: {shown}"),
        Ok(false) => format!("File {shown} already patched with Task.init()"),
        Err(error) => format!("Failed patching entry point file {shown}: {error}"),
    });
}

/// The Python file that is run, where there is one.
fn script(code: &Code) -> Option<PathBuf> {
    let entry_point = code.entry_point.trim();
    if entry_point.is_empty() || entry_point.starts_with("-m") || entry_point.starts_with("-c") {
        return None;
    }
    let whole = code.script_folder.join(entry_point);
    let path = if whole.exists() {
        whole
    } else {
        code.script_folder.join(first_word(entry_point).word)
    };
    let is_python = path.extension().is_some_and(|extension| extension == "py");
    (is_python && path.is_file()).then_some(path)
}

/// False where the lines are there already.
///
/// Nothing outside of `root` is written, wherever a link of the repository or an entry point leads.
fn patch_file(root: &Path, path: &Path) -> std::io::Result<bool> {
    let place = fs::canonicalize(path)?;
    if !place.starts_with(fs::canonicalize(root)?) {
        return Err(std::io::Error::other("it is outside of the task's code"));
    }
    let text = fs::read_to_string(&place)?;
    match patched(&text) {
        Some(patched) => fs::write(&place, patched).map(|()| true),
        None => Ok(false),
    }
}

/// The script with the two lines at its top, behind `__future__` imports; none where they are there.
fn patched(script: &str) -> Option<String> {
    let lines: Vec<&str> = script.split_inclusive('\n').collect();
    let (before, after) = lines.split_at(end_of_future_imports(&lines));
    if let [first, second, ..] = after
        && first.trim_start().starts_with("from clearml ")
        && second.contains("Task.init")
    {
        return None;
    }
    let mut text = before.concat();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    Some(text + &ADDED.concat() + &after.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E-101
    #[test]
    fn the_lines_come_first_or_behind_future_imports_and_once() {
        let added = ADDED.concat();
        for (top, body) in [
            ("", "import os\nprint(1)\n"),
            ("", "\"\"\"doc\"\"\"\nimport os\n"),
            ("", ""),
            (
                "# a\n\"\"\"doc\"\"\"\nfrom __future__ import a\nfrom __future__ import (b,\n  c)\n",
                "import os\r\n",
            ),
        ] {
            let script = format!("{top}{body}");
            let expected = format!("{top}{added}{body}");
            assert_eq!(patched(&script).as_deref(), Some(&*expected), "{script}");
            assert_eq!(patched(&expected), None, "{script}");
        }
        let unended = patched("from __future__ import a").expect("patched");
        assert_eq!(unended, format!("from __future__ import a\n{added}"));
    }

    /// E-101: neither a link of the repository nor a path leads to a file outside.
    #[test]
    fn nothing_outside_of_the_code_is_written() {
        let world = tempfile::tempdir().expect("folder");
        let root = world.path().join("code");
        fs::create_dir(&root).expect("folder");
        let outside = world.path().join("outside.py");
        fs::write(&outside, "print(1)\n").expect("file");
        std::os::unix::fs::symlink(&outside, root.join("link.py")).expect("link");
        for path in ["link.py", "../outside.py"] {
            assert!(patch_file(&root, &root.join(path)).is_err(), "{path}");
        }
        assert_eq!(fs::read_to_string(&outside).expect("text"), "print(1)\n");
        fs::write(root.join("main.py"), "print(1)\n").expect("file");
        assert!(patch_file(&root, &root.join("main.py")).expect("patched"));
    }
}
