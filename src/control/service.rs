//! What a service manager such as systemd is told of the worker; nothing where there is none.

use std::fmt::Display;

use sd_notify::NotifyState;

/// Variables by which a service manager is found: for this process alone, never for a task.
pub const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// The worker is registered and polls.
pub fn is_ready() {
    tell(&[NotifyState::Ready]);
}

/// What it does, for people who look.
pub fn does(what: impl Display) {
    tell(&[NotifyState::Status(&what.to_string())]);
}

/// The server has taken a report: the worker is of use.
pub fn is_alive() {
    tell(&[NotifyState::Watchdog]);
}

/// It takes its leave.
pub fn is_stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager was not told");
    }
}
