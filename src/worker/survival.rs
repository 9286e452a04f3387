//! A mistake of the program in one round must not end the worker (D-170).

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::time::Duration;

/// The pause after the first crash (D-170).
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest one, so that a crash in every round costs next to nothing.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The work panicked; what there is to say about it has been said by then.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Crashed;

/// Does the work; a panic in it ends it and nothing else.
pub(super) async fn caught<T>(
    mut work: Pin<Box<dyn Future<Output = T> + '_>>,
) -> Result<T, Crashed> {
    poll_fn(|context| {
        // What the work has changed is looked at by nobody in between.
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(_) => std::task::Poll::Ready(Err(Crashed)),
        }
    })
    .await
}

/// How long to wait after so many crashes, one after the other.
pub(super) fn pause(crashes: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(crashes.saturating_sub(1));
    (FIRST_PAUSE * doubled.min(64)).min(LONGEST_PAUSE)
}

/// Does the work of an actor of its own, begun anew after each crash.
pub(super) async fn surviving<T>(mut begin: impl FnMut() -> Pin<Box<dyn Future<Output = T>>>) -> T {
    let mut crashes = 0;
    loop {
        if let Ok(done) = caught(begin()).await {
            return done;
        }
        crashes += 1;
        tokio::time::sleep(pause(crashes)).await;
    }
}

/// Does the work, again after each crash for as long as `goes_on` says of their number; none where it was given up.
pub(super) async fn persistent<T>(
    mut work: impl AsyncFnMut() -> T,
    goes_on: impl Fn(u32) -> bool,
) -> Option<T> {
    let mut crashes = 0;
    loop {
        if let Ok(done) = caught(Box::pin(work())).await {
            return Some(done);
        }
        crashes += 1;
        if !goes_on(crashes) {
            return None;
        }
        tokio::time::sleep(pause(crashes)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    /// D-170
    #[tokio::test(start_paused = true)]
    async fn work_that_crashes_is_begun_again_after_a_pause() {
        let begun = Rc::new(Cell::new(0));
        let started = tokio::time::Instant::now();
        let done = surviving(|| {
            let begun = begun.clone();
            Box::pin(async move {
                begun.set(begun.get() + 1);
                tokio::task::yield_now().await;
                assert!(begun.get() > 2, "a mistake of the program");
                "done"
            })
        });
        assert_eq!(done.await, "done");
        assert_eq!(begun.get(), 3);
        assert_eq!(started.elapsed(), Duration::from_secs(3));
    }

    /// D-171: a crash in every round does not become a loop that is busy for ever.
    #[test]
    fn pauses_grow_to_a_minute() {
        let pauses = [1, 2, 3, 6, 7, 1000].map(|crashes| pause(crashes).as_secs());
        assert_eq!(pauses, [1, 2, 4, 32, 60, 60]);
    }

    /// D-170: who keeps something gives it back in the end, and has it again after a crash.
    #[tokio::test(start_paused = true)]
    async fn work_that_goes_on_crashing_is_given_up() {
        let mut begun = 0;
        let given_up = persistent(
            async || {
                begun += 1;
                assert!(begun > 4, "a mistake of the program");
                begun
            },
            |crashes| crashes < 3,
        );
        assert_eq!(given_up.await, None);
        let mut begun = 0;
        let done = persistent(
            async || {
                begun += 1;
                assert!(begun > 4, "a mistake of the program");
                begun
            },
            |_| true,
        );
        assert_eq!(done.await, Some(5));
    }
}
