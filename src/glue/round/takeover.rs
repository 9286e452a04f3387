//! What a glue before this one has left, and what got lost on its way to this one.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::{Glue, goes_on};
use crate::api::{ApiError, QueueId, TaskId};
use crate::glue::cluster::Cluster;
use crate::glue::ledger::{Entry, Phase};

/// A glue puts a task from one queue into another well within this time.
const MOVES: Duration = Duration::from_secs(30);
/// Why a task goes back into its queue.
const HALFWAY: &str = "the agent was lost that moved this task between two queues";

impl<C: Cluster> Glue<C> {
    /// What a glue before this one has left (C-647): from the ledger, and where that is gone, from the cluster and the server.
    pub(super) async fn take_over(&mut self) -> Result<bool, ApiError> {
        let known = match self.cluster.known().await {
            Ok(known) => known,
            Err(error) => {
                self.is_away(&error.0);
                return Ok(false);
            }
        };
        for known in known {
            let task = known.task.as_str();
            if self.ledger.entry(task).is_none() {
                self.put(Entry::new(&known.task, &known.queue));
                self.note(task, Phase::Submitted(known.job));
            }
        }
        self.find_held().await?;
        if !self.ledger.was_closed() {
            // It may have been killed between a queue and its ledger.
            for (queue, _) in &self.options.queues {
                self.strays.suspect(queue.clone());
            }
            self.find_halfway().await?;
        }
        self.knows_all = true;
        let entries = self.ledger.entries().to_vec();
        if !entries.is_empty() {
            let under_way = entries.len();
            self.printer
                .line(format!("Taking over {under_way} tasks that are under way"));
        }
        for entry in entries {
            if entry.job().is_some() {
                self.incomplete.push(entry.task);
            }
        }
        Ok(true)
    }

    /// Jobs that a glue may have left without what belongs to them.
    pub(super) async fn complete(&mut self) {
        for name in std::mem::take(&mut self.incomplete) {
            let Some(entry) = self.ledger.entry(&name) else {
                continue;
            };
            if let (Ok(task), Ok(queue), Some(job)) =
                (entry.task.parse(), entry.queue.parse(), entry.job())
                && self.cluster.may_lack(job)
            {
                let is_whole = match self.work(&task, &queue).await {
                    Ok(Some(work)) => self.cluster.complete(&work, job).await,
                    Ok(None) => true,
                    Err(error) => error.refusal().is_some(),
                };
                if !is_whole {
                    self.incomplete.push(name);
                }
            }
        }
    }

    /// Tasks in the holding queue that have no job yet, and bear the mark of this glue.
    async fn find_held(&mut self) -> Result<(), ApiError> {
        if self.cluster.marks("").is_empty() {
            return Ok(());
        }
        for task in self.holding.waiting().await? {
            if self.ledger.entry(task.as_str()).is_some() {
                continue;
            }
            let properties = self.holding.session().tasks().properties(&task).await?;
            let Some(name) = self.cluster.marked(&properties) else {
                continue;
            };
            let mut queues = self.options.queues.iter();
            if let Some((queue, _)) = queues.find(|(_, queue)| *queue == name).cloned() {
                self.put(Entry::new(&task, &queue));
                self.note(task.as_str(), Phase::Held);
            }
        }
        Ok(())
    }

    /// Tasks that the server took out of a queue for an answer that never came, or that nobody has written down (D-172).
    pub(super) async fn find_strays(&mut self) {
        let session = self.holding.session();
        let held = || -> HashSet<String> {
            let entries = self.ledger.entries().iter();
            entries.map(|entry| entry.task.clone()).collect()
        };
        for _ in 0..self.strays.put_lost_back(session, held).await {
            self.state.given_back();
        }
    }

    /// Tasks of this glue's queues that are on their way, and not in its ledger.
    async fn find_halfway(&mut self) -> Result<(), ApiError> {
        let halfway = self.halfway().await?;
        self.halfway = (!halfway.is_empty()).then(|| (Instant::now(), halfway));
        Ok(())
    }

    async fn halfway(&self) -> Result<HashMap<TaskId, QueueId>, ApiError> {
        let mut moving = self.holding.on_their_way().await?;
        let queues = &self.options.queues;
        moving.retain(|_, queue| queues.iter().any(|(own, _)| own == queue));
        moving.retain(|task, _| self.ledger.entry(task.as_str()).is_none());
        Ok(moving)
    }

    /// Puts those back that still are: another glue has had the time to go on with them.
    pub(super) async fn finish_moves(&mut self) -> Result<(), ApiError> {
        let Some((since, before)) = &self.halfway else {
            return Ok(());
        };
        if since.elapsed() < MOVES {
            return Ok(());
        }
        let before = before.clone();
        let mut left = self.halfway().await?;
        left.retain(|task, _| before.contains_key(task));
        for (task, queue) in left {
            self.printer.warning(&format!(
                "task '{task}' was left between two queues; it goes back"
            ));
            // Who is killed on the way goes on with it.
            self.put(Entry::new(&task, &queue));
            let given_back = self.give_back(&task, &queue, HALFWAY).await;
            goes_on(&task, given_back)?;
        }
        self.halfway = None;
        Ok(())
    }
}
