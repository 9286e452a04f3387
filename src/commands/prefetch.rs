//! The hidden `prefetch`: what a waiting task will need, for a daemon.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::connect::{self, Patience};
use super::execute::not_taken;
use super::options::{self, PreparationWishes};
use super::{ExitStatus, Failed, container};
use crate::api::{TaskId, WorkerId};
use crate::process::{Output, yield_to_others};
use crate::settings::{Environment, Overrides, Settings};
use crate::task::{PrefetchFolder, TaskServer};

/// Carries out the order in `folder`.
pub(super) async fn prefetch(
    folder: &Path,
    environment: &Environment,
) -> Result<ExitStatus, Failed> {
    yield_to_others();
    let folder = PrefetchFolder::at(folder);
    let order = folder.read().map_err(|error| {
        let path = folder.path().display();
        Failed::message(
            format!("there is no order in `{path}`: {error}"),
            "`prefetch` is started by the daemon",
        )
    })?;
    let Some(_busy) = folder.hold().await? else {
        return Ok(ExitStatus::SUCCESS);
    };
    let overrides = Overrides::of_file(Some(folder.configuration()));
    let home = environment.get("HOME").unwrap_or("/");
    let settings = Settings::load(environment, Path::new(home), &overrides)?;
    let settings = options::for_devices(settings, &order.options);
    let session = connect::silent_session(&settings, None, Patience::Short)?;
    let (task, worker): (TaskId, WorkerId) = (order.task.parse()?, order.worker.parse()?);
    let server = TaskServer::new(session, task, worker.clone());
    let output = Output::stdout()?;
    let parent = container::Parent {
        worker: worker.as_str(),
        is_own_worker: false,
        is_service: false,
        uses_owner_token: false,
    };
    if let Some(containment) = container::containment(&settings, &order.options, &parent)? {
        let inside = folder.path().join("container");
        let brought = containment.prefetch(&server, &inside, &output).await;
        return brought.map(|()| ExitStatus::SUCCESS).map_err(|error| {
            Failed::message(error, "the task will say so itself, unless that is mended")
        });
    }
    let mut preparation = options::preparation(
        &settings,
        PreparationWishes {
            configuration: folder.configuration(),
            worker: Some(worker),
            options: order.options,
            task: None,
        },
    )?;
    preparation.python.venvs_dir.clone_from(&order.environments);
    let cancel = CancellationToken::new();
    let fetched = preparation.prefetch(&server, &output, &cancel).await;
    fetched.map_err(not_taken)?;
    Ok(ExitStatus::SUCCESS)
}
