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

use super::folder::Folder;
use super::protocol::{Answer, Ask, LONGEST_QUESTION, Question, VERSION};
use super::visitors::{MOST, places, receive};
use super::watched::Watched;

/// How long an asker may take where the worker leaves.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A socket that answers until it is dropped; then it is gone.
#[derive(Debug)]
pub(super) struct ControlSocket {
    folder: Folder,
    pid: u32,
    places: Arc<Semaphore>,
    server: JoinHandle<()>,
}

impl ControlSocket {
    /// Listens for the worker of this process in the folder at `path`, and removes what dead workers have left there.
    /// Must run on a `LocalSet`.
    pub(super) fn listen(path: &Path, watched: impl Watched) -> io::Result<Self> {
        let folder = Folder::create(path)?;
        folder.clean();
        let pid = std::process::id();
        // Nobody else alive has this number.
        folder.remove(pid);
        let address = folder.address(pid);
        let listener = UnixListener::bind(&address)?;
        fs::set_permissions(&address, fs::Permissions::from_mode(0o600))?;
        let places = places();
        Ok(Self {
            folder,
            pid,
            server: spawn_local(serve(listener, places.clone(), watched)),
            places,
        })
    }

    /// Listens no more, and gives those who have asked already a moment for their answers: one of them may have told the
    /// worker to leave.
    pub(super) async fn finish(self) {
        self.server.abort();
        // Whoever does not read has had its time.
        let _ = tokio::time::timeout(LAST_WORDS, self.places.acquire_many(MOST)).await;
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.server.abort();
        self.folder.remove(self.pid);
    }
}

async fn serve(listener: UnixListener, places: Arc<Semaphore>, watched: impl Watched) {
    let accept = async || Ok(listener.accept().await?.0);
    let converse = async move |stream| {
        if let Err(error) = converse(stream, &watched).await {
            tracing::debug!(%error, "somebody asked the worker in vain");
        }
    };
    receive(places, "nobody can ask the worker", accept, converse).await;
}

async fn converse(stream: UnixStream, watched: &impl Watched) -> io::Result<()> {
    let is_owner = stream.peer_cred()?.uid() == geteuid().as_raw();
    let mut stream = BufReader::new(stream);
    let answer = if is_owner {
        let mut line = Vec::new();
        let mut limited = (&mut stream).take(LONGEST_QUESTION);
        limited.read_until(b'\n', &mut line).await?;
        answer(&line, watched).await
    } else {
        Answer::refusal("this worker belongs to another user")
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    stream.write_all(&text).await?;
    stream.shutdown().await
}

async fn answer(line: &[u8], watched: &impl Watched) -> Answer {
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
        watched.drain();
    }
    Answer {
        version: VERSION,
        status: Some(watched.status().await),
        error: None,
    }
}
