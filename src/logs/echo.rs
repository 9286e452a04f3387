//! Copies a task's console to the agent's own stdout (D-226).
//!
//! It has a thread and a reader of its own: a terminal or pipe that nobody reads holds up neither
//! the task nor the upload.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::{LineRules, Spool};
use crate::secrets::{self, Registry};
use crate::ui::{self, Activity, LogLevel, status_line};
use crate::visible;

/// A line that has more bytes becomes several objects.
const LONGEST_LINE: usize = 1 << 16;

/// The thread's handle.
#[derive(Debug)]
pub struct Echo {
    speaker: Speaker,
    done: mpsc::Receiver<()>,
}

/// Says lines of the agent's own; see [`Echo::say`].
#[derive(Clone, Debug)]
pub struct Speaker {
    requests: mpsc::Sender<Request>,
    output: Option<Arc<File>>,
}

#[derive(Debug)]
enum Request {
    Drain,
    /// A line, and how long the output was when it was said.
    Say(String, u64),
}

struct Copier {
    spool: Option<Spool>,
    rules: LineRules,
    acknowledged: Arc<AtomicU64>,
    done: mpsc::Sender<()>,
    lines: TaskLines,
    /// What is done meanwhile; none where nobody looks.
    activity: Option<Activity>,
}

/// The beginning of a line, where the task's lines become objects.
#[derive(Debug, Default)]
struct TaskLines(String);

impl Echo {
    /// How often the file is looked at.
    const TICK: Duration = Duration::from_millis(200);
    /// How long the end of a run waits for a reader of stdout.
    const LAST_WAIT: Duration = Duration::from_secs(2);

    /// Starts copying the file at `path` from `offset` on; without a path only [`Echo::say`] prints.
    pub fn start(
        path: Option<&Path>,
        offset: u64,
        rules: LineRules,
        acknowledged: Arc<AtomicU64>,
        activity: Activity,
    ) -> io::Result<Self> {
        let spool = path.map(|path| Spool::open(path, offset)).transpose()?;
        let output = path.map(File::open).transpose()?.map(Arc::new);
        let (requests, inbox) = mpsc::channel();
        let (done, answers) = mpsc::channel();
        let copier = Copier {
            spool,
            rules,
            acknowledged,
            done,
            lines: TaskLines::default(),
            activity: status_line::is_watched().then_some(activity),
        };
        std::thread::Builder::new()
            .name("echo".to_owned())
            .spawn(move || copier.run(&inbox))?;
        Ok(Self {
            speaker: Speaker { requests, output },
            done: answers,
        })
    }

    /// Prints a line of the agent's own behind what the task has printed until now.
    pub fn say(&self, line: impl Into<String>) {
        self.speaker.say(line);
    }

    /// For those who only speak.
    pub fn speaker(&self) -> Speaker {
        self.speaker.clone()
    }

    /// Waits until everything has been printed, or until it is clear that nobody reads it.
    pub fn drain(&self) {
        if self.speaker.requests.send(Request::Drain).is_ok() {
            let _ = self.done.recv_timeout(Self::LAST_WAIT);
        }
    }
}

impl Speaker {
    /// As [`Echo::say`].
    pub fn say(&self, line: impl Into<String>) {
        let written = match &self.output {
            Some(file) => file.metadata().map_or(u64::MAX, |metadata| metadata.len()),
            None => 0,
        };
        // The thread ends only with its last handle.
        let _ = self.requests.send(Request::Say(line.into(), written));
    }
}

impl Copier {
    fn run(mut self, inbox: &mpsc::Receiver<Request>) {
        loop {
            if let Some(activity) = &self.activity {
                status_line::show(activity.line().as_deref());
            }
            let request = inbox.recv_timeout(Echo::TICK);
            match request {
                Ok(Request::Say(line, _)) if ui::is_quiet() && !ui::is_of_trouble(&line) => {}
                Ok(Request::Say(line, written)) => {
                    self.copy(true, written);
                    if ui::logs_as_json() {
                        print(ui::records(&line).as_bytes());
                    } else {
                        let line = secrets::mask(&line);
                        print(format!("{}\n", visible::lines(&line)).as_bytes());
                    }
                }
                Ok(Request::Drain) => {
                    self.copy(true, u64::MAX);
                    drop(status_line::cleared());
                    self.lines.end_line();
                    // Who asked may have stopped waiting.
                    let _ = self.done.send(());
                }
                Err(RecvTimeoutError::Timeout) => self.copy(false, u64::MAX),
                Err(RecvTimeoutError::Disconnected) => {
                    self.copy(true, u64::MAX);
                    drop(status_line::cleared());
                    self.lines.end_line();
                    return;
                }
            }
        }
    }

    /// Copies what the output held when it was `written` bytes long.
    fn copy(&mut self, ended: bool, written: u64) {
        let Some(spool) = &mut self.spool else { return };
        spool.limit_to(written);
        let masker = Registry::global().masker();
        loop {
            // Asked each time: while nobody read stdout, what is next may have been given back to the disk.
            if spool.skip_to(self.acknowledged.load(Ordering::Relaxed)) {
                let skipped = "[... output skipped: it was not read in time ...]\n";
                if ui::logs_as_json() {
                    self.lines.end_line();
                    print(ui::message(LogLevel::Warning, skipped, None, None).as_bytes());
                } else {
                    print(skipped.as_bytes());
                }
            }
            let Ok(Some(segment)) = spool.next(&masker, ended, Instant::now()) else {
                return;
            };
            let text = self.rules.text(&segment.bytes);
            if ui::logs_as_json() {
                self.lines.print(&text);
            } else {
                print(text.as_bytes());
            }
        }
    }
}

impl TaskLines {
    /// Each whole line becomes an object; the rest waits for its end, but not for ever.
    fn print(&mut self, text: &str) {
        for piece in text.split_inclusive('\n') {
            self.0.push_str(piece);
            if piece.ends_with('\n') || self.0.len() > LONGEST_LINE {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        if self.0.is_empty() {
            return;
        }
        let line = std::mem::take(&mut self.0);
        let line = line.strip_suffix('\n').unwrap_or(&line);
        print(ui::task_line(line).as_bytes());
    }
}

/// A stdout that is closed is no reason to stop: the server has the console as well.
fn print(bytes: &[u8]) {
    let mut stdout = status_line::cleared();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
    status_line::printed(bytes);
}
