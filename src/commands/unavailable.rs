//! Options that are understood and cannot be obeyed yet: said at once, never passed over in silence.

use std::path::Path;

use super::Failed;
use crate::cli::{Build, Daemon, Execute};

const CONTAINER_HINT: &str = "leave it out to run tasks without containers";

/// What is asked of `daemon` and cannot be had; contradictions come first, in the reference's words.
pub(super) fn check_daemon(arguments: &Daemon, search_path: Option<&str>) -> Result<(), Failed> {
    let is_service = arguments
        .services_mode
        .is_some_and(|limit| limit != Some(0));
    if is_service && arguments.dynamic_gpus {
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
    let is_detached = arguments.detached && !arguments.foreground;
    let options = [
        ("--docker", arguments.docker.is_some(), CONTAINER_HINT),
        ("--podman", arguments.podman.is_some(), CONTAINER_HINT),
        (
            "--stop",
            arguments.stop.is_some(),
            "end the agent with `kill PID`; its task is ended in an orderly way",
        ),
        (
            "--status",
            arguments.status,
            "`clearml-agent list` prints the workers and their queues",
        ),
        (
            "--detached",
            is_detached,
            "use `--foreground` under a service manager, or `nohup clearml-agent daemon ... &`",
        ),
        (
            "--services-mode",
            is_service,
            "start one agent for each task that is to run at the same time",
        ),
        (
            "--dynamic-gpus",
            arguments.dynamic_gpus,
            "start one agent for each GPU",
        ),
        (
            "--order-fairness",
            arguments.order_fairness,
            "leave it out: the first queue comes first then",
        ),
        (
            "--uptime",
            arguments.uptime.is_some(),
            "start and stop the agent by a timer",
        ),
        (
            "--downtime",
            arguments.downtime.is_some(),
            "start and stop the agent by a timer",
        ),
        (
            "--child-report-tags",
            arguments.child_report_tags.is_some(),
            "leave it out: reports have no tags then",
        ),
        (
            "--use-owner-token",
            arguments.use_owner_token,
            "leave it out: tasks run with the agent's credentials then",
        ),
    ];
    refuse_first("daemon", &options)
}

/// The same for `execute`.
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
    let mut folders = search_path.unwrap_or_default().split(':');
    if folders.any(|folder| Path::new(folder).join("docker").is_file()) {
        return Ok(());
    }
    Err(Failed::message(
        "Running in Docker mode, 'docker' command was not found",
        "install docker, or put it on `PATH`",
    ))
}
