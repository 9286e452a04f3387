//! The actor that owns a task's log: output from the file and the agent's notices, in one order.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::sender::InDoubt;
use super::{Batch, Delivery, EventSink, Level, LineRules, Progress, Segment, Sender, Spool};
use crate::secrets::{self, Registry};

/// How the log of a task is uploaded.
#[derive(Debug)]
pub struct UploadOptions {
    /// Treatment of control characters.
    pub rules: LineRules,
    /// Where an earlier process of this run came to.
    pub progress: Progress,
    /// Ends every wait for the server; what was not taken stays in the file.
    pub give_up: CancellationToken,
    /// Stands above each piece of the console; a line with its line feed.
    pub heading: Option<String>,
    /// The file is ours alone: what the server has may be given back to the disk.
    pub spends_file: bool,
    /// Bytes that the server has, for those who read the file as well.
    pub acknowledged: Arc<AtomicU64>,
}

/// The caller's hand on the actor.
#[derive(Clone, Debug)]
pub struct UploadHandle(mpsc::UnboundedSender<Request>);

/// How the upload ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UploadEnd {
    /// The server has everything, or will never take it.
    Complete,
    /// The caller gave up; the rest is in the file.
    Incomplete,
}

#[derive(Debug)]
enum Request {
    Drain(oneshot::Sender<()>),
    Notice(Level, String),
}

/// Uploads one task's log; see [`Upload::run`].
#[derive(Debug)]
pub struct Upload<S, J> {
    spool: Spool,
    sender: Sender<S>,
    journal: J,
    options: UploadOptions,
    requests: mpsc::UnboundedReceiver<Request>,
    dropped: bool,
}

impl UploadHandle {
    /// Adds a line of the agent's own to the task's log (D-219).
    pub fn notice(&self, level: Level, text: impl Into<String>) {
        // Without an actor there is no log to add to: the task is gone.
        let _ = self.0.send(Request::Notice(level, text.into()));
    }

    /// Waits until all that is in the file now has been sent; an open last line included.
    pub async fn drain(&self) {
        let (done, answer) = oneshot::channel();
        if self.0.send(Request::Drain(done)).is_ok() {
            let _ = answer.await;
        }
    }
}

impl<S: EventSink, J: FnMut(&Progress)> Upload<S, J> {
    /// How often the file is looked at.
    const TICK: Duration = Duration::from_millis(200);
    /// The least time between two requests while a task prints.
    const SPACING: Duration = Duration::from_millis(500);

    /// An actor for the output in `spool`; `journal` is told before and after each request.
    pub fn new(spool: Spool, sink: S, journal: J, options: UploadOptions) -> (Self, UploadHandle) {
        let (handle, requests) = mpsc::unbounded_channel();
        let upload = Self {
            spool,
            sender: Sender::new(sink),
            journal,
            options,
            requests,
            dropped: false,
        };
        (upload, UploadHandle(handle))
    }

    /// Sends what is printed and what is noticed until every handle is gone.
    pub async fn run(mut self) -> io::Result<UploadEnd> {
        self.settle_doubt().await?;
        let mut last_sent: Option<tokio::time::Instant> = None;
        loop {
            let pause = last_sent.map_or(Self::TICK, |at| {
                Self::SPACING.saturating_sub(at.elapsed()).max(Self::TICK)
            });
            let request = tokio::time::timeout(pause, self.requests.recv()).await;
            match request {
                Err(_) => {
                    if self.pump(false).await? {
                        last_sent = Some(tokio::time::Instant::now());
                    }
                }
                Ok(Some(Request::Notice(level, text))) => {
                    self.pump(false).await?;
                    let text = secrets::mask(&text);
                    self.send(&text, level, self.options.progress.acknowledged)
                        .await;
                }
                Ok(Some(Request::Drain(done))) => {
                    self.pump(true).await?;
                    // Who asked may have gone in the meantime.
                    let _ = done.send(());
                }
                Ok(None) => return Ok(self.end()),
            }
        }
    }

    fn end(&self) -> UploadEnd {
        let given_up = self.options.give_up.is_cancelled() && !self.dropped;
        let open = self.options.progress.in_doubt.is_some()
            || self.spool.backlog().is_ok_and(|bytes| bytes > 0);
        if given_up && open {
            UploadEnd::Incomplete
        } else {
            UploadEnd::Complete
        }
    }

