//! Looks at what waits in the worker's queues while a task runs, and has fetched what it will need.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::children::{Nursery, placed};
use crate::api::TaskId;
use crate::process::{Command, Output};
use crate::task::{Phase, PrefetchFolder, PrefetchOrder, RunFolder};

/// How often it is looked whether the running task has been prepared: what it needs itself comes first.
const PREPARATION: Duration = Duration::from_millis(500);
/// Between two looks at the queues.
const LOOK: Duration = Duration::from_secs(30);
/// How many tasks are remembered that were looked after.
const REMEMBERED: usize = 256;
/// How long a worker that leaves waits for what it has stopped.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is fetched in advance.
#[derive(Clone, Debug)]
pub struct PrefetchOptions {
    /// How many waiting tasks are looked at; with 0 nothing is fetched, and what an earlier worker has left is removed.
    pub tasks: usize,
    /// Where environments are made before they go to the store; nobody else's folder.
    pub environments: PathBuf,
}

/// The caller's hand on what fetches.
#[derive(Debug)]
pub(super) struct Prefetch {
    runs: watch::Sender<Option<RunFolder>>,
    leaving: CancellationToken,
    work: JoinHandle<()>,
}

#[derive(Debug)]
struct Fetching {
    options: PrefetchOptions,
    nursery: Rc<Nursery>,
    folder: PrefetchFolder,
    runs: watch::Receiver<Option<RunFolder>>,
    leaving: CancellationToken,
    /// Tasks that were looked after, the last ones.
    seen: VecDeque<TaskId>,
}

impl Prefetch {
    /// Begins; nothing is fetched before a task runs.
    pub(super) fn begin(options: PrefetchOptions, nursery: Rc<Nursery>) -> Self {
        let (runs, receiver) = watch::channel(None);
        let leaving = CancellationToken::new();
        let fetching = Fetching {
            folder: PrefetchFolder::of_slot(&nursery.places, nursery.slot),
            options,
            nursery,
            runs: receiver,
            leaving: leaving.clone(),
            seen: VecDeque::new(),
        };
        Self {
            runs,
            leaving,
            work: spawn_local(fetching.run()),
        }
    }

    /// Says which run goes on; none while the worker looks for a task itself.
    pub(super) fn task_runs(&self, run: Option<RunFolder>) {
        self.runs.send_if_modified(|known| {
            let is_news =
                known.as_ref().map(RunFolder::journal) != run.as_ref().map(RunFolder::journal);
            if is_news {
                *known = run;
            }
            is_news
        });
    }

    /// Stops what is being fetched, and removes what it has left.
    pub(super) async fn finish(self) {
        self.leaving.cancel();
        // What takes longer is removed by the next worker of this slot.
        let _ = timeout(PATIENCE, self.work).await;
    }
}

impl Fetching {
    async fn run(mut self) {
        // A worker that was killed has left it.
        self.clear().await;
        if self.options.tasks == 0 {
            return;
        }
        let leaving = self.leaving.clone();
        tokio::select! {
            () = self.look_again_and_again() => {}
            () = leaving.cancelled() => {}
        }
        self.clear().await;
    }

    async fn look_again_and_again(&mut self) {
        while self.is_prepared().await {
            if let Some(task) = self.next_task().await {
                self.fetch(task).await;
                continue;
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                changed = self.runs.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Waits until a task runs that has what it needs itself; false where there is no worker any more.
    async fn is_prepared(&mut self) -> bool {
        loop {
            let run = self.runs.borrow_and_update().clone();
            let phase = run.as_ref().and_then(|run| Some(run.read().ok()?.phase));
            if matches!(phase, Some(Phase::Running { .. } | Phase::Contained)) {
                return true;
            }
            let pause = async {
                match &run {
                    Some(_) => sleep(PREPARATION).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = pause => {}
                changed = self.runs.changed() => if changed.is_err() { return false },
            }
        }
    }

    /// The first waiting task that nobody has looked after, among those that come next.
    async fn next_task(&mut self) -> Option<TaskId> {
        let mut left = self.options.tasks;
        for queue in &self.nursery.queues {
            if left == 0 {
                break;
            }
            // A server that does not answer is asked again at the next look.
            let Ok(queue) = self.nursery.session.queues().by_id(queue).await else {
                continue;
            };
            for entry in queue.entries.into_iter().take(left) {
                left -= 1;
                if !self.seen.contains(&entry.task) {
                    self.seen.push_back(entry.task.clone());
                    if self.seen.len() > REMEMBERED {
                        self.seen.pop_front();
                    }
                    return Some(entry.task);
                }
            }
        }
        None
    }

    async fn fetch(&self, task: TaskId) {
        tracing::debug!(%task, "fetching what a waiting task will need");
        if let Err(error) = self.try_to_fetch(&task).await {
            tracing::debug!(%task, %error, "nothing was fetched for a waiting task");
        }
    }

    async fn try_to_fetch(&self, task: &TaskId) -> io::Result<()> {
        let nursery = &self.nursery;
        let settings = placed(&nursery.settings, nursery.worker.as_str(), nursery.slot);
        let order = PrefetchOrder {
            task: task.to_string(),
            worker: nursery.worker.to_string(),
            options: nursery.options.clone(),
            environments: self.options.environments.clone(),
        };
        self.folder.write(&order, &settings)?;
        let output = Output::append(&self.folder.log())?;
        let command = Command::new("/proc/self/exe")
            .arg("prefetch")
            .arg("--folder")
            .arg(self.folder.path())
            // One download at a time, as pip does it.
            .env("UV_CONCURRENT_DOWNLOADS", "1");
        let command = nursery
            .overruled()
            .iter()
            .fold(command, Command::env_remove);
        let finished = command.run(&output, &self.leaving).await;
        let finished = finished.map_err(io::Error::other)?;
        tracing::debug!(%task, code = finished.code(), "fetched");
        Ok(())
    }

    async fn clear(&self) {
        let (folder, environments) = (self.folder.clone(), self.options.environments.clone());
        let cleared = tokio::task::spawn_blocking(move || {
            let removed = std::fs::remove_dir_all(environments);
            folder.remove().and(removed)
        });
        match cleared.await {
            Ok(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "what was fetched in advance could not be removed");
            }
            _ => {}
        }
    }
}
