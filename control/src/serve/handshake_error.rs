//! Why a TLS handshake failed, in an operator's terms.

use std::io;

use rustls::{AlertDescription, Error};

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum HandshakeError {
    /// The client refuses the listener's certificate by an alert (RFC 8446 §6.2).
    #[error("the client does not accept this certificate (alert {0})")]
    NotTrusted(&'static str),
    /// The client's certificate does not verify.
    #[error("the client's certificate is not accepted: {0}")]
    ClientCertificate(String),
    /// The first bytes are no TLS.
    #[error("the client does not speak TLS")]
    NotTls,
    /// No common version or cipher suite.
    #[error("client and listener have no TLS version or cipher suite in common")]
    NothingInCommon,
    /// The client closed the connection.
    #[error("the client hung up")]
    HungUp,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl HandshakeError {
    /// The cause of a failed handshake, from what tokio-rustls returned.
    pub(super) fn of(error: &io::Error) -> Self {
        let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
            return match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe => Self::HungUp,
                _ => Self::Other(error.to_string()),
            };
        };
        match tls {
            Error::AlertReceived(alert) => match alert {
                AlertDescription::UnknownCA => Self::NotTrusted("unknown_ca"),
                AlertDescription::BadCertificate => Self::NotTrusted("bad_certificate"),
                AlertDescription::CertificateExpired => Self::NotTrusted("certificate_expired"),
                AlertDescription::CertificateUnknown => Self::NotTrusted("certificate_unknown"),
                AlertDescription::UnsupportedCertificate => Self::NotTrusted("unsupported_certificate"),
                AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => {
                    Self::NothingInCommon
                }
                _ => Self::Other(tls.to_string()),
            },
            Error::InvalidCertificate(cause) => Self::ClientCertificate(cause.to_string()),
            Error::InvalidMessage(_) => Self::NotTls,
            Error::PeerIncompatible(_) => Self::NothingInCommon,
            _ => Self::Other(tls.to_string()),
        }
    }

    /// A short name: one warning a minute for each.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::NotTrusted(alert) => alert,
            Self::ClientCertificate(_) => "client_certificate",
            Self::NotTls => "not_tls",
            Self::NothingInCommon => "nothing_in_common",
            Self::HungUp => "hung_up",
            Self::Other(_) => "other",
        }
    }

    /// What to do.
    pub(super) const fn hint(&self) -> &'static str {
        match self {
            Self::NotTrusted(_) => {
                "give the client the authority that signed tls.certificate, and call a name that the certificate has"
            }
            Self::ClientCertificate(_) => {
                "the authority of tls.client_ca must have signed it, and it must not be expired"
            }
            Self::NotTls => "call https:// at this port, or remove tls from the configuration",
            Self::NothingInCommon => "use TLS 1.2 or 1.3",
            Self::HungUp | Self::Other(_) => "",
        }
    }
}
