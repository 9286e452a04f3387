//! What is known of a running worker, and what is counted: for those who ask it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::api::{QueueId, WorkerId};
use crate::control::{Vitals, service};
use crate::task::{CurrentTask, Ending, RunFolder};

/// What a worker is, for as long as it lives.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// Its id.
    pub(super) worker: WorkerId,
    /// Its queues with their names, most important first.
    pub(super) queues: Vec<(QueueId, Option<String>)>,
    /// It runs one task at a time.
    pub(super) has_one_task: bool,
    /// Between two status reports.
    pub(super) report_interval: Duration,
}

/// A run that the worker watches.
#[derive(Clone, Debug)]
pub(super) struct KnownRun {
    /// Where its journal is.
    pub(super) run: RunFolder,
    /// Its task, where the journal could be read.
    pub(super) current: Option<CurrentTask>,
}

/// What is known at one moment.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// What is known of every worker.
    pub(super) vitals: Vitals,
    /// Tasks that have ended, by [`Ending::ALL`].
    pub(super) endings: [u64; Ending::ALL.len()],
    /// Runs that are not settled.
    pub(super) runs: Vec<KnownRun>,
    /// A queue has answered, or none was to be asked.
    pub(super) has_polled: bool,
    /// What came of the last look at the engine of its containers; none without containers, and before the first look.
    pub(super) engine: Option<Result<(), String>>,
    /// Its GPUs, where they are watched.
    pub(super) gpus: Vec<String>,
    /// How long they have waited for a program.
    pub(super) gpu_idle: Duration,
}

impl Known {
    /// Its containers have no engine.
    pub(super) fn has_no_engine(&self) -> bool {
        matches!(self.engine, Some(Err(_)))
    }
}

/// The worker's own copy; all clones are one.
#[derive(Clone, Debug)]
pub(super) struct State(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    about: About,
    known: RefCell<Known>,
}

impl State {
    /// Of a worker that begins now.
    pub(super) fn new(about: About) -> Self {
        Self(Rc::new(Inner {
            about,
            known: RefCell::new(Known {
                vitals: Vitals::begin(),
                endings: Default::default(),
                runs: Vec::new(),
                has_polled: false,
                engine: None,
                gpus: Vec::new(),
                gpu_idle: Duration::ZERO,
            }),
        }))
    }

    /// Who it is.
    pub(super) fn about(&self) -> &About {
        &self.0.about
    }

    /// What is known now.
    pub(super) fn known(&self) -> Known {
        self.0.known.borrow().clone()
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.0.known.borrow_mut());
    }

    /// The server has registered the worker.
    pub(super) fn registered(&self) {
        self.change(|known| known.vitals.registered());
    }

    /// The server has taken a report.
    pub(super) fn report_taken(&self) {
        self.change(|known| known.vitals.report_taken());
    }

    /// A queue was asked.
    pub(super) fn asked(&self, has_answered: bool) {
        self.change(|known| {
            known.vitals.asked(has_answered);
            known.has_polled |= has_answered;
        });
    }

    /// A look at the queues begins.
    pub(super) fn poll_begins(&self) {
        self.change(|known| known.vitals.poll_begins());
    }

    /// Outside of its hours a worker asks no queue, and is well all the same.
    pub(super) fn rests_by_schedule(&self) {
        self.change(|known| known.has_polled = true);
    }

    /// The engine of the containers was asked, and answers, or does not for a reason.
    pub(super) fn engine_was_asked(&self, answer: Result<(), String>) {
        let had_no_engine = self.known().has_no_engine();
        self.change(|known| known.engine = Some(answer));
        if self.known().has_no_engine() != had_no_engine {
            self.tell_service();
        }
    }

    /// The queues are left alone for so long.
    pub(super) fn rests(&self, interval: Duration) {
        let next = Instant::now() + interval;
        self.change(|known| known.vitals.rests_until(Some(next)));
    }

    /// The worker watches these runs.
    pub(super) fn runs(&self, runs: Vec<KnownRun>) {
        self.change(|known| {
            known.vitals.has_tasks(!runs.is_empty());
            if !runs.is_empty() {
                known.vitals.rests_until(None);
            }
            known.runs = runs;
        });
        self.tell_service();
    }

    /// A task has ended, with or without a run.
    pub(super) fn task_ends(&self, ending: Ending) {
        self.change(|known| known.endings[ending as usize] += 1);
    }

    /// These GPUs are watched.
    pub(super) fn has_gpus(&self, gpus: Vec<String>) {
        self.change(|known| known.gpus = gpus);
    }

    /// No program that could use a GPU ran for so long.
    pub(super) fn gpus_waited(&self, time: Duration) {
        self.change(|known| known.gpu_idle += time);
    }

    /// No more tasks; the worker leaves when it has none.
    pub(super) fn drain(&self) {
        self.change(|known| known.vitals.drain());
        self.tell_service();
    }

    /// True from [`Self::drain`] on.
    pub(super) fn is_draining(&self) -> bool {
        self.0.known.borrow().vitals.is_draining()
    }

    /// Cancelled from [`Self::drain`] on.
    pub(super) fn draining(&self) -> CancellationToken {
        self.0.known.borrow().vitals.draining()
    }

    /// What it does, for the status of a service.
    pub(super) fn tell_service(&self) {
        let known = self.0.known.borrow();
        let mut does = self.running(&known);
        if known.vitals.is_draining() {
            does = match known.runs.len() {
                0 => "draining".to_owned(),
                _ => format!("draining, {does}"),
            };
        }
        service::does(format!("{}: {does}", self.0.about.worker));
    }

    fn running(&self, known: &Known) -> String {
        let runs = &known.runs;
        if known.has_no_engine() && runs.is_empty() {
            return "waiting for the container engine".to_owned();
        }
        if !self.0.about.has_one_task {
            return format!("{} tasks", runs.len());
        }
        match runs.iter().find_map(|run| run.current.as_ref()) {
            Some(current) => format!("running task {}", current.task),
            None => "waiting for tasks".to_owned(),
        }
    }
}
