//! Submodules of a checkout, at their recorded commits (E-066, E-070).

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::SourceError;
use super::git::{Access, Git};
use super::request::SourceOptions;
use super::rewrite::Remote;
use crate::process::Output;
use crate::secrets;

/// Brings in the submodules; a failure is a warning, because a task may not need them.
pub(super) async fn update(
    root: &Path,
    remote: &Remote,
    options: &SourceOptions,
    output: &Output,
    cancel: &CancellationToken,
) -> Result<(), SourceError> {
    let Some(git) = Git::find(&options.environment) else {
        output.line("WARNING: the repository has submodules; they are left out, because no \"git\" executable is there");
        return Ok(());
    };
    let access = Access::to_any(Some(remote), &options.rules.credentials);
    // Whoever may name a repository of this machine may name its neighbours; one from the network may not.
    let local = [("protocol.file.allow", "always")];
    let extra = if remote.url.is_local() {
        &local[..]
    } else {
        &[]
    };
    let finished = git
        .network(
            &options.environment,
            &access,
            &options.askpass_program,
            extra,
            options.stall_limit,
        )
        .args([
            "submodule",
            "--quiet",
            "update",
            "--init",
            "--recursive",
            "--force",
        ])
        .folder(root)
        .capture(cancel)
        .await?;
    let message = secrets::mask(String::from_utf8_lossy(&finished.stderr).trim_end());
    if !message.is_empty() {
        output.line(&message);
    }
    if !finished.is_success() {
        output.line(format!(
            "WARNING: updating the submodules failed (exit code {})",
            finished.code()
        ));
    }
    Ok(())
}
