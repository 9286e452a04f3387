//! The folder of this machine in which containers find the environments of those before them, mounted where the engine
//! sees this machine's files. It is no word of the container's command: what people see is that of the reference.

use bollard::models::ContainerCreateBody;
use nix::sys::statfs::{FUSE_SUPER_MAGIC, FsType, NFS_SUPER_MAGIC, statfs};

use super::Containment;
use crate::container::args::CreateRequest;
use crate::container::boot::{InnerAgent, STORE_FOLDER};
use crate::container::command::{ContainerCommand, engine_path};
use crate::container::engine::{Engine, EngineError};
use crate::settings::env_vars;
use crate::storage::create_shared;
use crate::task::journal::Owner;

/// For all tasks that run with the worker's rights.
const ALL: &str = "all";
/// An engine that runs as root may not enter a private folder here.
const FOREIGN: [FsType; 2] = [NFS_SUPER_MAGIC, FUSE_SUPER_MAGIC];

/// The folder, and what the container is told of it.
#[derive(Debug)]
pub(super) struct StoreMount {
    /// Where the engine has it.
    pub(super) outside: String,
    /// Id of the container's image.
    image: String,
}

impl StoreMount {
    /// Mounts the folder in a container that is to be made.
    pub(super) fn add_to(&self, body: &mut ContainerCreateBody) {
        let Self { outside, image } = self;
        let host = body.host_config.get_or_insert_default();
        let bind = format!("{outside}:{STORE_FOLDER}");
        host.binds.get_or_insert_default().push(bind);
        let variable = format!("{}={image}", env_vars::CONTAINER_STORE.name);
        body.env.get_or_insert_default().push(variable);
    }

    /// True where it is about this mount what the engine has said.
    pub(super) fn is_refused(&self, error: &EngineError) -> bool {
        let names = [self.outside.as_str(), STORE_FOLDER];
        matches!(error, EngineError::Refused { message, .. } if names.iter().any(|name| message.contains(name)))
    }
}

impl Containment {
    /// The folder for a task, which runs with the rights of `owner` where there is one. Without it the container makes its
    /// environment itself.
    pub(super) async fn store_for(
        &self,
        engine: &Engine,
        command: &ContainerCommand,
        owner: Option<&Owner>,
        request: &CreateRequest,
    ) -> Option<StoreMount> {
        let found = self.found_store(engine, command, owner, request).await;
        found
            .inspect_err(|reason| {
                tracing::debug!(reason, "the container sees no kept environments");
            })
            .ok()
    }

    async fn found_store(
        &self,
        engine: &Engine,
        command: &ContainerCommand,
        owner: Option<&Owner>,
        request: &CreateRequest,
    ) -> Result<StoreMount, String> {
        let store = self.store.as_deref().ok_or("they are switched off")?;
        if !matches!(command.boot.agent, InnerAgent::Runner(_)) {
            return Err("the agent inside is another".to_owned());
        }
        if engine.endpoint().is_remote() {
            return Err("the engine does not see this machine's files".to_owned());
        }
        let group = group(owner).ok_or("the task's owner is not known")?;
        let folder = store.join(group);
        let outside = match self.own_mounts(engine).await {
            Some(mounts) => mounts
                .outside(&folder)
                .map(|path| path.display().to_string()),
            None => engine_path(&self.options.settings, &folder),
        };
        let outside = outside.ok_or("the engine does not see their folder")?;
        if outside.contains(':') {
            return Err("their path has a colon".to_owned());
        }
        create_shared(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let kind = statfs(&folder).map_err(|error| error.to_string())?;
        if FOREIGN.contains(&kind.filesystem_type()) {
            return Err("their file system is another machine's".to_owned());
        }
        let image = request.body.image.as_deref().unwrap_or_default();
        let found = engine.image_id(image).await;
        let found = found.map_err(|error| error.to_string())?;
        let image = found.ok_or("the engine names no id of the image")?;
        Ok(StoreMount { outside, image })
    }
}

/// Tasks of different owners share nothing; the server's ids are letters and digits.
fn group(owner: Option<&Owner>) -> Option<String> {
    let Some(owner) = owner else {
        return Some(ALL.to_owned());
    };
    let user = owner.user.as_deref().filter(|user| !user.is_empty())?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    user.chars().all(is_plain).then(|| format!("owner.{user}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D-278: what one owner's task writes is not what another's takes.
    #[test]
    fn owners_share_nothing() {
        let of = |user: Option<&str>| {
            group(Some(&Owner {
                user: user.map(str::to_owned),
                company: None,
            }))
        };
        assert_eq!(group(None).as_deref(), Some("all"));
        assert_eq!(of(Some("a1-b_2")).as_deref(), Some("owner.a1-b_2"));
        for unknown in [None, Some(""), Some("../x"), Some("a:b")] {
            assert_eq!(of(unknown), None, "{unknown:?}");
        }
    }
}
