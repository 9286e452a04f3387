//! The pool of one worker, and what it knows of those who have its GPUs.

use std::collections::HashSet;
use std::path::PathBuf;

use super::{Busy, Demand, Gpu, KnownGpu, Lease, Shortage, allocation, base_of, lease};
use crate::api::{Reason, RuntimeProperty, Session, WorkerId};
use crate::monitor::{GpuList, GpuUse, gpu_uses};
use crate::process::was_started_with;
use crate::storage::{Instance, SlotError};
use crate::ui::Printer;

/// How long ago a worker has reported that counts as one (D-267).
const LAST_SEEN: u64 = 600;
/// What every program of a task has in its environment.
const TASK: &str = "CLEARML_TASK_ID";

/// What a pool is told.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// The GPUs that tasks may get, in the order in which they are given.
    pub gpus: Vec<Gpu>,
    /// Those of the machine with their names, for workers that are called by them.
    pub known: Vec<KnownGpu>,
    /// `agent.gpu_idle_threshold`: only a GPU that nobody uses, with at most this load in percent.
    pub idle_threshold: Option<f64>,
    /// Ids of workers that had a file on this machine before this worker came.
    pub former: Vec<String>,
}

/// GPUs that this worker gives to tasks.
#[derive(Debug)]
pub struct GpuPool {
    session: Session,
    worker: WorkerId,
    slots: PathBuf,
    options: PoolOptions,
    /// Every worker that has ever had a file here: its file says whether it lives, not the server.
    local: HashSet<String>,
    /// The GPUs of others without a file on this machine, as of the last look.
    registered: Busy,
    /// Those that programs use.
    in_use: Busy,
    /// The last complaint about each source, so that it is said once.
    complaints: [Option<String>; 2],
    /// What the server was told; none where it does not want to know (D-267).
    told: Option<String>,
    printer: Printer,
}

impl GpuPool {
    /// The pool of `worker`; `slots` is the folder of the instance files.
    pub fn new(session: Session, worker: WorkerId, slots: PathBuf, options: PoolOptions) -> Self {
        Self {
            session,
            worker,
            slots,
            local: options.former.iter().cloned().collect(),
            options,
            registered: Busy::default(),
            in_use: Busy::default(),
            complaints: [None, None],
            told: Some(String::new()),
            printer: Printer::default(),
        }
    }

    /// The name of the machine's workers.
    pub fn base(&self) -> &str {
        base_of(self.worker.as_str())
    }

    /// Asks server and driver who has GPUs, and says how many are free now.
    pub async fn look(&mut self) -> usize {
        self.look_at_files();
        self.ask_for_workers().await;
        // A worker that has come while the server was asked.
        self.look_at_files();
        self.ask_driver().await;
        let free = self.free();
        self.tell(&free).await;
        free.len()
    }

    /// Takes GPUs for a task.
    pub async fn lease(&self, demand: Demand) -> Result<Result<Lease, Shortage>, SlotError> {
        Lease::take(
            &self.slots,
            self.base(),
            &self.options.gpus,
            demand,
            &self.outside(),
            &self.options.known,
        )
        .await
    }

    /// Holds the GPUs of a run that an earlier worker has left.
    pub fn inherit(&self, gpus: &str, number: u32) -> std::io::Result<Lease> {
        Lease::inherit(&self.slots, self.base(), gpus, number)
    }

    fn free(&self) -> Vec<Gpu> {
        let mut busy = self.outside();
        let mut living = Instance::all(&self.slots);
        living.retain(Instance::is_alive);
        lease::add_instances(&mut busy, &living, &self.options.known);
        allocation::free(&self.options.gpus, &busy)
    }

    fn outside(&self) -> Busy {
        let mut outside = self.registered.clone();
        outside.add_all(&self.in_use);
        outside
    }

    fn look_at_files(&mut self) {
        let instances = Instance::all(&self.slots).into_iter();
        self.local.extend(instances.map(|instance| instance.worker));
    }

    /// Workers in containers, or of this name elsewhere (D-269). Where the server cannot be asked, it is as it was.
    async fn ask_for_workers(&mut self) {
        let pattern = format!("{}:gpu*", self.base());
        let answer = self
            .session
            .workers()
            .all(Some(LAST_SEEN), Some(&pattern))
            .await;
        match answer {
            Ok(workers) => {
                self.complaints[0] = None;
                // Those that have just come must count as local.
                self.look_at_files();
                let mut registered = Busy::default();
                for worker in workers {
                    if !self.local.contains(worker.id.as_str()) && worker.id != self.worker {
                        registered.add_worker(worker.id.as_str(), &self.options.known);
                    }
                }
                self.registered = registered;
            }
            Err(error) => self.complain(
                0,
                format!(
                    "could not ask the server for the workers of this machine: {}",
                    error.reference_text()
                ),
            ),
        }
    }

