//! The command line of the task's program, as a pure function of the task (E-095..E-103).

use std::path::{Path, PathBuf};

use crate::ui::python_literal as repr;

/// What runs the entry point (E-102).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BinaryKind {
    /// The interpreter of the environment.
    Python,
    /// A shell.
    Shell,
}

/// A shell that exists on this machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ShellBinary(pub PathBuf);

/// How far Python leaves out assertions and documentation: `-O`, `-OO` (E-024).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Optimization {
    /// Not at all.
    #[default]
    None,
    /// `-O`
    Assertions,
    /// `-OO`
    Documentation,
}

/// Value of a variable by its name; none where it is not set.
pub type Variables<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// What the command line is made of.
pub struct LaunchRequest<'a> {
    /// The program that runs the entry point.
    pub runner: Runner<'a>,
    /// `script.entry_point` as it stands when the code is in place.
    pub entry_point: &'a str,
    /// The file `<script folder>/<entry point>` exists (E-098).
    pub is_file: bool,
    /// Looks a variable up, for `-m` entry points (E-095); none where they are not expanded.
    pub variables: Option<&'a Variables<'a>>,
}

impl std::fmt::Debug for LaunchRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaunchRequest")
            .field("runner", &self.runner)
            .field("entry_point", &self.entry_point)
            .field("is_file", &self.is_file)
            .finish_non_exhaustive()
    }
}

/// The program that runs the entry point.
#[derive(Clone, Copy, Debug)]
pub enum Runner<'a> {
    /// This interpreter.
    Python(&'a Path, Optimization),
    /// This shell.
    Shell(&'a ShellBinary),
}

/// A program with its arguments.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LaunchCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What the console says about how they came to be.
    pub notices: Vec<String>,
    /// The notebook that [`nbconvert_command`] has to convert first (E-096).
    pub notebook: Option<String>,
    /// What the console shows, where it is not the program with its arguments (E-252).
    pub text: Option<String>,
}

/// What `script.binary` asks for, and the warning where it is not supported (E-102).
pub fn binary_kind(binary: &str) -> (BinaryKind, Option<String>) {
    let binary = binary.trim();
    let name = binary.rsplit('/').next().unwrap_or(binary);
    match name {
        "bash" | "zsh" | "sh" => (BinaryKind::Shell, None),
        name if name.is_empty() || name.starts_with("python") => (BinaryKind::Python, None),
        _ => (
            BinaryKind::Python,
            Some(format!(
                "WARNING binary '{binary}' not supported, defaulting to python"
            )),
        ),
    }
}

/// The shell that the task names where it exists, else `SHELL`, else the system's (E-103).
///
/// `search` is the value of `PATH`, `shell` that of `SHELL`.
pub fn find_shell(binary: &str, search: Option<&str>, shell: Option<&str>) -> ShellBinary {
    let binary = binary.trim();
    let named = if binary.contains('/') {
        Some(PathBuf::from(binary)).filter(|path| path.is_file())
    } else {
        search
            .into_iter()
            .flat_map(|search| search.split(':'))
            .filter(|folder| !folder.is_empty() && !binary.is_empty())
            .map(|folder| Path::new(folder).join(binary))
            .find(|path| path.is_file())
    };
    let others = [shell, Some("/bin/bash")]
        .into_iter()
        .flatten()
        .map(PathBuf::from);
    let found = named
        .into_iter()
        .chain(others)
        .find(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from("/bin/sh"));
    ShellBinary(found)
}

/// The command of the task; the first rule that fits its entry point.
pub fn command_line(request: &LaunchRequest<'_>) -> LaunchCommand {
    let entry = request.entry_point.trim();
    let first = entry.split_whitespace().next().unwrap_or_default();
    let (program, mut arguments) = match request.runner {
        Runner::Python(python, optimization) => {
            let mut arguments = vec!["-u".to_owned()];
            match optimization {
                Optimization::None => {}
                Optimization::Assertions => arguments.push("-O".to_owned()),
                Optimization::Documentation => arguments.push("-OO".to_owned()),
            }
            (python.to_owned(), arguments)
        }
        Runner::Shell(shell) => (shell.0.clone(), Vec::new()),
    };
    let mut notices = Vec::new();
    let mut notebook = None;
    let is_python = matches!(request.runner, Runner::Python(..));
    if is_python && first == "-m" {
        let text = match request.variables {
            Some(variables) if entry.contains('$') => {
                notices.push(format!("INFO: parsing environment variables: {entry}"));
                expand(entry, variables)
            }
            _ => entry.to_owned(),
        };
        arguments.extend(words(&text));
    } else if is_python && is_notebook(entry) {
        notebook = Some(entry.to_owned());
        arguments.push(format!("{}.py", &entry[..entry.len() - ".ipynb".len()]));
    } else if !is_python && first == "-c" {
        // Everything behind the flag is the shell's, quotes and blanks included (E-097).
        arguments.extend(["-c".to_owned(), entry["-c".len()..].trim_start().to_owned()]);
    } else if request.is_file {
        arguments.push(entry.to_owned());
    } else {
        arguments.extend(words(entry));
        notices.push(format!(
            "INFO: script entrypoint contains args, parsing and passing directly to execution: {}",
            repr::list(&arguments)
        ));
    }
    LaunchCommand {
        program,
        arguments,
        notices,
        notebook,
        text: None,
    }
}

