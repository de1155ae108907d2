//! Mutual TLS: who may come in, and with what keys.
//!
//! TLS 1.3 only, a client certificate of the exchange's authority always, the hybrid post-quantum group
//! X25519MLKEM768 first. tonic's own TLS neither shows the group nor reports unreadable authorities, so the
//! configuration is made here and the handshake is done by [`super::door`].

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files of a server's identity, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain of this node, its own certificate first.
    pub certificate: PathBuf,
    /// Private key of that certificate.
    pub key: PathBuf,
    /// Authorities whose client certificates are accepted, one or more.
    pub client_authority: PathBuf,
}

/// Why mutual TLS cannot be set up; each names the file to mend.
#[derive(Debug)]
pub enum TlsError {
    /// The file cannot be read, or is not PEM.
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What was wrong.
        source: pem::Error,
    },
    /// The file holds no certificate.
    NoCertificate {
        /// Which file.
        path: PathBuf,
    },
    /// An authority is not a usable certificate.
    BadAuthority {
        /// Which file.
        path: PathBuf,
        /// Which of its certificates, from 1.
        number: usize,
        /// What was wrong.
        source: rustls::Error,
    },
    /// Certificate and key do not fit together, or are of a kind that is not supported.
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// What was wrong.
        reason: String,
    },
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, source } => write!(f, "{}: {source}", path.display()),
            Self::NoCertificate { path } => write!(f, "{}: holds no certificate", path.display()),
            Self::BadAuthority { path, number, source } => {
                write!(f, "{}: certificate {number} is not a usable authority: {source}", path.display())
            }
            Self::Unusable { path, reason } => write!(f, "{}: {reason}", path.display()),
        }
    }
}

impl std::error::Error for TlsError {}

/// The cryptography of the exchange: aws-lc with X25519MLKEM768 first.
#[must_use]
pub fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

/// Makes it the default of the process, for libraries that ask for one. Later calls change nothing.
pub fn install_provider() {
    // An error says that one is installed already; there is only one in this program.
    let _ = provider().install_default();
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { path: path.to_path_buf(), source };
    let list: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(unreadable)?.collect();
    let list = list.map_err(unreadable)?;
    if list.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_path_buf() });
    }
    Ok(list)
}

/// The configuration of a client that trusts the authorities in a PEM file and shows no certificate.
///
/// # Errors
///
/// What is wrong with the file.
pub fn client_config(authorities: &Path) -> Result<Arc<rustls::ClientConfig>, TlsError> {
    let unusable =
        |error: rustls::Error| TlsError::Unusable { path: authorities.into(), reason: error.to_string() };
    let mut roots = RootCertStore::empty();
    for authority in certificates(authorities)? {
        roots.add(authority).map_err(unusable)?;
    }
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Reads the files and makes the configuration of a server that speaks HTTP/2 only.
///
/// # Errors
///
/// The first file that cannot be used, and why.
pub fn server_config(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(provider());
    let unusable = |reason: String| TlsError::Unusable { path: files.certificate.clone(), reason };
    let mut authorities = RootCertStore::empty();
    for (index, authority) in certificates(&files.client_authority)?.into_iter().enumerate() {
        authorities.add(authority).map_err(|source| TlsError::BadAuthority {
            path: files.client_authority.clone(),
            number: index + 1,
            source,
        })?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(&provider))
        .build()
        .map_err(|error| unusable(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|source| TlsError::Unreadable { path: files.key.clone(), source })?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| unusable(error.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&files.certificate)?, key)
        .map_err(|error| unusable(error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}
