//! What this process prints, as one JSON object a line, for collectors of logs: `daemon --log-format json`.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

use super::timestamp;
use crate::{secrets, visible};

/// Set once, before anything is printed; lines are text without it.
static SPEAKER: OnceLock<Mutex<Speaker>> = OnceLock::new();

/// Who speaks.
#[derive(Clone, Debug, Default)]
struct Speaker {
    worker: Option<String>,
    task: Option<String>,
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For whoever looks for a fault.
    Debug,
    /// It could not be done.
    Error,
    /// It was done.
    Info,
    /// A person should know.
    Warning,
}

/// A line of the agent's own.
#[derive(Debug, Serialize)]
struct Record<'a> {
    timestamp: String,
    level: LogLevel,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<String>,
}

/// A line of a task's.
#[derive(Debug, Serialize)]
struct TaskLine<'a> {
    timestamp: String,
    worker: Option<String>,
    task: Option<String>,
    text: &'a str,
}

/// From here on every line of this process is JSON.
pub fn log_as_json() {
    SPEAKER.get_or_init(Mutex::default);
}

/// True from [`log_as_json`] on.
pub fn logs_as_json() -> bool {
    SPEAKER.get().is_some()
}

/// This process speaks as this worker, and about this task if there is one.
pub fn speak_as(worker: &str, task: Option<&str>) {
    if let Some(mut speaker) = speaker() {
        speaker.worker = Some(worker.to_owned());
        speaker.task = task.map(str::to_owned);
    }
}

/// The lines of a text of the agent's own, each an object with a line feed; secrets are masked. What they say tells how
/// much they matter.
pub fn records(text: &str) -> String {
    let text = secrets::mask(text);
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let (level, message) = weighed(line);
            record(level, message, None, None)
        })
        .collect()
}

/// True where it says by itself that something is wrong.
pub fn is_of_trouble(text: &str) -> bool {
    matches!(weighed(text).0, LogLevel::Error | LogLevel::Warning)
}

/// One message as an object with a line feed; secrets are masked.
pub fn message(level: LogLevel, text: &str, hint: Option<&str>, target: Option<&str>) -> String {
    let text = secrets::mask(text);
    let hint = hint.map(secrets::mask);
    record(level, text.trim(), hint.as_deref(), target)
}

/// A line that the task has printed, without secrets already.
pub fn task_line(text: &str) -> String {
    let Speaker { worker, task } = speaker().map(|speaker| speaker.clone()).unwrap_or_default();
    line(&TaskLine {
        timestamp: now(),
        worker,
        task,
        text,
    })
}

/// Writes whole lines in one piece; a reader that has gone away is not an error.
pub(super) fn print(mut to: impl Write, lines: &str) {
    let _ = to.write_all(lines.as_bytes()).and_then(|()| to.flush());
}

/// The same to stdout.
pub(super) fn print_out(lines: &str) {
    print(io::stdout().lock(), lines);
}

fn record(level: LogLevel, message: &str, hint: Option<&str>, target: Option<&str>) -> String {
    let Speaker { worker, task } = speaker().map(|speaker| speaker.clone()).unwrap_or_default();
    line(&Record {
        timestamp: now(),
        level,
        message,
        hint,
        target,
        worker,
        task,
    })
}

fn line(object: &impl Serialize) -> String {
    // Texts and options of texts: there is nothing in it that could not be written.
    let line = serde_json::to_string(object).unwrap_or_default();
    format!("{}\n", visible::json(&line))
}

/// The shapes of [`super::Printer`], and those of the reference.
fn weighed(line: &str) -> (LogLevel, &str) {
    let shapes = [
        ("clearml_agent: ERROR: ", LogLevel::Error),
        ("clearml_agent: Warning: ", LogLevel::Warning),
        ("Warning: ", LogLevel::Warning),
    ];
    let known = shapes
        .into_iter()
        .find_map(|(prefix, level)| Some((level, line.strip_prefix(prefix)?)));
    known.unwrap_or((LogLevel::Info, line))
}

fn now() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let milliseconds = since.unwrap_or_default().as_millis();
    u64::try_from(milliseconds)
        .ok()
        .and_then(timestamp)
        .unwrap_or_default()
}

fn speaker() -> Option<MutexGuard<'static, Speaker>> {
    let speaker = SPEAKER.get()?;
    Some(speaker.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_says_how_much_it_matters() {
        let text =
            "\nclearml_agent: ERROR: no \"way\"\n  a\n\nWarning: b\nclearml_agent: Warning: c\n";
        let lines = records(text);
        let read: Vec<serde_json::Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect();
        let said: Vec<(&str, &str)> = read
            .iter()
            .map(|object| {
                (
                    object["level"].as_str().unwrap(),
                    object["message"].as_str().unwrap(),
                )
            })
            .collect();
        let expected = [
            ("error", "no \"way\""),
            ("info", "  a"),
            ("warning", "b"),
            ("warning", "c"),
        ];
        assert_eq!(said, expected);
        assert!(read[0]["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    /// A secret that is written in another way in JSON is found before it is.
    #[test]
    fn secrets_are_masked_before_they_are_quoted() {
        let secret = "json\"lines\\secret";
        secrets::Registry::global().register(secret);
        let text = format!("Warning: it is {secret}");
        for lines in [
            records(&text),
            message(LogLevel::Error, "no", Some(&text), None),
            message(LogLevel::Error, &text, None, None),
        ] {
            assert!(lines.contains("it is ****"), "{lines}");
        }
    }
}
