//! What interpreters have said of themselves, kept from task to task: starting one takes longer than all the rest.
//!
//! An answer holds while everything that it depends on is the same: the file behind the name, the folders and files in
//! which the interpreter looks for its modules, and the variables that lead it elsewhere. A program that is no binary,
//! such as a shim that chooses an interpreter each time, is always asked.
//!
//! In a container what belongs to the image is known by what is the same in the next container of that image.

use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::python::store::{file_in_image, packages_in_image};
use crate::storage::{Places, write_private};

const FORMAT: u32 = 2;
/// Those that were asked last stay.
const MOST: usize = 16;
/// A larger file is not ours.
const LARGEST: u64 = 1024 * 1024;
/// Changes that follow each other faster may have the same time.
const SETTLED: Duration = Duration::from_secs(2);
/// New with every library that is installed for all programs.
const LIBRARIES: &str = "/etc/ld.so.cache";
/// Before the path of something that the answer depends on.
const WATCH: &str = "watch=";

/// A file or folder as it was; none where there was none.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

/// The same, or what a container of an image has there.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
enum Mark {
    OnMachine(Identity),
    InImage(String),
}

/// Who is asked, and under which circumstances.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Question {
    /// As it is called.
    path: PathBuf,
    /// Behind all links.
    file: PathBuf,
    identity: Mark,
    variables: Vec<(String, String)>,
    /// Of the container in which it is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Answer {
    question: Question,
    text: String,
    watched: Vec<(PathBuf, Option<Mark>)>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Answers {
    format: u32,
    answers: Vec<Answer>,
}

impl Question {
    /// None for what has to be asked each time; `image` is that of this container.
    pub(super) fn of(name: &str, image: Option<&str>) -> Option<Self> {
        let path = if name.contains('/') {
            PathBuf::from(name)
        } else {
            let search = env::var_os("PATH")?;
            env::split_paths(&search)
                .map(|folder| folder.join(name))
                .find(|path| is_executable(path))?
        };
        let file = path.is_absolute().then(|| path.canonicalize().ok())??;
        let mut magic = [0; 4];
        File::open(&file).ok()?.read_exact(&mut magic).ok()?;
        if magic != *b"\x7fELF" {
            return None;
        }
        Some(Self {
            identity: mark(&file, image)?,
            path,
            file,
            variables: variables()?,
            image: image.map(str::to_owned),
        })
    }

    /// What it has answered before, if that still holds.
    pub(super) fn answer(&self, place: &Path) -> Option<String> {
        let answer = read(place).answers.into_iter();
        let mut answer = answer.filter(|answer| answer.question == *self);
        let answer = answer.next()?;
        let mut watched = answer.watched.iter();
        watched
            .all(|(path, before)| mark(path, self.image.as_deref()) == *before)
            .then_some(answer.text)
    }

    /// Keeps an answer for which it was asked at `asked`. Without it the interpreter is asked again.
    pub(super) fn keep(self, place: &Path, text: &str, asked: SystemTime) {
        let named = text.lines().filter_map(|line| line.strip_prefix(WATCH));
        let watched: Vec<(PathBuf, Option<Mark>)> = named
            .chain([LIBRARIES])
            .map(|path| {
                (
                    PathBuf::from(path),
                    mark(path.as_ref(), self.image.as_deref()),
                )
            })
            .collect();
        let since_epoch = asked.duration_since(UNIX_EPOCH).unwrap_or_default();
        let settled = since_epoch.saturating_sub(SETTLED).as_secs();
        let settled = i64::try_from(settled).unwrap_or_default();
        let mut known = watched.iter().filter_map(|(_, mark)| match mark {
            Some(Mark::OnMachine(identity)) => Some(identity),
            Some(Mark::InImage(_)) | None => None,
        });
        // What changes at this moment may change once more without a trace.
        if known.any(|identity| identity.ctime.0 >= settled) {
            return;
        }
        let mut answers = read(place);
        answers.format = FORMAT;
        answers.answers.retain(|answer| answer.question != self);
        answers.answers.push(Answer {
            question: self,
            text: text.to_owned(),
            watched,
        });
        let surplus = answers.answers.len().saturating_sub(MOST);
        answers.answers.drain(..surplus);
        let written = place.parent().map(Places::create).transpose();
        let written = written.and_then(|_| write_private(place, &serde_json::to_vec(&answers)?));
        if let Err(error) = written {
            tracing::debug!(%error, "could not keep what an interpreter has said");
        }
    }
}

