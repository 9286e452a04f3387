//! Before the first task: manifests without a cluster, then the cluster, and whether it takes pods of the template.

use serde_json::{Value, json};

use super::api::{Api, Collection};
use super::cluster::Kubernetes;
use super::maker::{Maker, NotMade};
use super::state::Object;
use super::{KubernetesOptions, KubernetesProblem, manifest, names, refusal};
use crate::api::{Session, WorkerId};
use crate::glue::cluster::Work;
use crate::ui::{YamlStyle, yaml};

/// Makes manifests without a cluster.
#[derive(Clone, Debug)]
pub struct Pods {
    maker: Maker,
}

impl Pods {
    /// For this worker.
    pub fn new(options: KubernetesOptions, session: Session, worker: WorkerId) -> Self {
        let owner = names::owner(worker.as_str());
        let agent_image = options.agent_image.clone();
        Self {
            maker: Maker {
                options,
                session,
                worker,
                owner,
                agent_image,
            },
        }
    }

    /// The manifest of a task as YAML. Its secret is made when it is submitted.
    pub async fn render(&self, work: &Work) -> Result<String, KubernetesProblem> {
        let mut maker = self.maker.clone();
        maker
            .agent_image
            .get_or_insert_with(|| "IMAGE-OF-THE-AGENT".to_owned());
        let not_made =
            |error: &dyn std::fmt::Display| KubernetesProblem::NotMade(error.to_string());
        let made = maker
            .make(work, &[])
            .await
            .map_err(|error| not_made(&error))?;
        yaml(&made.manifest, YamlStyle::Block).map_err(|error| not_made(&error))
    }

    /// Finds the cluster, and lets it try a pod of the template. A line where it would not take one now.
    pub async fn connect(mut self) -> Result<(Kubernetes, Option<String>), KubernetesProblem> {
        let (api, own_namespace) = Api::find().await?;
        if self.maker.agent_image.is_none() {
            self.maker.agent_image = own_image(&api, &own_namespace).await;
        }
        if self.maker.agent_image.is_none() {
            return Err(KubernetesProblem::NotMade(
                NotMade::NoAgentImage.to_string(),
            ));
        }
        let kubernetes = Kubernetes::new(self.maker, api);
        let line = kubernetes.try_template().await?;
        Ok((kubernetes, line))
    }
}

/// The image of the pod in which this process runs; none elsewhere.
async fn own_image(api: &Api, namespace: &str) -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
    let pod = api.get::<Object>(Collection::Pods, namespace, &name).await;
    pod.ok()?.image().map(str::to_owned)
}

impl Kubernetes {
    /// The API says whether it would take such a pod, and may say so (C-621, C-647).
    async fn try_template(&self) -> Result<Option<String>, KubernetesProblem> {
        let namespace = self.maker.namespace();
        let parts = manifest::Parts {
            name: "clearml-agent-trial",
            namespace,
            labels: vec![(names::OWNER.to_owned(), self.maker.owner.clone())],
            image: "clearml-agent-trial",
            variables: Vec::new(),
            keeps_entry_point: false,
            pulls_first: false,
            secret: "clearml-agent-trial",
            agent_image: self.maker.agent_image.as_deref().unwrap_or_default(),
        };
        let manifest = manifest::manifest(&self.maker.options.template, &parts);
        let mut trials = vec![(self.collection(), manifest)];
        trials.push((
            Collection::Secrets,
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "clearml-agent-trial"}}),
        ));
        let mut line = None;
        for (collection, object) in trials {
            let tried = self
                .api
                .create::<Value>(collection, namespace, &object, true);
            if let Err(fault) = tried.await {
                line = Some(refusal::trial(&fault, namespace)?);
            }
        }
        match self.list().await {
            Ok(()) => Ok(line),
            Err(fault) => refusal::trial(&fault, namespace).map(Some),
        }
    }
}
