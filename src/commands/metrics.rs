//! `--metrics-listen` of `daemon`, `k8s` and `slurm`: takes the address before anything else is taken.

use std::net::TcpListener;

use super::Failed;
use crate::ui::Printer;

/// A listener at the wanted address; says where it is, since port 0 means any that is free.
pub(super) fn listen(
    wanted: Option<&str>,
    printer: Printer,
) -> Result<Option<TcpListener>, Failed> {
    let Some(wanted) = wanted else {
        return Ok(None);
    };
    let failed = |error: std::io::Error| {
        Failed::message(
            format!("could not listen on `{wanted}` for `--metrics-listen`: {error}"),
            "name an address of this machine and a free port, such as 127.0.0.1:9090; each worker needs its own",
        )
    };
    let listener = TcpListener::bind(wanted).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    printer.line(format!("Metrics: http://{address}/metrics"));
    Ok(Some(listener))
}
