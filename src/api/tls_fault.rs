//! Reads from a failed handshake what a person has to mend.

use std::error::Error;
use std::io;

use rustls::CertificateError;

use super::error::ApiError;

/// Why a TLS handshake failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TlsFault {
    /// The other side does not speak TLS.
    PlainText,
    /// By this machine's clock the certificate is not valid yet, or no longer.
    Clock,
    /// Nobody whom this machine trusts has signed the certificate.
    UnknownIssuer,
    /// The certificate is another host's.
    OtherName,
    /// Anything else.
    Other,
}

impl ApiError {
    /// Why the handshake failed, where it did.
    pub fn tls_fault(&self) -> Option<TlsFault> {
        match self {
            Self::Connection { source, .. } => find(&**source).map(classify),
            _ => None,
        }
    }
}

/// Looks into `io::Error`s too, whose `source` skips the error that they wrap.
fn find<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let wrapped = || -> Option<&'e rustls::Error> {
        let inner: &'e (dyn Error + 'static) = error.downcast_ref::<io::Error>()?.get_ref()?;
        find(inner)
    };
    error
        .downcast_ref::<rustls::Error>()
        .or_else(wrapped)
        .or_else(|| find(error.source()?))
}

fn classify(error: &rustls::Error) -> TlsFault {
    match error {
        rustls::Error::InvalidMessage(_) => TlsFault::PlainText,
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsFault::Clock,
            CertificateError::UnknownIssuer => TlsFault::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFault::OtherName
            }
            _ => TlsFault::Other,
        },
        _ => TlsFault::Other,
    }
}
