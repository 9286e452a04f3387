//! Hands batches to the server exactly once, although the server itself does not recognise a repetition.

use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Batch, LogEvent};

/// The server's side of a task's log.
pub trait EventSink {
    /// Stores the events; asked twice, the server stores them twice.
    fn add(&self, events: &[LogEvent]) -> impl Future<Output = Result<(), SinkError>>;
    /// The events of the task from this time on, whoever wrote them; older ones may be among them.
    fn since(&self, timestamp: u64) -> impl Future<Output = Result<Vec<LogEvent>, SinkError>>;
    /// Called at each look at what is to be sent, several times a second while nothing holds up whoever sends.
    fn awake(&self) {}
}

/// Why a batch was not acknowledged.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SinkError {
    /// The server may have stored the events, or some of them.
    #[error("{0}")]
    Ambiguous(String),
    /// The task is no longer there; its log has no place to go to.
    #[error("the task does not exist any more")]
    Gone,
    /// The server did not take the events and will not be able to for some time.
    #[error("{0}")]
    NotTaken(String),
    /// The server took the request and refused the events; another try would end the same way.
    #[error("{0}")]
    Refused(String),
    /// The request is longer than the server, or a proxy before it, takes.
    #[error("the request is too large")]
    TooLarge,
}

/// What became of a batch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Delivery {
    /// Each event is on the server once.
    Acknowledged,
    /// The caller gave up before the server answered.
    Abandoned,
    /// The task was deleted.
    Gone,
    /// The server will not take it, for this reason.
    Refused(String),
}

/// How far the log of a task has come; what a journal keeps of it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Progress {
    /// Offset in the output file up to which the server has everything.
    pub acknowledged: Acknowledged,
    /// Time of the newest event, in milliseconds since the epoch.
    pub last_timestamp: u64,
    /// A request of which it is not known whether the server has taken it.
    pub in_doubt: Option<InDoubt>,
    /// Offsets where the disk was full while the program printed, and the console does not say so yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<u64>,
    /// The last one of them, said or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_at: Option<u64>,
}

/// Bytes of the output file that the server has.
pub type Acknowledged = u64;

/// A request that was sent and not answered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct InDoubt {
    /// Offset behind the bytes of the request.
    pub end: u64,
    /// Time of its first event.
    pub timestamp: u64,
}

/// Sends one batch after the other and waits where the server is away.
#[derive(Debug)]
pub struct Sender<S> {
    sink: S,
}

impl<S: EventSink> Sender<S> {
    const FIRST_PAUSE: Duration = Duration::from_millis(500);
    const LONGEST_PAUSE: Duration = Duration::from_secs(15);

    /// A sender to this sink.
    pub fn new(sink: S) -> Self {
        Self { sink }
    }

    /// See [`EventSink::awake`].
    pub(super) fn awake(&self) {
        self.sink.awake();
    }

    /// Brings `batch` to the server once; `doubtful` where an earlier process may have sent it already.
    ///
    /// After an ambiguous answer the newest events are read back and compared before anything is sent
    /// again; while that fails, nothing is sent.
    pub async fn deliver(
        &self,
        batch: Batch,
        doubtful: bool,
        give_up: &CancellationToken,
    ) -> Delivery {
        let mut open = vec![batch.events];
        let mut doubtful = doubtful;
        let mut pause = Self::FIRST_PAUSE;
        while let Some(events) = open.last_mut() {
            let answer = tokio::select! {
                answer = self.attempt(events, doubtful) => answer,
                () = give_up.cancelled() => return Delivery::Abandoned,
            };
            match answer {
                Ok(()) => {
                    open.pop();
                    (doubtful, pause) = (false, Self::FIRST_PAUSE);
                    continue;
                }
                Err(SinkError::Gone) => return Delivery::Gone,
                Err(SinkError::TooLarge) if events.len() > 1 => {
                    let later = events.split_off(events.len() / 2);
                    let earlier = std::mem::replace(events, later);
                    open.push(earlier);
                    continue;
                }
                Err(error @ (SinkError::TooLarge | SinkError::Refused(_))) => {
                    return Delivery::Refused(error.to_string());
                }
                Err(SinkError::Ambiguous(_)) => doubtful = true,
                Err(SinkError::NotTaken(_)) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = give_up.cancelled() => return Delivery::Abandoned,
            }
            pause = (pause * 2).min(Self::LONGEST_PAUSE);
        }
        Delivery::Acknowledged
    }

