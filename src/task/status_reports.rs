//! `workers.status_report`: the machine's figures and the task at hand (D 4).

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::api::{MachineStats, QueueId, Session, StatusReport, TaskId, WorkerId};
use crate::monitor::{
    Averages, GpuAverages, GpuFractions, GpuTotals, MachineSampler, Sample, Traffic, VisibleGpus,
    watch_gpus,
};
use crate::process::since_epoch;

/// Between two samples of the machine. Loads and rates are differences, which are the same however often they are taken.
const SAMPLING: Duration = Duration::from_secs(5);
/// The same for GPUs, whose loads are those of a moment (D-173).
const GPU_SAMPLING: Duration = Duration::from_millis(500);
/// The first report comes soon, so that the worker shows up with its figures (D-173).
const FIRST: Duration = Duration::from_secs(3);

/// What a worker reports about itself.
#[derive(Clone, Debug)]
pub struct ReportOptions {
    /// The worker.
    pub worker: WorkerId,
    /// Its tags (D-279).
    pub tags: Option<Vec<String>>,
    /// Its queues; none for `execute` (D-181).
    pub queues: Option<Vec<QueueId>>,
    /// True for a daemon (D-183).
    pub is_daemon: bool,
    /// Between two reports (D-076).
    pub interval: Duration,
    /// File system whose free share is reported (D-190).
    pub disk_path: PathBuf,
    /// Called for each report that the server has taken.
    pub taken: Taken,
    /// GPUs whose figures are reported (D-199, D-320).
    pub gpus: VisibleGpus,
    /// Load of a GPU that tells none; none is reported then without it (D-193).
    pub default_gpu_usage: Option<f64>,
    /// The shares of these GPUs that the worker has; a whole one unless it is said (D-196, D-204).
    pub gpu_fractions: Option<GpuFractions>,
}

/// What a worker does when the server has taken a report of it.
#[derive(Clone)]
pub struct Taken(Rc<dyn Fn()>);

impl Taken {
    /// This.
    pub fn new(does: impl Fn() + 'static) -> Self {
        Self(Rc::new(does))
    }
}

impl Default for Taken {
    /// Nothing.
    fn default() -> Self {
        Self::new(|| {})
    }
}

impl std::fmt::Debug for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Taken")
    }
}

/// The task that a worker runs, with its queue (D-179, D-180).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CurrentTask {
    /// Task.
    pub task: TaskId,
    /// Where it came from; none for `execute`.
    pub queue: Option<QueueId>,
}

/// Samples and reports until it is dropped.
#[derive(Debug)]
pub struct StatusReporter {
    session: Session,
    options: ReportOptions,
    sampler: Option<MachineSampler>,
    samples: Vec<Sample>,
    traffic: Vec<Traffic>,
    gpus: GpuTotals,
}

impl StatusReporter {
    /// A reporter that has sampled nothing yet.
    pub fn new(session: Session, options: ReportOptions) -> Self {
        let sampler = MachineSampler::new(&options.disk_path).ok();
        Self {
            session,
            options,
            sampler,
            samples: Vec::new(),
            traffic: Vec::new(),
            gpus: GpuTotals::default(),
        }
    }

    /// Reports until the sender of `current` is gone; `current` is reported at once when it changes (D-174).
    ///
    /// A report that fails keeps its samples for the next one (D-175).
    pub async fn run(mut self, mut current: tokio::sync::watch::Receiver<Option<CurrentTask>>) {
        let mut due = tokio::time::Instant::now() + FIRST;
        let mut sampling = tokio::time::interval(SAMPLING);
        sampling.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        sampling.tick().await;
        let mut gpus = watch_gpus(self.options.gpus.clone(), GPU_SAMPLING);
        loop {
            tokio::select! {
                _ = sampling.tick() => {
                    self.sample();
                }
                Some(readings) = gpus.next() => {
                    self.gpus.add(&readings, self.options.default_gpu_usage);
                }
                () = tokio::time::sleep_until(due) => {
                    self.sample();
                    self.traffic.extend(self.sampler.as_mut().map(MachineSampler::traffic));
                    let task = current.borrow().clone();
                    self.report_machine(task).await;
                    due = tokio::time::Instant::now() + self.options.interval;
                }
                changed = current.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let task = current.borrow_and_update().clone();
                    self.report(task, None).await;
                }
            }
        }
    }

    fn sample(&mut self) {
        let sample = self.sampler.as_mut().map(MachineSampler::sample);
        self.samples.extend(sample);
    }

    async fn report_machine(&mut self, task: Option<CurrentTask>) {
        let mut stats = Averages::of(&self.samples, &self.traffic)
            .as_ref()
            .map(|averages| machine_stats(averages, self.gpus.averages()));
        if let Some(stats) = &mut stats {
            stats.gpu_fraction = self.gpu_fraction().await;
        }
        if self.report(task, stats).await {
            self.samples.clear();
            self.traffic.clear();
            self.gpus.clear();
        }
    }

    /// Only a server that is not the open-source one knows it (D-196).
    async fn gpu_fraction(&self) -> Option<Vec<f64>> {
        let names = self.gpus.names();
        if names.is_empty() {
            return None;
        }
        let claims = self.session.claims().await.ok()?;
        let fractions = self.options.gpu_fractions.as_ref();
        let fractions = fractions.map_or_else(|| vec![1.0; names.len()], |one| one.of(&names));
        (claims.feature_set != "basic").then_some(fractions)
    }

    /// True where the server has taken the report.
    async fn report(&self, task: Option<CurrentTask>, machine_stats: Option<MachineStats>) -> bool {
        let (task, queue) =
            task.map_or((None, None), |current| (Some(current.task), current.queue));
        let report = StatusReport {
            machine_stats,
            timestamp: now(),
            worker: self.options.worker.clone(),
            tags: self.options.tags.clone(),
            is_daemon: self.options.is_daemon,
            task,
            queue,
            queues: self.options.queues.clone(),
        };
        match self.session.workers().status_report(&report).await {
            Ok(()) => {
                (self.options.taken.0)();
                true
            }
            Err(error) => {
                tracing::info!(%error, "could not report the worker's status");
                false
            }
        }
    }
}

