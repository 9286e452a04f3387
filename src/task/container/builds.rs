//! The folders of builds: what one that was killed leaves is found by its folder, whose lock nobody holds (C-408).
//!
//! Only builds of this folder are looked at: an engine may have those of other users and machines, of which nobody here knows
//! whether they live.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::files;
use super::start::{END, remove_labelled};
use crate::container::engine::{EndpointSource, Engine};
use crate::storage::{FileLock, LockKind, Places, read_private, write_private};

/// Label of the containers that become images, and of what they are before these have their names, with the name of the
/// build's folder.
pub(super) const BUILD_LABEL: &str = "clearml-agent-build";
const LOCK: &str = "lock";
const LEFT: &str = "left.json";
/// Folders are made and looked for in no time.
const GATE_LIMIT: Duration = Duration::from_secs(10);

/// The folder of a build, whose lock this process holds.
#[derive(Debug)]
pub(super) struct BuildFolder {
    path: PathBuf,
    _lock: FileLock,
}

/// What a build that is killed leaves elsewhere.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Left {
    /// The address of the engine that has its container.
    engine: String,
    /// Files and folders for the container.
    files: Vec<PathBuf>,
}

impl BuildFolder {
    /// Makes it below `builds`.
    pub(super) async fn create(builds: &Path, name: &str) -> io::Result<Self> {
        Places::create(builds)?;
        let _gate = gate(builds).await?;
        let path = builds.join(name);
        Places::create(&path)?;
        let lock = FileLock::try_acquire(&path.join(LOCK), LockKind::Exclusive)?;
        let lock = lock.ok_or_else(|| io::Error::from(io::ErrorKind::AlreadyExists))?;
        Ok(Self { path, _lock: lock })
    }

    /// Those whose makers are dead; nobody else finds them as long as they are held here.
    async fn of_the_dead(builds: &Path) -> io::Result<Vec<Self>> {
        if !builds.is_dir() {
            return Ok(Vec::new());
        }
        let _gate = gate(builds).await?;
        let mut dead = Vec::new();
        for entry in fs::read_dir(builds)?.flatten() {
            let path = entry.path();
            if !path.is_dir() {
                continue;
            }
            if let Some(lock) = FileLock::try_acquire(&path.join(LOCK), LockKind::Exclusive)? {
                dead.push(Self { path, _lock: lock });
            }
        }
        Ok(dead)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Value of the label.
    fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Keeps in mind what is about to be made elsewhere, and which engine is about to make a container.
    pub(super) fn remember(&self, files: Vec<PathBuf>, engine: &Engine) -> io::Result<()> {
        self.write(&Left {
            engine: engine.endpoint().to_string(),
            files,
        })
    }

    fn write(&self, left: &Left) -> io::Result<()> {
        write_private(&self.path.join(LEFT), &serde_json::to_vec(left)?)
    }

    fn left(&self) -> Left {
        let text = read_private(&self.path.join(LEFT)).ok().flatten();
        let left = text.and_then(|text| serde_json::from_slice(&text).ok());
        left.unwrap_or_default()
    }

    /// Removes the files of the build, its container, and what was to become an image; the empty folder stays where the
    /// engine is another one, or does not answer, for who comes next.
    pub(super) async fn clear(self, source: &EndpointSource) {
        if self.clear_but_folder(source).await {
            files::remove(std::slice::from_ref(&self.path));
        }
    }

    /// True where nothing is left but the folder.
    pub(super) async fn clear_but_folder(&self, source: &EndpointSource) -> bool {
        let Left { engine, files } = self.left();
        files::remove(&files);
        let here = source.endpoint().map(|endpoint| endpoint.to_string());
        if !engine.is_empty() && here.is_ok_and(|here| here != engine) {
            tracing::info!(engine, "another engine has what a build has left");
            return false;
        }
        let label = (BUILD_LABEL, &*self.name());
        // An image stays as long as a container stands on it.
        if !remove_labelled(source, label).await {
            return false;
        }
        let removed = timeout(END, async {
            let engine = Engine::connect(&source.endpoint()?).await?;
            engine.remove_images(label).await
        });
        match removed.await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => tracing::warn!(%error, "could not remove the image of a build"),
            Err(_) => tracing::warn!("the engine does not remove the image of a build"),
        }
        false
    }
}

/// Held while folders are made or looked for, so that none is taken for dead before it has its lock.
async fn gate(builds: &Path) -> io::Result<FileLock> {
    let gate = builds.with_extension("lock");
    let gate = FileLock::acquire(&gate, LockKind::Exclusive, GATE_LIMIT);
    gate.await?
        .ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut))
}

/// Removes what builds below `builds` have left that were killed; those that live are left alone.
pub async fn clear_dead_builds(builds: &Path, source: &EndpointSource) {
    match BuildFolder::of_the_dead(builds).await {
        Ok(dead) => {
            for build in dead {
                build.clear(source).await;
            }
        }
        Err(error) => tracing::warn!(%error, "could not look for what earlier builds have left"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C-408
    #[tokio::test]
    async fn only_a_build_that_is_dead_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let builds = folder.path().join("builds");
        assert!(BuildFolder::of_the_dead(&builds).await.unwrap().is_empty());
        let dead = BuildFolder::create(&builds, "dead").await.unwrap();
        let living = BuildFolder::create(&builds, "living").await.unwrap();
        assert!(BuildFolder::create(&builds, "living").await.is_err());
        let copy = folder.path().join("copy");
        fs::write(&copy, "key").unwrap();
        let left = Left {
            engine: "unix:///no/such/engine".to_owned(),
            files: vec![copy.clone()],
        };
        dead.write(&left).unwrap();
        // Its process ends.
        drop(dead);
        let found = BuildFolder::of_the_dead(&builds).await.unwrap();
        let names: Vec<String> = found.iter().map(BuildFolder::name).collect();
        assert_eq!(names, ["dead"]);
        // Whoever else comes does not find it while it is being cleared.
        assert!(BuildFolder::of_the_dead(&builds).await.unwrap().is_empty());
        drop((found, living));
        assert_eq!(BuildFolder::of_the_dead(&builds).await.unwrap().len(), 2);
        // Keys go, whoever has the container.
        clear_dead_builds(&builds, &EndpointSource::default()).await;
        assert!(!copy.exists() && builds.join("dead").is_dir());
    }
}
