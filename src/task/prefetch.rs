//! What a waiting task will need, fetched while others run: nobody takes the task, and the server is told nothing.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::failure::{PrepareError, without_code};
use super::prepare::{Preparation, fetch_task};
use super::server::TaskServer;
use super::timeline::Timeline;
use crate::process::Output;
use crate::python::{EnvironmentKind, EnvironmentPreview, has_room_to_spare, remove_environment};
use crate::source::{self, CodePreview};

impl Preparation {
    /// Makes the environment of the task in its own folder of environments and keeps it in the store, and fetches its code.
    ///
    /// Done is what the plan of the task says is missing. Environments that do not go to the store are not made.
    pub async fn prefetch(
        &self,
        server: &TaskServer,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<(), PrepareError> {
        let task = fetch_task(server).await?;
        let wanted = self.wanted(server, task, output)?;
        let (request, options) = (&wanted.python, &wanted.options);
        let environment = EnvironmentPreview::of(request, options, cancel).await?;
        let folder = environment.folder.clone();
        let without = |error| without_code(&error, &wanted.request, &wanted.definition.docker_cmd);
        let code = CodePreview::of(&wanted.request, &wanted.source, &folder).map_err(without)?;
        let is_kept = matches!(
            environment.kind,
            EnvironmentKind::Venv | EnvironmentKind::Uv
        ) && environment.store_key.is_some()
            && has_room_to_spare(&options.store)
            && !wanted.is_by_the_sites_script();
        let fetched = if is_kept && !environment.is_cached {
            self.fetch_environment(&wanted, output, cancel).await
        } else if code.repository.is_some_and(|code| !code.is_cached) {
            source::fetch_code(&wanted.request, &wanted.source, &folder, output, cancel)
                .await
                .map(drop)
                .map_err(without)
        } else {
            Ok(())
        };
        clear(&folder).await.and(fetched)
    }

    async fn fetch_environment(
        &self,
        wanted: &super::environment::Wanted,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<(), PrepareError> {
        let mut timeline = Timeline::begin();
        let made = self.make(wanted, &mut timeline, output, cancel).await?;
        if let Some(frozen) = &made.frozen {
            made.environment.keep(frozen, output, cancel).await?;
        }
        output.line(timeline.summary());
        Ok(())
    }
}

async fn clear(folder: &Path) -> Result<(), PrepareError> {
    Ok(remove_environment(folder).await?)
}
