//! What a long preparation is at, for a person before a terminal.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shorter work is not worth a line.
const WORTH_SAYING: Duration = Duration::from_secs(1);

/// What goes on now; all copies are the same one.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<Mutex<Option<Work>>>);

/// Work that lasts as long as this lives.
#[derive(Debug)]
pub struct Doing(Activity);

#[derive(Debug)]
struct Work {
    name: String,
    progress: String,
    begun: Instant,
}

impl Activity {
    /// From here on this is done, such as `fetching code`.
    pub fn begin(&self, name: impl Into<String>) -> Doing {
        *self.lock() = Some(Work {
            name: name.into(),
            progress: String::new(),
            begun: Instant::now(),
        });
        Doing(self.clone())
    }

    /// How far it has come, in words.
    pub fn progress(&self, progress: impl Into<String>) {
        if let Some(work) = &mut *self.lock() {
            work.progress = progress.into();
        }
    }

    /// A line for the terminal, without an end; none while nothing takes long.
    pub fn line(&self) -> Option<String> {
        let work = self.lock();
        let work = work.as_ref()?;
        let elapsed = work.begun.elapsed();
        if elapsed < WORTH_SAYING {
            return None;
        }
        let separator = if work.progress.is_empty() { "" } else { ": " };
        Some(format!(
            "... {}, {} s{separator}{}",
            work.name,
            elapsed.as_secs(),
            work.progress
        ))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Work>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_takes_long_is_said() {
        let activity = Activity::default();
        assert_eq!(activity.line(), None);
        let doing = activity.begin("fetching code");
        assert_eq!(activity.line(), None);
        let earlier = Instant::now().checked_sub(Duration::from_secs(3));
        activity.lock().as_mut().unwrap().begun = earlier.unwrap();
        assert_eq!(activity.line().unwrap(), "... fetching code, 3 s");
        activity.progress("12 of 34 objects");
        assert_eq!(
            activity.line().unwrap(),
            "... fetching code, 3 s: 12 of 34 objects"
        );
        drop(doing);
        assert_eq!(activity.line(), None);
    }
}
