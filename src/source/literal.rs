//! Scripts that come whole with the task: their file name, where they are written, and the entry point that runs them
//! (E-086 to E-091).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use super::entry_point::{Interpreter, lexical};
use super::{SourceError, future};

/// Where a script goes and how it is run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Placement {
    /// File, from the script folder.
    pub(super) file: String,
    /// Working folder.
    pub(super) working_dir: String,
    /// How the entry point follows from the file.
    pub(super) run: Run,
    /// A line that tells of a choice made for the task.
    pub(super) notice: Option<String>,
}

/// The entry point of a written script.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Run {
    /// The task's own, perhaps with another path in its first word.
    AsGiven(String),
    /// The absolute path of the written file.
    WrittenFile,
}

/// E-088 to E-091, all that can be said without the file system.
pub(super) fn place(
    entry_point: &str,
    working_dir: &str,
    interpreter: Interpreter,
    script: &str,
) -> Placement {
    let untitled = match interpreter {
        Interpreter::Python => "untitled.py",
        Interpreter::Shell => "untitled.sh",
    };
    let placement = |file: &str, run| Placement {
        file: file.to_owned(),
        working_dir: working_dir.to_owned(),
        run,
        notice: None,
    };
    if entry_point.is_empty() {
        return placement(untitled, Run::WrittenFile);
    }
    if entry_point.starts_with("-m ") || entry_point.starts_with("-c ") {
        let (folder, file) = match working_dir.split_once(':') {
            Some((folder, file)) if !file.is_empty() => (folder, file),
            _ if entry_point.starts_with("-c ") => (working_dir, untitled),
            _ => (working_dir, "untitled.py"),
        };
        return Placement {
            working_dir: folder.to_owned(),
            notice: Some(format!(
                "found task with `script.entry_point` using a module defaulting to: {file}"
            )),
            ..placement(file, Run::AsGiven(entry_point.to_owned()))
        };
    }
    let first = first_word(entry_point);
    let extensions: &[&str] = match interpreter {
        Interpreter::Python => &[".py"],
        Interpreter::Shell => &[".sh", ".bash"],
    };
    if extensions
        .iter()
        .any(|extension| first.word.ends_with(extension))
    {
        let file = inside(&first.word);
        let run = if file == first.word {
            entry_point.to_owned()
        } else {
            quote(&file) + first.rest
        };
        return placement(&file, Run::AsGiven(run));
    }
    // The text of a notebook task is the Python code of its cells, unless somebody put the notebook itself there.
    let name = inside(entry_point);
    match name.strip_suffix(".ipynb") {
        Some(stem) if interpreter == Interpreter::Python && !is_notebook(script) => {
            placement(&format!("{stem}.py"), Run::WrittenFile)
        }
        _ => placement(&name, Run::WrittenFile),
    }
}

/// The text as it is written: line ends and all, the lines of E-092 moved.
pub(super) fn text(script: &str, interpreter: Interpreter) -> String {
    match interpreter {
        Interpreter::Python => future::repair(script),
        Interpreter::Shell => script.to_owned(),
    }
}

/// Writes `bytes` to `folder/file`, making folders on the way and replacing what is there (E-089, E-090).
///
/// Neither `..` nor a symbolic link leads out of `folder`: a link that stands where the file goes is replaced, one on
/// the way to it is refused. Nor is anything written for git to read, which would start what its settings name.
pub(super) fn write_inside(
    folder: &Path,
    file: &Path,
    bytes: &[u8],
) -> Result<PathBuf, SourceError> {
    let outside = || SourceError::OutsideFolder {
        field: "entry point",
        value: file.to_string_lossy().into_owned(),
    };
    let is_plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if !file.components().all(is_plain) || is_of_git(file) {
        return Err(outside());
    }
    let path = folder.join(file);
    let failed = || SourceError::file("write", &path);
    let parent = path.parent().ok_or_else(outside)?;
    // Looked at before anything is made, from the part that is there already.
    let standing = parent
        .ancestors()
        .find(|ancestor| ancestor.exists())
        .ok_or_else(outside)?;
    let is_within = |path: &Path| -> io::Result<bool> {
        let (path, folder) = (fs::canonicalize(path)?, fs::canonicalize(folder)?);
        Ok(path
            .strip_prefix(folder)
            .is_ok_and(|below| !is_of_git(below)))
    };
    if !is_within(standing).map_err(failed())? {
        return Err(outside());
    }
    fs::create_dir_all(parent).map_err(failed())?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed()(error)),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(failed())?;
    file.write_all(bytes).map_err(failed())?;
    Ok(path)
}

/// True for `.git` and what is below it, as file systems without case know it too: what git's settings name there, every
/// call of git starts.
pub(super) fn is_of_git(path: &Path) -> bool {
    path.components()
        .any(|part| part.as_os_str().eq_ignore_ascii_case(".git"))
}

pub(super) struct FirstWord<'a> {
    pub(super) word: String,
    /// All that follows, with its blanks.
    rest: &'a str,
}

