//! `clearml-agent daemon --stop`: ends agents of this machine, also where the server is away (D-288 to D-293); a glue where it is
//! named.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::daemon::{Arguments, capacity, daemon_name, named_devices};
use super::{ExitStatus, Failed, connect, options};
use crate::control::{Ask, ask, listening};
use crate::process::ProcessIdentity;
use crate::settings::{Detected, Settings};
use crate::storage::{Instance, Places};
use crate::ui::Printer;
use crate::worker::{Lease, WorkerName, supervisors};

/// How long each of the two polite signals may take (D-290).
const PATIENCE: Duration = Duration::from_secs(10);
/// The same for a worker that ends a task on each of its GPUs.
const PATIENCE_OF_POOL: Duration = Duration::from_mins(2);
/// The same for a worker with services, which takes 20 s for their end and a little for its own.
const PATIENCE_OF_SERVICES: Duration = Duration::from_secs(25);
/// The same for a glue, which waits for an answer that may be a task, and takes its leave.
const PATIENCE_OF_GLUE: Duration = Duration::from_secs(20);
/// How long the kernel may take to end a process.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// An agent that lives.
struct Living {
    pid: i32,
    worker: String,
    /// Its slot; a glue has none.
    slot: Option<Instance>,
}

impl From<Instance> for Living {
    fn from(slot: Instance) -> Self {
        Self {
            pid: slot.pid,
            worker: slot.worker.clone(),
            slot: Some(slot),
        }
    }
}

impl Living {
    fn forget(&self) {
        self.slot.iter().for_each(Instance::forget);
    }
}

/// Which agents are meant.
#[derive(Debug, Eq, PartialEq)]
enum Choice<'a> {
    /// These, and these ids belong to nobody.
    Named(Vec<&'a str>, Vec<String>),
    /// The first one of several; one call ends one.
    First(&'a str, Vec<&'a str>),
    /// None.
    Nobody,
}

/// Ends the workers of these ids, or the first one that the same options would have started.
pub(super) async fn stop(
    settings: &Settings,
    arguments: &Arguments,
    wanted: &[String],
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    let settings = settings.completed(&Detected {
        host_name: connect::host_name(),
        ..Detected::default()
    });
    let agent = settings.agent()?;
    let capacity = capacity(arguments);
    let devices = named_devices(&settings, arguments, capacity);
    let name = daemon_name(&agent, &devices, capacity);
    let places = options::places(&agent)?;
    let supervisors = supervisors(&places);
    let mut living = living(&places, &supervisors).await;
    let above = |instance: &Living| {
        let found = supervisors.iter().find(|(pid, _)| *pid == instance.pid);
        found.map(|(_, above)| above.as_str())
    };
    // A supervisor whose worker is gone leaves with its task anyway.
    living.retain(|instance| arguments.drain.is_none() || above(instance).is_none());
    if !wanted.is_empty() || name.fixed().is_some() {
        living.extend(glues(&places.control, &living).await);
    }
    living.sort_by(|a, b| a.worker.cmp(&b.worker));
    let ids: Vec<&str> = living
        .iter()
        .map(|instance| instance.worker.as_str())
        .collect();
    let (ended, missing, others) = match choose(&ids, &name, wanted) {
        Choice::Named(ids, missing) => (ids, missing, Vec::new()),
        Choice::First(id, mut others) => {
            // The tasks of a worker end with it.
            others.retain(|other| {
                let instance = living.iter().find(|instance| instance.worker == *other);
                instance.and_then(above) != Some(id)
            });
            (vec![id], Vec::new(), others)
        }
        Choice::Nobody => (Vec::new(), vec![String::new()], Vec::new()),
    };
    // Who they are is noted before the first wait: a number may be another process's after it.
    let known: Vec<_> = living
        .iter()
        .filter(|instance| ended.contains(&instance.worker.as_str()))
        .map(|instance| (instance, ProcessIdentity::of(instance.pid)))
        .collect();
    let mut refused = false;
    for (instance, process) in known {
        if arguments.drain.is_some() {
            refused |= !drain(&places.control, instance, printer).await;
        } else {
            let patience = match instance.slot {
                Some(_) => patience(&instance.worker, &ids),
                None => PATIENCE_OF_GLUE,
            };
            end(
                instance,
                process,
                patience,
                agent.stop_grace_period,
                printer,
            )
            .await;
        }
    }
    let worker_name = agent.worker_name.as_deref().unwrap_or_default();
    for id in &missing {
        printer.line(format!(
            "Could not find a running clearml-agent instance with worker_name={worker_name} worker_id={id}"
        ));
    }
    if !others.is_empty() {
        let (state, next) = match arguments.drain {
            Some(_) => ("Also running", "name them to drain them as well"),
            None => ("Still running", "the next --stop ends the first of them"),
        };
        printer.line(format!("{state}: {}; {next}", others.join(", ")));
    }
    Ok(if missing.is_empty() && !refused {
        ExitStatus::SUCCESS
    } else {
        ExitStatus::FAILURE
    })
}

