//! Who comes to a worker with a question: some at once, each for a short time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_local;

/// How many are answered at once; others wait.
pub(super) const MOST: u32 = 16;
/// How long each may take, from the first byte to the last.
const PATIENCE: Duration = Duration::from_secs(5);
/// Before the next try where the system gives no connection.
const PAUSE: Duration = Duration::from_secs(1);

/// Places for [`MOST`] of them.
pub(super) fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(MOST as usize))
}

/// Lets them in and answers until it is dropped; `complaint` is what it means where nobody can come. Must run on a `LocalSet`.
pub(super) async fn receive<S: 'static>(
    places: Arc<Semaphore>,
    complaint: &str,
    accept: impl AsyncFn() -> io::Result<S>,
    converse: impl AsyncFn(S) + Clone + 'static,
) {
    // It is never closed.
    while let Ok(place) = places.clone().acquire_owned().await {
        let stream = match accept().await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, "{complaint}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let converse = converse.clone();
        spawn_local(async move {
            // Who is slow is no business of the worker.
            let _ = tokio::time::timeout(PATIENCE, converse(stream)).await;
            drop(place);
        });
    }
}
