//! What a monitoring system asks a worker: its figures, whether it is well, whether it takes tasks.

use std::time::{Duration, SystemTime};

use super::control::tasks;
use super::http::Page;
use super::state::{Known, State};
use crate::REFERENCE_VERSION;
use crate::monitor::{Exposition, MetricKind};
use crate::task::{Ending, Phase};

/// So many status reports may fail before the worker is not well.
const MISSED_REPORTS: u32 = 3;
/// For the way to the server, and for the first report, which takes its time (D-173).
const SLACK: Duration = Duration::from_secs(5);

/// The page at this path.
pub(super) async fn page(path: &str, state: &State) -> Page {
    match path {
        "/metrics" => Page {
            status: "200 OK",
            content_type: Exposition::CONTENT_TYPE,
            body: metrics(state).await,
        },
        "/healthz" => health(&state.known(), state.about().report_interval),
        "/readyz" => readiness(&state.known()),
        _ => Page::line("404 Not Found", "there are /metrics, /healthz and /readyz"),
    }
}

/// The process answers, so it lives; it is of use while the server takes its reports.
fn health(known: &Known, interval: Duration) -> Page {
    let silence = known.report.unwrap_or(known.started).elapsed();
    if silence <= interval * MISSED_REPORTS + SLACK {
        return Page::line("200 OK", "ok");
    }
    let line = format!(
        "the server has taken no status report for {} s",
        silence.as_secs()
    );
    Page::line("503 Service Unavailable", &line)
}

/// A worker that is ready takes tasks.
fn readiness(known: &Known) -> Page {
    let obstacle = if known.is_draining {
        "it drains"
    } else if !known.is_registered {
        "the server does not know this worker yet"
    } else if known.has_no_engine() {
        "the container engine does not answer"
    } else if !known.has_polled {
        "no queue has answered yet"
    } else {
        return Page::line("200 OK", "ok");
    };
    Page::line("503 Service Unavailable", obstacle)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "figures of Prometheus are floats"
)]
async fn metrics(state: &State) -> String {
    use MetricKind::{Counter, Gauge};
    let runs = state.known().runs.into_iter().map(|known| known.run);
    let tasks = tasks(runs.collect()).await;
    let known = state.known();
    let labels = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("reference_version", REFERENCE_VERSION),
        ("worker", state.about().worker.as_str()),
    ];
    let mut text = Exposition::default()
        .family("clearml_agent_build_info", Gauge, "The agent; always 1.")
        .labelled(&labels, 1.0)
        .figure(
            "clearml_agent_uptime_seconds",
            Gauge,
            "Since the worker began.",
            known.started.elapsed().as_secs_f64(),
        )
        .figure(
            "clearml_agent_polls_total",
            Counter,
            "Looks at the queues.",
            known.counters.polls as f64,
        )
        .figure(
            "clearml_agent_poll_errors_total",
            Counter,
            "Questions to a queue that were not answered, or refused.",
            known.counters.poll_errors as f64,
        )
        .family(
            "clearml_agent_tasks_total",
            Counter,
            "Tasks that have ended, by how they did.",
        );
    for (ending, count) in Ending::ALL.iter().zip(known.counters.tasks) {
        text = text.labelled(&[("outcome", ending.name())], count as f64);
    }
    text = text.family(
        "clearml_agent_tasks",
        Gauge,
        "Tasks that the worker has, by where they are.",
    );
    for phase in Phase::NAMES {
        let count = tasks.iter().filter(|task| task.phase == phase).count();
        text = text.labelled(&[("phase", phase)], count as f64);
    }
    let spool: u64 = tasks.iter().map(|task| task.spool_bytes).sum();
    text = text
        .figure(
            "clearml_agent_spool_bytes",
            Gauge,
            "Output of tasks that the server does not have yet.",
            spool as f64,
        )
        .figure(
            "clearml_agent_idle_seconds_total",
            Counter,
            "Time in which the worker had no task.",
            known.idle().as_secs_f64(),
        );
    if !known.gpus.is_empty() {
        text = text.family(
            "clearml_agent_gpu_idle_seconds_total",
            Counter,
            "Time in which no program of a task of this worker ran that could use the GPU.",
        );
        for gpu in &known.gpus {
            text = text.labelled(&[("gpu", gpu)], known.gpu_idle.as_secs_f64());
        }
    }
    if let Some(contact) = known.contact {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let time = since.unwrap_or_default().saturating_sub(contact.elapsed());
        text = text.figure(
            "clearml_agent_last_server_contact_timestamp_seconds",
            Gauge,
            "When the server last answered the worker.",
            time.as_secs_f64(),
        );
    }
    if let Some(engine) = &known.engine {
        text = text.figure(
            "clearml_agent_container_engine_up",
            Gauge,
            "1 while the engine of the containers answers, as of the last look at the queues.",
            f64::from(u8::from(engine.is_ok())),
        );
    }
    text.figure(
        "clearml_agent_draining",
        Gauge,
        "1 while the worker takes no more tasks and waits for the end of those that it has.",
        f64::from(u8::from(known.is_draining)),
    )
    .into_text()
}
