//! The use cases behind the endpoints. One [`Service`] per process and configuration, or per replica in a test.

pub(crate) mod authorization;
mod background;
mod build;
pub(crate) mod census;
pub(crate) mod console;
mod current;
pub(crate) mod dialects;
mod exchange_endpoint;
pub(crate) mod explain;
pub(crate) mod filter_state;
mod limits;
mod logout;
mod next_servers;
mod open;
mod recent;
pub(crate) mod relay;
mod replace_resources;
mod report;
pub(crate) mod resource_servers;
mod samples;
pub(crate) mod sessions;
mod subject;
mod token;

pub use census::Census;
pub use current::Current;
pub use open::{check_store, open_store, try_store};

pub(crate) use console::replicas::own_name as replica_name;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::activity::recorder::Queue;
use crate::activity::{History, Recorder};
use crate::audit::{AuditLog, AuditUnusable};
use crate::authorization::access_token::BadSigningKey;
use crate::authorization::client::metadata_document::fetch::FetcherUnusable;
use crate::clock::Clock;
use crate::config::{Config, SealingConfig, SealingKeyConfig, ServerConfig};
use crate::context::Context;
use crate::filter_state::SignOutLog;
use crate::filter_state::server_list::TooLong;
use crate::observe::metrics::Metrics;
use crate::observe::throttle::Throttle;
use crate::record::keyring::{BadKey, KeyRing, SealingKey};
use crate::session::Sessions;
use crate::store::Store;
use crate::store::counted::CountedStore;
use crate::store::readiness::Readiness;
use crate::upstream::exchange::{ExchangeTimes, Exchanges};
use crate::upstream::grant::rotations::Rotations;
use crate::upstream::grant::{GrantTimes, Grants, SIGNED_OUT_LIFETIME};
use crate::upstream::issuer::client::{ClientUnusable, IssuerClient};
use crate::upstream::issuer::revocation::Revocations;
use crate::upstream::issuer::{HomeIssuer, RemoteIssuer};
use crate::upstream::policy::Policy;
use crate::upstream::relay::Relay;

use self::authorization::AuthorizationServer;
use self::background::Background;
use self::console::Console;
use self::filter_state::ForFilters;
use self::limits::LimitsByIssuer;
use self::relay::RelayEdge;

