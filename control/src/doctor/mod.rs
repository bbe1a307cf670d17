//! `tokenward doctor`: checks every dependency of the service, in the order in which failures follow from each other, and
//! prints a hint for each problem; and, where an operator names them, control, the gateway, Envoy and the gateway's policies.
//! It changes nothing, prints no secret and presents no grant's token.

mod authorization;
mod console;
mod exchange;
mod gateway;
mod issuer_kind;
mod issuers;
mod kubernetes;
mod probe;
mod relay;
mod report;
mod store;
mod tls;

use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

pub use self::gateway::Targets;
pub use self::report::{Check, CheckOutcome, Report};

use self::authorization::AuthorizationChecks;
use self::gateway::GatewayChecks;
use self::issuers::Issuers;
use self::probe::Prober;
use crate::config::{Config, ConfigError, Problem};

/// Longest wait for one response of an issuer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// A random key of 32 bytes practically never has fewer different byte values.
const MIN_DIFFERENT_BYTES: usize = 16;

/// Loads the configuration in `path`, if there is one, and checks its dependencies and what `targets` name.
pub async fn examine_file(path: Option<&Path>, targets: &Targets) -> Report {
    match path.map(|path| (path, Config::load(path))) {
        None => examine_targets(None, targets).await,
        Some((_, Ok(config))) => {
            let mut checks = dependencies(&config).await;
            if !targets.is_empty() {
                checks.extend(examine_targets(Some(&config), targets).await.checks);
            }
            Report::of(checks)
        }
        Some((path, Err(ConfigError::Invalid(problems)))) => Report::of(
            problems
                .iter()
                .map(|problem| config_problem(path, problem))
                .collect(),
        ),
        Some((_, Err(unreadable @ ConfigError::Unreadable { .. }))) => Report::of(vec![Check::fail(
            "config",
            unreadable.to_string(),
            "name the file with --config, readable for this user",
        )]),
    }
}

/// Checks what `targets` name; with `config` also whether control's configuration and the gateway's fit together.
pub async fn examine_targets(config: Option<&Config>, targets: &Targets) -> Report {
    Report::of(match Prober::new(PROBE_TIMEOUT) {
        Ok(prober) => {
            let checks = GatewayChecks {
                prober: &prober,
                config,
                targets,
            };
            checks.all().await
        }
        Err(error) => vec![no_tls(&error)],
    })
}

fn no_tls(error: &reqwest::Error) -> Check {
    Check::fail(
        "TLS",
        format!("TLS cannot be set up: {error}"),
        "install the system's root certificates",
    )
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
    Report::of(dependencies(config).await)
}

async fn dependencies(config: &Config) -> Vec<Check> {
    let mut checks = vec![Check::ok(
        "config",
        format!(
            "{} issuers, {} servers; every secret could be read",
            config.issuers.len(),
            config.servers.len()
        ),
    )];
    checks.extend(credentials(config));
    checks.extend(tls::certificate(config));
    checks.extend(store::store(config).await);
    if let Some(section) = &config.kubernetes {
        checks.extend(kubernetes::resources(section).await);
    }
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
        Err(error) => checks.push(no_tls(&error)),
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
    checks
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
