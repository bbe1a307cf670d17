//! From the resources of a Kubernetes cluster to servers.
//!
//! A resource is read by the rules of its kind ([`read`]), its credentials are taken from the Secret that it names
//! ([`credentials`]), and then it must fit beside the others: [`claims`] decides what a resource may name that others use
//! too. One that does not is reported and leaves the others alone. One whose *content* is wrong, and that was a server
//! before, stays the server that it was, as a configuration that cannot be reloaded does; one that names what it may not
//! name does not.

mod claims;
mod credentials;
mod fault;
mod read;
mod route;
pub(crate) mod stored;

use std::collections::BTreeMap;

use tokenward_kubernetes::{Outcome, Resource, SecretId, SecretRead, SecretReference, Snapshot, Verdict};

use self::claims::Claims;
use self::fault::Fault;
use self::read::Reading;
use crate::config::{Config, KubernetesConfig, ServerConfig};

/// What each resource was when it was last good, by UID.
pub type LastGood = BTreeMap<String, Good>;

/// A resource that is a server.
#[derive(Debug, Clone)]
pub struct Good {
    /// As it was read.
    pub resource: Resource,
    /// The Secret that it named, as it was then.
    pub secret: Option<(SecretId, SecretRead)>,
    /// Its server.
    pub server: ServerConfig,
}

/// What became of the resources.
#[derive(Debug, Default)]
pub struct Judged {
    /// The servers, the oldest resource's first.
    pub servers: Vec<ServerConfig>,
    /// One for each resource.
    pub verdicts: Vec<Verdict>,
    /// For the next list.
    pub last_good: LastGood,
}

/// Decides about every resource of `snapshot`. `config` is the file's: its servers come first.
#[must_use]
pub fn judge(config: &Config, snapshot: &Snapshot, last_good: &LastGood) -> Judged {
    let mut judged = Judged::default();
    let Some(section) = &config.kubernetes else {
        return judged;
    };
    let mut claims = Claims::of(config, section);
    for resource in &snapshot.resources {
        let earlier = last_good.get(&resource.uid);
        let (outcome, fault) = match decide(config, section, snapshot, resource, earlier, &mut claims) {
            Decision::Server { good, fault } => {
                judged.servers.push(good.server.clone());
                judged.last_good.insert(resource.uid.clone(), *good);
                match fault {
                    None => (Outcome::Accepted, Fault::accepted()),
                    Some(fault) => (Outcome::Held, fault.held()),
                }
            }
            Decision::None(outcome, fault) => (outcome, fault),
        };
        judged.verdicts.push(Verdict {
            resource: resource.clone(),
            outcome,
            reason: fault.reason,
            message: fault.message,
        });
    }
    judged
}

enum Decision {
    /// It is a server; with a fault, that of an earlier version of the resource.
    Server {
        good: Box<Good>,
        fault: Option<Fault>,
    },
    None(Outcome, Fault),
}

fn decide(
    config: &Config,
    section: &KubernetesConfig,
    snapshot: &Snapshot,
    resource: &Resource,
    earlier: Option<&Good>,
    claims: &mut Claims<'_>,
) -> Decision {
    let (good, fault) = match read::server(config, section, snapshot, resource) {
        Reading::Server(server) => (Good::new(resource, snapshot, *server), None),
        Reading::NoServer(why) => return Decision::None(Outcome::Ignored, why),
        Reading::Fault(fault) => match earlier {
            Some(earlier) => (earlier.clone(), Some(fault)),
            None => return Decision::None(Outcome::Rejected, fault),
        },
    };
    match claims.claim(resource, &good.server) {
        Ok(()) => Decision::Server {
            good: Box::new(good),
            fault,
        },
        Err((outcome, taken)) => Decision::None(outcome, fault.unwrap_or(taken)),
    }
}

impl Good {
    fn new(resource: &Resource, snapshot: &Snapshot, server: ServerConfig) -> Self {
        let secret = SecretReference::of(resource)
            .and_then(|reference| snapshot.secrets.get_key_value(&reference.secret));
        Self {
            resource: resource.clone(),
            secret: secret.map(|(id, read)| (id.clone(), read.clone())),
            server,
        }
    }
}

/// Counts by outcome.
#[must_use]
pub fn counts(verdicts: &[Verdict]) -> BTreeMap<Outcome, usize> {
    let mut counts = BTreeMap::new();
    for verdict in verdicts {
        *counts.entry(verdict.outcome).or_default() += 1;
    }
    counts
}