/// The words that convert a notebook (E-096); run in the script folder before the program starts.
pub fn nbconvert_command(notebook: &str) -> Vec<String> {
    ["-u", "-m", "nbconvert", "--to", "python", notebook]
        .map(str::to_owned)
        .to_vec()
}

impl LaunchCommand {
    /// The same arguments behind these words, which stand for the interpreter (E-219, E-223).
    #[must_use]
    pub fn behind(mut self, launcher: Vec<String>) -> Self {
        let mut words = launcher.into_iter();
        if let Some(program) = words.next() {
            self.program = PathBuf::from(program);
            self.arguments.splice(0..0, words);
        }
        self
    }

    /// The same command, run by bash once it has done what `activation` says (E-204, E-212).
    ///
    /// The shell becomes the program, so that signals reach it and its exit code is the shell's.
    #[must_use]
    pub fn activated(mut self, activation: &str) -> Self {
        let words = self.shown();
        self.arguments = vec!["-c".to_owned(), format!("{activation} && exec {words}")];
        self.program = PathBuf::from("bash");
        self.text = Some(format!("{activation} && {words}"));
        self
    }

    /// The command as the console shows it, quoted for a POSIX shell (E-252).
    pub fn shown(&self) -> String {
        if let Some(text) = &self.text {
            return text.clone();
        }
        let program = self.program.to_string_lossy();
        std::iter::once(program.as_ref())
            .chain(self.arguments.iter().map(String::as_str))
            .map(quoted)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// As Python's `shlex.quote` does it.
pub(super) fn quoted(word: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(is_safe) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\"'\"'"))
    }
}

fn is_notebook(entry: &str) -> bool {
    entry
        .get(entry.len().saturating_sub(6)..)
        .is_some_and(|end| end.eq_ignore_ascii_case(".ipynb"))
}

/// Shell words; unbalanced quotes make the text one word (E-099).
fn words(text: &str) -> Vec<String> {
    shlex::split(text).unwrap_or_else(|| vec![text.to_owned()])
}

