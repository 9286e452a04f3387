//! How long each step of a preparation has taken: one line on the console, a table where that is asked for.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::Instant;

/// Shorter steps are not in the line.
const WORTH_SAYING: Duration = Duration::from_millis(10);

/// Steps in their order, each from the end of the one before it.
#[derive(Debug)]
pub(super) struct Timeline {
    begun: Instant,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    /// Since the begin of the preparation.
    end: Duration,
}

impl Timeline {
    /// Nothing is done yet.
    pub(super) fn begin() -> Self {
        Self {
            begun: Instant::now(),
            steps: Vec::new(),
        }
    }

    /// This step has just ended.
    pub(super) fn passed(&mut self, name: &'static str) {
        let end = self.begun.elapsed();
        self.steps.push(Step { name, end });
    }

    /// `Prepared in 1.24 s: environment 0.91, code 0.30`
    pub(super) fn summary(&self) -> String {
        let mut line = format!("Prepared in {:.2} s", self.total().as_secs_f64());
        let mut separator = ": ";
        for (name, _, took) in self.spans() {
            if took >= WORTH_SAYING {
                // Writing to a string cannot fail.
                let _ = write!(line, "{separator}{name} {:.2}", took.as_secs_f64());
                separator = ", ";
            }
        }
        line
    }

    /// When each step began and how long it took, in milliseconds, a line each.
    pub(super) fn table(&self) -> String {
        let mut table = "Timings (begin and length in ms):".to_owned();
        for (name, begin, took) in self.spans() {
            let _ = write!(
                table,
                "\n{:>8} {:>8}  {name}",
                begin.as_millis(),
                took.as_millis()
            );
        }
        table
    }

    fn total(&self) -> Duration {
        self.steps.last().map(|step| step.end).unwrap_or_default()
    }

    /// Name, begin and length of each step.
    fn spans(&self) -> impl Iterator<Item = (&'static str, Duration, Duration)> {
        let ends = self.steps.iter().map(|step| step.end);
        let begins = std::iter::once(Duration::ZERO).chain(ends);
        let steps = self.steps.iter().zip(begins);
        steps.map(|(step, begin)| (step.name, begin, step.end.saturating_sub(begin)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_step_has_the_time_since_the_one_before() {
        let mut timeline = Timeline::begin();
        for (name, took) in [
            ("task", 4),
            ("environment", 910),
            ("code", 300),
            ("program", 9),
        ] {
            tokio::time::advance(Duration::from_millis(took)).await;
            timeline.passed(name);
        }
        assert_eq!(
            timeline.summary(),
            "Prepared in 1.22 s: environment 0.91, code 0.30"
        );
        assert_eq!(
            timeline.table(),
            "Timings (begin and length in ms):\n       0        4  task\n       4      910  environment\n     \
             914      300  code\n    1214        9  program"
        );
    }

    #[test]
    fn nothing_done_takes_no_time() {
        assert_eq!(Timeline::begin().summary(), "Prepared in 0.00 s");
    }
}