fn read(place: &Path) -> Answers {
    let is_small = fs::metadata(place).is_ok_and(|file| file.len() <= LARGEST);
    let bytes = if is_small { fs::read(place).ok() } else { None };
    bytes
        .and_then(|bytes| serde_json::from_slice::<Answers>(&bytes).ok())
        .filter(|answers| answers.format == FORMAT)
        .unwrap_or_default()
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn mark(path: &Path, image: Option<&str>) -> Option<Mark> {
    if image.is_none() {
        return identity(path).map(Mark::OnMachine);
    }
    let found = fs::metadata(path).ok()?;
    Some(Mark::InImage(if found.is_dir() {
        packages_in_image(path)
    } else {
        file_in_image(path)
    }))
}

fn identity(path: &Path) -> Option<Identity> {
    let file = fs::metadata(path).ok()?;
    Some(Identity {
        device: file.dev(),
        inode: file.ino(),
        size: file.len(),
        mtime: (file.mtime(), file.mtime_nsec()),
        ctime: (file.ctime(), file.ctime_nsec()),
    })
}

/// The variables by which an interpreter finds its modules and libraries; `PYTHONPATH` is taken from it. None where one of
/// them is no UTF-8.
pub(in crate::python) fn variables() -> Option<Vec<(String, String)>> {
    let counts = |name: &[u8]| {
        name.starts_with(b"PYTHON") && name != b"PYTHONPATH"
            || name.starts_with(b"LD_")
            || name.starts_with(b"GLIBC_")
            || name == b"HOME"
    };
    let mut variables = env::vars_os()
        .filter(|(name, _)| counts(name.as_bytes()))
        .map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect::<Option<Vec<_>>>()?;
    variables.sort();
    Some(variables)
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::super::{ANSWERS, known_or_probed};
    use super::*;
    use crate::python::options::StoreOptions;

    /// A question about a binary that is there, and a watched folder that has been as it is for long.
    fn question() -> Question {
        Question::of("/bin/sh", None).expect("a binary")
    }

    const LATER: Duration = Duration::from_mins(1);

    #[test]
    fn an_answer_holds_until_what_it_depends_on_changes() {
        let folder = tempfile::tempdir().expect("folder");
        let place = folder.path().join("store/interpreters.json");
        let site = folder.path().join("site-packages");
        fs::create_dir(&site).expect("folder");
        let missing = folder.path().join("user");
        let text = format!(
            "3.11.2\nwatch={}\nwatch={}",
            site.display(),
            missing.display()
        );
        let later = SystemTime::now() + LATER;
        question().keep(&place, &text, later);
        assert_eq!(question().answer(&place), Some(text.clone()));
        assert_eq!(
            fs::metadata(&place).unwrap().permissions().mode() & 0o777,
            0o600
        );
        fs::write(site.join("new.py"), "").expect("file");
        assert_eq!(question().answer(&place), None);
        question().keep(&place, &text, later);
        assert!(question().answer(&place).is_some());
        fs::create_dir(&missing).expect("folder");
        assert_eq!(question().answer(&place), None);
    }

    /// E-113: what a real interpreter has answered is what the next task goes by.
    #[tokio::test]
    async fn an_interpreter_is_started_once() {
        let cancel = CancellationToken::new();
        let folder = tempfile::tempdir().expect("folder");
        let store = StoreOptions {
            path: folder.path().join("store"),
            ..StoreOptions::default()
        };
        let real = super::super::probe("python3", &cancel).await;
        let real = real.expect("ran").expect("python3 is installed");
        let name = real.path.display().to_string();
        let found = async || known_or_probed(&name, &store, &cancel).await;
        let first = found().await.expect("ran").expect("found");
        assert_eq!((&first.path, first.version), (&real.path, real.version));
        let place = store.path.join(ANSWERS);
        let kept = fs::read_to_string(&place).expect("kept");
        let said = format!("\"text\":\"{}", real.version);
        let other = kept.replace(&said, "\"text\":\"3.99.1");
        fs::write(&place, other).expect("written");
        let second = found().await.expect("ran").expect("found");
        assert_eq!(second.version.to_string(), "3.99.1");
    }

    #[test]
    fn what_has_just_changed_is_not_relied_upon() {
        let folder = tempfile::tempdir().expect("folder");
        let place = folder.path().join("interpreters.json");
        let text = format!("3.11.2\nwatch={}", folder.path().display());
        question().keep(&place, &text, SystemTime::now());
        assert_eq!(question().answer(&place), None);
    }

    #[test]
    fn another_file_or_another_variable_is_another_question() {
        let folder = tempfile::tempdir().expect("folder");
        let place = folder.path().join("interpreters.json");
        let copy = folder.path().join("python");
        fs::copy("/bin/sh", &copy).expect("copied");
        let name = copy.display().to_string();
        let asked = Question::of(&name, None).expect("a binary");
        asked.keep(&place, "3.11.2", SystemTime::now() + LATER);
        assert!(Question::of(&name, None).unwrap().answer(&place).is_some());
        let mut other = Question::of(&name, None).expect("a binary");
        other.variables.push(("PYTHONHOME".into(), "/x".into()));
        assert_eq!(other.answer(&place), None);
        fs::remove_file(&copy).expect("removed");
        fs::copy("/bin/sh", &copy).expect("copied");
        assert_eq!(Question::of(&name, None).unwrap().answer(&place), None);
    }

    /// What a container makes anew each time does not count, what is in its folders does.
    #[test]
    fn an_answer_in_an_image_holds_in_its_next_container() {
        let folder = tempfile::tempdir().expect("folder");
        let place = folder.path().join("interpreters.json");
        let site = folder.path().join("site-packages");
        let text = format!("3.11.2\nwatch={}", site.display());
        let asked = |image| Question::of("/bin/sh", Some(image)).expect("a binary");
        fs::create_dir(&site).expect("folder");
        fs::write(site.join("six.py"), "").expect("file");
        asked("sha256:1").keep(&place, &text, SystemTime::now());
        fs::remove_dir_all(&site).expect("removed");
        fs::create_dir(&site).expect("folder");
        fs::write(site.join("six.py"), "").expect("file");
        assert_eq!(asked("sha256:1").answer(&place), Some(text));
        assert_eq!(asked("sha256:2").answer(&place), None);
        assert_eq!(question().answer(&place), None);
        fs::write(site.join("seven.py"), "").expect("file");
        assert_eq!(asked("sha256:1").answer(&place), None);
    }

    /// A shim chooses by folder and variables; so it is asked each time.
    #[test]
    fn a_script_is_always_asked() {
        let folder = tempfile::tempdir().expect("folder");
        let shim = folder.path().join("python3");
        fs::write(&shim, "#!/bin/sh\nexec python3.11 \"$@\"\n").expect("file");
        fs::set_permissions(&shim, fs::Permissions::from_mode(0o755)).expect("mode");
        assert_eq!(Question::of(&shim.display().to_string(), None), None);
    }

    #[test]
    fn only_the_last_answers_stay() {
        let folder = tempfile::tempdir().expect("folder");
        let place = folder.path().join("interpreters.json");
        for number in 0..=MOST {
            let mut asked = question();
            asked.path = PathBuf::from(format!("/python{number}"));
            asked.keep(&place, "3.11.2", SystemTime::now() + LATER);
        }
        assert_eq!(read(&place).answers.len(), MOST);
        assert_eq!(read(&place).answers[0].question.path, Path::new("/python1"));
        fs::write(&place, "no JSON").expect("file");
        assert_eq!(question().answer(&place), None);
    }
}
