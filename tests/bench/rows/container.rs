//! Tasks in containers, from the creation of the container by the engine's own clock.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Instant, SystemTime};

use anyhow::{Context, ensure};
use chrono::DateTime;
use serde_json::Value;

use super::life::{Life, PYTHON, SHELL, life, python, seconds, shell};
use super::{Measurement, Row, row};
use crate::support::{images, static_runner};
use crate::world::World;

/// Runs of one turn that count; one before them warms the caches.
const RUNS: usize = 5;
/// Where `agent.docker_runner` may be set beside the configuration file. The official agent has no such key.
const RUNNER_VARIABLE: &str = "CLEARML_AGENT__AGENT__DOCKER_RUNNER";

macro_rules! rows {
    ($task:literal) => {
        &[
            row("`docker run IMAGE true`, wall time", "s"),
            row(
                concat!($task, ", container: create -> first line printed"),
                "s",
            ),
            row(
                concat!(
                    $task,
                    ", container: the same, over `docker run IMAGE true` just before"
                ),
                "s",
            ),
            row(
                concat!($task, ", container: in progress -> first line printed"),
                "s",
            ),
            row(
                concat!($task, ", container: last line printed -> final status"),
                "s",
            ),
        ]
    };
}

const SHELL_ROWS: &[Row] = rows!("shell script");
const PYTHON_ROWS: &[Row] = rows!("Python without packages");
const CACHED_ROWS: &[Row] = rows!("Python with a cached environment");

pub(super) const MEASUREMENTS: &[Measurement] = &[
    Measurement {
        name: "container-shell",
        rows: SHELL_ROWS,
        rounds: 1,
        round: |world| containers(world, &shell(SHELL)),
    },
    Measurement {
        name: "container-python",
        rows: PYTHON_ROWS,
        rounds: 1,
        round: |world| containers(world, &python(PYTHON, "")),
    },
    Measurement {
        name: "container-cached",
        rows: CACHED_ROWS,
        rounds: 1,
        round: |world| containers(world, &python(PYTHON, "six==1.17.0\n")),
    },
];

fn containers(world: &World, script: &Value) -> anyhow::Result<Vec<Vec<f64>>> {
    let image = images::python();
    let certificates = images::CERTIFICATES;
    let line = format!(
        "{image} --network host --env SSL_CERT_FILE={certificates} --env REQUESTS_CA_BUNDLE={certificates}"
    );
    let runner = static_runner();
    // The same version in the container as outside.
    let words = ["--cpu-only", "--force-current-version", "--docker", &line];
    let _daemon = world.daemon_with(&words, &[(RUNNER_VARIABLE, runner.as_os_str())])?;
    let mut runs = Vec::new();
    for _ in 0..=RUNS {
        let engine = engine_alone(&image)?;
        let creations = Creations::of(&image)?;
        let (task, _) = world.enqueue(script)?;
        let created = creations.first()?;
        let Life {
            in_progress,
            first_printed,
            last_printed,
            settled,
            ..
        } = life(world, &task)?;
        runs.push(vec![
            engine,
            first_printed - created,
            first_printed - created - engine,
            first_printed - in_progress,
            settled - last_printed,
        ]);
    }
    Ok(runs.split_off(1))
}

/// What the engine and its own client take for a container that does nothing.
fn engine_alone(image: &str) -> anyhow::Result<f64> {
    let name = format!("clearml-agent-bench-{}", std::process::id());
    let begin = Instant::now();
    docker(&["run", "--name", &name, "--network", "host", image, "true"])?;
    let time = begin.elapsed().as_secs_f64();
    docker(&["rm", &name])?;
    Ok(time)
}

/// The containers of an image that the engine makes from now on.
struct Creations(Child);

impl Creations {
    fn of(image: &str) -> anyhow::Result<Self> {
        let since = format!("{:.6}", seconds(SystemTime::now()));
        let image = format!("image={image}");
        let events = ["events", "--format", "{{.ID}}", "--since", &since];
        let child = images::docker(&events)
            .args(["--filter", "event=create", "--filter", &image])
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self(child))
    }

    /// When the engine began to make the first of them, in seconds since the epoch.
    fn first(mut self) -> anyhow::Result<f64> {
        let events = self.0.stdout.take().context("the events have no output")?;
        let mut line = String::new();
        BufReader::new(events).read_line(&mut line)?;
        let created = docker(&["inspect", "--format", "{{.Created}}", line.trim()])?;
        let created = DateTime::parse_from_rfc3339(created.trim())?;
        Ok(seconds(created.into()))
    }
}

impl Drop for Creations {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn docker(words: &[&str]) -> anyhow::Result<String> {
    let mut command: Command = images::docker(words);
    let output = command.output().context("`apt-get install docker.io`")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "docker {words:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}
