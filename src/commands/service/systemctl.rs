//! The service manager, where there is one.

use std::path::Path;
use std::process::{Command, Stdio};

use super::super::Failed;
use super::unit::Scope;

/// There where systemd runs, and nowhere else (`sd_booted(3)`).
const RUNNING: &str = "/run/systemd/system";

/// `systemctl` of one scope.
#[derive(Clone, Copy, Debug)]
pub(super) struct Systemctl(Scope);

/// What a unit does.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Its full name.
    pub(super) unit: String,
    /// Such as `active (running)`.
    pub(super) active: String,
    /// What the worker says of itself.
    pub(super) worker: String,
}

impl Systemctl {
    /// The manager of this scope, if systemd runs on this machine.
    pub(super) fn here(scope: Scope) -> Option<Self> {
        Path::new(RUNNING).is_dir().then_some(Self(scope))
    }

    /// How its command begins, for people.
    pub(super) fn name(scope: Scope) -> &'static str {
        match scope {
            Scope::System => "systemctl",
            Scope::User => "systemctl --user",
        }
    }

    /// Runs it to its end; what it has printed.
    pub(super) fn call(self, words: &[&str], hint: &str) -> Result<String, Failed> {
        let mut command = Command::new("systemctl");
        if self.0 == Scope::User {
            command.arg("--user");
        }
        let called = format!("{} {}", Self::name(self.0), words.join(" "));
        let output = command.args(words).stdin(Stdio::null()).output();
        let output = output.map_err(|error| {
            Failed::message(
                format!("could not run `{called}`: {error}"),
                "put `systemctl` on `PATH`",
            )
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said.lines().find(|line| !line.trim().is_empty());
        let line = line.unwrap_or("it does not say why").trim();
        Err(Failed::message(format!("`{called}` failed: {line}"), hint))
    }

    /// It reads all units anew.
    pub(super) fn reload(self) -> Result<(), Failed> {
        let hint = match self.0 {
            Scope::System => "call it with sudo",
            Scope::User => {
                "log in as this user (not with su), or call `loginctl enable-linger` for it once"
            }
        };
        self.call(&["daemon-reload"], hint).map(drop)
    }

    /// What this unit does, or each of those that a pattern means.
    pub(super) fn states(self, pattern: &str) -> Result<Vec<State>, Failed> {
        let words = [
            "show",
            "--property=Id,ActiveState,SubState,StatusText",
            pattern,
        ];
        let printed = self.call(&words, "is the manager of this user running?")?;
        Ok(printed.split("\n\n").filter_map(State::read).collect())
    }
}

impl State {
    fn read(text: &str) -> Option<Self> {
        let value = |name: &str| {
            let values = text.lines().filter_map(|line| line.split_once('='));
            let mut values = values.filter(|(key, _)| *key == name);
            values.next().map(|(_, value)| value.trim().to_owned())
        };
        Some(Self {
            unit: value("Id")?,
            active: format!("{} ({})", value("ActiveState")?, value("SubState")?),
            worker: value("StatusText").unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemctl_prints_is_read() {
        let text =
            "Id=a@0.service\nActiveState=active\nSubState=running\nStatusText=host:gpu0: a=b\n";
        let state = State::read(text).unwrap();
        let read = [&state.unit, &state.active, &state.worker].map(String::as_str);
        assert_eq!(read, ["a@0.service", "active (running)", "host:gpu0: a=b"]);
        assert!(State::read("").is_none());
    }
}
