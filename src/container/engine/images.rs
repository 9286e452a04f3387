//! Images: whether one is there, and how it comes.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bollard::models::CreateImageInfo;
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateImageOptionsBuilder, ListImagesOptionsBuilder,
    RemoveImageOptions,
};
use futures_util::StreamExt;
use tokio::time::Instant;

use super::credentials::login;
use super::error::EngineError;
use super::reference::Reference;
use super::{Engine, Label};

/// How often the console says how far a pull has come.
const PROGRESS: Duration = Duration::from_secs(10);

/// Where logins of registries are found.
#[derive(Clone, Copy, Debug)]
pub struct Logins<'a> {
    /// `DOCKER_CONFIG`, else `~/.docker`.
    pub folder: &'a Path,
    /// `PATH`, for the programs that keep logins.
    pub search_path: &'a str,
}

impl Engine {
    /// True where the engine has the image.
    pub async fn has_image(&self, image: &str) -> Result<bool, EngineError> {
        Reference::parse(image)?;
        match self.docker.inspect_image(image).await {
            Ok(_) => Ok(true),
            Err(error) => match EngineError::from_call(&error) {
                EngineError::Refused { status: 404, .. } | EngineError::NoContainer => Ok(false),
                error => Err(error),
            },
        }
    }

    /// The id of the image that has this name now; none where the engine does not say it.
    pub async fn image_id(&self, image: &str) -> Result<Option<String>, EngineError> {
        let found = self.docker.inspect_image(image).await;
        let found = found.map_err(|error| EngineError::from_call(&error))?;
        Ok(found.id.filter(|id| !id.is_empty()))
    }

    /// Fails where no image can have this name.
    pub fn check_name(name: &str) -> Result<(), EngineError> {
        Reference::parse(name).map(drop)
    }

    /// The words that containers of the image run by themselves; none where it has no command.
    pub async fn image_command(&self, image: &str) -> Result<Vec<String>, EngineError> {
        let found = self.docker.inspect_image(image).await;
        let found = found.map_err(|error| EngineError::from_call(&error))?;
        let configuration = found.config.unwrap_or_default();
        Ok(configuration.cmd.unwrap_or_default())
    }

    /// Brings the image here; what happens is said in lines without control characters.
    pub async fn pull(
        &self,
        image: &str,
        platform: Option<&str>,
        logins: Logins<'_>,
        mut say: impl FnMut(String),
    ) -> Result<(), EngineError> {
        let reference = Reference::parse(image)?;
        let login = login(
            logins.folder,
            &reference.registry,
            logins.search_path,
            &mut say,
        );
        let login = login.await;
        let options = CreateImageOptionsBuilder::new()
            .from_image(&reference.name)
            .tag(&reference.tag)
            .platform(platform.unwrap_or_default())
            .build();
        let failed = |reason: String| EngineError::Pull {
            image: image.to_owned(),
            reason,
        };
        let mut progress = Progress::new();
        let mut answers = std::pin::pin!(self.docker.create_image(Some(options), None, login));
        while let Some(answer) = answers.next().await {
            let answer = answer.map_err(|error| match EngineError::from_call(&error) {
                EngineError::Refused { message, .. } => failed(message),
                error => failed(error.to_string()),
            })?;
            // The status of the answer as a whole was 200 long ago.
            if let Some(error) = answer.error_detail {
                return Err(failed(error.message.unwrap_or_default()));
            }
            progress.tell(answer, &mut say);
        }
        Ok(())
    }

    /// Makes an image of a container; its id.
    pub async fn commit(
        &self,
        container: &str,
        name: Option<&str>,
        changes: &[String],
    ) -> Result<String, EngineError> {
        let changes = changes.join("\n");
        let mut options = CommitContainerOptionsBuilder::new()
            .container(container)
            .changes(&changes)
            .pause(true);
        if let Some(name) = name {
            let (repository, tag) = match name.rsplit_once(':') {
                Some((repository, tag)) if !tag.contains('/') => (repository, tag),
                _ => (name, "latest"),
            };
            options = options.repo(repository).tag(tag);
        }
        let options = options.build();
        let made = self
            .docker
            .commit_container(options, bollard::models::ContainerConfig::default());
        let made = made.await.map_err(|error| EngineError::from_call(&error))?;
        Ok(made.id)
    }
}

impl Engine {
    /// Removes the images with this label; one on which others stand is left, because it goes with them.
    pub async fn remove_images(&self, (name, value): Label<'_>) -> Result<(), EngineError> {
        let filters = HashMap::from([("label", vec![format!("{name}={value}")])]);
        let options = ListImagesOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let found = self.docker.list_images(Some(options)).await;
        for image in found.map_err(|error| EngineError::from_call(&error))? {
            let removed = self
                .docker
                .remove_image(&image.id, None::<RemoveImageOptions>, None);
            match removed
                .await
                .map_err(|error| EngineError::from_call(&error))
            {
                Ok(_)
                | Err(EngineError::Refused {
                    status: 404 | 409, ..
                }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What is said of a pull: each step once, and how far it is from time to time.
struct Progress {
    layers: std::collections::BTreeMap<String, (i64, i64)>,
    said: Instant,
}

impl Progress {
    fn new() -> Self {
        Self {
            layers: std::collections::BTreeMap::new(),
            said: Instant::now(),
        }
    }

    fn tell(&mut self, answer: CreateImageInfo, say: &mut impl FnMut(String)) {
        let status = answer.status.unwrap_or_default();
        let detail = answer.progress_detail.unwrap_or_default();
        let Some(layer) = answer.id else {
            say(status);
            return;
        };
        match (status.as_str(), detail.current, detail.total) {
            ("Downloading", Some(current), Some(total)) => {
                self.layers.insert(layer, (current, total));
                if self.said.elapsed() >= PROGRESS {
                    self.said = Instant::now();
                    say(self.summary());
                }
            }
            // Several a second, and nothing but bars.
            ("Downloading" | "Extracting" | "Waiting" | "Verifying Checksum", _, _) => {}
            ("Download complete", _, _) => {
                if let Some((current, total)) = self.layers.get_mut(&layer) {
                    *current = *total;
                }
                say(format!("{layer}: {status}"));
            }
            _ => say(format!("{layer}: {status}")),
        }
    }

    fn summary(&self) -> String {
        let sum = |part: fn(&(i64, i64)) -> i64| self.layers.values().map(part).sum::<i64>();
        let mebibytes = |bytes: i64| bytes / (1024 * 1024);
        format!(
            "Downloaded {} of {} MiB so far",
            mebibytes(sum(|layer| layer.0)),
            mebibytes(sum(|layer| layer.1))
        )
    }
}