/// Replaces `$NAME` and `${NAME}`; a name that is not set stays.
fn expand(text: &str, variables: &Variables<'_>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        rest = &rest[at..];
        let (name, length) = if let Some(inner) = rest[1..].strip_prefix('{') {
            inner
                .find('}')
                .map_or(("", 1), |end| (&inner[..end], end + 3))
        } else {
            let end = rest[1..]
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .unwrap_or(rest.len() - 1);
            (&rest[1..=end], end + 1)
        };
        match variables(name).filter(|_| !name.is_empty()) {
            Some(value) => result.push_str(&value),
            None => result.push_str(&rest[..length]),
        }
        rest = &rest[length..];
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn python(entry_point: &str, is_file: bool) -> LaunchCommand {
        command_line(&LaunchRequest {
            runner: Runner::Python(Path::new("/e/bin/python"), Optimization::None),
            entry_point,
            is_file,
            variables: Some(&|name| (name == "DATA").then(|| "a b".to_owned())),
        })
    }

    fn shell(entry_point: &str, is_file: bool) -> Vec<String> {
        let bash = ShellBinary("/bin/bash".into());
        command_line(&LaunchRequest {
            runner: Runner::Shell(&bash),
            entry_point,
            is_file,
            variables: None,
        })
        .arguments
    }

    /// E-098, E-252
    #[test]
    fn a_file_is_one_argument() {
        let command = python("my train.py", true);
        assert_eq!(command.arguments, ["-u", "my train.py"]);
        assert_eq!(command.shown(), "/e/bin/python -u 'my train.py'");
        assert_eq!(
            python("train.py", true).shown(),
            "/e/bin/python -u train.py"
        );
    }

    /// E-099: arguments are split as a shell does, and nothing in them is changed (E-011).
    #[test]
    fn arguments_behind_a_file_are_split() {
        let command = python("train.py --url http://a/b --n \"a b\" $DATA", false);
        assert_eq!(
            command.arguments,
            [
                "-u",
                "train.py",
                "--url",
                "http://a/b",
                "--n",
                "a b",
                "$DATA"
            ]
        );
        assert_eq!(
            command.notices,
            [
                "INFO: script entrypoint contains args, parsing and passing directly to execution: \
              ['-u', 'train.py', '--url', 'http://a/b', '--n', 'a b', '$DATA']"
            ]
        );
        assert_eq!(
            python("train.py \"x", false).arguments,
            ["-u", "train.py \"x"]
        );
    }

    /// E-095: variables are replaced before the words are split.
    #[test]
    fn modules_see_variables() {
        let command = python("-m pkg.mod --x $DATA --y ${DATA} --z $NO ${", false);
        assert_eq!(command.arguments[1..4], ["-m", "pkg.mod", "--x"]);
        assert_eq!(
            command.arguments[4..],
            ["a", "b", "--y", "a", "b", "--z", "$NO", "${"]
        );
        assert_eq!(
            command.notices,
            ["INFO: parsing environment variables: -m pkg.mod --x $DATA --y ${DATA} --z $NO ${"]
        );
        assert!(python("-m pkg.mod", false).notices.is_empty());
    }

    /// E-096
    #[test]
    fn notebooks_are_run_as_their_script() {
        let command = python("work/Note.IPYNB", true);
        assert_eq!(command.arguments, ["-u", "work/Note.py"]);
        assert_eq!(command.notebook.as_deref(), Some("work/Note.IPYNB"));
        assert_eq!(
            nbconvert_command("n.ipynb").last().map(String::as_str),
            Some("n.ipynb")
        );
    }

    /// E-097
    #[test]
    fn a_shell_gets_its_command_unchanged() {
        assert_eq!(
            shell("-c echo  'a  b' && pwd", false),
            ["-c", "echo  'a  b' && pwd"]
        );
        assert_eq!(shell("run.sh", true), ["run.sh"]);
        assert_eq!(shell("run.sh a 'b c'", false), ["run.sh", "a", "b c"]);
    }

    /// E-024
    #[test]
    fn optimization_follows_the_unbuffered_flag() {
        let command = command_line(&LaunchRequest {
            runner: Runner::Python(Path::new("python"), Optimization::Documentation),
            entry_point: "train.py",
            is_file: true,
            variables: None,
        });
        assert_eq!(command.arguments, ["-u", "-OO", "train.py"]);
    }

    /// E-102
    #[test]
    fn the_name_of_the_binary_decides() {
        for binary in ["", "python", "python3.11", "/usr/bin/python3", " python "] {
            assert_eq!(binary_kind(binary), (BinaryKind::Python, None));
        }
        for binary in ["bash", "/bin/zsh", "sh"] {
            assert_eq!(binary_kind(binary), (BinaryKind::Shell, None));
        }
        let (kind, warning) = binary_kind("/usr/bin/julia");
        assert_eq!(kind, BinaryKind::Python);
        assert_eq!(
            warning.as_deref(),
            Some("WARNING binary '/usr/bin/julia' not supported, defaulting to python")
        );
    }

    /// E-103: the shell that the task names is taken where it exists.
    #[test]
    fn the_named_shell_is_preferred() {
        let found = |binary, shell| find_shell(binary, Some("/nowhere:/bin"), shell).0;
        assert_eq!(found("sh", Some("/bin/bash")), Path::new("/bin/sh"));
        assert_eq!(
            found("/opt/none/zsh", Some("/bin/sh")),
            Path::new("/bin/sh")
        );
        assert_eq!(
            found("/opt/none/zsh", Some("/opt/none/fish")),
            Path::new("/bin/bash")
        );
    }

    proptest! {
        /// No entry point makes it panic.
        #[test]
        fn any_entry_point_gives_a_command(entry in "[-$a-z{}'\" .é]{0,40}", is_file: bool) {
            prop_assert!(!python(&entry, is_file).shown().is_empty());
            let _ = shell(&entry, is_file);
        }
    }
}
