//! The runs that a worker watches at present, each in a local task of its own.

use std::rc::Rc;

use nix::sys::signal::Signal;
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use super::children::{Nursery, RunEnd, WatchedRun};
use super::survival::persistent;
use crate::process::ProcessIdentity;
use crate::task::{CurrentTask, RunFolder};

/// How often the watch over a run may crash that has no supervisor, before the place is free again.
const MOST_CRASHES: u32 = 5;

/// What is asked of the supervisor of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    /// End the task; the worker goes on (D-297).
    Interrupt,
    /// End the task and leave; a second one ends the waiting for the server.
    Terminate,
}

/// A run, as it is watched.
#[derive(Debug)]
pub(super) struct Member {
    number: u64,
    /// The run.
    pub(super) run: RunFolder,
    /// Its task; none where the journal cannot be read.
    pub(super) current: Option<CurrentTask>,
    /// Ctrl-C has been pressed for it.
    pub(super) is_interrupted: bool,
    orders: mpsc::UnboundedSender<Order>,
}

/// How the watch over a run ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// The run; none is left on disk where it is settled.
    pub(super) run: WatchedRun,
    /// Its task.
    pub(super) current: Option<CurrentTask>,
    /// How.
    pub(super) end: RunEnd,
}

/// All runs of a worker.
#[derive(Debug)]
pub(super) struct Crew {
    members: Vec<Member>,
    joined: u64,
    sender: mpsc::UnboundedSender<(u64, WatchedRun, RunEnd)>,
    ends: mpsc::UnboundedReceiver<(u64, WatchedRun, RunEnd)>,
}

impl Crew {
    /// Nobody.
    pub(super) fn new() -> Self {
        let (sender, ends) = mpsc::unbounded_channel();
        Self {
            members: Vec::new(),
            joined: 0,
            sender,
            ends,
        }
    }

    /// The runs that are watched.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The run, where there is exactly one.
    pub(super) fn sole(&mut self) -> Option<&mut Member> {
        match self.members.as_mut_slice() {
            [member] => Some(member),
            _ => None,
        }
    }

    /// Watches a run from now on.
    pub(super) fn add(&mut self, run: WatchedRun, nursery: Rc<Nursery>) {
        self.joined += 1;
        let number = self.joined;
        let (orders, inbox) = mpsc::unbounded_channel();
        self.members.push(Member {
            number,
            run: run.run.clone(),
            current: current(&run.run),
            is_interrupted: false,
            orders,
        });
        let sender = self.sender.clone();
        spawn_local(async move {
            let mut run = run;
            let mut inbox = inbox;
            let folder = run.run.clone();
            let attended = persistent(
                async || attend(&mut run, &nursery, &mut inbox).await,
                // A task that goes on keeps its place, and one that nobody has begun is waited for.
                |crashes| crashes < MOST_CRASHES || folder.is_supervised(),
            );
            // What is left of the run is for the next worker.
            let end = attended.await.unwrap_or(RunEnd::Left);
            // The crew may be gone with its worker.
            let _ = sender.send((number, run, end));
        });
    }

    /// Waits for the next end; for ever where nobody is watched.
    pub(super) async fn next_end(&mut self) -> Ended {
        loop {
            let Some((number, run, end)) = self.ends.recv().await else {
                // This very crew holds a sender.
                return std::future::pending().await;
            };
            let place = self.members.iter().position(|one| one.number == number);
            if let Some(member) = place.map(|place| self.members.remove(place)) {
                return Ended {
                    run,
                    current: member.current,
                    end,
                };
            }
        }
    }

    /// Tells all supervisors.
    pub(super) fn order(&self, order: Order) {
        for member in &self.members {
            member.order(order);
        }
    }
}

impl Member {
    /// Tells its supervisor.
    pub(super) fn order(&self, order: Order) {
        // Who has ended already has nothing to obey.
        let _ = self.orders.send(order);
    }

    /// The process that supervises the run.
    pub(super) fn supervisor(&self) -> Option<ProcessIdentity> {
        self.run.read().ok()?.supervisor
    }
}

/// Sees to it that the run is settled, and passes orders on.
async fn attend(
    run: &mut WatchedRun,
    nursery: &Nursery,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> RunEnd {
    loop {
        let folder = run.run.clone();
        let holds_claim = run.has_claim();
        let order = tokio::select! {
            end = run.settled(nursery) => return end,
            () = folder.signed(), if holds_claim => {
                run.give_claim_up();
                continue;
            }
            order = orders.recv() => order,
        };
        if order == Some(Order::Interrupt) {
            run.signal(Signal::SIGINT).await;
            continue;
        }
        if run.is_missing() {
            return RunEnd::Untouched;
        }
        run.signal(Signal::SIGTERM).await;
        loop {
            tokio::select! {
                // What it cannot tell the server in time is left to the next worker.
                _ = run.supervisor_ended() => return RunEnd::Left,
                order = orders.recv() => if order.is_none() { return RunEnd::Left },
            }
            run.signal(Signal::SIGTERM).await;
        }
    }
}

fn current(run: &RunFolder) -> Option<CurrentTask> {
    let entry = run.read().ok()?;
    Some(CurrentTask {
        task: entry.task.parse().ok()?,
        queue: entry.queue.parse().ok(),
    })
}
