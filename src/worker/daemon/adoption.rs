//! What earlier workers have left: their runs are taken over, or settled beside the work.

use tokio::task::spawn_local;

use super::Daemon;
use super::failing::{fail, hopeless};
use crate::api::TaskId;
use crate::process::remove_empty_cgroups;
use crate::task::{JournalError, RunFolder, TaskServer};
use crate::worker::children::{RunEnd, WatchedRun};
use crate::worker::gpus::Lease;
use crate::worker::poller::Pulled;
use crate::worker::recovery::Inheritance;
use crate::worker::strays::return_left;

impl Daemon {
    /// Takes over the runs of an earlier worker of this id; nothing is pulled while they take up its room.
    pub(super) fn adopt(&mut self) {
        for run in self.tidy_up() {
            let lease = self.lease_of(&run);
            let Ok(mut watched) = self.nursery.adopt(run) else {
                continue;
            };
            watched.lease = lease;
            self.crew.add(watched, self.nursery.clone());
            let adopted = self.crew.members().last();
            if let Some(current) = adopted.and_then(|member| member.current.as_ref()) {
                self.printer
                    .line(format!("Adopted running task '{}'", current.task));
            }
        }
        self.tell_what_it_does();
    }

    /// Settles the runs that workers which are gone have left without a supervisor, and removes what is left of others; gives
    /// the runs that earlier workers of this id have left.
    pub(super) fn tidy_up(&mut self) -> Vec<RunFolder> {
        RunFolder::sweep(&self.nursery.places);
        remove_empty_cgroups();
        self.take_over_marks();
        let inheritance = Inheritance::of(&self.nursery.places, self.nursery.worker.as_str());
        for run in inheritance.abandoned {
            self.settle_abandoned(run);
        }
        for (run, error) in inheritance.strange {
            self.leave_alone(run, &error);
        }
        inheritance.own
    }

    /// A run that this release cannot settle; that is said once.
    fn leave_alone(&mut self, run: RunFolder, error: &JournalError) {
        if self.strange.contains(&run) {
            return;
        }
        let hint = error.hint().unwrap_or("let this user read it");
        self.printer
            .warning(&format!("{error}; its task is left alone (hint: {hint})"));
        self.strange.push(run);
    }

    /// The GPUs of a run that an earlier worker has left.
    fn lease_of(&self, run: &RunFolder) -> Option<Lease> {
        let entry = run.read().ok()?;
        let pool = &self.poller.gpus.as_ref()?.pool;
        entry.parent.as_ref()?;
        let lease = pool.inherit(entry.options.gpus.as_deref()?, entry.slot);
        lease
            .inspect_err(|error| tracing::warn!(%error, "could not hold the GPUs of a task"))
            .ok()
    }

    /// A run that nobody has begun goes back to its queue: it is no task of this worker. One that nobody can settle fails, as
    /// one of its own would.
    fn settle_abandoned(&self, run: RunFolder) {
        let nursery = self.nursery.clone();
        let session = self.options.session.clone();
        let printer = self.printer;
        spawn_local(async move {
            if let Some(pulled) = untouched(&run) {
                // Whoever has the lock does it.
                let Ok(journal) = run.open() else { return };
                if return_left(&session, &pulled).await {
                    journal.remove();
                }
                return;
            }
            let watched = nursery.adopt(run);
            let watched = watched.inspect_err(|error| {
                tracing::warn!(%error, "could not settle the run of a worker that is gone");
            });
            let Ok(mut watched) = watched else { return };
            let reason = match watched.settled(&nursery).await {
                RunEnd::NotAllowed(reason) => reason,
                RunEnd::Hopeless(status) => hopeless(status),
                // The next worker of its name tries again where it is not settled.
                RunEnd::Settled(_) | RunEnd::Untouched | RunEnd::Left => return,
            };
            printer.warning(&reason);
            let Some(task) = task_of(&watched) else {
                drop(watched.abandon());
                return;
            };
            let server = TaskServer::new(session, task.clone(), nursery.worker.clone());
            fail(server, task, reason, Some(watched), printer).await;
        });
    }
}

/// The task of a run that nobody has begun, and of which nothing has been said to the server.
pub(super) fn untouched(run: &RunFolder) -> Option<Pulled> {
    let entry = run.read().ok()?;
    entry.is_untouched().then_some(())?;
    Some(Pulled {
        task: entry.task.parse().ok()?,
        queue: entry.queue.parse().ok()?,
        owner: None,
        lease: None,
    })
}

fn task_of(watched: &WatchedRun) -> Option<TaskId> {
    watched.run.read().ok()?.task.parse().ok()
}
