//! TLS of a listener: a certificate with its key, read from PEM and checked, and the client certificates that it accepts. Pure:
//! text in, a configuration of rustls or the cause out. `config` reads the files, `serve` does the handshakes.

mod certificate;
mod client_ca;
mod identity;

pub use certificate::{CertificateFacts, Validity};
pub use client_ca::ClientCaError;
pub use identity::{IdentityError, ServerIdentity};
