//! Which certificates are trusted, and the TLS settings made of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::error::ConfigurationError;
use super::verifier;

/// Against what a server's certificate is checked (A-030).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CertificateCheck {
    /// The system's trust store.
    #[default]
    System,
    /// Only the certificates of this file or folder.
    File(PathBuf),
    /// Nothing is checked.
    Off,
}

/// What is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    /// What replaces or is the trust store.
    pub check: CertificateCheck,
    /// Files or folders whose certificates are trusted in addition.
    pub extra_roots: Vec<PathBuf>,
}

impl Trust {
    /// Joins `api.verify_certificate` with the variables: `REQUESTS_CA_BUNDLE`, else `CURL_CA_BUNDLE`,
    /// replaces the store of a checked connection (A-032), then the configured file, then `SSL_CERT_FILE`
    /// and `SSL_CERT_DIR`. What the configuration switched off stays off.
    pub fn resolve(
        configured: CertificateCheck,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let path = |name: &str| {
            variable(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let bundle = || path("REQUESTS_CA_BUNDLE").or_else(|| path("CURL_CA_BUNDLE"));
        let mut extra_roots = Vec::new();
        let check = match configured {
            CertificateCheck::Off => CertificateCheck::Off,
            CertificateCheck::File(file) => CertificateCheck::File(bundle().unwrap_or(file)),
            CertificateCheck::System => match bundle() {
                Some(bundle) => CertificateCheck::File(bundle),
                None => match (path("SSL_CERT_FILE"), path("SSL_CERT_DIR")) {
                    (Some(file), folder) => {
                        extra_roots.extend(folder);
                        CertificateCheck::File(file)
                    }
                    (None, Some(folder)) => CertificateCheck::File(folder),
                    (None, None) => CertificateCheck::System,
                },
            },
        };
        Self { check, extra_roots }
    }

    /// TLS settings for connections to a server at `https://`; without TLS a missing file is no error.
    pub(super) fn client_config(&self, needed: bool) -> Result<ClientConfig, ConfigurationError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigurationError::Client(error.to_string()))?
            .dangerous();
        let verifier = match self.roots(needed) {
            Ok(None) => verifier::unchecked(provider),
            Ok(Some((roots, named))) => verifier::checked(roots, named, provider)?,
            Err(error) if needed => return Err(error),
            Err(_) => verifier::checked(RootCertStore::empty(), Vec::new(), provider)?,
        };
        Ok(builder
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth())
    }

    /// All roots, and those of them that the user named; none where nothing is checked.
    fn roots(&self, needed: bool) -> Result<Option<Roots>, ConfigurationError> {
        let mut named = Vec::new();
        let mut roots = RootCertStore::empty();
        match &self.check {
            CertificateCheck::Off => return Ok(None),
            CertificateCheck::System if !needed => {}
            CertificateCheck::System => {
                // A machine may have no store at all; then only the extra roots count.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            CertificateCheck::File(path) => named.extend(read_certificates(path)?),
        }
        for path in &self.extra_roots {
            named.extend(read_certificates(path)?);
        }
        roots.add_parsable_certificates(named.iter().cloned());
        Ok(Some((roots, named)))
    }
}

type Roots = (RootCertStore, Vec<CertificateDer<'static>>);

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigurationError> {
    let failed = |reason: String| ConfigurationError::Certificates {
        path: path.to_owned(),
        reason,
    };
    let metadata = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    let loaded = if metadata.is_dir() {
        rustls_native_certs::load_certs_from_paths(None, Some(path))
    } else {
        rustls_native_certs::load_certs_from_paths(Some(path), None)
    };
    if loaded.certs.is_empty() {
        let reason = loaded.errors.first().map(ToString::to_string);
        return Err(failed(
            reason.unwrap_or_else(|| "no certificate in it".to_owned()),
        ));
    }
    Ok(loaded.certs)
}

/// Makes ring the process's TLS provider, for libraries that ask for one; later calls change nothing.
pub(super) fn install_provider() {
    // An error means that somebody installed one before, which is as good.
    let _ = CryptoProvider::install_default(ring::default_provider());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(configured: CertificateCheck, variables: &[(&str, &str)]) -> Trust {
        Trust::resolve(configured, |name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn file(path: &str) -> CertificateCheck {
        CertificateCheck::File(path.into())
    }

    /// A-032
    #[test]
    fn variables_replace_the_store_of_a_checked_connection() {
        use CertificateCheck::{Off, System};
        let all = [
            ("REQUESTS_CA_BUNDLE", "r"),
            ("CURL_CA_BUNDLE", "c"),
            ("SSL_CERT_FILE", "s"),
        ];
        assert_eq!(resolve(System, &all).check, file("r"));
        assert_eq!(resolve(System, &all[1..]).check, file("c"));
        assert_eq!(resolve(System, &all[2..]).check, file("s"));
        assert_eq!(resolve(file("f"), &all[1..]).check, file("c"));
        assert_eq!(resolve(file("f"), &all[2..]).check, file("f"));
        assert_eq!(resolve(Off, &all).check, Off);
        assert_eq!(resolve(System, &[("CURL_CA_BUNDLE", "")]).check, System);
        let both = resolve(System, &[("SSL_CERT_FILE", "s"), ("SSL_CERT_DIR", "d")]);
        assert_eq!(both.extra_roots, [PathBuf::from("d")]);
    }

    #[test]
    fn an_unusable_file_matters_only_where_tls_is_used() {
        let trust = Trust {
            check: file("/nonexistent/ca.pem"),
            extra_roots: Vec::new(),
        };
        assert!(trust.client_config(true).is_err());
        assert!(trust.client_config(false).is_ok());
    }
}
