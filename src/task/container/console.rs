//! From the engine's log to where the output belongs: every byte once, whatever happens to engine, disk and supervisor.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::container::engine::{Engine, EngineError, State};
use crate::process::Output;
use crate::secrets::mask;

/// How long a disk that is full, or an engine that is away, is left alone.
const PAUSE: Duration = Duration::from_secs(1);
/// More of a line is not looked at.
const BEGINNING: usize = 1024;
/// Begins a line in which the agent inside, or the shell that starts it, says why the task fails.
const ERROR: &[u8] = b"clearml_agent: ERROR: ";

/// Where the output of a container goes.
pub(super) trait Destination {
    /// Bytes of the container's output that it has.
    fn taken(&self) -> u64;

    /// Takes the next bytes, or the first of them; after an error they come again.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
}

/// Reads along: each byte once, from the container's first on, also what an earlier supervisor has copied.
pub(super) trait Listener {
    /// Looks at the next piece of the output.
    fn look(&mut self, piece: &[u8]);

    /// How much of the output is copied.
    fn wanted(&self) -> u64 {
        u64::MAX
    }
}

/// Copies a container's output.
#[derive(Debug)]
pub(super) struct Console<D, L> {
    pub(super) destination: D,
    pub(super) listener: L,
    looked: u64,
}

/// The output file of a task, behind what the supervisor has written itself.
#[derive(Debug)]
pub(super) struct TaskOutput {
    file: File,
    base: u64,
}

/// The output of this process.
#[derive(Debug)]
pub(super) struct OwnOutput {
    output: Output,
    taken: u64,
}

/// The lines of the agent inside that mean something to the one outside (C-320).
#[derive(Debug)]
pub(super) struct Lines {
    /// The last line that the agent outside reports, where the one inside reports the others itself.
    last: Option<Vec<u8>>,
    /// The line by which the agent inside says that it starts the program.
    begun: Vec<u8>,
    line: Vec<u8>,
    position: u64,
    cut: Option<u64>,
    has_begun: CancellationToken,
    /// The last error before the program.
    error: Option<String>,
}

impl Lines {
    /// For a task; `is_own_worker` where the agent inside reports. `has_begun` is cancelled when it starts the program.
    pub(super) fn new(task: &str, is_own_worker: bool, has_begun: CancellationToken) -> Self {
        Self {
            last: is_own_worker.then(|| format!("Running task '{task}'").into_bytes()),
            begun: format!("Running task id [{task}]:").into_bytes(),
            line: Vec::new(),
            position: 0,
            cut: None,
            has_begun,
            error: None,
        }
    }

    /// Why the program was not started, if the container has said so.
    pub(super) fn error(&self) -> Option<&str> {
        self.error
            .as_deref()
            .filter(|_| !self.has_begun.is_cancelled())
    }

    fn end_line(&mut self) {
        let line = self.line.trim_ascii_start();
        if line.starts_with(&self.begun) {
            self.has_begun.cancel();
        }
        if let Some(error) = line.strip_prefix(ERROR) {
            let error = String::from_utf8_lossy(error.trim_ascii_end());
            self.error = Some(mask(&error));
        }
        let is_last = self
            .last
            .as_ref()
            .is_some_and(|last| line.starts_with(last));
        if is_last && self.cut.is_none() {
            self.cut = Some(self.position);
        }
        self.line.clear();
    }
}

impl Listener for Lines {
    fn look(&mut self, piece: &[u8]) {
        let is_done = self.has_begun.is_cancelled() && (self.last.is_none() || self.cut.is_some());
        if is_done {
            self.position += piece.len() as u64;
            return;
        }
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let room = BEGINNING.saturating_sub(self.line.len()).min(part.len());
            self.line.extend_from_slice(&part[..room]);
            self.position += part.len() as u64;
            if part.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn wanted(&self) -> u64 {
        self.cut.unwrap_or(u64::MAX)
    }
}

impl<D: Destination, L: Listener> Console<D, L> {
    /// Goes on behind what the destination has.
    pub(super) fn new(destination: D, listener: L) -> Self {
        Self {
            destination,
            listener,
            looked: 0,
        }
    }

