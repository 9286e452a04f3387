//! Options that are understood and cannot be obeyed yet: said at once, never passed over in silence.

use super::Failed;
use crate::cli::{Build, Daemon, Execute};
use crate::process::find_program;

const CONTAINER_HINT: &str = "leave it out to run tasks without containers";

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

/// What is asked of a daemon that is to be started and cannot be had.
pub(super) fn refuse_daemon(arguments: &Daemon) -> Result<(), Failed> {
    let options = [
        ("--docker", arguments.docker.is_some(), CONTAINER_HINT),
        ("--podman", arguments.podman.is_some(), CONTAINER_HINT),
    ];
    refuse_first("daemon", &options)
}

fn is_service(arguments: &Daemon) -> bool {
    arguments
        .services_mode
        .is_some_and(|limit| limit != Some(0))
}

/// Both for `execute`.
pub(super) fn check_execute(arguments: &Execute, search_path: Option<&str>) -> Result<(), Failed> {
    if arguments.docker.is_some() {
        find_docker(search_path)?;
    }
    refuse_first(
        "execute",
        &[("--docker", arguments.docker.is_some(), CONTAINER_HINT)],
    )
}

/// `build` as a whole.
pub(super) fn build(arguments: &Build) -> Failed {
    if arguments.id.is_empty() {
        return Failed::message(
            "Worker build must have valid task id",
            "name the task with `--id`",
        );
    }
    Failed::message(
        "`build` is not available in this version yet",
        "`execute` makes the environment of a task and keeps it in the cache",
    )
}

fn refuse_first(verb: &str, options: &[(&str, bool, &str)]) -> Result<(), Failed> {
    match options.iter().find(|(_, is_given, _)| *is_given) {
        Some((option, _, hint)) => Err(Failed::message(
            format!("`{verb} {option}` is not available in this version yet"),
            hint,
        )),
        None => Ok(()),
    }
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
