//! The most memory that verbs take which print something and end.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::{Measurement, row};
use crate::world::World;

macro_rules! verb {
    ($name:literal, $title:literal, $words:expr) => {
        Measurement {
            name: $name,
            rows: &[row($title, "MiB")],
            rounds: 3,
            round: |world| Ok(vec![vec![most(world, &$words)?]]),
        }
    };
}

pub(super) const MEASUREMENTS: &[Measurement] = &[
    verb!(
        "memory-version",
        "`clearml-agent --version`, most memory (RSS)",
        ["--version"]
    ),
    verb!(
        "memory-help",
        "`clearml-agent --help`, most memory (RSS)",
        ["--help"]
    ),
    verb!(
        "memory-config",
        "`clearml-agent config`, most memory (RSS)",
        ["config"]
    ),
    verb!(
        "memory-list",
        "`clearml-agent list`, most memory (RSS)",
        ["list"]
    ),
];

fn most(world: &World, words: &[&str]) -> anyhow::Result<f64> {
    let plain = world.command(words)?;
    // A small program between this one and the verb: a process begins with the figure of the one that has started it.
    let mut command = Command::new("/usr/bin/time");
    command
        .args(["--format", "%M"])
        .arg(plain.get_program())
        .args(plain.get_args())
        .env_clear();
    for (name, value) in plain.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    if let Some(folder) = plain.get_current_dir() {
        command.current_dir(folder);
    }
    let output = command
        .stdin(Stdio::null())
        .output()
        .context("GNU time is missing: apt-get install time")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{} {words:?}: {text}",
        world.contender.name
    );
    let value = text.lines().last().context("nothing was measured")?;
    let kibibytes: f64 = value.trim().parse()?;
    Ok(kibibytes / 1024.0)
}
