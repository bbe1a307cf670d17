//! The HTTP client of the command line's questions, and where control listens by its configuration.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use url::Url;

use super::error::AskError;
use crate::config::Config;

/// How long control may take: it reads the store only.
const TIMEOUT: Duration = Duration::from_secs(15);

/// How control's TLS is verified, and what it is shown.
#[derive(Debug, Args)]
pub(super) struct TlsFlags {
    /// PEM of the authority that signed control's certificate, beside those of this machine.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// PEM of a certificate and its key, where control has `tls.client_ca`.
    #[arg(long, value_name = "FILE")]
    client_certificate: Option<PathBuf>,
}

/// Control on its own machine: the address, and where its name leads. With TLS the name is one that the certificate has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Local {
    pub(super) url: String,
    pub(super) resolved: Option<(String, SocketAddr)>,
}

impl Local {
    pub(super) fn of(config: &Config) -> Self {
        let address = reachable(config.listen);
        let Some(tls) = &config.tls else {
            return Self {
                url: format!("http://{address}"),
                resolved: None,
            };
        };
        let of_certificate = || tls.identity.certificate().names.first();
        match tls.names.first().or_else(of_certificate) {
            Some(name) => Self {
                url: format!("https://{name}:{}", address.port()),
                resolved: Some((name.clone(), address)),
            },
            None => Self {
                url: format!("https://{address}"),
                resolved: None,
            },
        }
    }
}

impl TlsFlags {
    /// A client that follows no redirect: it would take the credential along.
    ///
    /// # Errors
    /// [`AskError`].
    pub(super) fn client(
        &self,
        url: &Url,
        resolved: Option<&(String, SocketAddr)>,
    ) -> Result<reqwest::Client, AskError> {
        let unusable = |source: reqwest::Error| AskError::Unreachable {
            url: url.clone(),
            source: source.without_url(),
        };
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|source| AskError::File {
                path: path.clone(),
                source,
            })
        };
        let mut client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if let Some(file) = &self.ca {
            let authorities = reqwest::Certificate::from_pem_bundle(&read(file)?).map_err(unusable)?;
            client = client.tls_certs_merge(authorities);
        }
        if let Some(file) = &self.client_certificate {
            let identity = reqwest::Identity::from_pem(&read(file)?).map_err(unusable)?;
            client = client.identity(identity);
        }
        if let Some((name, address)) = resolved {
            client = client.resolve(name, *address);
        }
        client.build().map_err(unusable)
    }
}

/// Where a listener can be reached on its own machine: one on all addresses, at the loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
