//! Signals as requests to the worker (D 9).

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::spawn_local;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Request {
    /// Ctrl-C: ends the task, or the idle daemon (D-296, D-297).
    Interrupt,
    /// Leave the tasks to the next worker.
    HandOver,
    /// End (D-294, D-295, D-298).
    Terminate,
}

/// The requests that have come and are not obeyed yet.
pub(super) type Requests = mpsc::UnboundedReceiver<Request>;

/// Signals as requests, for ever.
pub(super) fn listen(ignores_hangup: bool) -> std::io::Result<Requests> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let kinds = [
        (SignalKind::interrupt(), Some(Request::Interrupt)),
        (SignalKind::terminate(), Some(Request::Terminate)),
        (
            SignalKind::hangup(),
            (!ignores_hangup).then_some(Request::Terminate),
        ),
        (SignalKind::user_defined1(), Some(Request::HandOver)),
    ];
    for (kind, request) in kinds {
        let mut signal = signal(kind)?;
        let sender = sender.clone();
        spawn_local(async move {
            while signal.recv().await.is_some() {
                if let Some(request) = request
                    && sender.send(request).is_err()
                {
                    return;
                }
            }
        });
    }
    Ok(receiver)
}
