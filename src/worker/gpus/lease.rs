//! GPUs that are held for one task: one file beside those of the machine's agents.

use std::fmt;
use std::io;

use super::{Busy, Demand, Gpu, KnownGpu, allocation, list, parse};
use crate::storage::{Instance, Slot, SlotError, SlotFolder};

/// What stands before the GPUs in the id of a lease, so that nobody takes it for the task's worker.
const LEASE: &str = "lease";

/// GPUs that nobody else gets until this is dropped, or its process has ended.
#[derive(Debug)]
pub struct Lease {
    slot: Slot,
    gpus: String,
}

/// Too few GPUs are free.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shortage {
    /// So many are.
    pub have: usize,
    /// So many are needed.
    pub need: usize,
}

/// D-269, D-270
impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.have {
            0 => f.write_str("All GPUs allocated"),
            have => write!(f, "Not enough free GPUs {have}/{}", self.need),
        }
    }
}

impl Lease {
    /// Takes free GPUs of `pool` for a task; `outside` are those that others have without a file on this machine.
    ///
    /// `base` is the name of the machine's workers. Nobody can register between the choice and its file.
    pub(super) async fn take(
        folder: &SlotFolder,
        base: &str,
        pool: &[Gpu],
        demand: Demand,
        outside: &Busy,
        known: &[KnownGpu],
    ) -> Result<Result<Self, Shortage>, SlotError> {
        let mut chosen = String::new();
        let slot = Slot::claim_with(folder, &[], |living| {
            let mut busy = outside.clone();
            add_instances(&mut busy, living, known);
            let free = allocation::free(pool, &busy);
            let gpus = allocation::choose(&free, demand).ok_or(Shortage {
                have: free.len(),
                need: demand.least,
            })?;
            chosen = list(gpus);
            Ok((id(base, &chosen), Slot::free(living)))
        });
        let slot = slot.await?;
        Ok(slot.map(|slot| Self { slot, gpus: chosen }))
    }

    /// Holds these GPUs for a run that an earlier worker has left.
    pub fn inherit(folder: &SlotFolder, base: &str, gpus: &str, number: u32) -> io::Result<Self> {
        Ok(Self {
            slot: Slot::inherit(folder, id(base, gpus), number)?,
            gpus: gpus.to_owned(),
        })
    }

    /// The GPUs as in ids and variables: `0,1`.
    pub fn gpus(&self) -> &str {
        &self.gpus
    }

    /// The worker that the task is (D-120, D-272).
    pub(in crate::worker) fn worker(&self) -> String {
        Self::task_worker(&self.slot.worker).unwrap_or_default()
    }

    /// Number of the slot, which is the one of the task's worker as well.
    pub fn number(&self) -> u32 {
        self.slot.number
    }

    /// The worker that the task of this lease is, by the lease's id (D-272).
    pub fn task_worker(id: &str) -> Option<String> {
        let (base, gpus) = id.rsplit_once(":gpu")?;
        Some(worker_on(
            base.strip_suffix(LEASE)?.strip_suffix(':')?,
            gpus,
        ))
    }

    /// True for the file of a lease: its process is the pool's worker, not one of its own.
    pub fn is_one(instance: &Instance) -> bool {
        Self::task_worker(&instance.worker).is_some()
    }
}

/// The GPUs of all these agents.
pub(super) fn add_instances(busy: &mut Busy, instances: &[Instance], known: &[KnownGpu]) {
    for instance in instances {
        busy.add_worker(&instance.worker, known);
    }
}

fn id(base: &str, gpus: &str) -> String {
    format!("{base}:{LEASE}:gpu{gpus}")
}

/// True where no living agent but this `worker` has one of its GPUs; `watcher` may hold a lease of them for it.
///
/// For a supervisor whose worker may have died before it held them itself.
pub fn gpus_are_free(worker: &str, living: &[Instance], watcher: Option<i32>) -> bool {
    let Some((base, gpus)) = worker.rsplit_once(":gpu") else {
        return true;
    };
    let lease = id(base, gpus);
    let mut busy = Busy::default();
    for other in living {
        let is_its_lease = Some(other.pid) == watcher && other.worker == lease;
        if !is_its_lease {
            busy.add_worker(&other.worker, &[]);
        }
    }
    let items = gpus.split(',').filter_map(parse::items).flatten();
    !items.into_iter().any(|gpu| busy.has(gpu))
}

/// True where the worker that the server lists is the one of the file, or gives GPUs to it (D-081, D-127).
///
/// A task on GPUs of a pool may be silent for as long as its image takes to come.
pub fn speaks_for(listed: &str, of_file: &str) -> bool {
    let task_worker = Lease::task_worker(of_file);
    let id = task_worker.as_deref().unwrap_or(of_file);
    let is_pool = || {
        let (base, pool) = listed.rsplit_once(':')?;
        let (of_task, gpus) = id.rsplit_once(':')?;
        Some(base == of_task && pool.starts_with("dgpu") && gpus.starts_with("gpu"))
    };
    listed == id || is_pool() == Some(true)
}

/// The name of the machine's workers in the id of a pool's worker (D-120, D-272).
pub(super) fn base_of(worker: &str) -> &str {
    worker.rsplit_once(':').map_or(worker, |(base, _)| base)
}

