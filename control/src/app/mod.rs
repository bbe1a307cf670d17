//! Everything wired together: one [`Service`] per process, or per replica in a test.

mod background;
mod current;
pub mod explain;
mod limits;
pub mod logout;
mod open;
pub mod sessions;
mod subject;
pub mod token;

pub use current::Current;
pub use open::{check_store, open_store, try_store};

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Config, IssuerConfig, SealingConfig, SealingKeyConfig, ServerConfig, TokenSource};
use crate::context::Context;
use crate::observe::metrics::Metrics;
use crate::observe::throttle::Throttle;
use crate::record::keyring::{BadKey, KeyRing, SealingKey};
use crate::session::Sessions;
use crate::store::Store;
use crate::store::counted::CountedStore;
use crate::store::readiness::Readiness;
use crate::upstream::exchange::{ExchangeTimes, Exchanges};
use crate::upstream::grant::decide::Policy;
use crate::upstream::grant::rotations::Rotations;
use crate::upstream::grant::{GrantTimes, Grants, SIGNED_OUT_LIFETIME};
use crate::upstream::issuer::client::{ClientUnusable, IssuerClient};
use crate::upstream::issuer::discovery::Discovery;
use crate::upstream::issuer::keys::IssuerKeys;
use crate::upstream::issuer::revocation::Revocations;
use crate::upstream::issuer::{HomeIssuer, RemoteIssuer};

use self::background::Background;
use self::limits::LimitsByIssuer;

/// One warning per trouble in this span.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A sealing key.
    #[error(transparent)]
    Sealing(#[from] BadKey),
    /// The client for issuers.
    #[error(transparent)]
    Client(#[from] ClientUnusable),
    /// The embedded store.
    #[error(transparent)]
    Embedded(#[from] crate::store::embedded::OpenError),
    /// Valkey.
    #[error(transparent)]
    Valkey(#[from] crate::store::valkey::ConnectError),
}

/// The whole control service, without its sockets.
pub struct Service {
    pub(crate) config: Config,
    pub(crate) context: Context,
    pub(crate) homes: Vec<Arc<HomeIssuer>>,
    pub(crate) servers: HashMap<String, Arc<Server>>,
    pub(crate) grants: Grants,
    pub(crate) exchanges: Exchanges,
    pub(crate) sessions: Sessions,
    pub(crate) policy: Policy,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) readiness: Arc<Readiness>,
    rotations: Arc<Rotations>,
    traffics: LimitsByIssuer,
    errands: Background,
}

/// What outlives a configuration.
struct Lasting {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    throttle: Arc<Throttle>,
    readiness: Arc<Readiness>,
    rotations: Arc<Rotations>,
    traffics: LimitsByIssuer,
}

/// One protected server, ready to be asked for.
pub(crate) struct Server {
    pub(crate) config: ServerConfig,
    pub(crate) remote: Option<Arc<RemoteIssuer>>,
}

/// The key ring of a configuration.
///
/// # Errors
/// [`BadKey`].
pub fn key_ring(config: &SealingConfig) -> Result<KeyRing, BadKey> {
    let key = |key: &SealingKeyConfig| SealingKey::from_base64(&key.id, &key.key);
    let previous = config.previous.iter().map(key).collect::<Result<_, _>>()?;
    KeyRing::new(key(&config.current)?, previous)
}

impl Service {
    /// A service on `store`. Several may share one store; each is then a replica.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn new(
        config: Config,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, StartError> {
        let metrics = Metrics::default();
        let store = Arc::new(CountedStore::new(store, metrics.clone()));
        let readiness = Readiness::new(Arc::clone(&store), config.store.deadline);
        let lasting = Lasting {
            store,
            readiness: Arc::new(readiness),
            clock,
            metrics,
            throttle: Arc::new(Throttle::new(WARN_EVERY)),
            rotations: Arc::new(Rotations::new(SIGNED_OUT_LIFETIME)),
            traffics: LimitsByIssuer::default(),
        };
        Self::assembled(config, lasting)
    }

    /// The service of another configuration on the same store, with the same counts and log throttle, and with what is
    /// known of the issuers: a reload does not make an issuer healthy that fails everybody.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn succeeded_by(&self, config: Config) -> Result<Arc<Self>, StartError> {
        let lasting = Lasting {
            store: Arc::clone(&self.context.store),
            clock: Arc::clone(&self.context.clock),
            metrics: self.context.metrics.clone(),
            throttle: Arc::clone(&self.throttle),
            readiness: Arc::clone(&self.readiness),
            rotations: Arc::clone(&self.rotations),
            traffics: self.traffics.kept_for(&self.config, &config),
        };
        Self::assembled(config, lasting)
    }

    fn assembled(config: Config, lasting: Lasting) -> Result<Arc<Self>, StartError> {
        let context = Context {
            client: IssuerClient::new(config.issuer_timeout)?,
            store: lasting.store,
            ring: Arc::new(key_ring(&config.sealing)?),
            clock: lasting.clock,
            metrics: lasting.metrics,
            proven_tokens: Arc::default(),
            past_key_grace: config.stale_subject_grace,
        };
        let policy = Policy {
            margin: config.margin,
            suspect_wait: config.issuer_timeout,
            // The call, and a write before and after it.
            presentation_limit: config.issuer_timeout + config.store.deadline * 2,
            transient_limit: config.transient_limit,
            rejected_interval: config.rejected_interval,
        };
        // Discovery, the call and the keys each may take the timeout, and a dead holder's lease its lifetime.
        let lease_patience = config.issuer_timeout * 3 + config.lease;
        let mut traffics = lasting.traffics;
        let homes = homes(&config.issuers, &context, &mut traffics);
        let grants = Grants::new(
            context.clone(),
            GrantTimes {
                policy,
                caller_deadline: config.caller_deadline,
                lease_lifetime: config.lease,
                lease_patience,
                record_lifetime: config.session_lifetime,
            },
            Arc::clone(&lasting.rotations),
            Revocations::new(context.clone(), homes.clone()),
        );
        let exchanges = Exchanges::new(
            context.clone(),
            grants.clone(),
            ExchangeTimes {
                policy,
                caller_deadline: config.caller_deadline,
                lease_lifetime: config.lease,
                lease_patience,
            },
        );
        let sessions = Sessions::new(
            context.clone(),
            grants.clone(),
            exchanges.clone(),
            config.session_lifetime,
        );
        Ok(Arc::new(Self {
            homes,
            servers: servers(&config.servers, &config.issuers, &context, &mut traffics),
            config,
            context,
            grants,
            exchanges,
            sessions,
            policy,
            throttle: lasting.throttle,
            readiness: lasting.readiness,
            rotations: lasting.rotations,
            traffics,
            errands: Background::default(),
        }))
    }

    /// The service's metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.context.metrics
    }

    /// Waits until nothing is under way at an issuer; at most `longest`. `false`: something still is.
    pub async fn drain(&self, longest: Duration) -> bool {
        tokio::time::timeout(longest, self.landed()).await.is_ok()
    }

    /// Waits until nothing is under way at an issuer, and nothing that a caller asked to be changed.
    pub(crate) async fn landed(&self) {
        self.errands.done().await;
        self.exchanges.landed().await;
        self.grants.landed().await;
    }

    /// The home of `issuer` and `client_id`.
    pub(crate) fn home(&self, issuer: &str, client_id: &str) -> Option<&Arc<HomeIssuer>> {
        self.homes
            .iter()
            .find(|home| home.config.issuer == issuer && home.config.client_id == client_id)
    }
}

