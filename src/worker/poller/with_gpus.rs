//! One look at the queues of a worker with dynamic GPUs (D-270).

use super::{Poller, Pulled};
use crate::api::QueueId;
use crate::worker::gpus::Shortage;

impl Poller {
    /// The first task for which there are GPUs. One that needs more than there are holds up the queues behind its own,
    /// so that GPUs come together for it.
    pub(super) async fn round_with_gpus(&mut self) -> Option<Pulled> {
        self.shortage = None;
        if !self.queues.iter().any(|queue| self.is_active(queue)) {
            return None;
        }
        if self.gpus.as_mut()?.pool.look().await == 0 {
            self.shortage = Some(Shortage { have: 0, need: 1 });
            return None;
        }
        let count = self.queues.len();
        for step in 0..count {
            let place = (self.next + step) % count;
            let queue = self.queues[place].clone();
            if self.leaving.is_cancelled() {
                return None;
            }
            let gpus = self.gpus.as_ref()?;
            let Some(demand) = gpus.demand(&queue) else {
                continue;
            };
            if !self.is_active(&queue) || !self.has_tasks(&queue).await {
                continue;
            }
            let lease = match self.gpus.as_ref()?.pool.lease(demand).await {
                Ok(Ok(lease)) => lease,
                Ok(Err(shortage)) => {
                    self.shortage = Some(shortage);
                    return None;
                }
                Err(error) => {
                    self.printer.warning(&error.to_string());
                    return None;
                }
            };
            if self.leaving.is_cancelled() {
                return None;
            }
            if let Some(pulled) = self.take(place, queue, Some(lease)).await {
                return Some(pulled);
            }
        }
        None
    }

    /// A queue that cannot be asked has none for now (D-270).
    async fn has_tasks(&mut self, queue: &QueueId) -> bool {
        match self.session.queues().by_id(queue).await {
            Ok(found) => {
                self.unreachable.remove(queue);
                let is_empty = found.entries.is_empty();
                if is_empty && self.is_talkative {
                    self.printer.line(format!("No tasks in queue {queue}"));
                }
                !is_empty
            }
            Err(error) => {
                self.is_unreachable(queue, &error);
                false
            }
        }
    }
}
