//! The requests that the glue makes, and no others: its rights are those (C-647).

use std::time::Duration;

use futures_util::Stream;
use http::{Method, Request};
use kube::core::WatchEvent;
use kube::{Client, Config};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::KubernetesProblem;
use crate::secrets;

/// For one request.
const LIMIT: Duration = Duration::from_secs(30);

/// A collection of objects.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Collection {
    Pods,
    Jobs,
    Secrets,
}

impl Collection {
    fn path(self, namespace: &str) -> String {
        let (group, name) = match self {
            Self::Pods => ("api/v1", "pods"),
            Self::Jobs => ("apis/batch/v1", "jobs"),
            Self::Secrets => ("api/v1", "secrets"),
        };
        format!("/{group}/namespaces/{namespace}/{name}")
    }
}

/// Why a request has no result.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The API has answered so.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        code: u16,
        /// Its word, such as `AlreadyExists`.
        reason: String,
        /// The whole.
        message: String,
    },
    /// It has not answered.
    #[error("{0}")]
    Silent(String),
}

impl Fault {
    pub(super) fn is(&self, wanted: u16) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == wanted)
    }

    /// What the client says, without secrets.
    pub(super) fn of(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused {
                code: status.code,
                reason: status.reason,
                message: secrets::mask(status.message.trim()),
            },
            other => Self::Silent(secrets::mask(&causes(&other))),
        }
    }

    fn late() -> Self {
        let seconds = LIMIT.as_secs();
        Self::Silent(format!(
            "the Kubernetes API did not answer within {seconds} seconds"
        ))
    }
}

/// The objects with a label, in one namespace.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) of: Collection,
    pub(super) namespace: String,
    /// As it stands in a URL.
    pub(super) label: String,
}

impl Place {
    fn path(&self) -> String {
        let path = self.of.path(&self.namespace);
        format!("{path}?labelSelector={}", self.label)
    }
}

/// Some objects.
#[derive(Debug, Deserialize)]
struct List<T> {
    items: Vec<T>,
    #[serde(default)]
    metadata: ListMetadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    resource_version: Option<String>,
}

/// The Kubernetes API, as this user.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Api")
    }
}

impl Api {
    /// The one that `KUBECONFIG`, `~/.kube/config` or the account of this pod names; and the namespace named there.
    pub(super) async fn find() -> Result<(Self, String), KubernetesProblem> {
        let found = Config::infer().await;
        let mut config =
            found.map_err(|error| KubernetesProblem::NoConfiguration(causes(&error)))?;
        // Whoever asks knows better when and what to ask again.
        config.default_retry = false;
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config)
            .map_err(|error| KubernetesProblem::NoConfiguration(causes(&error)))?;
        Ok((Self { client }, namespace))
    }

    /// All objects of a place, and the version of this list, from which it can be watched.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        place: &Place,
    ) -> Result<(Vec<T>, Option<String>), Fault> {
        let list: List<T> = self.ask(Method::GET, &place.path(), None).await?;
        let version = list.metadata.resource_version;
        Ok((list.items, version.filter(|version| !version.is_empty())))
    }

    /// What changes in a place after a version, for so long.
    pub(super) async fn watch<T: Clone + DeserializeOwned>(
        &self,
        place: &Place,
        version: &str,
        lasts: Duration,
    ) -> Result<impl Stream<Item = Result<WatchEvent<T>, kube::Error>> + use<T>, Fault> {
        let (path, seconds) = (place.path(), lasts.as_secs());
        let path = format!(
            "{path}&watch=true&resourceVersion={version}&allowWatchBookmarks=true&timeoutSeconds={seconds}"
        );
        let request = Request::get(path)
            .body(Vec::new())
            .map_err(|error| Fault::Silent(error.to_string()))?;
        let watched = tokio::time::timeout(LIMIT, self.client.request_events(request)).await;
        watched.map_err(|_| Fault::late())?.map_err(Fault::of)
    }

    /// One object.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        of: Collection,
        namespace: &str,
        name: &str,
    ) -> Result<T, Fault> {
        let path = format!("{}/{name}", of.path(namespace));
        self.ask(Method::GET, &path, None).await
    }

    /// Makes an object; one that the API would take, where `is_trial`. Members that it does not know are errors.
    pub(super) async fn create<T: DeserializeOwned>(
        &self,
        of: Collection,
        namespace: &str,
        object: &Value,
        is_trial: bool,
    ) -> Result<T, Fault> {
        let trial = if is_trial { "&dryRun=All" } else { "" };
        let path = format!("{}?fieldValidation=Strict{trial}", of.path(namespace));
        self.ask(Method::POST, &path, Some(object)).await
    }

    /// Removes an object, and what it owns; one that is gone already is no error.
    pub(super) async fn delete(
        &self,
        of: Collection,
        namespace: &str,
        (name, uid): (&str, &str),
    ) -> Result<(), Fault> {
        let path = format!("{}/{name}", of.path(namespace));
        let options = json!({
            "propagationPolicy": "Background",
            // Not another one that has got its name meanwhile.
            "preconditions": { "uid": uid },
        });
        let deleted = self.ask::<Value>(Method::DELETE, &path, Some(&options));
        match deleted.await {
            Err(error) if error.is(404) => Ok(()),
            deleted => deleted.map(drop),
        }
    }

    /// The last lines of a container of a pod.
    pub(super) async fn last_lines(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        count: usize,
    ) -> Result<String, Fault> {
        let pods = Collection::Pods.path(namespace);
        let path = format!("{pods}/{pod}/log?container={container}&tailLines={count}");
        self.text(Method::GET, &path, None).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Fault> {
        let text = self.text(method, path, body).await?;
        serde_json::from_str(&text)
            .map_err(|error| Fault::Silent(format!("the answer to {path} cannot be read: {error}")))
    }

    async fn text(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<String, Fault> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(body.into_bytes())
            .map_err(|error| Fault::Silent(error.to_string()))?;
        let answered = tokio::time::timeout(LIMIT, self.client.request_text(request)).await;
        answered.map_err(|_| Fault::late())?.map_err(Fault::of)
    }
}

/// An error with all that is behind it, each said once.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}
