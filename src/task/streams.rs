//! Console and log of a run.

use tokio::task::JoinHandle;

use crate::logs::{Echo, UploadEnd, UploadHandle};
use crate::process::Output;

/// Where the lines of a run go.
pub(super) struct Streams {
    /// The private file whose lines are uploaded.
    pub(super) output: Output,
    /// The agent's own stdout.
    pub(super) echo: Echo,
    /// Lines that are not in the file.
    pub(super) log: UploadHandle,
    /// Ends when everything is on the server.
    pub(super) upload: JoinHandle<std::io::Result<UploadEnd>>,
}
