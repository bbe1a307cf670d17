//! What a certificate states about itself.

use std::net::{Ipv4Addr, Ipv6Addr};

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Whether a certificate is valid at some time (RFC 5280 §4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Its time has not begun.
    NotYet,
    /// It is valid.
    Valid,
    /// Its time is over.
    Expired,
}

/// The certificate of a listener or a client: its time and its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// `notBefore`, in Unix seconds.
    pub not_before_seconds: i64,
    /// `notAfter`, in Unix seconds.
    pub not_after_seconds: i64,
    /// The subject alternative names: DNS names, IP addresses and URIs (RFC 5280 §4.2.1.6).
    pub names: Vec<String>,
    der: CertificateDer<'static>,
}

impl CertificateFacts {
    /// Reads the certificate `der`; `None` if it is no X.509 certificate.
    #[must_use]
    pub fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = certificate.subject_alternative_name().ok()?;
        let names = names.iter().flat_map(|names| &names.value.general_names);
        let validity = certificate.validity();
        Some(Self {
            not_before_seconds: validity.not_before.timestamp(),
            not_after_seconds: validity.not_after.timestamp(),
            names: names.filter_map(shown).collect(),
            der: der.clone().into_owned(),
        })
    }

    /// Whether it is valid at `now_seconds`, in Unix seconds.
    #[must_use]
    pub const fn validity(&self, now_seconds: i64) -> Validity {
        if now_seconds < self.not_before_seconds {
            Validity::NotYet
        } else if now_seconds > self.not_after_seconds {
            Validity::Expired
        } else {
            Validity::Valid
        }
    }

    /// Whether a client that calls `name`, a DNS name or an IP address, accepts it for that name (RFC 6125).
    #[must_use]
    pub fn is_for(&self, name: &str) -> bool {
        let (Ok(parsed), Ok(name)) = (ParsedCertificate::try_from(&self.der), ServerName::try_from(name))
        else {
            return false;
        };
        verify_server_name(&parsed, &name).is_ok()
    }
}

/// A name as configurations write it; `None` for kinds of names that no listener or client has.
fn shown(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes)
                .ok()
                .map(|bytes| Ipv4Addr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|bytes| Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    }
}
