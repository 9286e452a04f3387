//! Other runs on this machine, before an `execute` begins: those that a killed one has left are settled, and one of the same task
//! that lives is said.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::api::TaskId;
use crate::process::start_session;
use crate::storage::Places;
use crate::task::RunFolder;
use crate::ui::Printer;
use crate::worker::left_by_execute;

/// How long a run of the very task that is to begin again may take to be settled.
const LIMIT: Duration = Duration::from_secs(30);

/// Has a supervisor settle each of these runs. One of `task` itself comes first: its last lines and its end are not to come into
/// the middle of the next run.
pub(super) async fn settle_left_runs(places: &Places, task: &TaskId, printer: Printer) {
    for (run, entry) in left_by_execute(places) {
        let supervisor = match settle(&run) {
            Ok(supervisor) => supervisor,
            Err(error) => {
                tracing::warn!(%error, task = entry.task, "could not settle a run that was lost");
                continue;
            }
        };
        printer.line(format!(
            "Task '{}' was lost with an earlier execute: the server is told how it ended",
            entry.task
        ));
        if entry.task == task.as_str() {
            wait(supervisor).await;
        }
    }
}

/// Says that the task runs already: nobody else would notice that two programs write the same files and the same console.
pub(super) fn warn_of_living_runs(places: &Places, task: &TaskId, printer: Printer) {
    let runs = RunFolder::all(places).into_iter();
    let living = runs.filter_map(|run| run.supervised());
    for entry in living.filter(|entry| entry.task == task.as_str()) {
        let process = entry.supervisor.map(|process| process.pid);
        printer.warning(&format!(
            "task '{task}' runs on this machine already, by worker '{}'{}: both will write its console and its files (hint: end one of them; a clone of the task may run beside it)",
            entry.worker,
            process.map_or_else(String::new, |pid| format!(" (process {pid})")),
        ));
    }
}

/// It goes on when this process has ended.
fn settle(run: &RunFolder) -> io::Result<tokio::process::Child> {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("clearml-agent")
        .args(["supervise", "--journal"])
        .arg(run.journal())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    start_session(&mut command);
    tokio::process::Command::from(command).spawn()
}

async fn wait(mut supervisor: tokio::process::Child) {
    // Who takes longer finds the task begun again, and leaves it alone.
    let _ = tokio::time::timeout(LIMIT, supervisor.wait()).await;
}
