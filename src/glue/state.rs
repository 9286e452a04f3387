//! What is known of a running glue, and what is counted: for those who ask it.

use std::cell::{Ref, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::ledger::Entry;
use super::under_way::UnderWay;
use super::verdict::Seen;
use crate::api::{QueueId, Session, WorkerId};
use crate::control::{TaskStatus, Vitals, service};
use crate::secrets;

/// What a glue is, for as long as it lives.
#[derive(Debug)]
pub(super) struct About {
    /// Its id.
    pub(super) worker: WorkerId,
    /// Its queues with their names, the most important first.
    pub(super) queues: Vec<(QueueId, String)>,
    /// Most tasks under way at once; none: the cluster decides.
    pub(super) limit: Option<usize>,
    /// Between two status reports.
    pub(super) report_interval: Duration,
    /// Its way to the server.
    pub(super) session: Session,
}

/// What is known at one moment.
#[derive(Debug)]
pub(super) struct Known {
    /// What is known of every worker.
    pub(super) vitals: Vitals,
    tasks: HashMap<String, UnderWay>,
    /// How often the ledger has changed, by which tasks are ordered.
    changes: u64,
    /// What came of the last look at the cluster; none before the first.
    pub(super) cluster: Option<Result<(), String>>,
    /// It has refused a job for now.
    pub(super) refused_until: Option<Instant>,
    /// Tasks that have become jobs.
    pub(super) submitted: u64,
    /// Tasks that the glue has let fail.
    pub(super) failed: u64,
    /// Tasks that it has put back into their queues.
    pub(super) given_back: u64,
}

#[derive(Debug)]
struct Inner {
    about: About,
    known: RefCell<Known>,
    /// What the service manager has heard last.
    told: RefCell<String>,
}

/// The glue's own copy; all clones are one.
#[derive(Clone, Debug)]
pub struct GlueState(Rc<Inner>);

impl GlueState {
    /// Of a glue that begins now, with what one before it has left.
    pub(super) fn new(about: About, entries: &[Entry]) -> Self {
        let state = Self(Rc::new(Inner {
            about,
            known: RefCell::new(Known {
                vitals: Vitals::begin(),
                tasks: HashMap::new(),
                changes: 0,
                cluster: None,
                refused_until: None,
                submitted: 0,
                failed: 0,
                given_back: 0,
            }),
            told: RefCell::default(),
        }));
        for entry in entries {
            state.is(entry);
        }
        state
    }

    /// Who it is.
    pub(super) fn about(&self) -> &About {
        &self.0.about
    }

    /// What is known now.
    pub(super) fn known(&self) -> Ref<'_, Known> {
        self.0.known.borrow()
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.0.known.borrow_mut());
    }

    /// The server has registered the worker.
    pub fn registered(&self) {
        self.change(|known| known.vitals.registered());
    }

    /// The server has taken a report.
    pub fn report_taken(&self) {
        self.change(|known| known.vitals.report_taken());
    }

    /// What the ledger has of a task.
    pub(super) fn is(&self, entry: &Entry) {
        self.change(|known| {
            known.changes += 1;
            let order = known.changes;
            let under_way = known.tasks.entry(entry.task.clone());
            under_way
                .and_modify(|under_way| under_way.is(entry))
                .or_insert_with(|| UnderWay::new(order, entry));
            known.vitals.has_tasks(true);
        });
        self.tell_news();
    }

    /// What the cluster has of its job.
    pub(super) fn sees(&self, task: &str, seen: &Seen) {
        self.change(|known| {
            if let Some(under_way) = known.tasks.get_mut(task) {
                under_way.sees(seen);
            }
        });
    }

    /// Nothing is under way for this task any more.
    pub(super) fn forget(&self, task: &str) {
        self.change(|known| {
            known.tasks.remove(task);
            known.vitals.has_tasks(!known.tasks.is_empty());
        });
        self.tell_news();
    }

    /// The cluster answers, or does not for a reason; `has_asked` where the server has answered as well.
    pub(super) fn looked(&self, answer: Result<(), String>, has_asked: bool) {
        let answer = answer.map_err(|why| secrets::mask(&why));
        self.change(|known| {
            known.cluster = Some(answer);
            if has_asked {
                known.vitals.contacted();
            }
        });
        self.tell_news();
    }

    /// A look at the queues begins.
    pub(super) fn poll_begins(&self) {
        self.change(|known| known.vitals.poll_begins());
    }

    /// The queues were asked.
    pub(super) fn asked(&self, has_answered: bool) {
        self.change(|known| known.vitals.asked(has_answered));
    }

    /// The queues are left alone for so long, and longer where the cluster has refused a job until then.
    pub(super) fn rests(&self, interval: Duration, refused_until: Option<tokio::time::Instant>) {
        let next = Instant::now() + interval;
        let refused_until = refused_until.map(tokio::time::Instant::into_std);
        let limit = self.0.about.limit.unwrap_or(usize::MAX);
        self.change(|known| {
            known.refused_until = refused_until;
            let asks = !known.vitals.is_draining() && known.tasks.len() < limit;
            let next = refused_until.map_or(next, |until| until.max(next));
            known.vitals.rests_until(asks.then_some(next));
        });
    }

    /// A task has become a job.
    pub(super) fn submitted(&self) {
        self.change(|known| known.submitted += 1);
    }

    /// The glue has let a task fail.
    pub(super) fn failed(&self) {
        self.change(|known| known.failed += 1);
    }

    /// A task is back in its queue.
    pub(super) fn given_back(&self) {
        self.change(|known| known.given_back += 1);
    }

    /// No more tasks; it ends when it has none.
    pub(super) fn drain(&self) {
        self.change(|known| known.vitals.drain());
        self.tell_news();
    }

    /// True from the moment on in which it was told to take no more tasks.
    pub(super) fn is_draining(&self) -> bool {
        self.0.known.borrow().vitals.is_draining()
    }

    /// Cancelled from then on.
    pub(super) fn draining(&self) -> CancellationToken {
        self.0.known.borrow().vitals.draining()
    }

    /// What it does, for the status of a service, where that has changed.
    fn tell_news(&self) {
        let does = self.does();
        if *self.0.told.borrow() != does {
            service::does(&does);
            self.0.told.replace(does);
        }
    }

    fn does(&self) -> String {
        let known = self.0.known.borrow();
        let does = match known.tasks.len() {
            0 => "no task under way".to_owned(),
            1 => "1 task under way".to_owned(),
            count => format!("{count} tasks under way"),
        };
        let draining = if known.vitals.is_draining() {
            "draining, "
        } else {
            ""
        };
        let away = match known.cluster {
            Some(Err(_)) => ", the cluster does not answer",
            _ => "",
        };
        format!("{}: {draining}{does}{away}", self.0.about.worker)
    }

    /// What is under way, oldest first.
    pub(super) fn tasks(&self) -> Vec<TaskStatus> {
        let known = self.0.known.borrow();
        let mut tasks: Vec<&UnderWay> = known.tasks.values().collect();
        tasks.sort_unstable_by_key(|task| task.order);
        tasks.into_iter().map(UnderWay::status).collect()
    }
}