    async fn ask_driver(&mut self) {
        let (uses, complaint) = match gpu_uses().await {
            GpuList::Known(uses) => (uses, None),
            GpuList::Unknown(text) => (Vec::new(), Some(text)),
            GpuList::NoDriver => (Vec::new(), Some("there is no driver".to_owned())),
        };
        self.in_use = in_use(
            &self.options.gpus,
            &uses,
            self.options.idle_threshold,
            |pid| was_started_with(pid, TASK),
        );
        match complaint.filter(|_| self.options.idle_threshold.is_some()) {
            None => self.complaints[1] = None,
            Some(text) => self.complain(
                1,
                format!(
                    "nobody knows which GPUs are idle, so that none is given (`agent.gpu_idle_threshold`): {text}"
                ),
            ),
        }
    }

    fn complain(&mut self, source: usize, text: String) {
        if self.complaints[source].as_ref() != Some(&text) {
            self.printer.warning(&text);
            self.complaints[source] = Some(text);
        }
    }

    /// D-267, D-268: nothing depends on it.
    async fn tell(&mut self, free: &[Gpu]) {
        let Some(told) = &self.told else {
            return;
        };
        let value = encoded(free);
        if *told == value {
            return;
        }
        let property = RuntimeProperty {
            key: "available_gpus".to_owned(),
            value: value.clone(),
            expiry: None,
        };
        let workers = self.session.workers();
        match workers
            .set_runtime_properties(&self.worker, &[property])
            .await
        {
            Ok(()) => self.told = Some(value),
            Err(error) if error.reason() == Some(Reason::UnknownCall) => self.told = None,
            Err(error) => tracing::debug!(%error, "the server was not told which GPUs are free"),
        }
    }
}

/// A whole GPU has nothing behind the line (D-268).
fn encoded(free: &[Gpu]) -> String {
    let encoded: Vec<String> = free.iter().map(|gpu| format!("{gpu}_")).collect();
    encoded.join(",")
}

/// The GPUs of the pool on which programs of tasks compute; with a threshold also those that are not idle.
fn in_use(
    pool: &[Gpu],
    uses: &[GpuUse],
    threshold: Option<f64>,
    is_of_task: impl Fn(u32) -> bool,
) -> Busy {
    let mut busy = Busy::default();
    for gpu in pool {
        let mut of_gpu = uses.iter().filter(|usage| {
            let place = Gpu {
                index: usage.index,
                part: usage.part,
            };
            place.overlaps(*gpu)
        });
        let is_free = match threshold {
            None => {
                !of_gpu.any(|usage| usage.processes.iter().flatten().any(|pid| is_of_task(*pid)))
            }
            Some(threshold) => {
                let mut of_gpu = of_gpu.peekable();
                of_gpu.peek().is_some() && of_gpu.all(|usage| is_idle(usage, threshold))
            }
        };
        if !is_free {
            busy.add(*gpu);
        }
    }
    busy
}

/// What the driver does not tell is no objection, unless it tells nothing.
fn is_idle(usage: &GpuUse, threshold: f64) -> bool {
    let is_known = usage.load.is_some() || usage.processes.is_some();
    is_known
        && usage.load.is_none_or(|load| load <= threshold)
        && usage.processes.as_ref().is_none_or(Vec::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(index: u32, load: Option<f64>, processes: Option<&[u32]>) -> GpuUse {
        GpuUse {
            index,
            part: None,
            load,
            processes: processes.map(<[u32]>::to_vec),
        }
    }

    fn free(uses: &[GpuUse], threshold: Option<f64>) -> String {
        let pool: Vec<Gpu> = (0..6).map(Gpu::whole).collect();
        let busy = in_use(&pool, uses, threshold, |pid| pid == 7);
        super::super::list(&allocation::free(&pool, &busy))
    }

    /// D-269
    #[test]
    fn programs_of_tasks_have_their_gpus() {
        let uses = [
            usage(0, Some(99.0), Some(&[])),
            usage(1, Some(0.0), Some(&[5, 7])),
            usage(2, Some(9.0), Some(&[5])),
            usage(3, None, None),
            usage(4, Some(10.0), None),
        ];
        assert_eq!(free(&uses, None), "0,2,3,4,5");
        // Only what is known to be idle.
        assert_eq!(free(&uses, Some(10.0)), "4");
        assert_eq!(free(&uses, Some(100.0)), "0,4");
        assert_eq!(free(&[], Some(100.0)), "");
    }

    /// D-269: a part of a GPU tells no load.
    #[test]
    fn a_part_without_programs_is_idle() {
        let parts = [0, 1].map(|part| GpuUse {
            part: Some(part),
            ..usage(0, None, Some(if part == 0 { &[] } else { &[5] }))
        });
        let pool = parts.clone().map(|usage| Gpu {
            index: 0,
            part: usage.part,
        });
        let busy = in_use(&pool, &parts, Some(0.0), |_| false);
        assert_eq!(allocation::free(&pool, &busy), pool[..1]);
    }

    /// D-268
    #[test]
    fn free_gpus_are_told_as_the_server_reads_them() {
        assert_eq!(encoded(&[Gpu::whole(0), Gpu::whole(3)]), "0_,3_");
        assert_eq!(encoded(&[]), "");
    }
}
