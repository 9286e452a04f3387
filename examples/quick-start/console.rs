//! The task's console as it arrives at the server, without the parts that are long and not about the task.

use std::time::Duration;

use local_server::LocalServer;
use serde_json::json;

use crate::agent::Agent;

/// Between two looks at the server.
const PAUSE: Duration = Duration::from_millis(200);
/// Characters of a line of the preparation that are shown.
const WIDTH: usize = 100;
const FINAL: [&str; 5] = ["completed", "failed", "stopped", "closed", "published"];

/// Shows the console until the task has ended, and gives its final status. Fails if the agent ends before.
pub(crate) async fn follow(
    server: &LocalServer,
    task: &str,
    agent: &mut Agent,
) -> anyhow::Result<String> {
    let mut shown = 0;
    let mut console = Console::default();
    loop {
        let answer = server.call("tasks.get_by_id", json!({ "task": task }))?;
        let status = answer["task"]["status"].as_str().unwrap_or_default();
        let query = json!({ "task": task, "batch_size": 10_000, "navigate_earlier": false });
        let log = server.call("events.get_task_log", query)?;
        // The agent is the only one who writes to this log, in order.
        let events = log["events"].as_array().map_or(&[][..], Vec::as_slice);
        for event in events.iter().skip(shown) {
            console.write(event["msg"].as_str().unwrap_or_default());
        }
        shown = shown.max(events.len());
        if FINAL.contains(&status) {
            console.end();
            return Ok(status.to_owned());
        }
        agent.check()?;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Cuts chunks into lines and leaves some out.
#[derive(Debug, Default)]
struct Console {
    unfinished: String,
    part: Part,
    is_after_gap: bool,
}

/// Where the console is.
#[derive(Debug, Default)]
enum Part {
    /// The agent makes the environment.
    #[default]
    Preparation,
    /// Lines of the configuration that have been left out.
    Configuration(usize),
    /// Lines of the package list that have been left out.
    Packages(usize),
    /// The user's program: every line is shown.
    Program,
}

impl Console {
    fn write(&mut self, chunk: &str) {
        self.unfinished.push_str(chunk);
        let text = std::mem::take(&mut self.unfinished);
        for line in text.split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(line) => self.line(line.trim_end()),
                None => line.clone_into(&mut self.unfinished),
            }
        }
    }

    fn end(&mut self) {
        let last = std::mem::take(&mut self.unfinished);
        self.line(&last);
        self.leave();
    }

    fn line(&mut self, line: &str) {
        match &mut self.part {
            Part::Configuration(_) if line.starts_with("Executing task id") => self.leave(),
            Part::Packages(_) if line.is_empty() => self.leave(),
            Part::Configuration(count) | Part::Packages(count) => {
                *count += 1;
                return;
            }
            Part::Preparation if line.starts_with("Current configuration (") => {
                self.part = Part::Configuration(0);
            }
            Part::Preparation if line.starts_with("Summary - installed python packages") => {
                self.part = Part::Packages(0);
            }
            Part::Preparation if line.starts_with("Starting Task Execution") => {
                self.part = Part::Program;
            }
            // Progress and details of pip.
            Part::Preparation if line.starts_with("  ") => return,
            Part::Preparation | Part::Program => {}
        }
        match self.part {
            Part::Preparation if !line.contains("ERROR") => self.show(&shortened(line)),
            _ => self.show(line),
        }
    }

    fn leave(&mut self) {
        if let Part::Configuration(count) | Part::Packages(count) = std::mem::take(&mut self.part) {
            self.show(&format!("[... {count} lines ...]"));
        }
    }

    /// Prints a line; of empty ones, the first.
    fn show(&mut self, line: &str) {
        if !(line.is_empty() && self.is_after_gap) {
            println!("    | {line}");
        }
        self.is_after_gap = line.is_empty();
    }
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{} [...]", &line[..end]),
        None => line.to_owned(),
    }
}
