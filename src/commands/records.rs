//! Log records: warnings as bare lines on stderr, everything as `LEVEL:place:message` where more is wanted (D-015, D-067).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, Layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::ui::{self, LogLevel};
use crate::{secrets, visible};

/// How much is said.
#[derive(Clone, Debug)]
pub(super) struct Records {
    level: reload::Handle<Targets, Registry>,
    is_debug: Arc<AtomicBool>,
}

impl Records {
    /// Begins to write records.
    pub(super) fn start() -> Self {
        let (level, handle) = reload::Layer::new(up_to(LevelFilter::WARN));
        let is_debug = Arc::new(AtomicBool::new(false));
        let lines = Layer::new()
            .with_writer(std::io::stderr)
            .event_format(Line(is_debug.clone()));
        tracing_subscriber::registry()
            .with(level)
            .with(lines)
            .init();
        Self {
            level: handle,
            is_debug,
        }
    }

    /// Says everything from here on: `--debug` or `agent.debug`.
    pub(super) fn say_more(&self) {
        self.is_debug.store(true, Ordering::Relaxed);
        // The only reason to fail is a subscriber that is gone.
        let _ = self.level.reload(up_to(LevelFilter::DEBUG));
    }
}

/// Libraries have nothing to say but warnings.
fn up_to(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(LevelFilter::WARN)
        // What it says of watches that end is said where they are read.
        .with_target("kube_client", LevelFilter::ERROR)
        .with_target("clearml_agent", level)
}

/// The shape of a record.
struct Line(Arc<AtomicBool>);

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut words = Words::default();
        event.record(&mut words);
        let text = words.text();
        if ui::logs_as_json() {
            let level = match *event.metadata().level() {
                Level::ERROR => LogLevel::Error,
                Level::WARN => LogLevel::Warning,
                Level::INFO => LogLevel::Info,
                Level::DEBUG | Level::TRACE => LogLevel::Debug,
            };
            let target = Some(event.metadata().target());
            return write!(writer, "{}", ui::message(level, &text, None, target));
        }
        let text = secrets::mask(&text);
        let text = visible::lines(&text);
        if !self.0.load(Ordering::Relaxed) {
            return writeln!(writer, "{text}");
        }
        let level = match *event.metadata().level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            Level::DEBUG | Level::TRACE => "DEBUG",
        };
        writeln!(writer, "{level}:{}:{text}", event.metadata().target())
    }
}

/// What a record says, as a person would write it: the message, the error behind it, then the rest.
#[derive(Debug, Default)]
struct Words {
    message: String,
    error: String,
    rest: Vec<String>,
}

impl Words {
    fn text(self) -> String {
        let mut text = self.message;
        if !self.error.is_empty() {
            text = format!("{text}: {}", self.error);
        }
        if !self.rest.is_empty() {
            text = format!("{text} ({})", self.rest.join(", "));
        }
        text
    }
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        match field.name() {
            "message" => self.message = value,
            "error" => self.error = value,
            name => self.rest.push(format!("{name} {value}")),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D-015
    #[test]
    fn a_warning_reads_as_a_person_would_write_it() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let writer = Arc::new(file.reopen().expect("the file"));
        let lines = Layer::new()
            .with_writer(writer)
            .event_format(Line(Arc::default()));
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, || {
            let error = std::io::Error::other("no room");
            tracing::warn!(%error, task = "a1", "could not keep the slot");
            tracing::warn!("plain");
        });
        let text = std::fs::read_to_string(file.path()).expect("lines");
        assert_eq!(text, "could not keep the slot: no room (task a1)\nplain\n");
    }
}
