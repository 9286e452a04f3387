//! SIGTERM and SIGINT end the task; a server that is away does not hold them up for long (D-295, D-300, D-301).

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::outcome::Outcome;
use super::stop::Stop;

/// How long a SIGTERM waits for the server.
const PATIENCE: Duration = Duration::from_secs(5);

/// The signals that this process has been listening to since this was made.
#[derive(Debug)]
pub(super) struct Signals(Option<Kinds>);

#[derive(Debug)]
struct Kinds {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// From here on no signal ends the process by itself.
    pub(super) fn listen() -> Self {
        let kinds = || -> std::io::Result<Kinds> {
            Ok(Kinds {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                hangup: signal(SignalKind::hangup())?,
            })
        };
        let kinds = kinds();
        if let Err(error) = &kinds {
            tracing::warn!(%error, "signals cannot be caught; the task ends with the process");
        }
        Self(kinds.ok())
    }

    /// Obeys for ever: the first signal ends the task, the second one ends the waiting for the server.
    ///
    /// The limit counts from the end of the program, which has `grace` for it.
    pub(super) async fn obey(self, stop: Stop, grace: Duration, give_up: CancellationToken) {
        let Some(Kinds {
            mut terminate,
            mut interrupt,
            mut hangup,
        }) = self.0
        else {
            return;
        };
        let ended = stop.program_ended().clone();
        let limit = async {
            // Over or not, the program is killed then.
            let _ = tokio::time::timeout(grace, ended.cancelled()).await;
            tokio::time::sleep(PATIENCE).await;
        };
        tokio::pin!(limit);
        let mut is_told = false;
        loop {
            let is_hurried = tokio::select! {
                _ = terminate.recv() => std::mem::replace(&mut is_told, true),
                _ = interrupt.recv() => stop.cause().is_some(),
                // A terminal that is closed is its worker's business.
                _ = hangup.recv() => continue,
                () = &mut limit, if is_told && !give_up.is_cancelled() => true,
            };
            if is_hurried {
                stop.hurry();
                give_up.cancel();
            }
            stop.because(Outcome::Aborted);
        }
    }
}
