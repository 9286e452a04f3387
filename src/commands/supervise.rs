//! The hidden `supervise`: one task for a daemon, until its journal is gone.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::connect::{self, Patience};
use super::options::{self, PreparationWishes};
use super::{ExitStatus, Failed, container, renewal, sections};
use crate::api::{QueueId, TaskId, WorkerId};
use crate::monitor::VisibleGpus;
use crate::settings::{Environment, Overrides, Settings};
use crate::task::{
    CurrentTask, Ending, Entry, Node, Phase, RunFolder, Shape, StandIn, Supervised, Supervision,
    TaskServer,
};
use crate::ui::{Printer, speak_as};
use crate::worker::gpus_are_free;

/// Runs the task of the journal, or finishes what is left of it.
pub(super) async fn supervise(
    journal: &Path,
    environment: &Environment,
) -> Result<ExitStatus, Failed> {
    let hint = "`supervise` is started by the daemon";
    let folder = RunFolder::of_journal(journal).ok_or_else(|| {
        Failed::message(format!("`{}` is not a journal", journal.display()), hint)
    })?;
    let journal = folder.open()?;
    let entry = journal.entry();
    speak_as(&entry.worker, Some(&entry.task));
    // A temporary folder that was emptied must not keep the task from being settled.
    let file = Some(entry.configuration.clone()).filter(|file| file.is_file());
    let overrides = Overrides::of_file(file);
    let home = environment.get("HOME").unwrap_or("/");
    let settings = Settings::load(environment, Path::new(home), &overrides)?;
    let mut preamble = Vec::new();
    let settings = match entry.phase {
        Phase::Pulled => sections::apply(settings, |line| preamble.push(line)),
        // Nothing will be started any more.
        _ => settings,
    };
    let settings = options::for_devices(settings, &entry.options);
    let devices = options::devices(&settings, &entry.options).devices;
    let agent = settings.agent()?;
    let give_up = CancellationToken::new();
    let is_own_worker = entry.parent.is_some();
    let renewal = renewal::of_run(&settings, &entry.configuration, entry.origin.as_deref());
    let session = if is_own_worker {
        // Its worker runs several tasks, and speaks of an outage once for all of them.
        connect::silent_session(&settings, Some(renewal), Patience::Endless)?
    } else {
        connect::renewed_session(&settings, renewal, Patience::Endless, Printer::default())?
    };
    let session = session.with_cancellation(give_up.clone());
    let (task, worker): (TaskId, WorkerId) = (entry.task.parse()?, entry.worker.parse()?);
    let queues: Vec<QueueId> = parsed(&entry)?;
    let mut preparation = options::preparation(
        &settings,
        PreparationWishes {
            configuration: entry.configuration.clone(),
            worker: Some(worker.clone()),
            options: entry.options.clone(),
            task: None,
        },
    )?;
    preparation.introduction.extend(preamble);
    preparation.prefetch = Some(options::places(&agent)?.prefetch);
    let parent = container::Parent {
        worker: entry.parent.as_ref().unwrap_or(&entry.worker),
        is_own_worker,
        is_service: is_own_worker && entry.options.gpus.is_none(),
        uses_owner_token: entry.owner.is_some(),
    };
    let containment = container::containment(&settings, &entry.options, &parent)?;
    let stand_in = StandIn {
        run: journal.folder().clone(),
        session: session.clone(),
        report: options::report(
            &agent,
            &entry.options,
            &devices,
            worker.clone(),
            (!is_own_worker).then_some(queues),
        ),
        current: CurrentTask {
            task: task.clone(),
            queue: entry.queue.parse().ok(),
        },
        slots: options::places(&agent)?.slots,
        slot: entry.slot,
        is_own_worker,
        is_silent: is_own_worker && containment.is_some(),
        gpus: (is_own_worker && entry.options.gpus.is_some()).then_some(gpus_are_free),
    };
    let supervision = Supervision {
        journal,
        server: TaskServer::new(session, task, worker)
            .insisting()
            .on(Node::of(settings.environment())),
        preparation,
        containment,
        shape: if is_own_worker {
            Shape::Service
        } else {
            Shape::Daemon
        },
        rules: options::rules(&agent),
        watch: options::watch(&agent),
        gpus: VisibleGpus::of(devices.text()),
        grace: agent.stop_grace_period,
        requeues_lost: agent.requeue_on_agent_loss,
        host: connect::host_name(),
        stand_in: Some(stand_in),
        give_up,
        is_confined: true,
    };
    Ok(exit_status(
        &Box::pin(supervision.run()).await?,
        &entry.task,
    ))
}

fn exit_status(supervised: &Supervised, task: &str) -> ExitStatus {
    match supervised {
        // Its worker counts.
        Supervised::Settled(outcome) => ExitStatus(Ending::of(outcome).code()),
        // It has not failed at its start; the engine is asked again later.
        Supervised::Uncleared(_) => ExitStatus::SUCCESS,
        Supervised::Unsettled(_) => {
            Printer::default().warning(&format!(
                "the server could not be told how task '{task}' ended; the next agent on this machine will"
            ));
            ExitStatus::FAILURE
        }
    }
}

fn parsed(entry: &Entry) -> Result<Vec<QueueId>, Failed> {
    Ok(entry
        .queues
        .iter()
        .map(|queue| queue.parse())
        .collect::<Result<_, _>>()?)
}
