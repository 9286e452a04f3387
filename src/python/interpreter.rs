//! Which Python a task gets, and why (E-110..E-117).

mod answers;

use std::path::PathBuf;
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use self::answers::Question;
pub(super) use self::answers::variables;
use super::error::PythonError;
use super::options::{PythonOptions, StoreOptions};
use super::version::PythonVersion;
use crate::process::{Command, ProcessError};

/// An interpreter that runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Interpreter {
    /// As it was named: `python3.11` or a path; part of the cache key (E-115).
    pub name: String,
    /// The executable as the interpreter knows itself.
    pub path: PathBuf,
    /// Its version.
    pub version: PythonVersion,
    /// Whether it can import `virtualenv` (E-121).
    pub has_virtualenv: bool,
    /// Whether the wheels of pip are there with which `ensurepip` works.
    pub(super) bundled_wheels: Vec<PathBuf>,
    /// The form of its compiled extensions, such as `.cpython-311-x86_64-linux-gnu.so`.
    pub(super) abi: String,
    /// Name and version of the C library.
    pub(super) libc: String,
    /// Where its own packages are.
    pub(super) site_folders: Vec<PathBuf>,
    /// Its `sys.path`, joined with colons, where nothing at its start decides about it anew each time.
    pub(super) sys_path: Option<String>,
}

impl Interpreter {
    /// Whether an environment with pip can be made from it without the network.
    pub fn brings_pip(&self) -> bool {
        self.has_virtualenv || !self.bundled_wheels.is_empty()
    }
}

/// An interpreter with the reason for its choice.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) interpreter: Interpreter,
    /// The name of the environment folder, `<ver>` (E-115).
    pub(super) folder_name: String,
    /// What the console says where another one than the wanted was taken.
    pub(super) notices: Vec<String>,
    /// Why it was this one.
    pub(super) reason: String,
}

/// The version that `script.binary` asks for (E-110).
pub fn requested_version(binary: &str) -> Option<String> {
    let name = binary.trim().rsplit('/').next()?;
    let numbers: Vec<&str> = name.strip_prefix("python")?.split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    numbers
        .iter()
        .all(is_number)
        .then(|| numbers[..numbers.len().min(2)].join("."))
}

/// Chooses the interpreter of a task.
pub(super) async fn choose(
    binary: &str,
    options: &PythonOptions,
    cancel: &CancellationToken,
) -> Result<Choice, PythonError> {
    choose_with(binary, options, async |name: &str| {
        known_or_probed(name, &options.store, cancel).await
    })
    .await
}

/// Where the store is, what interpreters have answered.
const ANSWERS: &str = "interpreters.json";

/// The same as [`probe`], without starting the interpreter where its last answer still holds.
pub(super) async fn known_or_probed(
    name: &str,
    store: &StoreOptions,
    cancel: &CancellationToken,
) -> Result<Option<Interpreter>, PythonError> {
    let place = store.path.join(ANSWERS);
    let image = store.image.as_deref();
    let question = store
        .is_enabled()
        .then(|| Question::of(name, image))
        .flatten();
    let Some(question) = question else {
        return probe(name, cancel).await;
    };
    let known = question.answer(&place);
    if let Some(known) = known.and_then(|text| parse_probe(name, &text)) {
        return Ok(Some(known));
    }
    let asked = SystemTime::now();
    let Some(text) = ask(name, cancel).await? else {
        return Ok(None);
    };
    let found = parse_probe(name, &text);
    if found.is_some() {
        question.keep(&place, &text, asked);
    }
    Ok(found)
}

async fn choose_with<P>(
    binary: &str,
    options: &PythonOptions,
    probe: P,
) -> Result<Choice, PythonError>
where
    P: AsyncFn(&str) -> Result<Option<Interpreter>, PythonError>,
{
    let requested = requested_version(binary).filter(|_| !options.ignore_requested);
    let configured = [
        ("agent.python_binary", &options.python_binary),
        ("agent.default_python", &options.default_python),
    ]
    .into_iter()
    .map(|(name, value)| (name, value.trim().to_owned()))
    .find(|(_, value)| !value.is_empty());
    let (key, reason) = match (requested, &configured) {
        (Some(version), _) => {
            let reason = format!("the task's binary `{}` asks for {version}", binary.trim());
            (version, reason)
        }
        (None, Some((name, value))) => (value.clone(), format!("`{name}` is `{value}`")),
        (None, None) => ("3".to_owned(), "the first Python 3 on PATH".to_owned()),
    };
    let configured = configured.map(|(_, value)| value);
    let mut notices = Vec::new();
    let mut tried = Vec::new();
    if let Some(choice) = search(&key, &probe, &mut tried).await? {
        return Ok(choice.because(&reason));
    }
    if let Some(other) = configured.filter(|other| *other != key) {
        notices.push(format!(
            "Warning: could not locate requested Python version {key}, reverting to version {other}"
        ));
        if let Some(mut choice) = search(&other, &probe, &mut tried).await? {
            choice.notices.splice(0..0, notices);
            return Ok(choice.because(&reason));
        }
    }
    Err(PythonError::NoInterpreter { key, tried })
}

