//! Files of workers that have died with their containers, found while a pool works: their GPUs must not be lost to it (D-127).

use std::time::{Duration, Instant};

use super::speaks_for;
use crate::storage::Instance;

/// Between two questions to the server.
const PAUSE: Duration = Duration::from_secs(30);
/// How long the server must not have listed a worker: after a start of its own it knows nobody until they report.
const SILENCE: Duration = Duration::from_mins(2);

/// Whom the server does not list, and since when.
#[derive(Debug, Default)]
pub(super) struct Departed {
    asked: Option<Instant>,
    unlisted: Vec<(Instance, Instant)>,
}

impl Departed {
    /// True where the server is to be asked whether these live.
    pub(super) fn is_due(&mut self, strangers: &[Instance], now: Instant) -> bool {
        if strangers.is_empty() {
            self.unlisted.clear();
            return false;
        }
        let is_due = self.asked.is_none_or(|asked| now >= asked + PAUSE);
        if is_due {
            self.asked = Some(now);
        }
        is_due
    }

    /// Those whose files are to go. `worker` is the pool that looks: its own tasks are seen from here, so it speaks for none
    /// of the others.
    pub(super) fn among(
        &mut self,
        strangers: Vec<Instance>,
        listed: &[&str],
        worker: &str,
        now: Instant,
    ) -> Vec<Instance> {
        let lives = |instance: &Instance| {
            let mut listed = listed.iter();
            listed.any(|listed| {
                *listed == instance.worker
                    || (*listed != worker && speaks_for(listed, &instance.worker))
            })
        };
        let earlier = std::mem::take(&mut self.unlisted);
        let mut departed = Vec::new();
        for stranger in strangers {
            if lives(&stranger) {
                continue;
            }
            let since = earlier.iter().find(|(known, _)| *known == stranger);
            let since = since.map_or(now, |(_, since)| *since);
            if now >= since + SILENCE {
                departed.push(stranger);
            } else {
                self.unlisted.push((stranger, since));
            }
        }
        departed
    }
}
