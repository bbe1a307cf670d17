//! What `serve` does with a good configuration before it serves, tried without a trace: for `tokenward check`.

use std::net::{SocketAddr, TcpListener};

use super::NotServed;
use crate::app::{self, StartError};
use crate::config::Config;
use crate::upstream::issuer::client::IssuerClient;

/// Everything that would end `serve` at its start on this machine, as far as it can be told without the network and beside
/// a tokenward that runs. What lies behind the network is the doctor's. Blocking.
#[must_use]
pub fn preflight(config: &Config) -> Vec<NotServed> {
    let tried = [
        app::check_store(&config.store).map_err(NotServed::from),
        app::key_ring(&config.sealing)
            .map(drop)
            .map_err(|bad| StartError::from(bad).into()),
        IssuerClient::new(config.issuer_timeout)
            .map(drop)
            .map_err(|unusable| StartError::from(unusable).into()),
        check_address(config.listen),
    ];
    tried.into_iter().filter_map(Result::err).collect()
}

/// Whether the address is one of this machine. With a port of its own, so that neither a tokenward that runs nor one that is
/// about to start is in the way.
fn check_address(address: SocketAddr) -> Result<(), NotServed> {
    TcpListener::bind(SocketAddr::new(address.ip(), 0))
        .map(drop)
        .map_err(|source| NotServed::Listen { address, source })
}
