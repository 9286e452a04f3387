//! `clearml-agent k8s` in a build without the feature `kubernetes`, such as the runner of containers.

use super::{ExitStatus, Failed};
use crate::cli::Kubernetes as Arguments;
use crate::settings::Settings;
use crate::ui::Printer;

/// Fails: there is nothing here that speaks to Kubernetes.
#[expect(clippy::unused_async, reason = "it stands for what waits")]
pub(super) async fn k8s(_: Settings, _: Arguments, _: Printer) -> Result<ExitStatus, Failed> {
    Err(Failed::message(
        "this build does not submit pods",
        "use `clearml-agent`: the static build is for the containers of tasks",
    ))
}
