//! How long each step of a preparation has taken: one line on the console, a table where that is asked for.
//!
//! In a container the first steps are those of the agent outside and of the shell; it says so by a variable.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::Instant;

use crate::process::since_epoch;

/// Shorter steps are not in the line.
const WORTH_SAYING: Duration = Duration::from_millis(10);

/// What the agent outside says of the steps before those inside: `IMAGE BEGUN`, milliseconds of one step, and those since 1970
/// at which the next one began; and `table` where one is wanted.
///
/// Variables of the agent have an older name as well; with this beginning it has none.
pub const EARLIER: &str = "_CLEARML_AGENT_EARLIER";
/// A clock that has been set since says more, or less than nothing.
const LONGEST: Duration = Duration::from_hours(24);

/// The steps before those of this process.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Earlier {
    /// Fetching the image.
    image: Duration,
    /// From there to the agent inside: the container's making and start, scripts, a Python that was brought.
    container: Duration,
    /// A table is wanted.
    pub says_timings: bool,
}

impl Earlier {
    /// For a container that is made now.
    pub(super) fn text(image: Duration, says_timings: bool) -> String {
        let table = if says_timings { " table" } else { "" };
        let begun = since_epoch().as_millis();
        format!("{} {begun}{table}", image.as_millis())
    }

    /// Of the variable, in the container.
    pub fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut time = || words.next()?.parse().ok().map(Duration::from_millis);
        let (image, begun) = (time()?, time()?);
        let container = since_epoch().checked_sub(begun);
        Some(Self {
            image,
            container: container.filter(|took| *took < LONGEST)?,
            says_timings: words.next() == Some("table"),
        })
    }
}

/// Steps in their order, each from the end of the one before it.
#[derive(Debug)]
pub(super) struct Timeline {
    begun: Instant,
    before: Duration,
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
            before: Duration::ZERO,
            steps: Vec::new(),
        }
    }

    /// Nothing is done yet, but for what was done before.
    pub(super) fn begin_behind(earlier: Option<&Earlier>) -> Self {
        let mut timeline = Self::begin();
        let steps =
            earlier.map(|earlier| [("image", earlier.image), ("container", earlier.container)]);
        for (name, took) in steps.into_iter().flatten() {
            timeline.before += took;
            let end = timeline.before;
            timeline.steps.push(Step { name, end });
        }
        timeline
    }

    /// This step has just ended.
    pub(super) fn passed(&mut self, name: &'static str) {
        let end = self.before + self.begun.elapsed();
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

    #[tokio::test(start_paused = true)]
    async fn what_was_done_outside_counts() {
        let text = Earlier::text(Duration::from_millis(1200), true);
        let earlier = Earlier::read(&text).unwrap();
        assert!(earlier.says_timings && earlier.container < Duration::from_secs(10));
        let earlier = Earlier {
            container: Duration::from_millis(800),
            ..earlier
        };
        let mut timeline = Timeline::begin_behind(Some(&earlier));
        tokio::time::advance(Duration::from_millis(500)).await;
        timeline.passed("task");
        assert_eq!(
            timeline.summary(),
            "Prepared in 2.50 s: image 1.20, container 0.80, task 0.50"
        );
        // A clock that stands elsewhere, a container that was started again, other texts.
        let later = since_epoch().as_millis() + 60_000;
        for text in ["0 0", &format!("0 {later}"), "", "a b"] {
            assert_eq!(Earlier::read(text), None, "{text}");
        }
    }

    #[test]
    fn nothing_done_takes_no_time() {
        assert_eq!(Timeline::begin().summary(), "Prepared in 0.00 s");
    }
}