/// The first candidate with the wanted version, else the first that runs (E-113, E-114).
async fn search<P>(
    key: &str,
    probe: &P,
    tried: &mut Vec<String>,
) -> Result<Option<Choice>, PythonError>
where
    P: AsyncFn(&str) -> Result<Option<Interpreter>, PythonError>,
{
    let mut first_that_runs = None;
    for candidate in candidates(key) {
        if !tried.contains(&candidate) {
            tried.push(candidate.clone());
        }
        let Some(interpreter) = probe(&candidate).await? else {
            continue;
        };
        if is_name(key) && candidate == key || interpreter.version.matches(key) {
            return Ok(Some(Choice::new(interpreter, Vec::new())));
        }
        first_that_runs.get_or_insert(interpreter);
    }
    Ok(first_that_runs.map(|interpreter| {
        let notice = format!(
            "Python executable with version '{key}' requested by the Task, not found in path, using '{}' (v{}) instead",
            interpreter.path.display(),
            interpreter.version
        );
        Choice::new(interpreter, vec![notice])
    }))
}

/// A path or the name of a program is taken as it is, whatever its version.
fn is_name(key: &str) -> bool {
    !key.starts_with(|c: char| c.is_ascii_digit())
}

/// What is tried for `key`, last the interpreters that stand in for the agent's own (E-113, E-287).
fn candidates(key: &str) -> Vec<String> {
    let mut names = Vec::new();
    if is_name(key) {
        names.push(key.to_owned());
    } else {
        let numbers: Vec<&str> = key.split('.').collect();
        for count in (1..=numbers.len()).rev() {
            names.push(format!("python{}", numbers[..count].join(".")));
        }
        names.push("python".to_owned());
    }
    for own in ["python3", "python"] {
        if !names.iter().any(|name| name == own) {
            names.push(own.to_owned());
        }
    }
    names
}

impl Choice {
    /// No interpreter at all, for a program that needs none (E-287).
    pub(super) fn absent() -> Self {
        let none = PythonVersion {
            major: 0,
            minor: 0,
            patch: 0,
        };
        let interpreter = Interpreter {
            name: "python3".to_owned(),
            path: PathBuf::from("python3"),
            version: none,
            has_virtualenv: false,
            bundled_wheels: Vec::new(),
            abi: String::new(),
            libc: String::new(),
            site_folders: Vec::new(),
            sys_path: None,
        };
        Self {
            interpreter,
            folder_name: "3".to_owned(),
            notices: Vec::new(),
            reason: "nothing needs one".to_owned(),
        }
    }

    fn new(interpreter: Interpreter, notices: Vec<String>) -> Self {
        let suffix = interpreter
            .name
            .rsplit('/')
            .next()
            .and_then(|name| name.strip_prefix("python"))
            .filter(|suffix| suffix.contains('.'))
            .filter(|suffix| interpreter.version.matches(suffix));
        let folder_name = suffix.map_or_else(|| interpreter.version.short(), str::to_owned);
        Self {
            interpreter,
            folder_name,
            notices,
            reason: String::new(),
        }
    }

    /// The choice with its reason: why it was looked for, and why it is another one.
    fn because(mut self, wish: &str) -> Self {
        self.reason = match self.notices.last() {
            None => wish.to_owned(),
            Some(_) => format!(
                "{wish}, but there is none: the first that runs is {}",
                self.interpreter.version
            ),
        };
        self
    }
}

/// Runs on every Python from 2.7 on; one start answers all questions.
const PROBE: &str = r#"
import os, sys
try:
    from importlib.util import find_spec
except ImportError:
    find_spec = lambda name: None
