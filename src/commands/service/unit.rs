//! The text of a unit; `examples/systemd` shows what it makes.

use std::path::Path;

/// How the first line begins of every file that is ours.
const MARKER: &str = "# Written by `clearml-agent service install`";

/// Whose service manager runs it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scope {
    /// That of the machine.
    System,
    /// That of the user.
    User,
}

/// A unit that runs a daemon.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) scope: Scope,
    /// Who its worker is; only where root starts it.
    pub(super) user: Option<String>,
    /// One instance for each GPU.
    pub(super) is_template: bool,
    /// The program, as [`program`] writes it.
    pub(super) program: String,
    /// Options before `daemon`.
    pub(super) options: Vec<String>,
    /// Options of `daemon`.
    pub(super) words: Vec<String>,
}

impl Unit {
    /// The whole file.
    pub(super) fn text(&self) -> String {
        let mut lines = self.comments();
        lines.extend(self.unit());
        lines.extend(self.service());
        let target = match self.scope {
            Scope::System => "multi-user.target",
            Scope::User => "default.target",
        };
        lines.extend([
            String::new(),
            "[Install]".to_owned(),
            format!("WantedBy={target}"),
        ]);
        lines.join("\n") + "\n"
    }

    fn comments(&self) -> Vec<String> {
        let edit = match self.scope {
            Scope::System => "systemctl edit",
            Scope::User => "systemctl --user edit",
        };
        let gpus = if self.is_template { " --gpus 0" } else { "" };
        let mut lines = vec![format!("{MARKER}; what you add with `{edit}` stays apart.")];
        if self.scope == Scope::User {
            lines.push(
                "# It runs while you are logged in, unless `loginctl enable-linger` was called for you once."
                    .to_owned(),
            );
        }
        lines.extend([
            "# Stopping the unit leaves a running task alone; the next start goes on with it. To end the task as well:"
                .to_owned(),
            format!("#   clearml-agent daemon --stop{gpus}"),
        ]);
        lines
    }

    fn unit(&self) -> Vec<String> {
        let gpu = if self.is_template { " for GPU %i" } else { "" };
        let mut lines = vec![
            "[Unit]".to_owned(),
            format!("Description=ClearML agent{gpu}"),
            "Documentation=man:clearml-agent-daemon(1)".to_owned(),
        ];
        if self.scope == Scope::System {
            lines.extend(
                ["Wants=network-online.target", "After=network-online.target"].map(str::to_owned),
            );
        }
        lines.extend(
            [
                "# The server may be away for longer than systemd likes to try.",
                "StartLimitIntervalSec=0",
            ]
            .map(str::to_owned),
        );
        lines
    }

    fn service(&self) -> Vec<String> {
        let mut lines = ["", "[Service]", "Type=notify"].map(str::to_owned).to_vec();
        lines.extend(self.user.iter().map(|user| format!("User={user}")));
        lines.push(format!("ExecStart={}", self.command()));
        lines.extend(
            [
                "# The worker hands over; tasks are processes of their own and go on.",
                "KillSignal=SIGUSR1",
                "KillMode=process",
                "SuccessExitStatus=254",
                "Restart=on-failure",
                "RestartSec=30",
                "# Fed by every status report that the server takes.",
                "WatchdogSec=15min",
                "TimeoutStartSec=5min",
                "UMask=0077",
            ]
            .map(str::to_owned),
        );
        lines
    }

    fn command(&self) -> String {
        let mut words = vec![self.program.clone()];
        words.extend(self.options.iter().map(|word| argument(word)));
        words.push("daemon".to_owned());
        words.extend(self.words.iter().map(|word| argument(word)));
        if self.is_template {
            words.push("--gpus %i".to_owned());
        }
        words.push("--foreground".to_owned());
        words.join(" ")
    }
}

/// True for a text that [`Unit::text`] has made.
pub(super) fn is_ours(text: &str) -> bool {
    text.starts_with(MARKER)
}

/// What a unit calls; where it is below `home`, that of whoever runs the unit.
pub(super) fn program(path: &Path, home: Option<&Path>) -> String {
    // A variable is not looked for in the name of the program.
    let word = |path: &Path| path.display().to_string().replace('%', "%%");
    match home.and_then(|home| path.strip_prefix(home).ok()) {
        Some(below) => quoted(format!("%h/{}", word(below))),
        None => quoted(word(path)),
    }
}

/// A word as `ExecStart=` takes it: no specifier, no variable, one word.
fn argument(word: &str) -> String {
    quoted(word.replace('%', "%%").replace('$', "$$"))
}

fn quoted(word: String) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_./:,=@+%$".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word;
    }
    let letters = word.chars().map(|letter| match letter {
        '"' | '\\' => format!("\\{letter}"),
        letter if letter.is_ascii_control() => format!("\\x{:02x}", u32::from(letter)),
        letter => letter.to_string(),
    });
    format!("\"{}\"", letters.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(scope: Scope, is_template: bool) -> Unit {
        let home = Path::new("/home/me");
        let program = match scope {
            Scope::System => program(Path::new("/usr/local/bin/clearml-agent"), None),
            Scope::User => program(&home.join(".local/bin/clearml-agent"), Some(home)),
        };
        Unit {
            scope,
            user: (scope == Scope::System).then(|| "clearml".to_owned()),
            is_template,
            program,
            options: Vec::new(),
            words: ["--queue", "default"].map(str::to_owned).to_vec(),
        }
    }

    /// `UPDATE_DOCS=1` writes them.
    #[test]
    fn the_examples_are_what_is_written() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/systemd");
        let examples = [
            ("clearml-agent.service", unit(Scope::System, false)),
            ("clearml-agent-gpu@.service", unit(Scope::System, true)),
            ("clearml-agent-user.service", unit(Scope::User, false)),
        ];
        assert_eq!(
            std::fs::read_dir(&folder).unwrap().count(),
            examples.len(),
            "an example that is not written by the program"
        );
        for (name, unit) in examples {
            let path = folder.join(name);
            if std::env::var_os("UPDATE_DOCS").is_some() {
                std::fs::write(&path, unit.text()).unwrap();
            }
            let shown = std::fs::read_to_string(path).unwrap();
            assert_eq!(unit.text(), shown, "{name}: UPDATE_DOCS=1 writes it anew");
            assert!(is_ours(&shown));
        }
    }

    #[test]
    fn words_reach_the_daemon_as_they_are() {
        for (word, expected) in [
            ("default", "default"),
            ("", "\"\""),
            ("9-17 MON", "\"9-17 MON\""),
            ("50%", "50%%"),
            ("$HOME", "$$HOME"),
            (";", "\";\""),
            ("a\"b\\c'", "\"a\\\"b\\\\c'\""),
            ("a\nExecStop=b", "\"a\\x0aExecStop=b\""),
        ] {
            assert_eq!(argument(word), expected);
        }
        let path = Path::new("/opt/my agents/100%$/clearml-agent");
        assert_eq!(
            program(path, Some(Path::new("/opt/my"))),
            "\"/opt/my agents/100%%$/clearml-agent\""
        );
    }
}
