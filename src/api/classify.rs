//! Reads from the HTTP library's error what happened and whether the request left.

use std::error::Error;
use std::io;
use std::sync::Arc;

use super::error::{ApiError, ConnectionFault, Delivery};
use crate::secrets::mask;

/// The error of a try that got no complete answer.
pub(super) fn connection_error(
    call: &'static str,
    server: &Arc<str>,
    source: reqwest::Error,
) -> ApiError {
    if source.is_redirect() {
        return ApiError::Malformed {
            call,
            status: 0,
            reason: "too many redirects".to_owned(),
        };
    }
    let delivery = if source.is_connect() || source.is_builder() {
        Delivery::NotSent
    } else {
        Delivery::Unknown
    };
    ApiError::Connection {
        call,
        server: server.clone(),
        fault: fault(&source),
        delivery,
        reason: mask(&innermost(&source)),
        // The URL is said already, and could hold what should not be said.
        source: Arc::new(source.without_url()),
    }
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

fn fault(error: &reqwest::Error) -> ConnectionFault {
    if error.is_dns() {
        return ConnectionFault::Dns;
    }
    if error.is_timeout() {
        return ConnectionFault::Timeout;
    }
    let mut source: Option<&(dyn Error + 'static)> = Some(error);
    let mut found = if error.is_connect() {
        ConnectionFault::Other
    } else {
        ConnectionFault::Closed
    };
    while let Some(error) = source {
        if is_tls(error) {
            return ConnectionFault::Tls;
        }
        if let Some(io) = error.downcast_ref::<io::Error>()
            && io.kind() == io::ErrorKind::ConnectionRefused
        {
            found = ConnectionFault::Refused;
        }
        source = error.source();
    }
    found
}

/// Looks into `io::Error`s too, whose `source` skips the error that they wrap.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    error.is::<rustls::Error>()
        || error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .is_some_and(|inner| is_tls(inner))
}
