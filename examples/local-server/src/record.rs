//! The requests as they arrived, for tests.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use serde_json::Value;

/// One request to the API and its answer.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// When it arrived.
    pub at: SystemTime,
    /// `GET`, `POST`, `PUT`.
    pub method: String,
    /// Path and query as sent, e.g. `/v2.5/tasks.started`.
    pub path: String,
    /// Name of the call without version, e.g. `tasks.started`; empty if the path names none.
    pub endpoint: String,
    /// Decoded body: `Null` if there was none, `{"__json_lines__": [...]}` for a batch, text if it was no JSON.
    pub body: Value,
    /// Headers by their name in lower case; of `authorization` only the scheme.
    pub headers: BTreeMap<String, String>,
    /// HTTP status; `None` while the answer is not ready.
    pub status: Option<u16>,
    /// The whole answer, with tokens as they are.
    pub response: Value,
    /// Time from arrival to answer.
    pub duration: Option<Duration>,
}

/// All requests in the order of their arrival.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    requests: Mutex<Vec<RecordedRequest>>,
}

impl Recorder {
    /// Notes an arrival; the number names it for [`Self::answered`].
    pub(crate) fn arrived(&self, request: RecordedRequest) -> usize {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.push(request);
        requests.len() - 1
    }

    pub(crate) fn answered(&self, number: usize, status: u16, response: Value, duration: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(request) = requests.get_mut(number) {
            request.status = Some(status);
            request.response = response;
            request.duration = Some(duration);
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    pub(crate) fn all(&self) -> Vec<RecordedRequest> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