/// The id of the worker that runs a task on these GPUs (D-120, D-272).
fn worker_on(base: &str, gpus: &str) -> String {
    format!("{base}:gpu{gpus}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Demand = Demand { least: 1, most: 1 };

    fn folder() -> (SlotFolder, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("folder");
        (SlotFolder::own(folder.path().to_owned()), folder)
    }

    fn pool() -> Vec<Gpu> {
        (0..3).map(Gpu::whole).collect()
    }

    async fn take(folder: &SlotFolder, demand: Demand, outside: &Busy) -> Result<Lease, Shortage> {
        let pool = pool();
        let lease = Lease::take(folder, "host", &pool, demand, outside, &[]);
        lease.await.expect("a folder that can be written")
    }

    /// A file of another living agent: to the table, this process is one.
    fn occupy(folder: &SlotFolder, worker: &str) {
        let name = format!(".clearmlagent_{}_{worker}.tmp", std::process::id());
        std::fs::write(folder.path().join(name), format!("{worker}\n7")).expect("written");
    }

    /// D-269, D-274, D-275
    #[tokio::test]
    async fn no_gpu_is_given_twice_and_all_come_back() {
        let (folder, _guard) = &folder();
        occupy(folder, "other:gpu1");
        occupy(folder, "host:dgpu0-2");
        occupy(folder, "host:3");
        let nobody = Busy::default();
        let first = take(folder, ONE, &nobody).await.expect("free");
        assert_eq!(first.gpus(), "0");
        let mut outside = Busy::default();
        outside.add(Gpu::whole(2));
        let shortage = take(folder, ONE, &outside).await.expect_err("none is free");
        assert_eq!(shortage, Shortage { have: 0, need: 1 });
        let second = take(folder, ONE, &nobody).await.expect("free");
        assert_eq!(second.gpus(), "2");
        assert_ne!(first.number(), second.number());
        drop(first);
        let two = Demand { least: 2, most: 2 };
        let shortage = take(folder, two, &nobody).await.expect_err("too few");
        assert_eq!(shortage, Shortage { have: 1, need: 2 });
        drop(second);
        let both = take(folder, two, &nobody).await.expect("free");
        assert_eq!(both.gpus(), "0,2");
    }

    /// D-275: many at once.
    #[tokio::test]
    async fn two_claims_at_once_get_two_gpus() {
        let (folder, _guard) = &folder();
        let nobody = Busy::default();
        let take = || take(folder, ONE, &nobody);
        let (first, second, third, fourth) = tokio::join!(take(), take(), take(), take());
        let all = [first, second, third, fourth];
        let mut given: Vec<&str> = all.iter().flatten().map(Lease::gpus).collect();
        given.sort_unstable();
        assert_eq!(given, ["0", "1", "2"]);
    }

    /// D-275: of a process that has died, and of one that goes on.
    #[tokio::test]
    async fn leases_of_the_dead_come_back() {
        let (folder, _guard) = &folder();
        let mut child = std::process::Command::new("true").spawn().expect("started");
        child.wait().expect("ended");
        let name = format!(".clearmlagent_{}_abcdefgh.tmp", child.id());
        std::fs::write(folder.path().join(name), "host:lease:gpu0\n0").expect("written");
        let lease = Lease::inherit(folder, "host", "1", 4).expect("written");
        assert_eq!((lease.gpus(), lease.number()), ("1", 4));
        assert_eq!(lease.worker(), "host:gpu1");
        let taken = take(folder, Demand { least: 1, most: 3 }, &Busy::default()).await;
        assert_eq!(taken.expect("free").gpus(), "0,2");
    }

    /// D-120, D-272
    #[test]
    fn a_task_has_a_worker_of_its_own() {
        let child = |worker: &str| worker_on(base_of(worker), "0,1");
        assert_eq!(child("host:dgpu0-2"), "host:gpu0,1");
        assert_eq!(child("rack:box:dgpuall"), "rack:box:gpu0,1");
        assert_eq!(child("mine"), "mine:gpu0,1");
    }

    /// D-275
    #[test]
    fn a_supervisor_takes_what_nobody_else_has() {
        let (folder, _guard) = &folder();
        let this = i32::try_from(std::process::id()).expect("a pid");
        let are_free = |watcher| {
            let living = folder.all();
            gpus_are_free("host:gpu1,2", &living, watcher)
        };
        for worker in ["host:dgpu0-7", "host:gpu0", "host:3"] {
            occupy(folder, worker);
        }
        assert!(are_free(None));
        occupy(folder, "host:lease:gpu1,2");
        assert!(are_free(Some(this)) && !are_free(None) && !are_free(Some(1)));
        occupy(folder, "other:gpu2,3");
        assert!(!are_free(Some(this)));
    }

    #[test]
    fn a_lease_is_told_from_a_worker() {
        let (folder, _guard) = &folder();
        for worker in ["host:lease:gpu0", "host:gpu0", "lease:0", "lease:gpu0:1"] {
            occupy(folder, worker);
        }
        let all = folder.all();
        let leases: Vec<&str> = all
            .iter()
            .filter(|instance| Lease::is_one(instance))
            .map(|instance| instance.worker.as_str())
            .collect();
        assert_eq!(leases, ["host:lease:gpu0"]);
    }

    /// D-081, D-127
    #[test]
    fn a_pool_speaks_for_its_tasks() {
        for (listed, of_file, expected) in [
            ("host:0", "host:0", true),
            ("host:1", "host:10", false),
            ("host:gpu0", "host:lease:gpu0", true),
            ("host:dgpu0-3", "host:lease:gpu0", true),
            ("host:dgpu0-3", "host:gpu0", true),
            ("other:dgpu0-3", "host:gpu0", false),
            ("host:dgpu0-3", "host:0", false),
        ] {
            assert_eq!(speaks_for(listed, of_file), expected, "{listed} {of_file}");
        }
    }
}
