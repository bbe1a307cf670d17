//! Why a process cannot serve, and the file with the address at which it does.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::app::StartError;
use crate::config::ConfigError;

/// Why the process could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store, the sealing keys or the client for issuers.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The listener cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// The cluster's API server cannot be addressed.
    #[error("kubernetes: {0}")]
    Kubernetes(#[from] tokenward_kubernetes::api::client::ConnectError),
    /// Clients refuse the certificate. Only `tokenward check` treats this as a failure.
    #[error("{0}")]
    Certificate(String),
    /// The address file cannot be written.
    #[error("cannot write {path}: {source}")]
    AddressFile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

/// Writes the file atomically: a process that waits for it never reads a partial address.
pub(super) fn write_address(file: &Path, address: SocketAddr) -> Result<(), ServeError> {
    let partial = file.with_extension("unfinished");
    std::fs::write(&partial, address.to_string())
        .and_then(|()| std::fs::rename(&partial, file))
        .map_err(|source| ServeError::AddressFile {
            path: file.to_owned(),
            source,
        })
}