/// Clients of one issuer share its keys and endpoints, as far as they are configured alike.
fn homes(configs: &[IssuerConfig], context: &Context, traffics: &mut LimitsByIssuer) -> Vec<Arc<HomeIssuer>> {
    let mut homes: Vec<Arc<HomeIssuer>> = Vec::new();
    for config in configs {
        let alike = homes
            .iter()
            .find(|home| home.config.issuer == config.issuer && home.config.jwks_uri == config.jwks_uri)
            .map(|home| Arc::clone(&home.keys));
        let discovery = Arc::new(Discovery::new(
            config.issuer.clone(),
            config.token_endpoint.clone(),
            config.jwks_uri.clone(),
        ));
        let keys = alike.unwrap_or_else(|| {
            let keys = IssuerKeys::new(config.issuer.clone(), Arc::clone(&discovery), context.clone());
            Arc::new(keys.rejecting(rejected_keys(configs, &config.issuer)))
        });
        let traffic = traffics.of(&config.issuer, context);
        homes.push(Arc::new(HomeIssuer::new(
            config.clone(),
            discovery,
            keys,
            traffic,
        )));
    }
    homes
}

/// The keys that any client's configuration rejects are rejected for all of the issuer's clients.
fn rejected_keys(configs: &[IssuerConfig], issuer: &str) -> Vec<String> {
    let of_issuer = configs.iter().filter(|config| config.issuer == issuer);
    of_issuer
        .flat_map(|config| config.rejected_keys.iter().cloned())
        .collect()
}

fn servers(
    configs: &[ServerConfig],
    issuers: &[IssuerConfig],
    context: &Context,
    traffics: &mut LimitsByIssuer,
) -> HashMap<String, Arc<Server>> {
    let mut keys: HashMap<(String, String), Arc<IssuerKeys>> = HashMap::new();
    let mut servers = HashMap::new();
    for config in configs {
        let remote = match &config.token {
            TokenSource::Forward => None,
            TokenSource::Exchange(exchange) => {
                let issuer = exchange.expected_issuer.clone();
                let shared = keys
                    .entry((issuer.clone(), exchange.jwks_uri.to_string()))
                    .or_insert_with(|| {
                        let discovery = Arc::new(Discovery::new(
                            issuer.clone(),
                            Some(exchange.token_endpoint.clone()),
                            Some(exchange.jwks_uri.clone()),
                        ));
                        let rejected = rejected_keys(issuers, &issuer);
                        let keys = IssuerKeys::new(issuer, discovery, context.clone());
                        Arc::new(keys.rejecting(rejected))
                    });
                let keys = Arc::clone(shared);
                let traffic = traffics.of(&exchange.expected_issuer, context);
                Some(Arc::new(RemoteIssuer::new(
                    exchange.as_ref().clone(),
                    keys,
                    traffic,
                )))
            }
        };
        servers.insert(
            config.name.clone(),
            Arc::new(Server {
                config: config.clone(),
                remote,
            }),
        );
    }
    servers
}
