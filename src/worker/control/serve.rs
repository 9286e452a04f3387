//! The worker's end of the socket.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::geteuid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_local};

use super::super::state::State;
use super::folder::Folder;
use super::protocol::{Answer, Ask, LONGEST_QUESTION, Question, VERSION, WorkerStatus};

/// How long an asker may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same where the worker leaves.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How many may ask at once; others wait.
const MOST_ASKERS: usize = 16;
/// Before the next try where the system gives no connection.
const PAUSE: Duration = Duration::from_secs(1);

/// A socket that answers until it is dropped; then it is gone.
#[derive(Debug)]
pub(in crate::worker) struct ControlSocket {
    folder: Folder,
    pid: u32,
    places: Arc<Semaphore>,
    server: JoinHandle<()>,
}

impl ControlSocket {
    /// Listens for the worker of this process in the folder at `path`, and removes what dead workers have left there.
    /// Must run on a `LocalSet`.
    pub(in crate::worker) fn listen(path: &Path, state: State) -> io::Result<Self> {
        let folder = Folder::create(path)?;
        folder.clean();
        let pid = std::process::id();
        // Nobody else alive has this number.
        folder.remove(pid);
        let address = folder.address(pid);
        let listener = UnixListener::bind(&address)?;
        fs::set_permissions(&address, fs::Permissions::from_mode(0o600))?;
        let places = Arc::new(Semaphore::new(MOST_ASKERS));
        Ok(Self {
            folder,
            pid,
            server: spawn_local(serve(listener, places.clone(), state)),
            places,
        })
    }

    /// Listens no more, and gives those who have asked already a moment for their answers: one of them may have told the
    /// worker to leave.
    pub(in crate::worker) async fn finish(self) {
        self.server.abort();
        let all = u32::try_from(MOST_ASKERS).unwrap_or_default();
        // Whoever does not read has had its time.
        let _ = tokio::time::timeout(LAST_WORDS, self.places.acquire_many(all)).await;
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.server.abort();
        self.folder.remove(self.pid);
    }
}

async fn serve(listener: UnixListener, places: Arc<Semaphore>, state: State) {
    // It is never closed.
    while let Ok(place) = places.clone().acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "nobody can ask the worker");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let state = state.clone();
        spawn_local(async move {
            if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, converse(stream, &state)).await {
                tracing::debug!(%error, "somebody asked the worker in vain");
            }
            drop(place);
        });
    }
}

async fn converse(stream: UnixStream, state: &State) -> io::Result<()> {
    let is_owner = stream.peer_cred()?.uid() == geteuid().as_raw();
    let mut stream = BufReader::new(stream);
    let answer = if is_owner {
        let mut line = Vec::new();
        let mut limited = (&mut stream).take(LONGEST_QUESTION);
        limited.read_until(b'\n', &mut line).await?;
        answer(&line, state).await
    } else {
        Answer::refusal("this worker belongs to another user")
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    stream.write_all(&text).await?;
    stream.shutdown().await
}

async fn answer(line: &[u8], state: &State) -> Answer {
    if line.last() != Some(&b'\n') {
        return Answer::refusal("a question is one line of at most 4096 bytes");
    }
    // What is asked may be unknown to this version; which version asks is said all the same.
    let question: Question = match serde_json::from_slice(line) {
        Ok(question) => question,
        Err(error) => {
            return Answer::refusal(format!(
                "not a question that version {VERSION} knows: {error}"
            ));
        }
    };
    if question.version != VERSION {
        return Answer::refusal(format!(
            "this worker speaks version {VERSION}, and not version {}",
            question.version
        ));
    }
    if question.ask == Ask::Drain {
        state.drain();
    }
    Answer {
        version: VERSION,
        status: Some(WorkerStatus::of(state).await),
        error: None,
    }
}
