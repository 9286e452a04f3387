//! Options that are understood and cannot be obeyed yet: said at once, never passed over in silence.

use super::Failed;
use crate::cli::{Build, Daemon, Execute};
use crate::process::find_program;
use crate::ui::Printer;

/// What is asked of `daemon` and does not go together, in the reference's words.
pub(super) fn check_daemon(arguments: &Daemon, search_path: Option<&str>) -> Result<(), Failed> {
    if is_service(arguments) && arguments.dynamic_gpus {
        return Err(Failed::message(
            "Combining --dynamic-gpus and --services-mode is not supported",
            "use one of them",
        ));
    }
    if let (Some(docker), Some(podman)) = (&arguments.docker, &arguments.podman)
        && docker != podman
    {
        return Err(Failed::message(
            "Running in docker+podman mode, different containers provided. \
             Please use --docker or --podman with container details, not both.",
            "use one of them",
        ));
    }
    if arguments.docker.is_some() || arguments.podman.is_some() {
        find_docker(search_path)?;
    }
    Ok(())
}

fn is_service(arguments: &Daemon) -> bool {
    arguments
        .services_mode
        .is_some_and(|limit| limit != Some(0))
}

/// Both for `execute`.
pub(super) fn check_execute(arguments: &Execute, search_path: Option<&str>) -> Result<(), Failed> {
    if arguments.plan {
        // A plan needs no engine.
        return Ok(());
    }
    if arguments.docker.is_some() {
        find_docker(search_path)?;
    }
    Ok(())
}

/// The same for `build`; what the official agent passes over in silence is a warning.
pub(super) fn check_build(
    arguments: &Build,
    search_path: Option<&str>,
    printer: Printer,
) -> Result<(), Failed> {
    if arguments.docker.is_some() {
        return find_docker(search_path);
    }
    if arguments.without_credentials {
        return Err(Failed::message(
            "--without-credentials is for images, and without --docker none is made",
            "add `--docker`",
        ));
    }
    for (is_given, option) in [
        (arguments.entry_point.is_some(), "--entry-point"),
        (arguments.force_docker, "--force-docker"),
    ] {
        if is_given {
            printer.warning(&format!(
                "{option} is for images, and without --docker none is made"
            ));
        }
    }
    Ok(())
}

/// D-050: the program must be there; it need not work yet.
fn find_docker(search_path: Option<&str>) -> Result<(), Failed> {
    if find_program("docker", search_path.unwrap_or_default()).is_some() {
        return Ok(());
    }
    Err(Failed::message(
        "Running in Docker mode, 'docker' command was not found",
        "install docker, or put it on `PATH`",
    ))
}
