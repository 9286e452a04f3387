//! What the verbs have in common that run the tasks of queues on a cluster: `k8s` and `slurm`.

use tokio::sync::watch;
use tokio::task::spawn_local;

use super::queues::{find_queues, resolve_queues};
use super::{ExitStatus, Failed, connect, execute, metrics, options};
use crate::api::{NameMatch, Queue, QueueId, Session, WorkerId};
use crate::control::{Answers, service};
use crate::glue::{Cluster, Glue, GlueEnd, GlueOptions, Holding, Ledger, Work};
use crate::settings::{AgentSettings, Settings};
use crate::task::{ReportOptions, RunOptions, StatusReporter, Taken};
use crate::ui::{Printer, speak_as};

/// Between two looks, in seconds, where the configuration says nothing else.
const POLLING: i64 = 5;

/// What a glue begins with.
#[derive(Debug)]
pub(super) struct Start<'a> {
    pub(super) session: &'a Session,
    pub(super) settings: &'a Settings,
    pub(super) worker: WorkerId,
    pub(super) queues: Vec<(QueueId, String)>,
    /// The name of the queue in which tasks wait for their jobs, and the tags with which it is made.
    pub(super) holding: (&'a str, &'a [&'a str]),
    /// The option that names it.
    pub(super) holding_option: &'static str,
    /// Stands in the reasons of statuses: `slurm`.
    pub(super) name: &'static str,
    /// What was found, for the first line.
    pub(super) found: String,
    /// Most tasks under way at once.
    pub(super) limit: Option<usize>,
    /// A task whose job waits again goes back into the queue of those that wait (C-642).
    pub(super) holds_again: bool,
    /// Where a monitoring system asks.
    pub(super) metrics_listen: Option<&'a str>,
}

/// Works until a signal ends it, or until it is drained.
pub(super) async fn run<C: Cluster>(
    cluster: C,
    start: Start<'_>,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    let Start {
        session, settings, ..
    } = start;
    let worker = start.worker;
    let agent = settings.agent()?;
    let listener = metrics::listen(start.metrics_listen, printer)?;
    let (holding, tags) = start.holding;
    let queue = holding_queue(session, holding, tags, start.holding_option).await?;
    speak_as(worker.as_str(), None);
    let places = options::usable_places(&agent)?;
    let ledger = Ledger::open(places.runs.with_file_name("glue").join(worker.as_str()))?;
    let names: Vec<&str> = start.queues.iter().map(|(_, name)| name.as_str()).collect();
    printer.line(format!(
        "Worker \"{worker}\" - {}, listening to queues: {}",
        start.found,
        names.join(", ")
    ));
    let ids: Vec<QueueId> = start.queues.iter().map(|(id, _)| id.clone()).collect();
    let run = RunOptions::default();
    let devices = options::devices(settings, &run).devices;
    let report = options::report(&agent, &run, &devices, worker.clone(), Some(ids.clone()));
    let glue = Glue::new(
        cluster,
        Holding::new(
            session.clone(),
            worker.clone(),
            (queue, holding, tags),
            start.name,
        ),
        ledger,
        GlueOptions {
            queues: start.queues,
            limit: start.limit,
            interval: options::polling_interval(&agent, POLLING),
            holds_again: start.holds_again,
            requeues_lost: agent.requeue_on_agent_loss,
            report_interval: report.interval,
        },
    );
    let state = glue.state();
    let answers = Answers::begin(&places.control, listener, &state)?;
    match session.workers().register(&worker, &ids).await {
        Ok(()) => state.registered(),
        Err(error) => printer.warning(&format!(
            "could not register the worker: {}",
            error.reference_text()
        )),
    }
    service::is_ready();
    let (nothing, reported) = watch::channel(None);
    let report = ReportOptions {
        taken: Taken::new(move || {
            service::is_alive();
            state.report_taken();
        }),
        ..report
    };
    let reporter = spawn_local(StatusReporter::new(session.clone(), report).run(reported));
    let end = glue.run().await?;
    service::is_stopping();
    drop(nothing);
    reporter.abort();
    let leave = session
        .clone()
        .with_deadline(std::time::Duration::from_secs(5));
    if let Err(error) = leave.workers().unregister(&worker, &ids).await {
        printer.warning(&format!(
            "could not unregister the worker: {}",
            error.reference_text()
        ));
    }
    answers.finish().await;
    Ok(match end {
        GlueEnd::Drained => ExitStatus::SUCCESS,
        GlueEnd::Terminated => ExitStatus::INTERRUPTED,
    })
}

/// The queues of a command line with their names.
pub(super) async fn queues(
    session: &Session,
    given: Option<&[String]>,
    creates: bool,
) -> Result<Vec<(QueueId, String)>, Failed> {
    let queues = resolve_queues(session, given, creates).await?;
    let (ids, queues) = find_queues(session, &queues).await?;
    Ok(ids.into_iter().map(|id| named(id, &queues)).collect())
}

fn named(id: QueueId, queues: &[Queue]) -> (QueueId, String) {
    let queue = queues.iter().find(|queue| queue.id == id);
    let name = queue.and_then(|queue| queue.name.clone());
    let name = name.unwrap_or_else(|| id.to_string());
    (id, name)
}

/// The worker's id; where the user has given none, `name` stands behind the machine's.
pub(super) fn worker(agent: &AgentSettings, name: &str) -> Result<WorkerId, Failed> {
    let id = agent.worker_id.as_deref().filter(|id| !id.is_empty());
    let id = id.map_or_else(
        || {
            let own = agent.worker_name.clone();
            let own = own.filter(|own| !own.is_empty());
            let own = own.unwrap_or_else(connect::host_name);
            format!("{own}:{name}")
        },
        str::to_owned,
    );
    Ok(id.parse()?)
}

/// The queue in which tasks wait for their jobs, made with these tags where there is none.
async fn holding_queue(
    session: &Session,
    name: &str,
    tags: &[&str],
    option: &str,
) -> Result<QueueId, Failed> {
    match session.queues().by_name(name).await? {
        NameMatch::One(queue) => Ok(queue.id),
        NameMatch::None { .. } => Ok(session.queues().create(name, tags).await?),
        NameMatch::Several(_) => Err(Failed::message(
            format!("the server has several queues of the name \"{name}\""),
            &format!("name another one with `{option}`"),
        )),
    }
}

/// A task as it would be taken from the first of the queues.
pub(super) async fn work(
    session: &Session,
    task: &str,
    queues: &[(QueueId, String)],
) -> Result<Work, Failed> {
    let task = execute::resolve(session, task).await?;
    let fields = session.tasks().document(&task).await?;
    let fields = fields.ok_or_else(|| {
        Failed::message(
            format!("there is no task {task}"),
            "copy its id from the web page",
        )
    })?;
    let (queue, queue_name) = queues[0].clone();
    Ok(Work {
        task,
        fields,
        queue,
        queue_name,
    })
}
