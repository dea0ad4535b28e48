//! TLS for all doors: certificates in, a rustls configuration out. What cannot be used ends the start; nothing falls back to plain text.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pgwire::api::auth::sasl::scram::ScramServerAuth;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::config::TlsFiles;

/// Why TLS cannot be set up. One line.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that is not there or not PEM.
    #[error("{}: {}", path.display(), describe(source))]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// A file without what it is for.
    #[error("{}: there is no {what} in it", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
        /// Certificate or key.
        what: &'static str,
    },
    /// A key that is not that of the certificate, or a certificate that cannot be used.
    #[error("{}: the certificate and its key cannot be used: {source}", path.display())]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// An authority for client certificates that cannot be used.
    #[error("{}: the client authority cannot be used: {message}", path.display())]
    ClientAuthority {
        /// Which.
        path: PathBuf,
        /// Why.
        message: String,
    },
}

fn describe(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        other => format!("not PEM: {other}"),
    }
}

/// Makes ring the process's provider of cryptography. Two are linked in, so somebody must say which. Calling it again is harmless.
pub fn install_provider() {
    // An error means that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// TLS as doors have it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tls {
    /// How a connection is accepted.
    pub config: Arc<ServerConfig>,
    /// What binds a login to a channel of its certificate. `None` where the certificate's signature names no digest to do it with (Ed25519).
    pub binding: Option<ScramServerAuth>,
}

/// Reads the files. Nothing is negotiated beyond TLS itself: a door that needs ALPN asks with [`with_protocols`].
pub fn load(files: &TlsFiles) -> Result<Tls, TlsError> {
    install_provider();
    let chain = certificates(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| match source {
        pem::Error::NoItemsFound => TlsError::Empty { path: files.key.clone(), what: "private key" },
        source => TlsError::File { path: files.key.clone(), source },
    })?;
    let builder = ServerConfig::builder();
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let refused = |message: String| TlsError::ClientAuthority { path: path.clone(), message };
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| refused(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().map_err(|error| refused(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder.with_single_cert(chain, key).map_err(|source| TlsError::Unusable { path: files.cert.clone(), source })?;
    let read = std::fs::read(&files.cert);
    let certificates = read.map_err(|error| TlsError::File { path: files.cert.clone(), source: pem::Error::Io(error) })?;
    let mut binding = ScramServerAuth::new();
    let binding = binding.configure_certificate(&certificates).is_ok().then_some(binding);
    Ok(Tls { config: Arc::new(config), binding })
}

/// The same configuration, which also agrees on one of these application protocols (ALPN).
pub fn with_protocols(config: &Arc<ServerConfig>, protocols: &[&[u8]]) -> Arc<ServerConfig> {
    let mut config = ServerConfig::clone(config);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = |source| TlsError::File { path: path.to_owned(), source };
    let chain = CertificateDer::pem_file_iter(path).map_err(file)?.collect::<Result<Vec<_>, _>>().map_err(file)?;
    if chain.is_empty() {
        return Err(TlsError::Empty { path: path.to_owned(), what: "certificate" });
    }
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Files {
        folder: tempfile::TempDir,
    }

    impl Files {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            for name in ["one", "two"] {
                let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
                std::fs::write(folder.path().join(format!("{name}.crt")), made.cert.pem()).unwrap();
                std::fs::write(folder.path().join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
            }
            std::fs::write(folder.path().join("empty"), "").unwrap();
            Self { folder }
        }

        fn load(&self, cert: &str, key: &str, client_ca: Option<&str>) -> Result<Tls, String> {
            let path = |name: &str| self.folder.path().join(name);
            let files = TlsFiles { cert: path(cert), key: path(key), client_ca: client_ca.map(path) };
            load(&files).map_err(|error| error.to_string())
        }
    }

    #[test]
    fn a_certificate_with_its_key_is_used() {
        let files = Files::new();
        let config = files.load("one.crt", "one.key", None).unwrap();
        assert!(config.config.alpn_protocols.is_empty());
        assert_eq!(with_protocols(&config.config, &[b"h2"]).alpn_protocols, [b"h2".to_vec()]);
        assert!(files.load("one.crt", "one.key", Some("two.crt")).is_ok());
    }

    #[test]
    fn anything_else_is_one_clear_line() {
        let files = Files::new();
        for (cert, key, client_ca, message) in [
            ("absent", "one.key", None, "absent: No such file"),
            ("one.crt", "absent", None, "absent: No such file"),
            ("empty", "one.key", None, "empty: there is no certificate in it"),
            ("one.crt", "empty", None, "empty: there is no private key in it"),
            ("one.crt", "two.key", None, "one.crt: the certificate and its key cannot be used"),
            ("one.crt", "one.key", Some("empty"), "empty: there is no certificate in it"),
        ] {
            let error = files.load(cert, key, client_ca).unwrap_err();
            assert!(error.contains(message) && !error.contains('\n'), "{error}");
        }
    }
}