/// The agents whose processes can be signalled from here.
async fn living(places: &Places, supervisors: &[(i32, String)]) -> Vec<Living> {
    let mut living = places.slots.all();
    living.retain(|instance| instance.is_alive() && !Lease::is_one(instance));
    if !places.slots.is_shared() {
        return living.into_iter().map(Living::from).collect();
    }
    // What has the same number here may be another agent than the one that wrote the file in its container.
    let mut here = Vec::new();
    for instance in living {
        let is_supervisor = supervisors.iter().any(|(pid, _)| *pid == instance.pid);
        if is_supervisor || speaks_as(&places.control, &instance).await {
            here.push(instance.into());
        }
    }
    here
}

/// What runs the tasks of queues on a cluster, which nobody means who does not name it.
async fn glues(folder: &Path, others: &[Living]) -> Vec<Living> {
    let mut glues = Vec::new();
    for pid in listening(folder) {
        let Ok(number) = i32::try_from(pid) else {
            continue;
        };
        if others.iter().any(|other| other.pid == number) {
            continue;
        }
        if let Ok(status) = ask(folder, pid, Ask::Status).await
            && status.cluster.is_some()
        {
            glues.push(Living {
                pid: number,
                worker: status.worker,
                slot: None,
            });
        }
    }
    glues
}

/// True where the process answers as this worker, or as the one above it.
async fn speaks_as(folder: &Path, instance: &Instance) -> bool {
    let pid = u32::try_from(instance.pid).unwrap_or_default();
    match ask(folder, pid, Ask::Status).await {
        Ok(status) => {
            let below = instance.worker.strip_prefix(&status.worker);
            below.is_some_and(|below| below.is_empty() || below.starts_with(':'))
        }
        Err(_) => false,
    }
}

/// `ids` are in the order of their text.
fn choose<'a>(ids: &[&'a str], name: &WorkerName, wanted: &[String]) -> Choice<'a> {
    let fixed = name.fixed();
    let wanted = match (wanted, &fixed) {
        ([], None) => {
            let prefix = name.prefix();
            let mut candidates = ids.iter().copied().filter(|id| id.starts_with(&prefix));
            return match candidates.next() {
                Some(first) => Choice::First(first, candidates.collect()),
                None => Choice::Nobody,
            };
        }
        ([], Some(fixed)) => std::slice::from_ref(fixed),
        (wanted, _) => wanted,
    };
    let (found, missing): (Vec<&String>, Vec<&String>) =
        wanted.iter().partition(|id| ids.contains(&id.as_str()));
    let found = ids
        .iter()
        .copied()
        .filter(|id| found.iter().any(|found| found == id))
        .collect();
    Choice::Named(found, missing.into_iter().cloned().collect())
}

/// SIGTERM, once more, then SIGKILL (D-290); its programs may take `grace` before the second one cuts that short.
async fn end(
    instance: &Living,
    process: Option<ProcessIdentity>,
    patience: Duration,
    grace: Duration,
    printer: Printer,
) {
    let (worker, pid) = (&instance.worker, instance.pid);
    printer.line(format!(
        "Terminating clearml-agent worker_id={worker} pid={pid}"
    ));
    let Some(process) = process else {
        instance.forget();
        return;
    };
    let steps = [
        (Signal::SIGTERM, patience + grace),
        (Signal::SIGTERM, patience),
        (Signal::SIGKILL, LAST_PATIENCE),
    ];
    for (signal, patience) in steps {
        // A process of somebody else cannot be told anything; that shows below.
        let told = process.signal(signal);
        if told.is_ok() {
            let _ = tokio::time::timeout(patience, process.ended()).await;
        }
        if !process.is_alive() {
            instance.forget();
            return;
        }
    }
    printer.error(
        &format!("Could not terminate process pid={pid}"),
        Some("it may belong to another user"),
    );
}

