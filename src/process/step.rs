//! The steps of a run, at any of which a process may die.
//!
//! A build for debugging stops at the step that `CLEARML_AGENT_PARK` names (`STEP:FOLDER`), once, until the folder has a
//! file `go`: tests kill somebody meanwhile. A release build knows nothing of that.

/// How far a run has come, from its queue to its final status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// The server has given the task to the worker.
    Pulled,
    /// The worker has written the run down.
    Recorded,
    /// The worker has started a supervisor.
    Supervised,
    /// The supervisor has signed the journal.
    Signed,
    /// The server knows that the task has begun.
    Announced,
    /// Code and environment are there.
    Prepared,
    /// The files for a container are there, and the engine is asked for it next.
    Copied,
    /// The engine has made the container, and the journal does not know which.
    Created,
    /// The container runs.
    Started,
    /// The program runs, and the journal does not know it yet.
    Launched,
    /// The journal knows the program.
    Running,
    /// The program has ended, and the journal does not know how.
    Exited,
    /// The journal knows how the task has ended.
    Ended,
    /// The server has the whole console, and the status is about to be set.
    Delivered,
    /// The server has the status.
    Settled,
    /// Nothing of the run is left but the files that go with its supervisor.
    Removed,
}

/// This process has come so far.
pub fn reached(step: Step) {
    tracing::trace!(?step, "reached");
    #[cfg(debug_assertions)]
    parking::park(step);
}

#[cfg(debug_assertions)]
mod parking {
    use std::fs::File;
    use std::io::Write;
    use std::path::Path;
    use std::time::Duration;

    use super::Step;

    const LOOK: Duration = Duration::from_millis(5);

    pub(super) fn park(step: Step) {
        let Ok(wish) = std::env::var("CLEARML_AGENT_PARK") else {
            return;
        };
        let Some((name, folder)) = wish.split_once(':') else {
            return;
        };
        let folder = Path::new(folder);
        if name != format!("{step:?}") {
            return;
        }
        let Ok(mut file) = File::create_new(folder.join(name)) else {
            return;
        };
        // Who waits for the step kills this process.
        if write!(file, "{}", std::process::id()).is_err() {
            return;
        }
        while !folder.join("go").exists() {
            std::thread::sleep(LOOK);
        }
    }
}
