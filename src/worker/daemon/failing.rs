//! Tasks that nobody can run: the server is told, so that they do not stay as they are.

use std::process::ExitStatus;

use tokio::task::spawn_local;

use super::Daemon;
use crate::api::TaskId;
use crate::task::{Ending, FinalStatus, TaskServer};
use crate::ui::Printer;
use crate::worker::children::WatchedRun;
use crate::worker::crew::Ended;

impl Daemon {
    /// A task that cannot be handed over must not stay as it is: it has left its queue (D-172).
    pub(super) fn give_up_on(&mut self, task: &TaskId, reason: String, hint: &str) {
        self.printer.error(&reason, Some(hint));
        self.mark_as_failed(task.clone(), reason, None);
    }

    /// Beside the work: a server that is away holds up nobody. What is left of the run goes when the server knows.
    fn mark_as_failed(&mut self, task: TaskId, reason: String, run: Option<WatchedRun>) {
        self.state.task_ends(Ending::Failed);
        let worker = self.nursery.worker.clone();
        let server = TaskServer::new(self.options.session.clone(), task.clone(), worker);
        self.marks.retain(|mark| !mark.is_finished());
        self.marks
            .push(spawn_local(fail(server, task, reason, run, self.printer)));
    }

    /// No supervisor comes to its work: the task must not stay as it is, and the worker has others to run.
    pub(super) fn abandon(&mut self, ended: Ended, reason: String) {
        match ended.current {
            Some(current) => self.mark_as_failed(current.task, reason, Some(ended.run)),
            None => drop(ended.run.abandon()),
        }
    }
}

/// Tells the server that the task has failed; what is left of the run goes when the server knows.
pub(super) async fn fail(
    server: TaskServer,
    task: TaskId,
    reason: String,
    run: Option<WatchedRun>,
    printer: Printer,
) {
    if let Err(error) = server.settle(&FinalStatus::Failed(reason)).await {
        printer.warning(&format!(
            "could not mark task '{task}' as failed: {}",
            error.reference_text()
        ));
    }
    if let Some(output) = run.and_then(|run| run.abandon()) {
        printer.warning(&format!(
            "what task '{task}' has printed is kept in {}",
            output.display()
        ));
    }
}

/// Why a task fails whose supervisors end with this status before they have begun.
pub(super) fn hopeless(status: ExitStatus) -> String {
    format!("the task's supervisor failed at its start, again and again ({status})")
}
