//! What a fake Dex is configured with: the parts of Dex's own configuration that show on the wire.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::IssuerClock;

/// Configuration of a [`super::FakeDex`]. The default is Dex's default: ID tokens of 24 hours, rotation on, no reuse
/// interval; with one user `admin@example.com`, password `password`, and the clients `muster` (secret `s3cret`) and
/// `kube` (secret `k`, trusts `muster`).
#[derive(Debug, Clone)]
pub struct DexConfig {
    /// The issuer's time.
    pub clock: IssuerClock,
    /// `expiry.idTokens`; access tokens live as long.
    pub id_token_lifetime: Duration,
    /// `expiry.signingKeys`. A real Dex looks at it every 30 s; the fake one rotates when a test calls for it.
    pub signing_keys: Duration,
    /// `expiry.refreshTokens`.
    pub refresh_tokens: RefreshTokenPolicy,
    /// `staticPasswords`.
    pub users: Vec<DexUser>,
    /// `staticClients`.
    pub clients: Vec<DexClient>,
    /// `connectors` beside the password connector `local`.
    pub connectors: Vec<DexConnector>,
    /// Members of the fake one's discovery document besides Dex's own, or in their place; `null` leaves one out.
    pub discovery: Vec<(&'static str, Value)>,
    /// The fake one's access tokens are opaque to everyone but the servers of the tests, which read them as
    /// [`super::opaque`] has it; Dex's are JWTs.
    pub opaque_access_tokens: bool,
    /// The fake one names a revocation endpoint (RFC 7009), which Dex does not have.
    pub has_revocation: bool,
    /// The fake one keeps a refresh token for each login, as other issuers do: a second login of a user leaves the first alive.
    pub keeps_each_login: bool,
    /// The fake one refuses clients that authenticate themselves in the header, as some issuers do.
    pub post_only: bool,
    /// Where a real Dex checks passwords and, at each refresh, users, instead of in its own database: the base URL
    /// of an Atlassian Crowd. The fake one does not look at it; a connector that fails is one of its
    /// [`super::Failure`]s.
    pub crowd: Option<String>,
    /// Where clients reach the issuer, and so part of its name, where that is not the address on which it listens: a
    /// gateway in front of it.
    pub published_at: Option<SocketAddr>,
}

impl Default for DexConfig {
    fn default() -> Self {
        Self {
            clock: IssuerClock::default(),
            id_token_lifetime: Duration::from_secs(24 * 3600),
            signing_keys: Duration::from_secs(6 * 3600),
            refresh_tokens: RefreshTokenPolicy::default(),
            users: vec![DexUser::new("admin@example.com")],
            clients: vec![
                DexClient::new("muster", "s3cret"),
                DexClient {
                    trusted_peers: vec!["muster".to_owned()],
                    ..DexClient::new("kube", "k")
                },
            ],
            connectors: Vec::new(),
            discovery: Vec::new(),
            opaque_access_tokens: false,
            has_revocation: false,
            keeps_each_login: false,
            post_only: false,
            crowd: None,
            published_at: None,
        }
    }
}

impl DexConfig {
    /// With another lifetime of ID tokens.
    pub fn id_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.id_token_lifetime = lifetime;
        self
    }

    /// With opaque access tokens.
    pub fn opaque_access_tokens(mut self) -> Self {
        self.opaque_access_tokens = true;
        self
    }

    /// With another `reuseInterval`.
    pub fn reuse_interval(mut self, interval: Duration) -> Self {
        self.refresh_tokens.reuse_interval = interval;
        self
    }

    /// With clients that reach it at this address, in its name too.
    pub fn published_at(mut self, address: SocketAddr) -> Self {
        self.published_at = Some(address);
        self
    }

    /// With this clock.
    pub fn clock(mut self, clock: &IssuerClock) -> Self {
        self.clock = clock.clone();
        self
    }

    /// With this member in the discovery document.
    pub fn discovery(mut self, member: &'static str, value: Value) -> Self {
        self.discovery.push((member, value));
        self
    }

    /// With one more user.
    pub fn user(mut self, user: DexUser) -> Self {
        self.users.push(user);
        self
    }

    /// With one more client.
    pub fn client(mut self, client: DexClient) -> Self {
        self.clients.push(client);
        self
    }

    /// With one more connector.
    pub fn connector(mut self, connector: DexConnector) -> Self {
        self.connectors.push(connector);
        self
    }
}

/// `expiry.refreshTokens`. Zero means what it means in Dex: no reuse, no expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshTokenPolicy {
    /// Not `disableRotation`.
    pub rotation: bool,
    /// `reuseInterval`: how long after a rotation the previous token still answers with the current one.
    pub reuse_interval: Duration,
    /// `validIfNotUsedFor`.
    pub valid_if_not_used_for: Duration,
    /// `absoluteLifetime`, since the login.
    pub absolute_lifetime: Duration,
}

impl Default for RefreshTokenPolicy {
    fn default() -> Self {
        Self {
            rotation: true,
            reuse_interval: Duration::ZERO,
            valid_if_not_used_for: Duration::ZERO,
            absolute_lifetime: Duration::ZERO,
        }
    }
}

/// A user of the password connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DexUser {
    /// `email`, the name one logs in with.
    pub email: String,
    /// `username`, the claim `name`.
    pub username: String,
    /// `userID`, one half of the subject.
    pub user_id: String,
    /// `groups`.
    pub groups: Vec<String>,
    /// The password.
    pub password: String,
}

impl DexUser {
    /// A user with the password `password`, the group `team-a` and a user id that follows from the email.
    pub fn new(email: &str) -> Self {
        let username = email.split('@').next().unwrap_or(email).to_owned();
        Self {
            email: email.to_owned(),
            user_id: user_id(email),
            username,
            groups: vec!["team-a".to_owned()],
            password: "password".to_owned(),
        }
    }

    /// With so many groups that a token is as long as they are in production, about 1.1 KB.
    pub fn with_many_groups(mut self) -> Self {
        self.groups = (1..=10)
            .map(|number| format!("customer-{number:02}:engineers"))
            .collect();
        self
    }
}

/// A UUID that is the same for the same email in every issuer and every run.
fn user_id(email: &str) -> String {
    use sha2::Digest as _;
    let hex: String = sha2::Sha256::digest(email)
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// An OAuth client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DexClient {
    /// `id`.
    pub id: String,
    /// `secret`.
    pub secret: String,
    /// `trustedPeers`: clients that may request tokens with this client's id among the audiences.
    pub trusted_peers: Vec<String>,
    /// `redirectURIs` of a real issuer: where it sends a browser with a code.
    pub redirect_uris: Vec<String>,
}

impl DexClient {
    /// A client that trusts no other.
    pub fn new(id: &str, secret: &str) -> Self {
        Self {
            id: id.to_owned(),
            secret: secret.to_owned(),
            trusted_peers: Vec::new(),
            redirect_uris: vec!["http://127.0.0.1/callback".to_owned()],
        }
    }
}

/// An `oidc` connector: it accepts the tokens of another issuer at the token exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DexConnector {
    /// `id`, the request's `connector_id`.
    pub id: String,
    /// `config.issuer`.
    pub issuer: String,
    /// `config.getUserInfo`: every subject token is also sent to the issuer's userinfo endpoint.
    pub get_user_info: bool,
}

impl DexConnector {
    /// A connector to `issuer` without `getUserInfo`.
    pub fn oidc(id: &str, issuer: &str) -> Self {
        Self {
            id: id.to_owned(),
            issuer: issuer.to_owned(),
            get_user_info: false,
        }
    }
}