    /// Copies until the container's output is at its end.
    async fn copy(
        &mut self,
        engine: &Engine,
        container: &str,
        has_terminal: bool,
    ) -> Result<(), EngineError> {
        let mut follows = true;
        loop {
            let begin = Instant::now();
            let before = if follows {
                None
            } else {
                Some(engine.state(container).await)
            };
            let copied = self.copy_once(engine, container, has_terminal, follows);
            let state = match copied.await {
                Ok(false) => {
                    follows = false;
                    continue;
                }
                Ok(true) => match before {
                    Some(before) => before,
                    None => engine.state(container).await,
                },
                Err(error) => Err(error),
            };
            match state {
                Ok(State::Ended(_)) | Err(EngineError::NoContainer) => return Ok(()),
                // The engine has let go of it, not the container.
                Ok(_) if follows => sleep(PAUSE).await,
                // Each look reads all of the log, and takes a small part of the time.
                Ok(_) => tokio::select! {
                    () = sleep(PAUSE.max(begin.elapsed() * 10)) => {}
                    _ = engine.wait(container) => {}
                },
                Err(error) if error.is_passing() => {
                    tracing::info!(%error, "the output of the container broke off");
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// From the beginning of the log; what was taken before is left out.
    ///
    /// False where this engine cannot be followed, and nothing was copied.
    async fn copy_once(
        &mut self,
        engine: &Engine,
        container: &str,
        has_terminal: bool,
        follows: bool,
    ) -> Result<bool, EngineError> {
        let taken = self.destination.taken();
        let mut position = 0;
        let mut stream = engine.console(container, has_terminal, follows).await?;
        if stream.loses_lines() {
            return Ok(false);
        }
        while let Some(piece) = stream.next().await? {
            let here =
                |place: u64| usize::try_from(place.saturating_sub(position)).unwrap_or(usize::MAX);
            let end = position + piece.len() as u64;
            self.listener
                .look(&piece[here(self.looked).min(piece.len())..]);
            self.looked = self.looked.max(end);
            let from = here(taken).min(piece.len());
            let to = here(self.listener.wanted()).min(piece.len());
            position = end;
            if from < to {
                self.write(&piece[from..to]).await;
            }
        }
        Ok(true)
    }

    /// A disk that is full holds the output up; the engine has it meanwhile.
    async fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.destination.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::warn!(%error, "could not write the output of the container, trying again");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Copies until `ending` is over, and what comes late, for the time that `patience` then gives; what cannot be had is said on
    /// `output`.
    pub(super) async fn follow<T>(
        &mut self,
        engine: &Engine,
        container: &str,
        has_terminal: bool,
        ending: impl Future<Output = T>,
        patience: impl FnOnce() -> Duration,
        output: &Output,
    ) -> T {
        let copying = self.copy(engine, container, has_terminal);
        tokio::pin!(copying, ending);
        let mut copied = None;
        let end = loop {
            tokio::select! {
                end = &mut ending => break end,
                done = &mut copying, if copied.is_none() => copied = Some(done),
            }
        };
        if copied.is_none() {
            copied = timeout(patience(), copying).await.ok();
        }
        match copied {
            Some(Ok(()) | Err(EngineError::NoContainer)) => {}
            Some(Err(error)) => output.line(format!(
                "\nclearml_agent: WARNING: the rest of the container's output is lost: {error}"
            )),
            None => output.line(
                "\nclearml_agent: WARNING: the engine does not give the rest of the container's output",
            ),
        }
        end
    }
}

impl TaskOutput {
    /// Goes on where the file ends; `base` is its length before the container's first byte.
    pub(super) fn open(path: &Path, base: u64) -> io::Result<Self> {
        let file = File::options().append(true).open(path)?;
        Ok(Self { file, base })
    }
}

impl Destination for TaskOutput {
    fn taken(&self) -> u64 {
        let length = self.file.metadata().map_or(0, |file| file.len());
        length.saturating_sub(self.base)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }
}

impl OwnOutput {
    /// Nothing has been taken yet.
    pub(super) fn new(output: &Output) -> Self {
        Self {
            output: output.clone(),
            taken: 0,
        }
    }
}

impl Destination for OwnOutput {
    fn taken(&self) -> u64 {
        self.taken
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        use io::ErrorKind::{Interrupted, QuotaExceeded, StorageFull, WouldBlock};
        let written = match self.output.write_some(bytes) {
            Ok(written) => written,
            Err(error)
                if [Interrupted, QuotaExceeded, StorageFull, WouldBlock]
                    .contains(&error.kind()) =>
            {
                return Err(error);
            }
            // Nobody reads it any more, which is no reason to stop.
            Err(_) => bytes.len(),
        };
        self.taken += written as u64;
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &[u8] =
        b"boot\r\nRunning task 't1'\r\nStoring\nRunning task id [t1]:\nRunning task 't1' again\n";

    /// C-320
    #[test]
    fn the_lines_of_the_hand_over_are_found_wherever_they_are_cut() {
        for size in 1..OUTPUT.len() {
            let mut lines = Lines::new("t1", true, CancellationToken::new());
            for piece in OUTPUT.chunks(size) {
                lines.look(piece);
            }
            let end = usize::try_from(lines.wanted()).unwrap();
            assert_eq!(&OUTPUT[..end], b"boot\r\nRunning task 't1'\r\n");
            assert!(lines.has_begun.is_cancelled());
        }
    }

    /// E-008
    #[test]
    fn the_last_error_before_the_program_is_the_reason() {
        let mut lines = Lines::new("t1", false, CancellationToken::new());
        lines.look(b"clearml_agent: ERROR: one\r\nhint: x\r\n clearml_agent: ERROR: two ");
        assert_eq!(lines.error(), Some("one"));
        lines.look(b"parts\r\n");
        assert_eq!(lines.error(), Some("two parts"));
        lines.look(b"Running task id [t1]:\r\n");
        assert_eq!(lines.error(), None);
    }

    #[test]
    fn a_task_that_is_no_worker_keeps_its_whole_output() {
        let mut lines = Lines::new("t1", false, CancellationToken::new());
        lines.look(&OUTPUT[..20]);
        assert!(!lines.has_begun.is_cancelled());
        lines.look(&OUTPUT[20..]);
        assert!(lines.has_begun.is_cancelled());
        assert_eq!(lines.wanted(), u64::MAX);
    }
}
