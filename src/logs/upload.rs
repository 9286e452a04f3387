//! The actor that owns a task's log: output from the file and the agent's notices, in one order.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::sender::InDoubt;
use super::{
    Batch, Delivery, EventSink, Headroom, Level, LineRules, Progress, Segment, Sender, Spool,
};
use crate::process::milliseconds_since_epoch;
use crate::secrets::{self, Registry};

/// How often the disk is looked at while the server does not answer.
const LOOK: Duration = Duration::from_millis(200);

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
    /// Room for a program that writes to the file itself; none where nothing is lost on a full disk.
    pub headroom: Option<Headroom>,
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
    /// Lines of the agent's own that wait for their turn.
    notices: VecDeque<(Level, String)>,
    dropped: bool,
    /// The console's last line has no end yet.
    is_open: bool,
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

impl<S: EventSink, J: FnMut(&Progress) -> bool> Upload<S, J> {
    /// How often the file is looked at.
    const TICK: Duration = Duration::from_millis(200);
    /// The least time between two requests while a task prints.
    const SPACING: Duration = Duration::from_millis(450);

    /// An actor for the output in `spool`; `journal` is told before and after each request, and says whether
    /// it has that on the disk.
    pub fn new(spool: Spool, sink: S, journal: J, options: UploadOptions) -> (Self, UploadHandle) {
        let (handle, requests) = mpsc::unbounded_channel();
        let upload = Self {
            spool,
            sender: Sender::new(sink),
            journal,
            options,
            requests,
            notices: VecDeque::new(),
            dropped: false,
            is_open: false,
        };
        (upload, UploadHandle(handle))
    }

    /// Sends what is printed and what is noticed until every handle is gone.
    pub async fn run(mut self) -> io::Result<UploadEnd> {
        let mut last_sent: Option<tokio::time::Instant> = None;
        loop {
            let pause = last_sent.map_or(Self::TICK, |at| {
                Self::SPACING.saturating_sub(at.elapsed()).max(Self::TICK)
            });
            let request = tokio::time::timeout(pause, self.requests.recv()).await;
            self.sender.awake();
            match request {
                Err(_) => {
                    if self.pump(false).await? {
                        last_sent = Some(tokio::time::Instant::now());
                    }
                }
                Ok(Some(Request::Notice(level, text))) => {
                    self.notices.push_back((level, text));
                    self.pump(false).await?;
                }
                Ok(Some(Request::Drain(done))) => {
                    self.pump(true).await?;
                    // Who asked may have gone in the meantime.
                    let _ = done.send(());
                }
                Ok(None) => {
                    if self.is_in_doubt() {
                        self.pump(true).await?;
                    }
                    return Ok(self.end());
                }
            }
        }
    }

    fn end(&self) -> UploadEnd {
        let given_up = self.options.give_up.is_cancelled() && !self.dropped;
        let open = self.is_in_doubt()
            || !self.options.progress.gaps.is_empty()
            || self.spool.backlog().is_ok_and(|bytes| bytes > 0);
        if given_up && open {
            UploadEnd::Incomplete
        } else {
            UploadEnd::Complete
        }
    }

    fn is_in_doubt(&self) -> bool {
        self.options.progress.in_doubt.is_some()
    }

    /// Sends what is in the file, and the notices behind it; true where the file had anything.
    async fn pump(&mut self, ended: bool) -> io::Result<bool> {
        self.settle_doubt(ended).await?;
        if self.is_in_doubt() {
            return Ok(false);
        }
        let sent = self.send_file(ended).await?;
        while let Some((level, text)) = self.notices.pop_front() {
            let text = secrets::mask(&text);
            self.send(&text, level, self.options.progress.acknowledged)
                .await;
        }
        Ok(sent)
    }

    async fn send_file(&mut self, ended: bool) -> io::Result<bool> {
        let mut sent = false;
        while !self.options.give_up.is_cancelled() {
            self.look_at_room();
            let gap = self.limit_to_gap();
            let masker = Registry::global().masker();
            // What stands before a gap does not go on.
            let ended = ended || gap.is_some();
            if let Some(segment) = self.spool.next(&masker, ended, Instant::now())? {
                self.send_segment(segment).await;
            } else if gap.is_some_and(|gap| self.spool.offset() >= gap) {
                self.mark_full_disk().await;
            } else {
                break;
            }
            sent = true;
        }
        Ok(sent)
    }

    /// A request of an earlier process that nobody knows the answer to: the same bytes with the same times again.
    ///
    /// A file that was lost gets them once more from the log of the container; until they are there, or nothing more
    /// comes, nothing is sent that could be them.
    async fn settle_doubt(&mut self, ended: bool) -> io::Result<()> {
        let Some(doubt) = self.options.progress.in_doubt.clone() else {
            return Ok(());
        };
        let is_there = self.spool.offset() + self.spool.backlog()? >= doubt.end;
        if !(is_there || ended) || self.options.give_up.is_cancelled() {
            return Ok(());
        }
        self.limit_to_gap();
        let Some(segment) = self.spool.take(doubt.end, &Registry::global().masker())? else {
            // A notice, which is in no file, or bytes that nobody has any more.
            self.record(|progress| progress.in_doubt = None);
            return Ok(());
        };
        let end = segment.end;
        let batches = self.batches(segment, doubt.timestamp);
        self.deliver(batches, end, true).await;
        Ok(())
    }

    fn limit_to_gap(&mut self) -> Option<u64> {
        let gap = self.options.progress.gaps.first().copied();
        self.spool.limit_to_gap(gap);
        gap
    }