    async fn attempt(&self, events: &mut Vec<LogEvent>, doubtful: bool) -> Result<(), SinkError> {
        let first = events.iter().map(|event| event.timestamp).min();
        if let (true, Some(first)) = (doubtful, first) {
            // A read that fails leaves the doubt as it was, whatever the reason.
            let stored = self.sink.since(first).await.map_err(|error| match error {
                SinkError::Gone => SinkError::Gone,
                error => SinkError::Ambiguous(error.to_string()),
            })?;
            events.retain(|event| {
                !stored.iter().any(|other| {
                    other.timestamp == event.timestamp && other.message == event.message
                })
            });
        }
        if events.is_empty() {
            Ok(())
        } else {
            self.sink.add(events).await
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;

    use super::*;
    use crate::logs::Level;

    /// What the next call of `add` does.
    enum Act {
        Store,
        StoreAndBreak,
        StoreHalfAndBreak,
        Fail(SinkError),
    }

    #[derive(Default)]
    struct Server {
        stored: RefCell<Vec<LogEvent>>,
        acts: RefCell<VecDeque<Act>>,
        failing_reads: RefCell<usize>,
    }

    impl EventSink for &Server {
        async fn add(&self, events: &[LogEvent]) -> Result<(), SinkError> {
            let broken = || SinkError::Ambiguous("connection reset".to_owned());
            match self.acts.borrow_mut().pop_front().unwrap_or(Act::Store) {
                Act::Store => {
                    self.stored.borrow_mut().extend_from_slice(events);
                    Ok(())
                }
                Act::StoreAndBreak => {
                    self.stored.borrow_mut().extend_from_slice(events);
                    Err(broken())
                }
                Act::StoreHalfAndBreak => {
                    self.stored
                        .borrow_mut()
                        .extend_from_slice(&events[..events.len() / 2]);
                    Err(broken())
                }
                Act::Fail(error) => Err(error),
            }
        }

        async fn since(&self, _timestamp: u64) -> Result<Vec<LogEvent>, SinkError> {
            let mut failing = self.failing_reads.borrow_mut();
            if *failing > 0 {
                *failing -= 1;
                return Err(SinkError::NotTaken("away".to_owned()));
            }
            Ok(self.stored.borrow().clone())
        }
    }

    fn batch(messages: &[&str]) -> Batch {
        let event = |(at, message): (usize, &&str)| LogEvent {
            level: Level::Debug,
            message: (*message).to_owned(),
            timestamp: at as u64,
        };
        Batch {
            events: messages.iter().enumerate().map(event).collect(),
        }
    }

    async fn stored_after(acts: Vec<Act>, failing_reads: usize) -> Vec<String> {
        let server = Server {
            acts: RefCell::new(acts.into()),
            failing_reads: failing_reads.into(),
            ..Server::default()
        };
        let sender = Sender::new(&server);
        let delivery = sender
            .deliver(
                batch(&["a", "b", "c", "d"]),
                false,
                &CancellationToken::new(),
            )
            .await;
        assert_eq!(delivery, Delivery::Acknowledged);
        server
            .stored
            .borrow()
            .iter()
            .map(|event| event.message.clone())
            .collect()
    }

    /// D-222
    #[tokio::test(start_paused = true)]
    async fn a_batch_that_was_taken_is_not_sent_again() {
        assert_eq!(
            stored_after(vec![Act::StoreAndBreak], 0).await,
            ["a", "b", "c", "d"]
        );
        assert_eq!(
            stored_after(vec![Act::StoreHalfAndBreak], 0).await,
            ["a", "b", "c", "d"]
        );
        assert_eq!(
            stored_after(vec![Act::StoreAndBreak], 3).await,
            ["a", "b", "c", "d"]
        );
    }

    /// D-168
    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_away_gets_everything_later() {
        let away = || Act::Fail(SinkError::NotTaken("refused".to_owned()));
        assert_eq!(
            stored_after(vec![away(), away(), away()], 0).await,
            ["a", "b", "c", "d"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_too_large_is_halved_in_order() {
        let large = || Act::Fail(SinkError::TooLarge);
        assert_eq!(
            stored_after(vec![large(), large()], 0).await,
            ["a", "b", "c", "d"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_of_an_earlier_process_is_compared_first() {
        let server = Server::default();
        server.stored.borrow_mut().extend(batch(&["a", "b"]).events);
        let delivery = Sender::new(&server)
            .deliver(batch(&["a", "b"]), true, &CancellationToken::new())
            .await;
        assert_eq!(
            (delivery, server.stored.borrow().len()),
            (Delivery::Acknowledged, 2)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn giving_up_leaves_the_batch_open() {
        let acts = std::iter::repeat_with(|| Act::Fail(SinkError::NotTaken("away".to_owned())))
            .take(1000)
            .collect();
        let server = Server {
            acts: RefCell::new(acts),
            ..Server::default()
        };
        let give_up = CancellationToken::new();
        let timer = give_up.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_mins(1)).await;
            timer.cancel();
        });
        assert_eq!(
            Sender::new(&server)
                .deliver(batch(&["a"]), false, &give_up)
                .await,
            Delivery::Abandoned
        );
    }
}
