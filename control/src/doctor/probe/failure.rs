//! Why a probe has no answer: each cause with its own remedy.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};
use url::Url;

/// Why there is no answer. The display names host and port, never a path or a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::doctor) enum ProbeFailure {
    /// Name resolution (DNS) has no address.
    #[error("the name {host} has no address (DNS)")]
    NoAddress {
        /// The host.
        host: String,
    },
    /// The host refuses the connection.
    #[error("{place} refuses the connection: no process listens there")]
    Refused {
        /// Host and port.
        place: String,
    },
    /// Packets to the host are dropped, or it has no route.
    #[error("no connection to {place} within {} s: nothing answers there", within.as_secs())]
    Dropped {
        /// Host and port.
        place: String,
        /// The longest wait for a connection.
        within: Duration,
    },
    /// Connected, and no response came.
    #[error("{place} accepts the connection and does not answer within {} s", within.as_secs())]
    Silent {
        /// Host and port.
        place: String,
        /// The longest wait for a response.
        within: Duration,
    },
    /// The certificate of the server was not accepted.
    #[error("TLS: the certificate of {place} {fault}")]
    Certificate {
        /// Host and port.
        place: String,
        /// What is wrong with it.
        fault: CertificateFault,
    },
    /// The server ended the handshake.
    #[error("TLS: {place} ended the handshake ({alert})")]
    HandshakeRefused {
        /// Host and port.
        place: String,
        /// The name of the alert (RFC 8446 §6).
        alert: String,
    },
    /// The port speaks something else than TLS.
    #[error("TLS: {place} does not speak TLS")]
    NotTls {
        /// Host and port.
        place: String,
    },
    /// Any other fault of TLS.
    #[error("TLS with {place}: {what}")]
    OtherTls {
        /// Host and port.
        place: String,
        /// The library's words.
        what: String,
    },
    /// The connection ended before the response was complete.
    #[error("{place} closed the connection before its answer was complete")]
    Broken {
        /// Host and port.
        place: String,
    },
    /// The response is longer than a probe reads.
    #[error("the response is larger than {most} bytes")]
    TooLarge {
        /// The longest response, in bytes.
        most: usize,
    },
    /// The credentials cannot be sent.
    #[error("the credentials cannot be sent in a header")]
    Credentials,
    /// Not a URL.
    #[error("{0}")]
    NotAUrl(String),
}

/// The check of a certificate that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::doctor) enum CertificateFault {
    /// It is past its `notAfter`.
    #[error("has expired")]
    Expired,
    /// It is before its `notBefore`.
    #[error("is not valid yet")]
    NotValidYet,
    /// No trusted authority has signed it.
    #[error("is not signed by an authority that is trusted here")]
    UnknownAuthority,
    /// It is for other names.
    #[error("is for other names{0}")]
    OtherName(String),
    /// Any other check.
    #[error("is not accepted: {0}")]
    Other(String),
}

