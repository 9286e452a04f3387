//! Containers: made, started, watched, ended, found again.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use bollard::body_full;
use bollard::models::{ContainerCreateBody, ContainerStateStatusEnum};
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, CreateContainerOptionsBuilder,
    DownloadFromContainerOptionsBuilder, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, StopContainerOptionsBuilder, UploadToContainerOptionsBuilder,
    WaitContainerOptions,
};
use futures_util::StreamExt;

use super::error::EngineError;
use super::{Engine, PATIENCE};

/// How long an engine that does not answer is left alone.
const PAUSE: Duration = Duration::from_secs(2);

/// A container that was made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Created {
    /// Its id.
    pub id: String,
    /// What the engine warns of.
    pub warnings: Vec<String>,
}

/// A label and its value.
pub type Label<'a> = (&'a str, &'a str);

/// What a container does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum State {
    /// It was made and never started.
    Created,
    /// It runs, or is paused, or is being restarted by the engine.
    Running,
    /// It has ended.
    Ended(End),
}

/// How a container ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct End {
    /// Exit code of its first process.
    pub code: i64,
    /// The kernel has killed something in it because its memory was used up.
    pub is_out_of_memory: bool,
    /// What the engine says about it; mostly nothing.
    pub error: String,
    /// The engine went away while the container was waited for.
    pub engine_was_away: bool,
}

impl Engine {
    /// Makes a container that is not started yet.
    pub async fn create(
        &self,
        name: Option<&str>,
        platform: Option<&str>,
        body: ContainerCreateBody,
    ) -> Result<Created, EngineError> {
        let mut options = CreateContainerOptionsBuilder::new();
        if let Some(name) = name {
            options = options.name(name);
        }
        if let Some(platform) = platform {
            options = options.platform(platform);
        }
        let made = self.docker.create_container(Some(options.build()), body);
        let made = made.await.map_err(|error| EngineError::from_call(&error))?;
        Ok(Created {
            id: made.id,
            warnings: made.warnings,
        })
    }

    /// Starts it.
    pub async fn start(&self, container: &str) -> Result<(), EngineError> {
        let started = self.docker.start_container(container, None);
        started
            .await
            .map_err(|error| EngineError::from_call(&error))
    }

    /// True where `path` is in the container, started or not.
    pub async fn has_file(&self, container: &str, path: &str) -> Result<bool, EngineError> {
        let options = ContainerArchiveInfoOptionsBuilder::new().path(path).build();
        let asked = self
            .docker
            .get_container_archive_info(container, Some(options));
        match asked.await {
            Ok(_) => Ok(true),
            Err(error) => match EngineError::from_call(&error) {
                EngineError::Refused { status: 404, .. } => Ok(false),
                error => Err(self.words(container, path).await.unwrap_or(error)),
            },
        }
    }

    /// Why a file cannot be had: the answer to the question whether it is there has no room for words.
    async fn words(&self, container: &str, path: &str) -> Option<EngineError> {
        let options = DownloadFromContainerOptionsBuilder::new()
            .path(path)
            .build();
        let mut pieces = self
            .docker
            .download_from_container(container, Some(options));
        let refused = pieces.next().await?.err()?;
        Some(EngineError::from_call(&refused))
    }

    /// Unpacks a tar archive in a folder of the container, started or not.
    pub async fn upload(
        &self,
        container: &str,
        folder: &str,
        archive: Vec<u8>,
    ) -> Result<(), EngineError> {
        let options = UploadToContainerOptionsBuilder::new().path(folder).build();
        let sent =
            self.docker
                .upload_to_container(container, Some(options), body_full(archive.into()));
        sent.await.map_err(|error| EngineError::from_call(&error))
    }

    /// What it does now.
    pub async fn state(&self, container: &str) -> Result<State, EngineError> {
        let found = self.docker.inspect_container(container, None).await;
        let found = found.map_err(|error| EngineError::from_call(&error))?;
        let state = found.state.unwrap_or_default();
        Ok(match state.status {
            Some(ContainerStateStatusEnum::CREATED) => State::Created,
            Some(ContainerStateStatusEnum::EXITED | ContainerStateStatusEnum::DEAD) => {
                State::Ended(End {
                    code: state.exit_code.unwrap_or(-1),
                    is_out_of_memory: state.oom_killed == Some(true),
                    error: state.error.unwrap_or_default(),
                    engine_was_away: false,
                })
            }
            _ => State::Running,
        })
    }

