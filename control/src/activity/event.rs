//! One event. Plain data; whatever an issuer or a client chose is cut to a bounded length.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest text of an event, in characters.
const MOST_CHARACTERS: usize = 256;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A user logged in: a session was registered, or a grant got a new generation.
    Login,
    /// A session, or all sessions of a user, ended on request.
    SignOut,
    /// A pair, or a caller, got no token, for the first time since it last did.
    RefusalBegan,
    /// It got a token again.
    RefusalEnded,
    /// The issuer answered a refresh without a usable token, or its answer could not be stored.
    RefreshFailed,
    /// A key is not used any more: the issuer withdrew a signing key, or a reload removed a sealing key.
    KeyDropped,
    /// The configuration was reloaded, or a reload was refused.
    Reload,
}

impl EventKind {
    /// All kinds, in the order of their documentation.
    pub const ALL: [Self; 7] = [
        Self::Login,
        Self::SignOut,
        Self::RefusalBegan,
        Self::RefusalEnded,
        Self::RefreshFailed,
        Self::KeyDropped,
        Self::Reload,
    ];

    /// The name in the audit log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::SignOut => "sign_out",
            Self::RefusalBegan => "refusal_began",
            Self::RefusalEnded => "refusal_ended",
            Self::RefreshFailed => "refresh_failed",
            Self::KeyDropped => "key_dropped",
            Self::Reload => "reload",
        }
    }
}

/// Through what something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// The aggregator's sessions API.
    Aggregator,
    /// Our own authorization server.
    Here,
    /// A relayed token endpoint.
    Relay,
    /// A logout token of the issuer.
    Issuer,
    /// The MCP client of a login here: it revoked its refresh token, or presented one that was used before.
    Client,
    /// A person at the console.
    Console,
}

impl Via {
    /// The name in the audit log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aggregator => "aggregator",
            Self::Here => "here",
            Self::Relay => "relay",
            Self::Issuer => "issuer",
            Self::Client => "client",
            Self::Console => "console",
        }
    }
}

/// What did something, and for the console which person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Through what.
    pub via: Via,
    /// The person at the console.
    pub person: Option<User>,
}

impl Actor {
    /// A person at the console.
    #[must_use]
    pub const fn at_console(person: User) -> Self {
        Self {
            via: Via::Console,
            person: Some(person),
        }
    }
}

impl From<Via> for Actor {
    fn from(via: Via) -> Self {
        Self { via, person: None }
    }
}

/// A user, by the claims of an ID token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `email`.
    pub email: Option<String>,
    /// `name`, else `preferred_username`.
    pub name: Option<String>,
}

impl User {
    /// A user, by issuer and subject alone.
    #[must_use]
    pub fn new(issuer: &str, subject: &str) -> Self {
        Self {
            issuer: bounded(issuer),
            subject: bounded(subject),
            email: None,
            name: None,
        }
    }

    /// The user that a compact JWS names. Nothing is verified; `None` if the token is not readable.
    #[must_use]
    pub fn of_token(token: &str) -> Option<Self> {
        let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        let claims: Value = serde_json::from_slice(&payload).ok()?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(bounded);
        Some(Self {
            issuer: text("iss")?,
            subject: text("sub")?,
            email: text("email"),
            name: text("name").or_else(|| text("preferred_username")),
        })
    }
}

/// `text` in at most [`MOST_CHARACTERS`] characters, and without control characters.
#[must_use]
pub fn bounded(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(MOST_CHARACTERS)
        .collect()
}

/// One event. Digests are lower-case hex; no field is a token, a secret or a session handle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Unix ms, by the clock of the replica that recorded it.
    pub at_ms: u64,
    /// What happened.
    pub kind: EventKind,
    /// The server's configured name.
    pub server: Option<String>,
    /// `iss` of the issuer that it is about.
    pub issuer: Option<String>,
    /// The first eight digits of the pair's digest, as in the filter's log lines.
    pub pair: Option<String>,
    /// The first eight digits of the session's digest.
    pub session: Option<String>,
    /// The first eight digits of the grant's digest, as in control's log lines.
    pub grant: Option<String>,
    /// The user.
    pub user: Option<User>,
    /// Whether the user is proven by a valid signature. If not, `user` is what an unverified token states.
    pub is_user_verified: bool,
    /// Through what it happened.
    pub via: Option<Via>,
    /// The person at the console that did it.
    pub actor: Option<User>,
    /// The refusal's name, the outcome of a refresh, or the outcome of a reload.
    pub refusal: Option<String>,
    /// The exact cause.
    pub cause: Option<String>,
    /// What to do.
    pub remedy: Option<String>,
    /// A number that belongs to it: sessions that ended, refusals that were not logged.
    pub count: Option<u64>,
}

impl Event {
    /// An event without details.
    #[must_use]
    pub const fn new(kind: EventKind, at_ms: u64) -> Self {
        Self {
            at_ms,
            kind,
            server: None,
            issuer: None,
            pair: None,
            session: None,
            grant: None,
            user: None,
            is_user_verified: false,
            via: None,
            actor: None,
            refusal: None,
            cause: None,
            remedy: None,
            count: None,
        }
    }

    /// Sets a user that a valid signature proved.
    #[must_use]
    pub fn verified_user(mut self, user: Option<User>) -> Self {
        self.is_user_verified = user.is_some();
        self.user = user;
        self
    }

    /// Sets what was refused, why, and what to do. An empty cause is none.
    #[must_use]
    pub fn refused(mut self, refusal: &str, cause: &str, remedy: &str) -> Self {
        self.refusal = Some(refusal.to_owned());
        self.cause = Some(bounded(cause)).filter(|cause| !cause.is_empty());
        self.remedy = Some(bounded(remedy)).filter(|remedy| !remedy.is_empty());
        self
    }
}
