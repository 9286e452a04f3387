//! SIGTERM and SIGINT end the task; a server that is away does not hold them up for long (D-295, D-300, D-301).

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::outcome::Outcome;
use super::server::TaskServer;
use super::stop::Stop;

/// How long an agent that was told to end waits for the server.
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

    /// Obeys for ever. The first signal ends the task, the second one the time of its program, and the third one the waiting
    /// for the server, as the second does where `server` does not answer.
    ///
    /// [`PATIENCE`] counts from the end of the program, which has `grace` for it. Where the process `is_alone` it counts after
    /// Ctrl-C as well; behind a worker that ends a task alone: the worker stays.
    pub(super) async fn obey(
        self,
        stop: Stop,
        grace: Duration,
        server: TaskServer,
        give_up: CancellationToken,
        is_alone: bool,
    ) {
        let Some(Kinds {
            mut terminate,
            mut interrupt,
            mut hangup,
        }) = self.0
        else {
            return;
        };
        let (ended, hurried) = (stop.program_ended().clone(), stop.hurried().clone());
        let limit = async {
            tokio::select! {
                // Over or not, the program is killed then.
                _ = tokio::time::timeout(grace, ended.cancelled()) => {}
                () = hurried.cancelled() => {}
            }
            tokio::time::sleep(PATIENCE).await;
        };
        tokio::pin!(limit);
        let mut told = 0_u32;
        let mut is_limited = false;
        loop {
            let is_over = tokio::select! {
                _ = terminate.recv() => {
                    is_limited = true;
                    false
                }
                _ = interrupt.recv() => {
                    is_limited |= is_alone;
                    false
                }
                // A terminal that is closed is its worker's business.
                _ = hangup.recv() => continue,
                () = &mut limit, if is_limited && !give_up.is_cancelled() => true,
                () = server.is_silent(), if told == 2 && !give_up.is_cancelled() => true,
            };
            if !is_over {
                told += 1;
            }
            if is_over || told > 1 {
                is_limited = true;
                stop.hurry();
            }
            if is_over || told > 2 {
                give_up.cancel();
            }
            stop.because(Outcome::Aborted);
        }
    }
}
