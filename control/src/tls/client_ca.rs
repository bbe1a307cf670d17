//! The authority that signs the certificates of clients.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

/// Why a file cannot serve as `tls.client_ca`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientCaError {
    /// No PEM block is a certificate.
    #[error("contains no certificate in PEM")]
    NoCertificate,
    /// One of the certificates cannot be an authority.
    #[error("contains a certificate that cannot be used as an authority: {0}")]
    Unusable(String),
}

/// A verifier for client certificates of the authorities in `pem`. A client without a certificate may connect: an
/// orchestrator's probes have none, and what such a client may request is decided for each request.
pub(super) fn verifier(
    pem: &[u8],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, ClientCaError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| ClientCaError::Unusable(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| ClientCaError::Unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(ClientCaError::NoCertificate);
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| ClientCaError::Unusable(error.to_string()))
}
