//! Checks for `tokenward check`: what `serve` does with a valid configuration before it listens, without side effects.

use std::net::{SocketAddr, TcpListener};

use super::certificates::now_seconds;
use super::error::ServeError;
use crate::app::{self, StartError};
use crate::audit::AuditLog;
use crate::config::{Config, TlsConfig};
use crate::upstream::issuer::client::IssuerClient;

/// Everything that would make `serve` fail at start on this machine, as far as it can be checked without the network and
/// beside a running tokenward. `tokenward doctor` checks what needs the network. Blocking.
#[must_use]
pub fn preflight(config: &Config) -> Vec<ServeError> {
    let checks = [
        app::check_store(&config.store).map_err(ServeError::from),
        app::key_ring(&config.sealing)
            .map(drop)
            .map_err(|bad| StartError::from(bad).into()),
        IssuerClient::new(config.issuer_timeout)
            .map(drop)
            .map_err(|unusable| StartError::from(unusable).into()),
        check_address(config.listen),
        check_audit(config),
    ];
    let console = config.console.iter().map(|console| check_address(console.listen));
    let tls_of_console = config.console.iter().filter_map(|console| console.tls.as_ref());
    let certificates = config
        .tls
        .iter()
        .chain(tls_of_console)
        .flat_map(check_certificate);
    checks
        .into_iter()
        .chain(console)
        .filter_map(Result::err)
        .chain(certificates)
        .collect()
}

/// What makes clients refuse the certificate. `serve` starts with it: it waits for the renewed one.
fn check_certificate(tls: &TlsConfig) -> Vec<ServeError> {
    let problems = tls.problems(now_seconds()).into_iter();
    let with_hint = problems.map(|problem| format!("{problem}; {}", problem.hint()));
    with_hint.map(ServeError::Certificate).collect()
}

fn check_audit(config: &Config) -> Result<(), ServeError> {
    match &config.audit {
        Some(target) => AuditLog::check(target).map_err(|unusable| StartError::from(unusable).into()),
        None => Ok(()),
    }
}

/// Checks that the address belongs to this machine. Binds a free port, so that the check neither collides with a running
/// tokenward nor blocks one that is about to start.
fn check_address(address: SocketAddr) -> Result<(), ServeError> {
    TcpListener::bind(SocketAddr::new(address.ip(), 0))
        .map(drop)
        .map_err(|source| ServeError::Listen { address, source })
}
