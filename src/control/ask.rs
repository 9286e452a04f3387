//! The other end of the socket: asking a worker of this user.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::folder::Folder;
use super::protocol::{Answer, Ask, LONGEST_ANSWER, Question, VERSION, WorkerStatus};

/// How long a worker may take over its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a worker said nothing.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It has no socket, or is gone.
    #[error("it has no control socket")]
    Absent,
    /// It did not answer in time.
    #[error("it does not answer")]
    Silent,
    /// It would not.
    #[error("it refuses: {0}")]
    Refused(String),
    /// The system said no.
    #[error("its control socket could not be used: {0}")]
    Socket(#[from] io::Error),
}

/// Process ids of this user's workers that may be asked; one that was killed may be among them.
pub fn listening(folder: &Path) -> Vec<u32> {
    Folder::open(folder).map_or_else(|_| Vec::new(), |folder| folder.pids())
}

/// Asks the worker with this process id, whose socket is in the folder at `folder`.
pub async fn ask(folder: &Path, pid: u32, ask: Ask) -> Result<WorkerStatus, AskError> {
    tokio::time::timeout(PATIENCE, converse(folder, pid, ask))
        .await
        .unwrap_or(Err(AskError::Silent))
}

async fn converse(folder: &Path, pid: u32, ask: Ask) -> Result<WorkerStatus, AskError> {
    let absent = |error: io::Error| match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => AskError::Absent,
        _ => AskError::Socket(error),
    };
    let folder = Folder::open(folder).map_err(absent)?;
    let stream = UnixStream::connect(folder.address(pid)).await;
    let mut stream = BufReader::new(stream.map_err(absent)?);
    let question = Question {
        version: VERSION,
        ask,
    };
    let mut text = serde_json::to_vec(&question).map_err(io::Error::from)?;
    text.push(b'\n');
    stream.write_all(&text).await?;
    let mut line = Vec::new();
    let mut limited = (&mut stream).take(LONGEST_ANSWER);
    limited.read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Err(AskError::Silent);
    }
    let answer: Answer = serde_json::from_slice(&line).map_err(io::Error::from)?;
    match (answer.status, answer.error) {
        (Some(status), _) => Ok(status),
        (None, error) => Err(AskError::Refused(error.unwrap_or_default())),
    }
}
