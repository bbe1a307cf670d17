//! What a deployment consists of.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokenward_control::store::Store;
use tokenward_control::store::valkey::{Topology, ValkeyConfig};

use tokenward_harness::issuer::{DexConfig, DexUser};
use tokenward_harness::parts::{ControlConfig, ControlIssuer, ControlStore};
use tokenward_harness::secrets;

/// `credentials.filter`.
pub const FILTER: &str = "filter+secret/with=%:odd";
/// `credentials.aggregator`.
pub const AGGREGATOR: &str = "aggregator-secret";
/// A user that each fake Dex has.
pub const ADMIN: &str = "admin@example.com";
/// The relayed issuer's token endpoint as its clients know it.
pub const PUBLIC_ENDPOINT: &str = "https://login.example.com/token";
/// The server that each deployment has; it forwards the user's own token.
pub(super) const SERVER: &str = "kubernetes";
/// `sealing.current.key`: 32 bytes in base64.
const SEALING_KEY: &str = "q83vEjRWeJASNFZ4kKvN7xI0VniQEjRWeJCrze8SNFY=";

/// The default of `store.deadline`.
pub const STORE_DEADLINE: Duration = Duration::from_secs(2);
/// `store.deadline` of tests about something else: a store that answers meets it, however busy the machine is.
pub(super) const LONG_STORE_DEADLINE: Duration = Duration::from_secs(20);

/// What a deployment starts with.
pub struct Plan {
    /// The fake Dex, unless one is given that runs already.
    pub dex: DexConfig,
    /// How many replicas.
    pub replicas: usize,
    /// Top-level settings where `settings` has none of that name.
    pub defaults: Value,
    /// Top-level settings. A text `@NAME` in them becomes the path of that file of `secrets` or `files`.
    pub settings: Value,
    /// More servers than `kubernetes`, which forwards.
    pub servers: Vec<Value>,
    /// Files with secrets: name and content.
    pub secrets: Vec<(String, String)>,
    /// Files without secrets: name and content.
    pub files: Vec<(String, Vec<u8>)>,
    /// Id and secret of the client at the issuer.
    pub client: (String, String),
    /// On a real Valkey instead of the embedded store.
    pub valkey: bool,
    /// On this store instead; only replicas in this process can use it.
    pub engine: Option<Arc<dyn Store>>,
    /// `store.deadline`, where it is not the service's default.
    pub store_deadline: Option<&'static str>,
    /// `issuers[0].policy`.
    pub policy: &'static str,
    /// More members of `issuers[0]`, or others in their place; `null` leaves one out.
    pub issuer: Value,
    /// `issuers[0].relay`; without a `public_endpoint` it has [`PUBLIC_ENDPOINT`].
    pub relay: Option<Value>,
    /// `issuers[0].token_endpoint` of a relay, where it is not Dex's own.
    pub own_endpoint: Option<String>,
    /// The program of the processes, where it is not the one that is built here.
    pub program: Option<PathBuf>,
    /// Environment of the processes, `RUST_LOG` for one.
    pub environment: Vec<(String, String)>,
}

impl Default for Plan {
    /// One replica in this process, on the embedded store, with a caller deadline that only a test about it misses.
    fn default() -> Self {
        Self {
            dex: DexConfig::default().id_token_lifetime(Duration::from_secs(300)),
            replicas: 1,
            defaults: json!({"caller_deadline": "20s"}),
            settings: json!({}),
            servers: Vec::new(),
            secrets: Vec::new(),
            files: Vec::new(),
            client: ("muster".to_owned(), "s3cret".to_owned()),
            valkey: false,
            engine: None,
            store_deadline: None,
            policy: "tolerant",
            issuer: Value::Null,
            relay: None,
            own_endpoint: None,
            program: None,
            environment: Vec::new(),
        }
    }
}

impl Plan {
    /// One process on its embedded store, with the service's own defaults.
    pub fn of_one_process() -> Self {
        Self {
            defaults: json!({}),
            ..Self::default()
        }
    }

    /// Three processes on one Valkey, with one user: [`email`] of 0. The deadlines are short, so that another replica soon
    /// takes over from one that died: `lease`, and `store.deadline`, after which no answer of the dead one can come.
    pub fn of_processes() -> Self {
        Self {
            dex: with_users(Self::default().dex, 1),
            replicas: 3,
            // Longer than a refresh of the fake Dex takes.
            defaults: json!({"issuer_timeout": "1s", "lease": "1s"}),
            valkey: true,
            store_deadline: Some("400ms"),
            ..Self::default()
        }
    }

    fn own_endpoint(&self, issuer: &str) -> String {
        let own = self.own_endpoint.clone();
        own.unwrap_or_else(|| format!("{issuer}/token"))
    }

    /// The configuration of each replica, with `issuer` and `store`.
    pub(super) fn control_config(&self, issuer: &str, store: ControlStore) -> ControlConfig {
        let forwarding = json!({"name": SERVER, "auth": {"type": "oauth", "forwardToken": true}});
        let servers: Vec<&Value> = std::iter::once(&forwarding).chain(&self.servers).collect();
        let mut settings = vec![("servers".to_owned(), json!(servers))];
        for object in [&self.defaults, &self.settings] {
            let members = object.as_object().into_iter().flatten();
            settings.extend(members.map(|(name, value)| (name.clone(), value.clone())));
        }
        let mut files = self.files.clone();
        for (name, secret) in &self.secrets {
            secrets::note(secret);
            files.push((name.clone(), secret.clone().into_bytes()));
        }
        ControlConfig {
            store,
            store_deadline: self.store_deadline.map(str::to_owned),
            filter_credential: FILTER.into(),
            aggregator_credential: AGGREGATOR.into(),
            sealing_key: ("k1".to_owned(), SEALING_KEY.into()),
            issuers: vec![ControlIssuer {
                issuer: issuer.to_owned(),
                client_id: self.client.0.clone(),
                client_secret: self.client.1.as_str().into(),
                policy: Some(self.policy.to_owned()),
                token_endpoint: self.relay.as_ref().map(|_| self.own_endpoint(issuer)),
                relay: self.relay.clone().map(with_public_endpoint),
                more: self.issuer.clone(),
            }],
            settings,
            files,
            program: self.program.clone(),
            environment: self.environment.clone(),
            ..ControlConfig::default()
        }
    }
}

fn with_public_endpoint(mut relay: Value) -> Value {
    if relay.get("public_endpoint").is_none() {
        relay["public_endpoint"] = json!(PUBLIC_ENDPOINT);
    }
    relay
}

/// `dex` with so many users more: [`email`] of 0, 1 …
pub fn with_users(dex: DexConfig, users: usize) -> DexConfig {
    (0..users).fold(dex, |dex, user| dex.user(DexUser::new(&email(user))))
}

/// The email of a user of [`with_users`].
pub fn email(user: usize) -> String {
    format!("user-{user}@example.com")
}

/// A Valkey at `url`, with the default deadline.
pub fn valkey_config(url: String) -> ValkeyConfig {
    ValkeyConfig {
        url,
        username: None,
        password: None,
        key_prefix: "tokenward:".to_owned(),
        deadline: STORE_DEADLINE,
        topology: Topology::Standalone,
        client_side_caching: true,
    }
}

/// A Valkey at `url`, with a deadline that no answer misses.
pub fn patient_valkey_config(url: String) -> ValkeyConfig {
    ValkeyConfig {
        deadline: LONG_STORE_DEADLINE,
        ..valkey_config(url)
    }
}