    /// Its network mode, as `--network` has it.
    pub async fn network(&self, container: &str) -> Result<Option<String>, EngineError> {
        let found = self.docker.inspect_container(container, None).await;
        let found = found.map_err(|error| EngineError::from_call(&error))?;
        Ok(found.host_config.and_then(|host| host.network_mode))
    }

    /// What is mounted in it: the place there, and where the engine has it.
    pub async fn mounts(&self, container: &str) -> Result<Vec<(PathBuf, PathBuf)>, EngineError> {
        let found = self.docker.inspect_container(container, None).await;
        let found = found.map_err(|error| EngineError::from_call(&error))?;
        let mounts = found.mounts.unwrap_or_default().into_iter();
        let pairs = mounts.filter_map(|mount| Some((mount.destination?, mount.source?)));
        let is_there = |(_, source): &(String, String)| source.starts_with('/');
        Ok(pairs
            .filter(is_there)
            .map(|(inside, outside)| (inside.into(), outside.into()))
            .collect())
    }

    /// Waits until it has ended, whatever happens to the engine meanwhile; an error only where it is gone.
    pub async fn wait(&self, container: &str) -> Result<End, EngineError> {
        let mut engine_was_away = false;
        loop {
            match self.state(container).await {
                Ok(State::Ended(end)) => {
                    return Ok(End {
                        engine_was_away,
                        ..end
                    });
                }
                // It has outlived whatever happened to the engine.
                Ok(_) => engine_was_away = false,
                Err(error) if error.is_passing() => {
                    engine_was_away = true;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
            let ended = self
                .docker
                .wait_container(container, None::<WaitContainerOptions>);
            let mut ended = std::pin::pin!(ended);
            // The code is read with the state, which knows more.
            let has_ended = matches!(
                ended.next().await,
                Some(Ok(_) | Err(bollard::errors::Error::DockerContainerWaitError { .. }))
            );
            if !has_ended {
                engine_was_away = true;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Asks it to end, and kills it after `grace`. One that has ended already is no error.
    pub async fn stop(&self, container: &str, grace: Duration) -> Result<(), EngineError> {
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        let patient = self.docker.clone().with_timeout(PATIENCE + grace);
        let stopped = patient.stop_container(container, Some(options)).await;
        ended_already(stopped)
    }

    /// Kills it. One that has ended already is no error.
    pub async fn kill(&self, container: &str) -> Result<(), EngineError> {
        let options = KillContainerOptionsBuilder::new().signal("KILL").build();
        ended_already(self.docker.kill_container(container, Some(options)).await)
    }

    /// Removes it with its anonymous volumes; one that is gone is no error.
    pub async fn remove(&self, container: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::new()
            .force(true)
            .v(true)
            .build();
        let removed = self.docker.remove_container(container, Some(options)).await;
        match removed.map_err(|error| EngineError::from_call(&error)) {
            // With 409 somebody else removes it at this moment.
            Err(EngineError::NoContainer | EngineError::Refused { status: 409, .. }) => Ok(()),
            other => other,
        }
    }

    /// Ids of all containers with this label, also of those that have ended.
    pub async fn with_label(&self, (name, value): Label<'_>) -> Result<Vec<String>, EngineError> {
        let filters = HashMap::from([("label", vec![format!("{name}={value}")])]);
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let found = self.docker.list_containers(Some(options)).await;
        let found = found.map_err(|error| EngineError::from_call(&error))?;
        Ok(found
            .into_iter()
            .filter_map(|container| container.id)
            .collect())
    }
}

fn ended_already(result: Result<(), bollard::errors::Error>) -> Result<(), EngineError> {
    match result.map_err(|error| EngineError::from_call(&error)) {
        Err(
            EngineError::NoContainer
            | EngineError::Refused {
                status: 304 | 409, ..
            },
        ) => Ok(()),
        other => other,
    }
}