/// At most one WARN for each cause within this time.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// The service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A sealing key is unusable.
    #[error(transparent)]
    Sealing(#[from] BadKey),
    /// A signing key of access tokens is unusable.
    #[error(transparent)]
    SigningKey(#[from] BadSigningKey),
    /// The HTTP client for issuers cannot be built.
    #[error(transparent)]
    Client(#[from] ClientUnusable),
    /// The HTTP client for clients' metadata documents cannot be built.
    #[error(transparent)]
    Documents(#[from] FetcherUnusable),
    /// The list of servers does not fit into an answer to a filter.
    #[error(transparent)]
    ServerList(#[from] TooLong),
    /// The embedded store does not open.
    #[error(transparent)]
    Embedded(#[from] crate::store::embedded::OpenError),
    /// The audit log cannot be written.
    #[error(transparent)]
    Audit(#[from] AuditUnusable),
    /// Valkey does not answer, or its settings are unusable.
    #[error(transparent)]
    Valkey(#[from] crate::store::valkey::ConnectError),
}

/// The control service without its sockets: everything that one configuration determines, on a shared store.
pub struct Service {
    pub(crate) config: Config,
    pub(crate) context: Context,
    pub(crate) history: History,
    pub(crate) homes: Vec<Arc<HomeIssuer>>,
    pub(crate) servers: HashMap<String, Arc<Server>>,
    pub(crate) grants: Grants,
    pub(crate) exchanges: Exchanges,
    pub(crate) sessions: Sessions,
    pub(crate) relay: Relay,
    pub(crate) policy: Policy,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) relay_edge: Arc<RelayEdge>,
    /// Our own authorization server, if it is configured.
    pub(crate) authorization: Option<Arc<AuthorizationServer>>,
    /// The operators' console, if it is configured.
    pub(crate) console: Option<Arc<Console>>,
    for_filters: ForFilters,
    rotations: Arc<Rotations>,
    recorded: Arc<Queue>,
    limits: LimitsByIssuer,
    background: Background,
    /// Names this process in the console.
    pub(crate) replica_name: Arc<str>,
}

/// State that outlives a configuration: a reload passes it on to the next [`Service`].
struct ProcessState {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    throttle: Arc<Throttle>,
    readiness: Arc<Readiness>,
    rotations: Arc<Rotations>,
    recorded: Arc<Queue>,
    limits: LimitsByIssuer,
    replica_name: Arc<str>,
    sign_outs: SignOutLog,
    for_filters: ForFilters,
    /// Their caches and limits outlive a configuration.
    authorization: Option<Arc<AuthorizationServer>>,
    console: Option<Arc<Console>>,
}

/// One protected server.
pub(crate) struct Server {
    pub(crate) config: ServerConfig,
    /// The issuer that exchanges the login's token, for `token: exchange`.
    pub(crate) remote: Option<Arc<RemoteIssuer>>,
}

/// The sealing keys of a configuration.
///
/// # Errors
/// [`BadKey`].
pub fn key_ring(config: &SealingConfig) -> Result<KeyRing, BadKey> {
    let key = |key: &SealingKeyConfig| SealingKey::from_base64(&key.id, &key.key);
    let previous = config.previous.iter().map(key).collect::<Result<_, _>>()?;
    KeyRing::new(key(&config.current)?, previous)
}

impl Service {
    /// A service on `store`. Services that share one store are replicas of each other.
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
        let grace = config.stale_subject_grace;
        let shared: Arc<dyn Store> = store.clone();
        let state = ProcessState {
            sign_outs: SignOutLog::new(shared, Arc::clone(&clock), grace),
            for_filters: ForFilters::new(&config)?,
            store,
            readiness: Arc::new(readiness),
            clock,
            recorded: Arc::new(Queue::new(metrics.activity.clone())),
            metrics,
            throttle: Arc::new(Throttle::new(WARN_INTERVAL)),
            rotations: Arc::new(Rotations::new(SIGNED_OUT_LIFETIME)),
            limits: LimitsByIssuer::new(&config),
            authorization: None,
            console: None,
            replica_name: console::replicas::own_name().into(),
        };
        Self::assemble(config, state)
    }

    /// The service of the next configuration on the same store. It takes over the metrics, the log throttle, the limits of
    /// issuers and sources, and the fetched documents of clients: a reload must not close an open circuit breaker.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn succeeded_by(&self, config: Config) -> Result<Arc<Self>, StartError> {
        let grace = config.stale_subject_grace;
        let state = ProcessState {
            sign_outs: self.context.sign_outs.with_grace(grace),
            for_filters: self.for_filters.succeeded_by(&config)?,
            store: Arc::clone(&self.context.store),
            clock: Arc::clone(&self.context.clock),
            metrics: self.context.metrics.clone(),
            throttle: Arc::clone(&self.throttle),
            readiness: Arc::clone(&self.readiness),
            rotations: Arc::clone(&self.rotations),
            recorded: Arc::clone(&self.recorded),
            limits: self.limits.carried_over(&self.config, &config),
            authorization: self.authorization.clone(),
            console: self.console.clone(),
            replica_name: Arc::clone(&self.replica_name),
        };
        Self::assemble(config, state)
    }

    fn assemble(config: Config, state: ProcessState) -> Result<Arc<Self>, StartError> {
        let ring = Arc::new(key_ring(&config.sealing)?);
        let history = History::new(Arc::clone(&state.store), Arc::clone(&ring));
        let audit = (config.audit.as_ref())
            .map(|target| AuditLog::open(target, &state.metrics.activity))
            .transpose()?;
        let context = Context {
            client: IssuerClient::new(config.issuer_timeout)?,
            store: state.store,
            ring,
            clock: state.clock,
            metrics: state.metrics,
            recorder: Recorder::new(history.clone(), Arc::clone(&state.recorded), audit),
            proven_tokens: Arc::default(),
            sign_outs: state.sign_outs,
            past_key_grace: config.stale_subject_grace,
        };
        samples::begin(&context.metrics, &config);
        let policy = Policy {
            margin: config.margin,
            suspect_wait: config.issuer_timeout,
            // One call, with a store write before and after it.
            presentation_limit: config.issuer_timeout + config.store.deadline * 2,
            transient_limit: config.transient_limit,
            rejected_interval: config.rejected_interval,
        };
        // Discovery, the call and the keys may each take the full timeout, and the lease of a replica that died stands
        // for its lifetime.
        let lease_patience = config.issuer_timeout * 3 + config.lease;
        let mut limits = state.limits;
        let homes = build::homes(&config.issuers, &context, &mut limits);
        let console = config
            .console
            .as_ref()
            .and_then(|section| Console::new(section, &context, &mut limits, state.console.as_deref()));
        let grants = Grants::new(
            context.clone(),
            GrantTimes {
                policy,
                caller_deadline: config.caller_deadline,
                lease_lifetime: config.lease,
                lease_patience,
                record_lifetime: config.session_lifetime,
            },
            Arc::clone(&state.rotations),
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
        let mut sessions = Sessions::new(
            context.clone(),
            grants.clone(),
            exchanges.clone(),
            config.session_lifetime,
        );
        if config.authorization.is_some() {
            sessions = sessions.with_families();
        }
        let authorization = config
            .authorization
            .as_ref()
            .map(|section| AuthorizationServer::new(section, &context, state.authorization.as_deref()))
            .transpose()?;
        Ok(Arc::new(Self {
            authorization: authorization.map(Arc::new),
            console: console.map(Arc::new),
            relay: Relay::new(context.clone(), grants.clone()),
            relay_edge: Arc::new(RelayEdge::new(&homes)?),
            servers: build::servers(&config, &homes, &context, &mut limits, &HashMap::new()),
            homes,
            config,
            context,
            history,
            grants,
            exchanges,
            sessions,
            policy,
            throttle: state.throttle,
            readiness: state.readiness,
            for_filters: state.for_filters,
            rotations: state.rotations,
            recorded: state.recorded,
            limits,
            background: Background::default(),
            replica_name: state.replica_name,
        }))
    }

    /// The service's metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.context.metrics
    }

    /// What happened, of all replicas.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Waits at most `timeout` until no call to an issuer and no mutation is in progress. `false`: some still are.
    pub async fn drain(&self, timeout: Duration) -> bool {
        tokio::time::timeout(timeout, self.wait_idle()).await.is_ok()
    }

    /// [`Service::drain`] without a timeout.
    pub(crate) async fn wait_idle(&self) {
        self.relay_edge.finished().await;
        self.background.wait_idle().await;
        self.relay.wait_idle().await;
        self.exchanges.finished().await;
        self.grants.finished().await;
        // Last: what ends above is recorded too.
        self.context.recorder.flush().await;
    }

    /// The configured issuer and client that log users in as `client_id` at `issuer`.
    pub(crate) fn home(&self, issuer: &str, client_id: &str) -> Option<&Arc<HomeIssuer>> {
        self.homes
            .iter()
            .find(|home| home.config.issuer == issuer && home.config.client_id == client_id)
    }
}
