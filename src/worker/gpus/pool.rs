//! The pool of one worker, and what it knows of those who have its GPUs.

use std::collections::HashSet;
use std::time::Instant;

use super::departed::Departed;
use super::{Busy, Demand, Gpu, KnownGpu, Lease, Shortage, allocation, base_of, lease};
use crate::api::{Reason, RuntimeProperty, Session, WorkerId};
use crate::monitor::{GpuList, GpuUse, gpu_uses};
use crate::process::was_started_with;
use crate::storage::{SlotError, SlotFolder};
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
    slots: SlotFolder,
    options: PoolOptions,
    /// Workers that have or had a file here, for as long as the server knows them: their files say whether they live.
    local: HashSet<String>,
    /// The GPUs of others without a file on this machine, as of the last look.
    registered: Busy,
    /// Those that programs use.
    in_use: Busy,
    /// Workers of other containers that may be gone for good.
    departed: Departed,
    /// The last complaint about each source, so that it is said once.
    complaints: [Option<String>; 2],
    /// What the server was told; none where it does not want to know (D-267).
    told: Option<String>,
    printer: Printer,
}

impl GpuPool {
    /// The pool of `worker`; `slots` is the folder of the instance files.
    pub fn new(
        session: Session,
        worker: WorkerId,
        slots: SlotFolder,
        options: PoolOptions,
    ) -> Self {
        Self {
            session,
            worker,
            slots,
            local: options.former.iter().cloned().collect(),
            options,
            registered: Busy::default(),
            in_use: Busy::default(),
            departed: Departed::default(),
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
        self.forget_departed(Instant::now()).await;
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
        lease::add_instances(&mut busy, &self.slots.living(), &self.options.known);
        allocation::free(&self.options.gpus, &busy)
    }

    fn outside(&self) -> Busy {
        let mut outside = self.registered.clone();
        outside.add_all(&self.in_use);
        outside
    }

    /// Removes the files of workers that died with their containers, once the server has not listed them for a while.
    async fn forget_departed(&mut self, now: Instant) {
        let strangers = self.slots.strangers();
        if !self.departed.is_due(&strangers, now) {
            return;
        }
        match self.session.workers().all(None, None).await {
            Ok(workers) => {
                let listed: Vec<&str> = workers.iter().map(|worker| worker.id.as_str()).collect();
                let own = self.worker.as_str();
                for instance in self.departed.among(strangers, &listed, own, now) {
                    let worker = &instance.worker;
                    tracing::info!(worker, "the worker has died with its container");
                    instance.forget();
                }
            }
            // All may live.
            Err(error) => tracing::debug!(%error, "could not ask which agents live"),
        }
    }

    fn look_at_files(&mut self) {
        self.local.extend(self.with_files());
    }

    fn with_files(&self) -> impl Iterator<Item = String> + use<> {
        let instances = self.slots.all().into_iter();
        instances.map(|instance| instance.worker)
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
                let listed: HashSet<&str> =
                    workers.iter().map(|worker| worker.id.as_str()).collect();
                let present: HashSet<String> = self.with_files().collect();
                // Of whom nobody speaks any more, nobody will ask.
                self.local
                    .retain(|id| listed.contains(id.as_str()) || present.contains(id));
                let mut registered = Busy::default();
                for worker in &workers {
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
    use std::time::{Duration, SystemTime};

    use local_server::LocalServer;

    use super::*;
    use crate::api::{Credentials, SessionOptions};
    use crate::secrets::SecretString;

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

    async fn session(server: &LocalServer) -> Session {
        let keys = server.credentials();
        let credentials = Credentials::Keys {
            access_key: keys.access_key.clone(),
            secret_key: SecretString::new(keys.secret_key.clone()),
        };
        let url = server.url().parse().expect("a URL");
        let session = SessionOptions::new(url, credentials, "3.0.3", "vm");
        let session = Session::new(session).expect("a session");
        let known: WorkerId = "host:gpu1".parse().expect("an id");
        let registered = session.workers().register(&known, &[]).await;
        registered.expect("registered");
        session
    }

    async fn server() -> LocalServer {
        let server = LocalServer::start(local_server::Options::default()).await;
        server.expect("a server")
    }

    /// Two GPUs.
    fn pool(session: Session, slots: SlotFolder, former: &[&str]) -> GpuPool {
        let options = PoolOptions {
            gpus: [0, 1].map(Gpu::whole).to_vec(),
            known: Vec::new(),
            idle_threshold: None,
            former: former.iter().map(|worker| (*worker).to_owned()).collect(),
        };
        let worker = "host:dgpu0-1".parse().expect("an id");
        GpuPool::new(session, worker, slots, options)
    }

    /// D-269: of workers that were on this machine, those stay known of whom the server still speaks.
    #[tokio::test]
    async fn workers_that_are_gone_for_good_are_forgotten() {
        let server = server().await;
        let folder = tempfile::tempdir().expect("a folder");
        let slots = SlotFolder::own(folder.path().to_owned());
        let former = ["host:gpu0", "host:gpu1"];
        let mut pool = pool(session(&server).await, slots, &former);
        // Neither of the two lives, whatever the server says.
        assert_eq!(pool.look().await, 2);
        assert_eq!(pool.local, HashSet::from(["host:gpu1".to_owned()]));
    }

    /// D-127, C-075: GPUs come back from who has died with its container, while the pool works; never from who is listed, from who
    /// has just begun, from who was not listed for a moment, and from the pool's own tasks.
    #[tokio::test]
    async fn gpus_of_dead_containers_come_back() {
        let server = server().await;
        let folder = tempfile::tempdir().expect("a folder");
        let slots = SlotFolder::shared(folder.path().to_owned());
        let mut pool = pool(session(&server).await, slots.clone(), &[]);
        let mut child = std::process::Command::new("true").spawn().expect("started");
        let dead = child.id();
        child.wait().expect("ended");
        let file = |worker: &str, age: u64| {
            let name = format!(".clearmlagent_{dead}_{worker}.tmp");
            let path = folder.path().join(name);
            std::fs::write(&path, format!("{worker}\n7")).expect("written");
            let then = SystemTime::now() - Duration::from_secs(age);
            let file = std::fs::File::open(&path);
            let dated = file.and_then(|file| file.set_modified(then));
            dated.expect("dated back");
        };
        file("host:lease:gpu0", 3600);
        file("host:gpu0", 3600);
        file("host:gpu1", 3600);
        file("host:gpu2", 0);
        let lease = pool.inherit("3", 0).expect("a lease");
        let files = || {
            let mut workers: Vec<String> =
                slots.all().into_iter().map(|file| file.worker).collect();
            workers.sort();
            workers
        };
        let now = Instant::now();
        let late = Duration::from_mins(5);
        pool.forget_departed(now).await;
        assert_eq!(files().len(), 5, "they may be listed in a moment");
        pool.forget_departed(now + late).await;
        assert_eq!(files(), ["host:gpu1", "host:gpu2", "host:lease:gpu3"]);
        assert_eq!(pool.look().await, 1);
        drop(lease);
    }

    /// D-268
    #[test]
    fn free_gpus_are_told_as_the_server_reads_them() {
        assert_eq!(encoded(&[Gpu::whole(0), Gpu::whole(3)]), "0_,3_");
        assert_eq!(encoded(&[]), "");
    }
}
