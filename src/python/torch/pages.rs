//! How pages of package indexes are fetched: by the caller's HTTP stack, with its proxies and certificates.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::task::JoinSet;

/// The text of a page; none where the server does not answer with it in time.
pub type PageAnswer = Pin<Box<dyn Future<Output = Option<String>> + Send>>;

type Fetch = dyn Fn(String) -> PageAnswer + Send + Sync;

/// Fetches pages by their address; the default has no network and finds none.
#[derive(Clone, Default)]
pub struct Pages(Option<Arc<Fetch>>);

impl Pages {
    /// Pages that `fetch` gets; it has a time limit of its own.
    pub fn new(fetch: impl Fn(String) -> PageAnswer + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(fetch)))
    }

    /// Asks for all addresses at once and gives the first in order that answers, with its place (E-175).
    pub(super) async fn first(&self, addresses: &[String]) -> Option<(usize, String)> {
        let fetch = self.0.as_ref()?;
        let mut running = JoinSet::new();
        for (place, address) in addresses.iter().enumerate() {
            let answer = fetch(address.clone());
            running.spawn(async move { (place, answer.await) });
        }
        let mut answers: Vec<Option<Option<String>>> = vec![None; addresses.len()];
        while let Some(finished) = running.join_next().await {
            let Ok((place, answer)) = finished else {
                continue;
            };
            answers[place] = Some(answer);
            // Whatever stands behind one that still runs has to wait for it.
            for (place, answer) in answers.iter_mut().enumerate() {
                match answer {
                    None => break,
                    Some(None) => {}
                    Some(page) => return page.take().map(|text| (place, text)),
                }
            }
        }
        None
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pages")
    }
}