    fn text(&self, segment: &Segment) -> String {
        let text = self.options.rules.text(&segment.bytes);
        match &self.options.heading {
            Some(heading) => format!("{heading}{text}"),
            None => text,
        }
    }

    async fn send_segment(&mut self, segment: Segment) {
        let end = segment.end;
        let batches = self.batches(segment, self.next_timestamp());
        self.deliver(batches, end, false).await;
    }

    /// What was read is in memory once while it is sent: in its events.
    fn batches(&mut self, segment: Segment, timestamp: u64) -> Vec<Batch> {
        let text = self.text(&segment);
        drop(segment);
        self.is_open = !text.ends_with('\n');
        Batch::split(&text, Level::Debug, timestamp)
    }

    fn next_timestamp(&self) -> u64 {
        milliseconds_since_epoch().max(self.options.progress.last_timestamp + 1)
    }

    async fn send(&mut self, text: &str, level: Level, end: u64) {
        let batches = Batch::split(text, level, self.next_timestamp());
        self.deliver(batches, end, false).await;
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
        for batch in batches {
            if self.dropped {
                break;
            }
            let messages = batch
                .events
                .iter()
                .map(|event| event.message.lines().count());
            let lines: usize = messages.sum();
            match self.hand_over(batch, doubtful).await {
                Delivery::Acknowledged => {}
                Delivery::Abandoned => return,
                Delivery::Gone => self.dropped = true,
                Delivery::Refused(reason) => {
                    tracing::warn!("the server refused a part of the console: {reason}");
                    let before = gap.map_or(0, |(lines, _)| lines);
                    gap = Some((before + lines, reason));
                }
            }
        }
        if let Some((lines, reason)) = gap {
            self.mark_gap(lines, &reason).await;
        }
        let is_recorded = self.record(|progress| {
            progress.in_doubt = None;
            progress.acknowledged = end;
        });
        if !is_recorded {
            // The next process would send it again.
            return;
        }
        self.options.acknowledged.store(end, Ordering::Relaxed);
        if self.options.spends_file {
            // Behind it there is room again.
            self.look_at_room();
            self.spool.free(end);
        }
    }

    fn look_at_room(&mut self) {
        look(
            &mut self.options.headroom,
            &mut self.options.progress,
            &mut self.journal,
        );
    }

    /// Says where the program had no room for what it printed.
    async fn mark_full_disk(&mut self) {
        if let Some(headroom) = &self.options.headroom {
            let start = if self.is_open { "\n" } else { "" };
            let text = format!(
                "{start}clearml-agent: the disk of `{}` was full here: what was printed then may be missing (hint: free space there, \
                 or set `CLEARML_AGENT_TEMP_STDOUT_FILE_DIR` to a folder with more)\n",
                headroom.folder().display()
            );
            self.is_open = false;
            self.say_in_place(&text).await;
        }
        // What is given up is for the next process.
        if !self.options.give_up.is_cancelled() {
            self.record(|progress| {
                progress.gaps.remove(0);
            });
        }
    }

    /// A part of the console that the server does not take leaves a line in its place.
    async fn mark_gap(&mut self, lines: usize, reason: &str) {
        let text = format!(
            "clearml-agent: lines of the console that the server refused here: {lines} ({reason})\n"
        );
        self.say_in_place(&text).await;
    }

    /// A line of the agent's own between the lines of the program.
    async fn say_in_place(&mut self, text: &str) {
        let timestamp = self.next_timestamp();
        self.record(|progress| progress.last_timestamp = timestamp);
        for batch in Batch::split(&secrets::mask(text), Level::Warning, timestamp) {
            if let Delivery::Refused(reason) = self.hand_over(batch, false).await {
                tracing::warn!("the server refused the line about it as well: {reason}");
            }
        }
    }

    /// Gives one request to the server, and looks at the room on the disk as long as that takes.
    async fn hand_over(&mut self, batch: Batch, doubtful: bool) -> Delivery {
        let delivery = self.sender.deliver(batch, doubtful, &self.options.give_up);
        let look = || {
            look(
                &mut self.options.headroom,
                &mut self.options.progress,
                &mut self.journal,
            );
        };
        with_looks(delivery, look).await
    }

    fn record(&mut self, change: impl FnOnce(&mut Progress)) -> bool {
        change(&mut self.options.progress);
        (self.journal)(&self.options.progress)
    }
}

/// Places that wait for their line in the console; the journal must stay short.
const MOST_GAPS: usize = 64;

/// Keeps room for the program, and notes where there is none.
fn look(
    headroom: &mut Option<Headroom>,
    progress: &mut Progress,
    journal: &mut impl FnMut(&Progress) -> bool,
) {
    let Some(headroom) = headroom else { return };
    let full_at = headroom.look();
    if full_at.is_none() || full_at == progress.full_at || progress.gaps.len() >= MOST_GAPS {
        return;
    }
    progress.full_at = full_at;
    progress.gaps.extend(full_at);
    tracing::warn!(
        "the disk of `{}` is full: what the program prints now is lost (hint: free space there)",
        headroom.folder().display()
    );
    // Where it has no room either, this process knows it.
    let _ = journal(progress);
}

/// Waits for `work`, however long the server takes, and looks meanwhile as often as the file is looked at.
async fn with_looks<T>(work: impl Future<Output = T>, mut look: impl FnMut()) -> T {
    let mut work = pin!(work);
    loop {
        match tokio::time::timeout(LOOK, &mut work).await {
            Ok(done) => return done,
            Err(_) => look(),
        }
    }
}