/// Lets the worker end when its tasks have ended; true where it will.
async fn drain(folder: &Path, instance: &Living, printer: Printer) -> bool {
    let (worker, pid) = (&instance.worker, instance.pid);
    match ask(folder, u32::try_from(pid).unwrap_or_default(), Ask::Drain).await {
        Ok(status) => {
            let tasks: Vec<&str> = status.tasks.iter().map(|task| task.task.as_str()).collect();
            let tasks = match tasks.as_slice() {
                [_] if status.cluster.is_some() => "1 task under way".to_owned(),
                tasks if status.cluster.is_some() => format!("{} tasks under way", tasks.len()),
                [] => "no running task".to_owned(),
                [task] => format!("running task {task}"),
                tasks => format!("running tasks {}", tasks.join(", ")),
            };
            printer.line(format!(
                "Draining clearml-agent worker_id={worker} pid={pid}: {tasks}"
            ));
            true
        }
        Err(error) => {
            printer.error(
                &format!("Could not drain clearml-agent worker_id={worker} pid={pid}: {error}"),
                Some(
                    "official and older agents have no control socket, and one of another `XDG_STATE_HOME` or user \
                     is not found; `daemon --stop` without `--drain` ends the agent with its task",
                ),
            );
            false
        }
    }
}

/// How long a worker may take to end with its tasks; `ids` are those of all that live.
fn patience(worker: &str, ids: &[&str]) -> Duration {
    let is_service = |id: &&str| {
        let below = id.strip_prefix(worker);
        below.is_some_and(|below| below.starts_with(":service:"))
    };
    if has_pool(worker) {
        PATIENCE_OF_POOL
    } else if ids.iter().any(is_service) {
        PATIENCE_OF_SERVICES
    } else {
        PATIENCE
    }
}

/// True for the id of a worker with dynamic GPUs.
fn has_pool(worker: &str) -> bool {
    worker
        .rsplit_once(':')
        .is_some_and(|(_, last)| last.starts_with("dgpu"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slotted(cpu_only: bool) -> WorkerName {
        WorkerName::Slotted {
            name: "host".to_owned(),
            cpu_only,
        }
    }

    const IDS: [&str; 5] = ["host:0", "host:10", "host:2", "host:cpu:3", "other:1"];

    /// D-288: in the order of the text, one at a time, whatever they compute with.
    #[test]
    fn a_bare_stop_means_the_first_agent_of_the_name() {
        assert_eq!(
            choose(&IDS, &slotted(false), &[]),
            Choice::First("host:0", vec!["host:10", "host:2", "host:cpu:3"])
        );
        assert_eq!(
            choose(&IDS, &slotted(true), &[]),
            Choice::First("host:cpu:3", vec![])
        );
        let nobody = WorkerName::Slotted {
            name: "hos".to_owned(),
            cpu_only: false,
        };
        assert_eq!(choose(&IDS, &nobody, &[]), Choice::Nobody);
    }

    /// D-261, D-290: its second SIGTERM does not come before its services had their time.
    #[test]
    fn a_worker_with_services_has_as_long_as_these() {
        let ids = ["host:cpu:0", "host:cpu:0:service:t1", "host:cpu:1"];
        assert_eq!(patience("host:cpu:0", &ids), PATIENCE_OF_SERVICES);
        assert_eq!(patience("host:cpu:1", &ids), PATIENCE);
        assert_eq!(patience("host:cpu", &ids), PATIENCE);
        assert_eq!(patience("host:dgpu0", &ids), PATIENCE_OF_POOL);
    }

    /// D-290
    #[test]
    fn a_worker_with_dynamic_gpus_has_more_time() {
        assert!(has_pool("host:dgpu0-7") && has_pool("rack:box:dgpuall"));
        assert!(!has_pool("host:gpu0") && !has_pool("host:0") && !has_pool("dgpu0"));
    }

    /// D-288, D-289, D-291
    #[test]
    fn ids_mean_exactly_these() {
        let wanted = ["other:1", "host:0", "host"].map(str::to_owned);
        assert_eq!(
            choose(&IDS, &slotted(false), &wanted),
            Choice::Named(vec!["host:0", "other:1"], vec!["host".to_owned()])
        );
        let fixed = WorkerName::Fixed("other:1".to_owned());
        assert_eq!(
            choose(&IDS, &fixed, &[]),
            Choice::Named(vec!["other:1"], vec![])
        );
        let gpus = WorkerName::OnDevices {
            name: "host".to_owned(),
            devices: "0,1".to_owned(),
        };
        assert_eq!(
            choose(&["host:gpu0", "host:gpu0,1"], &gpus, &[]),
            Choice::Named(vec!["host:gpu0,1"], vec![])
        );
    }
}
