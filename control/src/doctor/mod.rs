//! `tokenward doctor`: checks every dependency of the service, in the order in which failures follow from each other, and
//! prints a hint for each problem. It changes nothing, prints no secret and presents no grant's token.

mod authorization;
mod console;
mod issuers;
mod probe;
mod relay;
mod report;
mod store;

use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

pub use self::report::{Check, CheckOutcome, Report};

use self::authorization::AuthorizationChecks;
use self::issuers::Issuers;
use self::probe::Prober;
use crate::config::{Config, ConfigError, Problem};

/// Longest wait for one response of an issuer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// A random key of 32 bytes practically never has fewer different byte values.
const MIN_DIFFERENT_BYTES: usize = 16;

/// Loads the configuration in `path` and checks its dependencies.
pub async fn examine_file(path: &Path) -> Report {
    match Config::load(path) {
        Ok(config) => examine(&config).await,
        Err(ConfigError::Invalid(problems)) => Report::of(
            problems
                .iter()
                .map(|problem| config_problem(path, problem))
                .collect(),
        ),
        Err(unreadable @ ConfigError::Unreadable { .. }) => Report::of(vec![Check::fail(
            "config",
            unreadable.to_string(),
            "name the file with --config, readable for this user",
        )]),
    }
}

fn config_problem(path: &Path, problem: &Problem) -> Check {
    let place = match (problem.line, problem.column) {
        (0, _) => String::new(),
        (line, column) => format!(", line {line}, column {column}"),
    };
    Check::fail(
        "config",
        format!("{}{place}: {}", path.display(), problem.what),
        problem.hint.clone(),
    )
}

/// Checks the dependencies of `config`.
pub async fn examine(config: &Config) -> Report {
    let mut checks = vec![Check::ok(
        "config",
        format!(
            "{} issuers, {} servers; every secret could be read",
            config.issuers.len(),
            config.servers.len()
        ),
    )];
    checks.extend(credentials(config));
    checks.extend(store::store(config).await);
    match Prober::new(PROBE_TIMEOUT.min(config.issuer_timeout)) {
        Ok(prober) => {
            let issuers = Issuers {
                prober: &prober,
                margin: config.margin,
            };
            for issuer in &config.issuers {
                checks.extend(issuers.home(issuer).await);
            }
            for server in &config.servers {
                checks.extend(issuers.server(server).await);
            }
            if let Some(authorization) = &config.authorization {
                let prober = &prober;
                let found = AuthorizationChecks {
                    prober,
                    config,
                    authorization,
                };
                checks.extend(found.all().await);
            }
            if let Some(console) = &config.console {
                checks.push(console::login(&prober, console).await);
            }
        }
        Err(error) => checks.push(Check::fail(
            "issuers",
            format!("TLS cannot be set up: {error}"),
            "install the system's root certificates",
        )),
    }
    if let Some(module) = &config.filter_module {
        checks.push(match &module.version {
            Some(version) => Check::ok(
                "filter module",
                format!("version {version}, sha256 {}", module.sha256),
            ),
            None => Check::warn(
                "filter module",
                format!("has no version; sha256 {}", module.sha256),
                "use the module of this release",
            ),
        });
    }
    Report::of(checks)
}

/// Reports lengths only: credentials are secrets.
fn credentials(config: &Config) -> Vec<Check> {
    let of_caller = |name: &str, credential: &SecretString| {
        Check::ok(name, format!("{} bytes", credential.expose_secret().len()))
    };
    let key = &config.sealing.current;
    let mut different: Vec<u8> = decoded(&key.key);
    different.sort_unstable();
    different.dedup();
    let sealing = if different.len() < MIN_DIFFERENT_BYTES {
        Check::warn(
            "sealing key",
            format!(
                "key {} is not random: {} different bytes",
                key.id,
                different.len()
            ),
            "generate a new current key (openssl rand -base64 32) and move this one to sealing.previous",
        )
    } else {
        Check::ok(
            "sealing key",
            format!("key {}, and {} previous", key.id, config.sealing.previous.len()),
        )
    };
    vec![
        of_caller("credential of the filter", &config.credentials.filter),
        of_caller("credential of the aggregator", &config.credentials.aggregator),
        sealing,
    ]
}

fn decoded(key: &SecretString) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(key.expose_secret())
        .unwrap_or_default()
}
