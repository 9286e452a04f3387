//! How a worker leaves: its tasks end or go on without it, and the server is told.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::task::{JoinHandle, spawn_local};

use super::{Daemon, Next};
use crate::api::Retry;
use crate::task::{Entry, RunFolder};
use crate::worker::crew::{Member, Order};
use crate::worker::options::DaemonEnd;
use crate::worker::requests::{Request, Requests};

/// How long the farewell may take (D-300).
pub(super) const FAREWELL: Duration = Duration::from_secs(3);
/// How long a supervisor may take to end its task: its own limit and a little more.
const ENDING: Duration = Duration::from_secs(7);
/// The same for tasks that are workers of their own (D-261).
const ENDING_SEVERAL: Duration = Duration::from_secs(20);

impl Daemon {
    /// Ends all tasks, or leaves them to the next worker.
    pub(super) async fn leave(
        &mut self,
        request: Option<Request>,
        requests: &mut Requests,
    ) -> Next {
        if request == Some(Request::HandOver) {
            return Next::Leave(DaemonEnd::HandedOver);
        }
        let options = &self.options;
        if options.nursery.options.docker.is_some() && options.capacity.is_services() {
            // C-322: services in containers go on, each with a supervisor that clears up behind it.
            return Next::Leave(DaemonEnd::Terminated);
        }
        let mut end = DaemonEnd::Terminated;
        let is_one = self.options.capacity.is_one();
        if self.crew.sole().is_some_and(|member| member.is_interrupted) {
            // It has been told once already.
            end = DaemonEnd::Hurried;
        }
        let patience = if is_one { ENDING } else { ENDING_SEVERAL };
        if !is_one {
            let supervisors = self.crew.members().iter().filter_map(Member::supervisor);
            for process in supervisors {
                self.printer
                    .line(format!("Terminating child process {}", process.pid));
            }
        }
        self.crew.order(Order::Terminate);
        let mut deadline = tokio::time::Instant::now() + self.options.grace + patience;
        while !self.crew.members().is_empty() {
            tokio::select! {
                ended = self.crew.next_end() => self.has_ended(ended).await,
                () = tokio::time::sleep_until(deadline) => break,
                _ = requests.recv() => {
                    if end == DaemonEnd::Hurried {
                        break;
                    }
                    // They kill their programs, and wait no longer for a server that does not answer (D-301).
                    self.crew.order(Order::Terminate);
                    end = DaemonEnd::Hurried;
                    deadline = tokio::time::Instant::now() + ENDING;
                }
            }
        }
        if !is_one {
            self.kill_the_rest();
        }
        let marks = std::mem::take(&mut self.marks);
        let told = async {
            for mark in marks {
                // It has nothing to return.
                let _ = mark.await;
            }
        };
        if tokio::time::timeout(FAREWELL, told).await.is_err() {
            self.printer
                .warning("the server could not be told of all tasks that could not be run");
        }
        Next::Leave(end)
    }

    /// Supervisors that have not obeyed in time, and their programs with them; the next worker settles their runs
    /// (D-261, D-273).
    fn kill_the_rest(&self) {
        for process in self.crew.members().iter().filter_map(Member::supervisor) {
            self.printer.warning(&format!(
                "child process {} does not end, killing it",
                process.pid
            ));
            // It may have ended in the meantime.
            let _ = process.signal(Signal::SIGKILL);
        }
    }

    /// Takes leave for workers of this machine that were killed, which would stay in the server's list for minutes, and looks
    /// for tasks that they were given; not where somebody has their place.
    pub(super) fn take_over_marks(&mut self) {
        let Some(presence) = &mut self.presence else {
            return;
        };
        let places = &self.nursery.places;
        // Before a mark is held, which is for a moment only: a worker of that id may be starting.
        let runs = RunFolder::all(places);
        let runs: Vec<Entry> = runs.iter().filter_map(|run| run.read().ok()).collect();
        let slots = places.slots.living();
        let found = presence.take_over(|worker| {
            runs.iter().any(|run| run.is_of(worker))
                || slots.iter().any(|slot| slot.worker == worker)
        });
        self.poller.suspect(&found.queues);
        let session = self.options.session.clone();
        spawn_local(async move {
            for worker in found.workers {
                if let Err(error) = session.workers().unregister(&worker, &[]).await {
                    tracing::info!(%error, %worker, "could not unregister a worker that was killed");
                }
            }
        });
    }

    /// A report that is on its way must not arrive behind the farewell.
    pub(super) async fn farewell(&self, reporter: &mut JoinHandle<()>, end: DaemonEnd) {
        let nursery = &self.nursery;
        let mut session = self.options.session.clone();
        if end == DaemonEnd::Hurried {
            session = session.with_retry(Retry::Never);
        }
        let workers = session.workers();
        let told = async {
            // It ends by itself: nobody has tasks for it any more.
            let _ = reporter.await;
            workers.unregister(&nursery.worker, &nursery.queues).await
        };
        let told = async {
            tokio::select! {
                told = tokio::time::timeout(FAREWELL, told) => Some(told),
                () = self.options.session.is_silent(), if end == DaemonEnd::Hurried => None,
            }
        };
        let Some(told) = told.await else {
            return;
        };
        let reason = match told {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.reference_text(),
            Err(_) => format!("no answer within {} s", FAREWELL.as_secs()),
        };
        self.printer
            .warning(&format!("could not unregister the worker: {reason}"));
    }
}
