//! The hidden `boot`: what the shell of a container leaves to this program (C 2.1).

use std::path::Path;

use super::connect::{Patience, session};
use super::{ExitStatus, Failed};
use crate::api::{ApiError, ConnectionFault, Retry};
use crate::cli::{Boot, BootStep, Mounted};
use crate::container::boot::inside::{self, Place, PythonWishes};
use crate::container::boot::{HOST_NAME, deliver};
use crate::settings::{Environment, Overrides, Settings};
use crate::ui::Printer;

/// Does one step.
pub(super) fn boot(
    options: &Boot,
    environment: &Environment,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    let home = environment.get("HOME").unwrap_or("/");
    let place = Place {
        root: Path::new("/"),
        home: Path::new(home),
        environment,
        printer: printer.beside_data(),
    };
    match &options.step {
        BootStep::Files(mounted) => inside::files(place, ssh(mounted), mounted.git.as_deref()),
        BootStep::Forget(mounted) => {
            let forgotten = inside::forget(place, ssh(mounted), mounted.git.as_deref());
            forgotten.map_err(|error| {
                Failed::message(
                    format!("could not leave the credentials out of the image: {error}"),
                    "build it without `--without-credentials`, which has them in it",
                )
            })?;
        }
        BootStep::Python {
            standalone,
            own_script,
            opencv,
            not_needed,
        } => {
            let wishes = PythonWishes {
                is_standalone: *standalone,
                has_own_script: *own_script,
                installs_opencv_libs: *opencv,
                needs_none: *not_needed,
            };
            printer.data(inside::python(place, wishes).trim_end());
        }
        BootStep::Server => return super::block_on(reach_server(environment, printer)),
        BootStep::Configuration => inside::configuration(place),
        BootStep::Deliver { folder } => {
            let own = std::env::current_exe()?;
            deliver(&own, folder)
                .map_err(|error| Failed::message(error.to_string(), error.hint()))?;
        }
        BootStep::Shell { folder } => {
            let error = inside::become_shell(place, folder);
            return Err(Failed::message(
                format!("could not run the task in this image: {error}"),
                "the scripts of the task and of the agent need a shell: choose an image with `sh`",
            ));
        }
    }
    Ok(ExitStatus::SUCCESS)
}

/// What can be done about a server that is not reached.
fn unreached(server: &str) -> &'static str {
    let url = url::Url::parse(server).ok();
    let host = url
        .as_ref()
        .and_then(|url| url.host_str())
        .unwrap_or_default();
    if host == HOST_NAME {
        "this is the machine of the container, by the gateway of its network: let the server listen there, not on 127.0.0.1 alone, \
         and the firewall let it through; with `--network host` in its arguments the container has the network of its machine"
    } else {
        "check the network, the proxy and the firewall of the container; with `--network host` in its arguments it has \
         the network of its machine"
    }
}

fn ssh(mounted: &Mounted) -> Option<(&Path, &Path)> {
    let from = mounted.ssh.as_deref()?;
    Some((from, &mounted.ssh_folder))
}

/// Fails where the server cannot be reached from this container; whatever else is wrong with it is found out by who logs in.
async fn reach_server(environment: &Environment, printer: Printer) -> Result<ExitStatus, Failed> {
    let home = environment.get("HOME").unwrap_or("/");
    let settings = Settings::load(environment, Path::new(home), &Overrides::default());
    let Ok(session) = settings
        .map_err(Failed::from)
        .and_then(|settings| session(&settings, Patience::Short, printer))
    else {
        return Ok(ExitStatus::SUCCESS);
    };
    let session = if inside::has_network(Path::new("/")) {
        session
    } else {
        // It does not come by waiting.
        session.with_retry(Retry::Never)
    };
    let server = session.server().to_owned();
    match session.server_calls().ping().await {
        Err(ApiError::Connection {
            fault:
                fault @ (ConnectionFault::Refused
                | ConnectionFault::Dns
                | ConnectionFault::Timeout
                | ConnectionFault::Other),
            ..
        }) => Err(Failed::message(
            format!("the API server {server} cannot be reached from inside the container: {fault}"),
            unreached(&server),
        )),
        _ => Ok(ExitStatus::SUCCESS),
    }
}