/// The first shell word; a text whose quotes do not match is one word.
pub(super) fn first_word(entry_point: &str) -> FirstWord<'_> {
    let whole = || FirstWord {
        word: entry_point.to_owned(),
        rest: "",
    };
    let mut end = 0;
    for piece in entry_point.split_inclusive(char::is_whitespace) {
        let candidate = &entry_point[..end + piece.trim_end().len()];
        end += piece.len();
        match shlex::split(candidate) {
            Some(words) if words.len() == 1 => {
                return FirstWord {
                    word: words[0].clone(),
                    rest: &entry_point[candidate.len()..],
                };
            }
            _ => {}
        }
    }
    whole()
}

/// A path that stays in its folder: an absolute one, and one that leads out, is reduced to its base name.
fn inside(path: &str) -> String {
    let normal = lexical(path);
    if normal.starts_with('/') || normal == ".." || normal.starts_with("../") {
        normal
            .rsplit('/')
            .next()
            .filter(|name| *name != "..")
            .unwrap_or("untitled.py")
            .to_owned()
    } else {
        normal
    }
}

fn quote(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), std::borrow::Cow::into_owned)
}

fn is_notebook(script: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(script)
        .is_ok_and(|value| value.get("cells").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(entry_point: &str, working_dir: &str) -> (String, String, Run) {
        let placed = place(entry_point, working_dir, Interpreter::Python, "print(1)");
        (placed.file, placed.working_dir, placed.run)
    }

    fn as_given(text: &str) -> Run {
        Run::AsGiven(text.to_owned())
    }

    /// E-088, E-091
    #[test]
    fn file_names_follow_the_entry_point() {
        for (entry_point, file, run) in [
            ("", "untitled.py", Run::WrittenFile),
            ("main.py", "main.py", as_given("main.py")),
            (
                "main.py --x 'a b'",
                "main.py",
                as_given("main.py --x 'a b'"),
            ),
            (
                "'my main.py' --x",
                "my main.py",
                as_given("'my main.py' --x"),
            ),
            ("-m pkg.mod --x", "untitled.py", as_given("-m pkg.mod --x")),
            ("-c print", "untitled.py", as_given("-c print")),
            ("a.ipynb", "a.py", Run::WrittenFile),
            ("train", "train", Run::WrittenFile),
            ("it's", "it's", Run::WrittenFile),
        ] {
            assert_eq!(
                python(entry_point, "."),
                (file.to_owned(), ".".to_owned(), run),
                "{entry_point}"
            );
        }
    }

    /// E-088
    #[test]
    fn a_module_may_name_its_file() {
        assert_eq!(
            python("-m mod", "pkg:mod.py"),
            ("mod.py".to_owned(), "pkg".to_owned(), as_given("-m mod"))
        );
    }

    /// E-088
    #[test]
    fn shell_scripts_have_their_own_names() {
        let shell = |entry_point: &str| place(entry_point, ".", Interpreter::Shell, "echo").file;
        assert_eq!(shell(""), "untitled.sh");
        assert_eq!(shell("-c 'echo hi'"), "untitled.sh");
        assert_eq!(shell("run.bash --x"), "run.bash");
        assert_eq!(shell("run.py --x"), "run.py --x");
    }

    /// E-090
    #[test]
    fn a_folder_in_the_entry_point_stays() {
        assert_eq!(python("sub/train.py --x", ".").0, "sub/train.py");
        assert_eq!(
            python("../../etc/train.py --x", ".").2,
            as_given("train.py --x")
        );
        assert_eq!(python("/etc/train.py --x", ".").2, as_given("train.py --x"));
    }

    #[test]
    fn a_notebook_itself_keeps_its_name() {
        let placed = place("a.ipynb", ".", Interpreter::Python, r#"{"cells": []}"#);
        assert_eq!(placed.file, "a.ipynb");
    }

    #[test]
    fn nothing_is_written_outside() {
        let folder = tempfile::tempdir().expect("folder");
        let (code, outside) = (folder.path().join("code"), folder.path().join("outside"));
        fs::create_dir_all(&code).expect("made");
        fs::create_dir_all(&outside).expect("made");
        std::os::unix::fs::symlink(&outside, code.join("link")).expect("linked");
        std::os::unix::fs::symlink(outside.join("x"), code.join("file")).expect("linked");
        fs::create_dir_all(code.join(".git")).expect("made");
        std::os::unix::fs::symlink(".git", code.join("settings")).expect("linked");
        for path in [
            "../x",
            "/x",
            "link/x",
            "link/deep/x",
            ".git/config",
            "settings/config",
            "sub/.GIT/hooks/x",
            ".git",
        ] {
            assert!(
                write_inside(&code, Path::new(path), b"1").is_err(),
                "{path}"
            );
        }
        write_inside(&code, Path::new("file"), b"1").expect("the link itself is replaced");
        assert_eq!(fs::read_dir(&outside).expect("listed").count(), 0);
        write_inside(&code, Path::new("a/b/c.py"), b"1").expect("written");
        assert_eq!(fs::read(code.join("a/b/c.py")).expect("read"), b"1");
    }
}