print("%d.%d.%d" % tuple(sys.version_info[:3]))
print(sys.executable)
print(find_spec("virtualenv") is not None)
try:
    from importlib.machinery import EXTENSION_SUFFIXES
    print("abi=" + EXTENSION_SUFFIXES[0])
    print("libc=" + os.confstr("CS_GNU_LIBC_VERSION"))
except (ImportError, AttributeError, OSError, TypeError, ValueError):
    pass
for path in sys.path:
    if path.endswith("-packages"):
        print("site=" + path)
at_start = [sys.modules[name] for name in ("sitecustomize", "usercustomize") if name in sys.modules]
try:
    # Debian's only reports crashes.
    is_fixed = not any(b"path" in open(module.__file__, "rb").read() for module in at_start)
except (AttributeError, OSError, TypeError):
    is_fixed = False
if is_fixed and not any("\n" in path or ":" in path for path in sys.path):
    print("path=" + ":".join(sys.path))
watched = [path for path in sys.path if path] + [os.__file__, os.path.join(sys.prefix, "pyvenv.cfg")]
watched += [module.__file__ for module in at_start if getattr(module, "__file__", None)]
try:
    import site
    watched += site.getsitepackages() + [site.getusersitepackages()]
except (ImportError, AttributeError):
    pass
for path in list(watched):
    names = os.listdir(path) if os.path.isdir(path) else []
    watched += [os.path.join(path, name) for name in names if name.endswith(".pth")]
spec = find_spec("ensurepip")
folder = os.path.join(os.path.dirname(spec.origin), "_bundled") if spec and spec.origin else ""
for name in sorted(os.listdir(folder)) if folder and os.path.isdir(folder) else []:
    print(os.path.join(folder, name))
if spec and not os.path.isdir(folder):
    # Debian has them elsewhere.
    try:
        import ensurepip
        for package in ensurepip._get_packages().values():
            print(package.wheel_path)
            watched.append(package.wheel_path)
    except (ImportError, AttributeError, TypeError):
        pass
for path in sorted(set(watched + [folder])):
    print("watch=" + path)
"#;

/// Asks the interpreter `name` who it is; none where it does not run.
pub(super) async fn probe(
    name: &str,
    cancel: &CancellationToken,
) -> Result<Option<Interpreter>, PythonError> {
    let text = ask(name, cancel).await?;
    Ok(text.and_then(|text| parse_probe(name, &text)))
}

/// What it answers.
async fn ask(name: &str, cancel: &CancellationToken) -> Result<Option<String>, PythonError> {
    let command = Command::new(name)
        .args(["-c", PROBE])
        .env_remove("PYTHONPATH")
        // A module of the current folder must not pass for an installed one.
        .folder("/");
    let finished = match command.capture(cancel).await {
        Ok(finished) if finished.is_success() => finished,
        Err(ProcessError::Cancelled(_)) => return Err(PythonError::Cancelled),
        Ok(_) | Err(ProcessError::Start { .. }) => return Ok(None),
    };
    Ok(Some(finished.text()))
}