impl ProbeFailure {
    /// The failure of a request to `url`, with `connected_to` in between if that is a proxy. reqwest's own messages contain the
    /// whole URL.
    pub(super) fn of(
        error: &reqwest::Error,
        (url, connected_to): (&Url, &Url),
        (connect, answer): (Duration, Duration),
    ) -> Self {
        if let Some(tls) = in_chain::<rustls::Error>(error) {
            return Self::of_tls(tls, place(url));
        }
        if error.is_dns() || chain(error).any(|cause| cause.to_string() == "dns error") {
            return Self::no_address(connected_to);
        }
        let place = place(connected_to);
        match in_chain::<io::Error>(error).map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => return Self::Refused { place },
            Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
                return Self::Dropped {
                    place,
                    within: connect,
                };
            }
            _ => {}
        }
        match (error.is_timeout(), error.is_connect()) {
            (true, true) => Self::Dropped {
                place,
                within: connect,
            },
            (true, false) => Self::Silent {
                place,
                within: answer,
            },
            (false, _) => Self::Broken { place },
        }
    }

    /// The name in `url` has no address.
    pub(super) fn no_address(url: &Url) -> Self {
        Self::NoAddress {
            host: url.host_str().unwrap_or_default().to_owned(),
        }
    }

    fn of_tls(error: &rustls::Error, place: String) -> Self {
        use rustls::Error;
        match error {
            Error::InvalidCertificate(why) => Self::Certificate {
                place,
                fault: CertificateFault::of(why),
            },
            Error::AlertReceived(alert) => Self::HandshakeRefused {
                place,
                alert: alert_name(*alert),
            },
            Error::InvalidMessage(_) => Self::NotTls { place },
            other => Self::OtherTls {
                place,
                what: words(&other.to_string()),
            },
        }
    }

    /// The one remedy for this cause.
    pub(in crate::doctor) fn hint(&self) -> &'static str {
        match self {
            Self::NoAddress { .. } => {
                "check the spelling of the name, and that DNS knows it from here (in a cluster: port 53 in the NetworkPolicy)"
            }
            Self::Refused { .. } => "check the port, and that the service runs: its host answers",
            Self::Dropped { .. } => {
                "let connections from here to that address and port through: a firewall or a NetworkPolicy drops them \
                 (chart: networkPolicy.egressTo)"
            }
            Self::Silent { .. } => {
                "look at that service's load and log: the network is fine, the service is stuck or overloaded"
            }
            Self::Certificate { fault, .. } => fault.hint(),
            Self::HandshakeRefused { .. } => {
                "look at that server's TLS settings: it may require a client certificate, or another version of TLS"
            }
            Self::NotTls { .. } => "write http:// if it is meant to be without TLS, or name the TLS port",
            Self::OtherTls { .. } => "look at that server's TLS settings and log",
            Self::Broken { .. } => {
                "look at that server's log; a proxy in between that does not know the host closes connections as well"
            }
            Self::TooLarge { .. } => "check the address: something else answers there",
            Self::Credentials => "a client id and secret for a header are printable ASCII",
            Self::NotAUrl(_) => "write it as in https://dex.example.com",
        }
    }
}

impl CertificateFault {
    fn of(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotValidYet,
            CertificateError::UnknownIssuer => Self::UnknownAuthority,
            CertificateError::NotValidForName => Self::OtherName(String::new()),
            CertificateError::NotValidForNameContext { presented, .. } => Self::OtherName(names(presented)),
            other => Self::Other(words(&other.to_string())),
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::Expired => "renew that server's certificate; if it is fresh, this machine's clock is wrong",
            Self::NotValidYet => "set this machine's clock, or wait until the certificate begins",
            Self::UnknownAuthority => {
                "trust the authority that signed it: extraCaRef in the chart, SSL_CERT_FILE elsewhere; it replaces the \
                 system's authorities"
            }
            Self::OtherName(_) => "use one of the certificate's names, or issue a certificate for this one",
            Self::Other(_) => "issue that server another certificate",
        }
    }
}

/// The first names of a certificate.
fn names(presented: &[String]) -> String {
    const MOST: usize = 4;
    let names: Vec<String> = presented.iter().take(MOST).map(|name| words(name)).collect();
    if names.is_empty() {
        ", or none".to_owned()
    } else {
        format!(": {}", names.join(", "))
    }
}

/// A library's or a certificate's text, shortened and on one line.
fn words(text: &str) -> String {
    const LONGEST: usize = 160;
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(LONGEST)
        .collect()
}

fn alert_name(alert: AlertDescription) -> String {
    alert.as_str().map_or_else(|| format!("{alert:?}"), str::to_owned)
}

/// Host and port of a URL.
fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// An error and its causes. An `io::Error` shows its own cause only, not the error that it wraps.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    })
}

/// The last error of this type in the chain: an `io::Error` can wrap another.
fn in_chain<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    chain(error).filter_map(|cause| cause.downcast_ref::<E>()).last()
}

#[cfg(test)]
mod tests;
