//! All who may ask a worker what it does, and where: its user by a socket, a monitoring system where one is wanted.

use std::io;
use std::net::TcpListener;
use std::path::Path;

use tokio::task::{JoinHandle, spawn_local};

use super::control::ControlSocket;
use super::state::State;
use super::{gpu_idle, http};
use crate::monitor::VisibleGpus;
use crate::ui::Printer;

/// Answers until it is dropped.
#[derive(Debug)]
pub(super) struct Answers {
    control: Option<ControlSocket>,
    monitoring: Vec<JoinHandle<()>>,
}

impl Answers {
    /// Listens in the folder `control`, and to `metrics` if there is such a thing. Must run on a `LocalSet`.
    pub(super) fn begin(
        control: &Path,
        metrics: Option<TcpListener>,
        gpus: VisibleGpus,
        state: &State,
    ) -> io::Result<Self> {
        Ok(Self {
            control: listen(control, state),
            monitoring: match metrics {
                Some(listener) => monitor(listener, gpus, state)?,
                None => Vec::new(),
            },
        })
    }

    /// Ends with the last answer to those who have asked already.
    pub(super) async fn finish(mut self) {
        if let Some(control) = self.control.take() {
            control.finish().await;
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.monitoring.iter().for_each(JoinHandle::abort);
    }
}

/// Without it the worker cannot be asked, which is no reason not to work.
fn listen(folder: &Path, state: &State) -> Option<ControlSocket> {
    match ControlSocket::listen(folder, state.clone()) {
        Ok(socket) => Some(socket),
        Err(error) => {
            Printer::default().warning(&format!(
                "no control socket in `{}`, `--drain` and `--status --json` will not find this worker: {error}",
                folder.display()
            ));
            None
        }
    }
}

fn monitor(
    listener: TcpListener,
    gpus: VisibleGpus,
    state: &State,
) -> io::Result<Vec<JoinHandle<()>>> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    Ok(vec![
        spawn_local(http::serve(listener, state.clone())),
        spawn_local(gpu_idle::count(gpus, state.clone())),
    ])
}