/// Milliseconds since the epoch, in whole seconds (D-178).
fn now() -> u64 {
    since_epoch().as_secs() * 1000
}

fn machine_stats(averages: &Averages, gpus: GpuAverages) -> MachineStats {
    // A list without entries is left out (D-198).
    let list = |values: Vec<f64>| Some(values).filter(|values| !values.is_empty());
    MachineStats {
        cpu_temperature: averages.cpu_temperature.map(Vec::from),
        cpu_usage: Some(averages.cpu_usage.into()),
        disk_free_home: Some(averages.disk_free_home),
        disk_read: Some(averages.disk_read),
        disk_write: Some(averages.disk_write),
        gpu_memory_free: list(gpus.memory_free),
        gpu_memory_used: list(gpus.memory_used),
        gpu_temperature: list(gpus.temperature),
        gpu_usage: list(gpus.usage),
        memory_free: Some(averages.memory_free),
        memory_used: Some(averages.memory_used),
        network_rx: Some(averages.network_rx),
        network_tx: Some(averages.network_tx),
        ..MachineStats::default()
    }
}

#[cfg(test)]
mod tests {
    use local_server::LocalServer;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::{Credentials, SessionOptions};
    use crate::secrets::SecretString;

    /// D-175: what could not be reported counts in the next average.
    #[tokio::test]
    async fn a_report_that_failed_keeps_its_samples() {
        let server = LocalServer::start(local_server::Options::default()).await;
        let server = server.expect("a server");
        let keys = server.credentials();
        let credentials = Credentials::Keys {
            access_key: keys.access_key.clone(),
            secret_key: SecretString::new(keys.secret_key.clone()),
        };
        let url = server.url().parse().expect("a URL");
        let session = SessionOptions::new(url, credentials, "3.0.3", "vm");
        let session = Session::new(session).expect("a session");
        let options = ReportOptions {
            worker: "host:0".parse().expect("an id"),
            tags: None,
            queues: None,
            is_daemon: true,
            interval: Duration::from_secs(30),
            disk_path: PathBuf::from("/"),
            taken: Taken::default(),
            gpus: VisibleGpus::None,
            default_gpu_usage: None,
            gpu_fractions: None,
        };
        let mut reporter = StatusReporter::new(session.clone(), options);
        let sample = |cpu_usage| Sample {
            seconds: 1.0,
            cpu_usage,
            ..Sample::default()
        };
        server.stop_listening().expect("stopped");
        reporter.session = session.clone().with_deadline(Duration::from_millis(200));
        reporter.samples.push(sample(10.0));
        reporter.traffic.push(Traffic {
            seconds: 1.0,
            ..Traffic::default()
        });
        reporter.report_machine(None).await;
        assert_eq!(reporter.samples.len(), 1);
        server.resume().expect("listens");
        reporter.session = session;
        reporter.samples.push(sample(30.0));
        reporter.report_machine(None).await;
        assert!(reporter.samples.is_empty());
        let requests = server.requests();
        let reported: Vec<&Value> = requests
            .iter()
            .filter(|request| request.endpoint == "workers.status_report")
            .map(|request| &request.body["machine_stats"]["cpu_usage"])
            .collect();
        assert_eq!(reported, [&json!([20.0])]);
    }
}
