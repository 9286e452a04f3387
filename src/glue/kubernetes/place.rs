//! The place of a pod: who is in it, and what belongs to it.

use std::time::Duration;

use serde_json::Value;

use super::api::{Collection, Fault};
use super::cluster::Kubernetes;
use super::maker::Made;
use super::state::Object;
use super::{names, refusal};
use crate::glue::cluster::NotSubmitted;

/// An ended pod leaves its place within this time; three looks.
const LEAVES: Duration = Duration::from_millis(200);
pub(super) const LOOKS: usize = 3;

impl Kubernetes {
    /// Gives a pod its secret; withdraws it where that does not go.
    pub(super) async fn seal(&self, made: &Made, object: &Object) -> Result<(), NotSubmitted> {
        let name = &object.metadata.name;
        let secret = made.secret(&made.secret, name, &object.metadata.uid);
        let namespace = &made.namespace;
        let mut last = None;
        for _ in 0..LOOKS {
            let created = self
                .api
                .create::<Value>(Collection::Secrets, namespace, &secret, false);
            match created.await {
                Ok(_) => return Ok(()),
                Err(fault) if fault.is(409) => return Ok(()),
                Err(fault) => last = Some(fault),
            }
            tokio::time::sleep(LEAVES).await;
        }
        let fault = last.unwrap_or_else(|| Fault::Silent("no answer".to_owned()));
        let place = (name.as_str(), object.metadata.uid.as_str());
        match self.api.delete(self.collection(), namespace, place).await {
            // Without a pod the task can wait for another one.
            Ok(()) => match refusal::not_submitted(&fault, namespace) {
                NotSubmitted::Unknown(why) => Err(NotSubmitted::Later(why)),
                other => Err(other),
            },
            Err(fault) => Err(NotSubmitted::Unknown(fault.to_string())),
        }
    }

    /// Lets an older object of this name go.
    pub(super) async fn clear_place(
        &self,
        name: &str,
        namespace: &str,
    ) -> Result<(), NotSubmitted> {
        let collection = self.collection();
        let not_yet = |fault: Fault| NotSubmitted::NotYet(fault.to_string());
        let old = match self.api.get::<Object>(collection, namespace, name).await {
            Err(fault) if fault.is(404) => return Ok(()),
            old => old.map_err(not_yet)?,
        };
        let is_ours = old.label(names::OWNER) == Some(&self.maker.owner);
        if !is_ours {
            return Err(NotSubmitted::Refused(format!(
                "the name {namespace}/{name} is taken by an object that this glue has not made (hint: delete it, or name another prefix with `--pod-name-prefix`)"
            )));
        }
        if !old.is_ending() {
            let place = (name, old.metadata.uid.as_str());
            let deleted = self.api.delete(collection, namespace, place).await;
            deleted.map_err(not_yet)?;
        }
        tokio::time::sleep(LEAVES).await;
        Ok(())
    }

    /// The label of a pod with the next free number.
    pub(super) fn number(&self) -> Result<Option<u32>, NotSubmitted> {
        let Some(mode) = &self.maker.options.ports else {
            return Ok(None);
        };
        let free = mode.free(&self.numbers.borrow());
        free.map(Some).ok_or_else(|| {
            NotSubmitted::Later("k8s max pod limit (no free k8s service)".to_owned())
        })
    }
}