    /// Sends what is in the file; true where that was anything.
    async fn pump(&mut self, ended: bool) -> io::Result<bool> {
        let mut sent = false;
        while !self.options.give_up.is_cancelled() {
            let masker = Registry::global().masker();
            let Some(segment) = self.spool.next(&masker, ended, Instant::now())? else {
                break;
            };
            self.send_segment(segment).await;
            sent = true;
        }
        Ok(sent)
    }

    /// A request of an earlier process that nobody knows the answer to: the same bytes with the same times again.
    async fn settle_doubt(&mut self) -> io::Result<()> {
        let Some(doubt) = self.options.progress.in_doubt.clone() else {
            return Ok(());
        };
        if let Some(segment) = self.spool.take(doubt.end, &Registry::global().masker())? {
            let text = self.text(&segment);
            self.deliver(
                Batch::split(&text, Level::Debug, doubt.timestamp),
                segment.end,
                true,
            )
            .await;
        }
        Ok(())
    }

    fn text(&self, segment: &Segment) -> String {
        let text = self.options.rules.text(&segment.bytes);
        match &self.options.heading {
            Some(heading) => format!("{heading}{text}"),
            None => text,
        }
    }

    async fn send_segment(&mut self, segment: Segment) {
        let text = self.text(&segment);
        self.send(&text, Level::Debug, segment.end).await;
    }

    async fn send(&mut self, text: &str, level: Level, end: u64) {
        let timestamp = now().max(self.options.progress.last_timestamp + 1);
        self.deliver(Batch::split(text, level, timestamp), end, false)
            .await;
    }

    async fn deliver(&mut self, batches: Vec<Batch>, end: u64, doubtful: bool) {
        // What is in doubt already must stay on record for the next process.
        if self.options.give_up.is_cancelled() {
            return;
        }
        let last = batches
            .last()
            .map_or(self.options.progress.last_timestamp, Batch::last_timestamp);
        if let Some(first) = batches.first().and_then(|batch| batch.events.first()) {
            let timestamp = first.timestamp;
            self.record(|progress| {
                progress.in_doubt = Some(InDoubt { end, timestamp });
                progress.last_timestamp = last;
            });
        }
        let mut gap: Option<(usize, String)> = None;
        for batch in &batches {
            if self.dropped {
                break;
            }
            match self
                .sender
                .deliver(batch, doubtful, &self.options.give_up)
                .await
            {
                Delivery::Acknowledged => {}
                Delivery::Abandoned => return,
                Delivery::Gone => self.dropped = true,
                Delivery::Refused(reason) => {
                    tracing::warn!("the server refused a part of the console: {reason}");
                    let lines = batch
                        .events
                        .iter()
                        .map(|event| event.message.lines().count());
                    let before = gap.map_or(0, |(lines, _)| lines);
                    gap = Some((before + lines.sum::<usize>(), reason));
                }
            }
        }
        if let Some((lines, reason)) = gap {
            self.mark_gap(lines, &reason).await;
        }
        self.record(|progress| {
            progress.in_doubt = None;
            progress.acknowledged = end;
        });
        self.options.acknowledged.store(end, Ordering::Relaxed);
        if self.options.spends_file {
            self.spool.free(end);
        }
    }

    /// A part of the console that the server does not take leaves a line in its place.
    async fn mark_gap(&mut self, lines: usize, reason: &str) {
        let text = format!(
            "clearml-agent: lines of the console that the server refused here: {lines} ({reason})\n"
        );
        let timestamp = self.options.progress.last_timestamp + 1;
        self.record(|progress| progress.last_timestamp = timestamp);
        for batch in Batch::split(&secrets::mask(&text), Level::Warning, timestamp) {
            let told = self.sender.deliver(&batch, false, &self.options.give_up);
            if let Delivery::Refused(reason) = told.await {
                tracing::warn!("the server refused the line about it as well: {reason}");
            }
        }
    }

    fn record(&mut self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.options.progress);
        (self.journal)(&self.options.progress);
    }
}

fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
