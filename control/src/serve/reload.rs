//! A reload: the configuration is read and checked as a whole, and applies to new requests completely or not at all.

use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};

use super::authorization::log_authorization_server;
use super::filter_module::log_filter_module;
use crate::app::{Current, StartError};
use crate::config::{Config, ConfigError, StoreConfig, StoreEngine, ValkeyServers};

/// Why the previous configuration stays in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The new configuration is invalid.
    #[error(transparent)]
    Invalid(#[from] ConfigError),
    /// The new configuration changes fields that need a restart.
    #[error("restart needed: {0} cannot change while running")]
    RestartNeeded(String),
    /// The new configuration is valid, and the service cannot start with it.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Clients would refuse the new certificate.
    #[error("tls: {0}")]
    Certificate(String),
    /// The read panicked, which is a bug.
    #[error("the configuration could not be read: {0}")]
    Panicked(String),
}

impl ReloadError {
    /// The value of the metric label `outcome`.
    #[must_use]
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Invalid(_) | Self::Start(_) | Self::Certificate(_) | Self::Panicked(_) => "rejected",
            Self::RestartNeeded(_) => "restart_needed",
        }
    }

    /// The problems, one text each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        match self {
            Self::Invalid(ConfigError::Invalid(problems)) => {
                problems.iter().map(ToString::to_string).collect()
            }
            other => vec![other.to_string()],
        }
    }
}

/// Applies `config` to new requests; those in progress finish with the previous one.
///
/// # Errors
/// [`ReloadError`]; the previous configuration stays in force.
pub fn apply(current: &Current, config: Config) -> Result<(), ReloadError> {
    let mut resources = current.resources();
    let service = current.service();
    let old = &service.config;
    let mut fixed = Vec::new();
    if old.listen != config.listen {
        fixed.push("listen");
    }
    // Its files, and what they contain, may change.
    if old.tls.is_some() != config.tls.is_some() {
        fixed.push("tls");
    }
    let console_tls = |config: &Config| config.console.as_ref().map(|console| console.tls.is_some());
    if old.console.is_some() && config.console.is_some() && console_tls(old) != console_tls(&config) {
        fixed.push("console.tls");
    }
    let console = |config: &Config| config.console.as_ref().map(|console| console.listen);
    if console(old) != console(&config) {
        fixed.push("console.listen");
    }
    let same_watches = match (&old.kubernetes, &config.kubernetes) {
        (Some(old), Some(new)) => old.has_the_watches_of(new),
        (old, new) => old.is_none() && new.is_none(),
    };
    if !same_watches {
        fixed.push("kubernetes");
    }
    if !same_store(&old.store, &config.store) {
        fixed.push("store");
    }
    if !fixed.is_empty() {
        return Err(ReloadError::RestartNeeded(fixed.join(" and ")));
    }
    if !same_passwords(&old.store.engine, &config.store.engine) {
        tracing::warn!("the store's new password is used after a restart; everything else applies now");
    }
    let sha256 = |config: &Config| config.filter_module.as_ref().map(|module| module.sha256.clone());
    if sha256(old) != sha256(&config) {
        log_filter_module(&config);
    }
    let merged = resources.merged(config);
    let next = service.succeeded_by(merged.config.clone())?;
    resources.take(merged);
    log_authorization_server(&next.config, Some(old));
    next.record_dropped_keys(&old.sealing);
    current.replace(next);
    Ok(())
}

/// Logs the result of a reload in one line. `cause`: what made the process reload.
pub(super) fn report(result: &Result<(), ReloadError>, path: &Path, cause: &str) {
    const STAYS: &str = "the configuration was not reloaded; the old one stays in force";
    let path = path.display();
    match result {
        Ok(()) => tracing::info!(%path, cause, "the configuration was reloaded"),
        Err(ReloadError::Invalid(ConfigError::Invalid(problems))) => {
            let first = problems.first();
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            tracing::error!(
                %path,
                cause,
                line = first.map_or(0, |problem| problem.line),
                column = first.map_or(0, |problem| problem.column),
                problems = problems.join(" | "),
                "{STAYS}"
            );
        }
        Err(other) => {
            let hint = match other {
                ReloadError::RestartNeeded(_) => "restart the process, or restore the old value",
                _ => "fix the files: they are read again when they change, and at SIGHUP or tokenward reload",
            };
            tracing::error!(%path, cause, problems = %other, hint, "{STAYS}");
        }
    }
}

/// Whether both are the same store, passwords aside.
fn same_store(old: &StoreConfig, new: &StoreConfig) -> bool {
    let same_engine = match (&old.engine, &new.engine) {
        (StoreEngine::Embedded { path: old }, StoreEngine::Embedded { path: new }) => old == new,
        (
            StoreEngine::Valkey {
                url,
                username,
                password: _,
                key_prefix,
                servers,
                client_side_caching,
            },
            StoreEngine::Valkey {
                url: new_url,
                username: new_username,
                password: _,
                key_prefix: new_key_prefix,
                servers: new_servers,
                client_side_caching: new_client_side_caching,
            },
        ) => {
            (url, username, key_prefix) == (new_url, new_username, new_key_prefix)
                && client_side_caching == new_client_side_caching
                && same_servers(servers, new_servers)
        }
        _ => false,
    };
    same_engine && old.deadline == new.deadline
}

fn same_servers(old: &ValkeyServers, new: &ValkeyServers) -> bool {
    match (old, new) {
        (ValkeyServers::One, ValkeyServers::One) => true,
        (
            ValkeyServers::Sentinel {
                service,
                more_sentinels,
                password: _,
            },
            ValkeyServers::Sentinel {
                service: new_service,
                more_sentinels: new_more,
                password: _,
            },
        ) => service == new_service && more_sentinels == new_more,
        (ValkeyServers::Cluster { more_nodes }, ValkeyServers::Cluster { more_nodes: new_more }) => {
            more_nodes == new_more
        }
        _ => false,
    }
}

fn same_passwords(old: &StoreEngine, new: &StoreEngine) -> bool {
    let (old, new) = (passwords(old), passwords(new));
    old.len() == new.len()
        && old
            .iter()
            .zip(&new)
            .all(|(old, new)| old.map(|old| old.expose_secret()) == new.map(|new| new.expose_secret()))
}

fn passwords(engine: &StoreEngine) -> Vec<Option<&SecretString>> {
    match engine {
        StoreEngine::Embedded { .. } => Vec::new(),
        StoreEngine::Valkey {
            password, servers, ..
        } => match servers {
            ValkeyServers::Sentinel {
                password: sentinel, ..
            } => vec![password.as_ref(), sentinel.as_ref()],
            _ => vec![password.as_ref()],
        },
    }
}
