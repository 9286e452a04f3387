//! What a worker that is asked knows of itself.

use super::protocol::WorkerStatus;

/// A running worker; all clones are one.
pub trait Watched: Clone + 'static {
    /// What it does.
    fn status(&self) -> impl Future<Output = WorkerStatus>;

    /// It takes no more tasks from now on, and leaves when it has none.
    fn drain(&self);

    /// Its figures, as text that Prometheus reads.
    fn metrics(&self) -> impl Future<Output = String>;

    /// Why it is of no use: its server does not hear of it.
    fn health(&self) -> Result<(), String>;

    /// Why it takes no tasks at present.
    fn readiness(&self) -> Result<(), String>;
}
