//! The objects of one collection as they change: one list, then what the API says of them by itself (C-640).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use kube::core::WatchEvent;
use tokio::task::{JoinHandle, spawn_local};

use super::api::{Api, Collection, Fault, Place};
use super::state::Object;

/// The API ends a watch after so long; the next one goes on where it was.
const LASTS: Duration = Duration::from_mins(1);
/// After so long without its end nobody is there any more.
const SILENT: Duration = Duration::from_secs(75);
/// However well it is followed: after so long all is listed again, and watched again where that was refused.
const LISTED: Duration = Duration::from_mins(10);
/// A watch that ends sooner is none.
const SHORT: Duration = Duration::from_secs(1);

/// The objects with the glue's label of one collection in one namespace.
#[derive(Debug)]
pub(super) struct Followed {
    place: Place,
    known: Rc<Known>,
    reader: RefCell<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Known {
    /// By their uid, with a number that grows: of two with one name the later counts.
    objects: RefCell<HashMap<String, (u64, Object)>>,
    count: Cell<u64>,
    /// Those that are gone since somebody has asked.
    gone: RefCell<Vec<Object>>,
    /// What is known is what there is.
    is_followed: Cell<bool>,
    /// When all objects were listed.
    listed: Cell<Option<Instant>>,
    /// Since when it is refused: objects are listed each time.
    refused: Cell<Option<Instant>>,
}

impl Followed {
    /// Nothing is known yet.
    pub(super) fn new(of: Collection, namespace: &str, label: &str) -> Self {
        Self {
            place: Place {
                of,
                namespace: namespace.to_owned(),
                label: label.to_owned(),
            },
            known: Rc::default(),
            reader: RefCell::default(),
        }
    }

    pub(super) fn collection(&self) -> Collection {
        self.place.of
    }

    pub(super) fn namespace(&self) -> &str {
        &self.place.namespace
    }

    /// All objects; they are asked for where they are not followed.
    pub(super) async fn objects(&self, api: &Api) -> Result<Vec<Object>, Fault> {
        let is_recent =
            |since: Option<Instant>| since.is_some_and(|since| since.elapsed() < LISTED);
        if !self.is_followed() || !is_recent(self.known.listed.get()) {
            self.distrust();
            let (objects, version) = api.list::<Object>(&self.place).await?;
            self.known.replace(objects);
            if let Some(version) = version
                && !is_recent(self.known.refused.get())
            {
                self.follow(api, version);
            }
        }
        Ok(self.known.newest())
    }

    /// Whether what is known was said by a watch.
    pub(super) fn is_followed(&self) -> bool {
        self.known.is_followed.get()
    }

    /// What a watch has said may be old: the next look lists all.
    pub(super) fn distrust(&self) {
        self.known.is_followed.set(false);
        if let Some(reader) = self.reader.take() {
            reader.abort();
        }
    }

    /// Those that are gone since the last call, as they were last.
    pub(super) fn gone(&self) -> Vec<Object> {
        self.known.gone.take()
    }

    /// It was just made: nobody may miss it until the API has said so.
    pub(super) fn has_made(&self, object: Object) {
        // Of one that is known more has been said since.
        if !self
            .known
            .objects
            .borrow()
            .contains_key(&object.metadata.uid)
        {
            self.known.put(object);
        }
    }

    fn follow(&self, api: &Api, version: String) {
        let (api, place, known) = (api.clone(), self.place.clone(), Rc::clone(&self.known));
        known.is_followed.set(true);
        let reader = spawn_local(async move {
            let ended = read(&api, &place, &known, version).await;
            known.is_followed.set(false);
            let Err(fault) = ended;
            if fault.is(403) {
                known.refused.set(Some(Instant::now()));
                tracing::warn!(
                    "the Kubernetes role does not allow to watch: {fault}; objects are listed at each look (hint: take the verb `watch` over from examples/kubernetes/rights.yaml)"
                );
            } else {
                // The next look lists them.
                tracing::debug!(%fault, "a watch has ended");
            }
        });
        self.reader.replace(Some(reader));
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.distrust();
    }
}

impl Known {
    fn replace(&self, objects: Vec<Object>) {
        self.listed.set(Some(Instant::now()));
        self.objects.borrow_mut().clear();
        for object in objects {
            self.put(object);
        }
    }

    fn put(&self, object: Object) {
        let next = self.count.get() + 1;
        self.count.set(next);
        let uid = object.metadata.uid.clone();
        let mut objects = self.objects.borrow_mut();
        let number = objects.get(&uid).map_or(next, |(number, _)| *number);
        objects.insert(uid, (number, object));
    }

    fn newest(&self) -> Vec<Object> {
        let objects = self.objects.borrow();
        let mut all: Vec<&(u64, Object)> = objects.values().collect();
        all.sort_by_key(|(number, _)| *number);
        let by_name = all
            .iter()
            .map(|(_, object)| (&object.metadata.name, object));
        let newest: HashMap<&String, &Object> = by_name.collect();
        newest.into_values().cloned().collect()
    }

    /// What the API has said; the version of what is known then.
    fn note(&self, event: WatchEvent<Object>) -> Result<Option<String>, Fault> {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let version = object.metadata.resource_version.clone();
                self.put(object);
                Ok(version)
            }
            WatchEvent::Deleted(object) => {
                let version = object.metadata.resource_version.clone();
                self.objects.borrow_mut().remove(&object.metadata.uid);
                self.gone.borrow_mut().push(object);
                Ok(version)
            }
            WatchEvent::Bookmark(bookmark) => Ok(Some(bookmark.metadata.resource_version)),
            WatchEvent::Error(status) => Err(Fault::of(kube::Error::Api(status))),
        }
    }
}

/// Reads what is said, one watch after the other, until one of them cannot be had.
async fn read(
    api: &Api,
    place: &Place,
    known: &Known,
    mut version: String,
) -> Result<std::convert::Infallible, Fault> {
    loop {
        let begun = Instant::now();
        let events = api.watch::<Object>(place, &version, LASTS).await?;
        let mut events = pin!(events);
        loop {
            let left = SILENT.saturating_sub(begun.elapsed());
            let event = tokio::time::timeout(left, events.try_next()).await;
            let event = event.map_err(|_| Fault::Silent("no end of the watch".to_owned()))?;
            let Some(event) = event.map_err(Fault::of)? else {
                break;
            };
            if let Some(next) = known.note(event)? {
                version = next;
            }
        }
        if begun.elapsed() < SHORT {
            return Err(Fault::Silent("the watch ended at once".to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, uid: &str) -> Object {
        let metadata = json!({ "name": name, "uid": uid, "resourceVersion": "7" });
        serde_json::from_value(json!({ "metadata": metadata })).expect("an object")
    }

    fn uids(known: &Known) -> Vec<String> {
        let newest = known.newest().into_iter();
        newest.map(|object| object.metadata.uid).collect()
    }

    /// C-640: what is said late of an older object of the same name says nothing of the new one.
    #[test]
    fn the_later_of_two_objects_with_one_name_counts() {
        let known = Known::default();
        known.put(object("a", "1"));
        known.put(object("a", "2"));
        assert_eq!(uids(&known), ["2"]);
        let late = known.note(WatchEvent::Modified(object("a", "1")));
        assert_eq!(late.expect("no error"), Some("7".to_owned()));
        assert_eq!(uids(&known), ["2"]);
        known
            .note(WatchEvent::Deleted(object("a", "1")))
            .expect("no error");
        assert_eq!(uids(&known), ["2"]);
        assert_eq!(known.gone.take().len(), 1);
    }
}
