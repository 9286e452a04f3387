//! Those who may ask a worker: its user by a socket, a monitoring system where one is wanted.

use std::io;
use std::net::TcpListener;
use std::path::Path;

use tokio::task::{JoinHandle, spawn_local};

use super::http;
use super::socket::ControlSocket;
use super::watched::Watched;
use crate::ui::Printer;

/// Answers until it is dropped.
#[derive(Debug)]
pub struct Answers {
    control: Option<ControlSocket>,
    monitoring: Option<JoinHandle<()>>,
}

impl Answers {
    /// Listens in the folder `control`, and to `metrics` if there is such a thing. Must run on a `LocalSet`.
    pub fn begin(
        control: &Path,
        metrics: Option<TcpListener>,
        watched: &impl Watched,
    ) -> io::Result<Self> {
        Ok(Self {
            control: listen(control, watched),
            monitoring: metrics
                .map(|listener| monitor(listener, watched))
                .transpose()?,
        })
    }

    /// Ends with the last answer to those who have asked already.
    pub async fn finish(mut self) {
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
fn listen(folder: &Path, watched: &impl Watched) -> Option<ControlSocket> {
    match ControlSocket::listen(folder, watched.clone()) {
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

fn monitor(listener: TcpListener, watched: &impl Watched) -> io::Result<JoinHandle<()>> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    Ok(spawn_local(http::serve(listener, watched.clone())))
}