fn parse_probe(name: &str, text: &str) -> Option<Interpreter> {
    let mut lines = text.lines();
    let named = |name: &str| {
        let values = text.lines().skip(3);
        values
            .filter_map(|line| line.strip_prefix(name))
            .map(str::to_owned)
            .collect::<Vec<String>>()
    };
    Some(Interpreter {
        name: name.to_owned(),
        version: lines.next()?.parse().ok()?,
        path: PathBuf::from(lines.next().filter(|path| !path.is_empty())?),
        has_virtualenv: lines.next() == Some("True"),
        bundled_wheels: lines
            .filter(|line| line.starts_with('/'))
            .map(PathBuf::from)
            .filter(|path| path.extension().is_some_and(|extension| extension == "whl"))
            .collect(),
        abi: named("abi=").concat(),
        libc: named("libc=").concat(),
        site_folders: named("site=").into_iter().map(PathBuf::from).collect(),
        sys_path: named("path=").pop(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::cases::{case_id, cases};

    async fn chosen(
        binary: &str,
        options: &PythonOptions,
        installed: &[(&str, &str)],
    ) -> Result<Choice, PythonError> {
        choose_with(binary, options, async |name: &str| {
            let found = installed.iter().find(|(known, _)| *known == name);
            Ok(found.and_then(|(_, version)| {
                parse_probe(name, &format!("{version}\n/usr/bin/{name}\nFalse\n"))
            }))
        })
        .await
    }

    /// E-110
    #[test]
    fn the_binary_names_the_version() {
        let cases = cases("python_version_from_binary");
        assert_eq!(cases.len(), 10);
        for case in cases {
            let binary = case["binary"].as_str().unwrap_or_default();
            let expected = case["expect"]["version"].as_str().map(str::to_owned);
            assert_eq!(requested_version(binary), expected, "{}", case_id(&case));
        }
    }

    /// E-105: what an interpreter says of its `sys.path` beside all the rest is what it says when asked for that alone.
    #[tokio::test]
    async fn an_interpreter_says_where_it_looks_for_modules() {
        let cancel = CancellationToken::new();
        let found = probe("python3", &cancel).await.expect("ran");
        let found = found.expect("python3 is installed");
        let command = Command::new(&found.path)
            .args(["-c", "import sys; print(':'.join(sys.path))"])
            .env_remove("PYTHONPATH");
        let said = command.capture(&cancel).await.expect("ran").text();
        assert_eq!(found.sys_path.as_deref(), Some(said.trim_end()));
        assert_eq!(
            parse_probe("python3", "3.11.2\n/python\nFalse\n")
                .unwrap()
                .sys_path,
            None
        );
    }

    /// E-113, E-115
    #[tokio::test]
    async fn the_wanted_version_is_taken_as_named() {
        let installed = [("python3.9", "3.9.18"), ("python3", "3.11.2")];
        let options = PythonOptions::default();
        let choice = chosen("/usr/local/bin/python3.9", &options, &installed).await;
        let choice = choice.expect("found");
        assert_eq!(choice.interpreter.name, "python3.9");
        assert_eq!(choice.folder_name, "3.9");
        assert!(choice.notices.is_empty());
        let choice = chosen("python3", &options, &installed)
            .await
            .expect("found");
        assert_eq!(
            (
                choice.interpreter.name.as_str(),
                choice.folder_name.as_str()
            ),
            ("python3", "3.11")
        );
    }

    /// E-114, E-116: `3.1` is not satisfied by 3.11, and the difference is said.
    #[tokio::test]
    async fn another_version_is_taken_with_a_word() {
        let installed = [("python3", "3.11.2")];
        let choice = chosen("python3.1", &PythonOptions::default(), &installed).await;
        let choice = choice.expect("found");
        assert_eq!(
            choice.notices,
            [
                "Python executable with version '3.1' requested by the Task, not found in path, using '/usr/bin/python3' (v3.11.2) instead"
            ]
        );
        assert_eq!(choice.folder_name, "3.11");
    }

    /// E-111, E-112
    #[tokio::test]
    async fn the_configured_interpreter_serves_tasks_without_a_version() {
        let installed = [
            ("/opt/py/bin/python", "3.8.1"),
            ("python3.9", "3.9.1"),
            ("python3", "3.11.2"),
        ];
        let mut options = PythonOptions {
            python_binary: "/opt/py/bin/python".into(),
            ..PythonOptions::default()
        };
        let choice = chosen("python", &options, &installed).await.expect("found");
        assert_eq!(choice.interpreter.name, "/opt/py/bin/python");
        assert_eq!(choice.folder_name, "3.8");
        let choice = chosen("python3.9", &options, &installed)
            .await
            .expect("found");
        assert_eq!(choice.interpreter.name, "python3.9");
        options.ignore_requested = true;
        let choice = chosen("python3.9", &options, &installed)
            .await
            .expect("found");
        assert_eq!(choice.interpreter.name, "/opt/py/bin/python");
    }

    /// E-114
    #[tokio::test]
    async fn no_interpreter_names_what_was_tried() {
        let error = chosen("python3.9", &PythonOptions::default(), &[]).await;
        assert_eq!(
            error.expect_err("nothing is installed").to_string(),
            "Python executable with version '3.9' requested by the Task, key 'agent.default_python', not found in path, \
             tried: ('python3.9', 'python3', 'python')"
        );
    }

    /// E-113: a real interpreter answers; a program that is none does not.
    #[tokio::test]
    async fn a_real_interpreter_is_asked() {
        let cancel = CancellationToken::new();
        let found = probe("python3", &cancel)
            .await
            .expect("ran")
            .expect("python3 is installed");
        assert_eq!(found.version.major, 3);
        assert!(found.path.is_absolute());
        assert_eq!(probe("true", &cancel).await.expect("ran"), None);
        assert_eq!(probe("no-such-python", &cancel).await.expect("ran"), None);
    }
}
