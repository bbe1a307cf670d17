//! The certificate and key of a listener.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error, ServerConfig};
use secrecy::{ExposeSecret as _, SecretString};

use super::certificate::CertificateFacts;
use super::client_ca::{self, ClientCaError};

/// Protocols that the listener speaks, most wanted first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why a certificate and its key cannot be used. Quotes nothing of the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The certificate's text has no PEM block of a certificate.
    #[error("the certificate's file contains no certificate in PEM")]
    NoCertificate,
    /// A certificate of the chain is damaged.
    #[error("the certificate cannot be read: it is not X.509, or damaged")]
    BadCertificate,
    /// The key's text has no PEM block of a private key.
    #[error("the key's file contains no private key in PEM")]
    NoKey,
    /// The key is of an unsupported kind, or damaged.
    #[error("the private key cannot be used: it is damaged, or of a kind that is not supported")]
    BadKey,
    /// Certificate and key are of two different pairs.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// `tls.client_ca`.
    #[error("the client authority {0}")]
    ClientCa(#[from] ClientCaError),
    /// rustls refuses the pair for another reason.
    #[error("TLS cannot be set up with it: {0}")]
    Refused(String),
}

impl IdentityError {
    /// What to do.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NoCertificate | Self::BadCertificate => {
                "name a file with the certificate and its intermediates in PEM, leaf first: tls.crt of a kubernetes.io/tls Secret"
            }
            Self::NoKey => {
                "name the file with the certificate's private key in PEM, not encrypted: tls.key of a kubernetes.io/tls Secret"
            }
            Self::BadKey => "use an RSA key of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, or Ed25519",
            Self::KeyMismatch => {
                "name both files of one Secret; if they were just renewed by hand, replace both before the next look"
            }
            Self::ClientCa(_) => {
                "name a file with the PEM certificates of the authority that signs clients' certificates"
            }
            Self::Refused(_) => "make a new certificate",
        }
    }
}

/// A certificate chain with its key, ready for handshakes. Cheap to clone.
#[derive(Clone)]
pub struct ServerIdentity {
    config: Arc<ServerConfig>,
    facts: CertificateFacts,
    wants_client_certificate: bool,
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServerIdentity")
            .field("certificate", &self.facts)
            .finish_non_exhaustive()
    }
}

impl ServerIdentity {
    /// Reads the chain `certificates` and its `key`, both PEM, and the authorities of clients' certificates if there are any.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn read(
        certificates: &str,
        key: &SecretString,
        client_ca: Option<&str>,
    ) -> Result<Self, IdentityError> {
        let chain = CertificateDer::pem_slice_iter(certificates.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| IdentityError::BadCertificate)?;
        let leaf = chain.first().ok_or(IdentityError::NoCertificate)?;
        let facts = CertificateFacts::read(leaf).ok_or(IdentityError::BadCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes())
            .map_err(|_| IdentityError::NoKey)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let pair = pair(chain, key, &provider)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| IdentityError::Refused(error.to_string()))?;
        let builder = match client_ca {
            Some(pem) => builder.with_client_cert_verifier(client_ca::verifier(pem.as_bytes(), provider)?),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self {
            config: Arc::new(config),
            facts,
            wants_client_certificate: client_ca.is_some(),
        })
    }

    /// What the certificate states about itself.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateFacts {
        &self.facts
    }

    /// Whether clients need a certificate.
    #[must_use]
    pub const fn wants_client_certificate(&self) -> bool {
        self.wants_client_certificate
    }

    /// The configuration for handshakes.
    pub(crate) fn rustls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

fn pair(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, IdentityError> {
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        Error::InconsistentKeys(_) => IdentityError::KeyMismatch,
        Error::InvalidCertificate(_) => IdentityError::BadCertificate,
        _ => IdentityError::BadKey,
    })
}
