//! Finds what an explanation is about: the grant of a session, of a user, or of the pair in a log line.

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::pair::{PairKey, SessionSource, TokenSubject};
use tokenward_protocol::refusal::Refusal;

use super::Service;
use crate::activity::pair::{is_pair_digest, user_owner};
use crate::activity::{PairRecord, User};
use crate::refused::Refused;
use crate::session::SessionKey;
use crate::store::StoreError;
use crate::upstream::entitlement::Entitlement;
use crate::upstream::grant::record::GrantKey;

/// Events that are searched for a pair without a record of its own.
const EVENTS_SEARCHED: usize = 2000;

/// Sessions of a user that are searched for a pair.
const SESSIONS_SEARCHED: usize = 32;

/// The session, user or pair of an explanation.
#[derive(Debug, Clone)]
pub(crate) enum ExplainedCaller {
    /// The session with this handle.
    Session(SecretString),
    /// A session that was listed. What was recorded of its pairs is not looked up.
    Listed(SessionKey),
    /// The user of this grant; the same.
    Grant(GrantKey),
    /// A user, registered or not.
    User {
        /// `iss`; `None` where one issuer is configured.
        issuer: Option<String>,
        /// `sub`.
        subject: String,
    },
    /// The pair with this digest, as log lines have it: eight hex digits.
    Pair(String),
}

/// What an explanation is about.
pub(super) struct Found {
    /// The server's name.
    pub(super) server: String,
    /// The grant; `None` if the session is unknown.
    pub(super) grant: Option<GrantKey>,
    /// What the session may use of it.
    pub(super) since: Entitlement,
    /// The session, if one is meant.
    pub(super) session: Option<SessionKey>,
    /// The pair's digest, where it is known.
    pub(super) pair: Option<String>,
    /// What was recorded of the pair last.
    pub(super) recorded: Option<PairRecord>,
    /// The user of an event, where the pair has no record.
    pub(super) user: Option<User>,
}

fn bad(cause: &str) -> Refused {
    Refused::new(Refusal::BadRequest).because(cause)
}

impl Service {
    /// Finds what is meant by `caller` at `server`; a pair names its server itself.
    pub(super) async fn find(
        &self,
        caller: &ExplainedCaller,
        server: Option<&str>,
    ) -> Result<Found, Refused> {
        match caller {
            ExplainedCaller::Session(handle) => {
                let server = required(server)?;
                let key = SessionKey::of_id(handle);
                let mut found = self.of_session(server, key).await?;
                if found.pair.is_none() {
                    found.pair = Some(self.pair_digest(server, handle, &found).await?);
                }
                Ok(found)
            }
            ExplainedCaller::Listed(session) => {
                let (grant, since) = self.sessions.grant(session).await?.unzip();
                Ok(Found {
                    grant,
                    since: since.unwrap_or_default(),
                    session: Some(session.clone()),
                    ..Found::unknown(required(server)?)
                })
            }
            ExplainedCaller::Grant(grant) => Ok(Found::of_grant(required(server)?, grant.clone())),
            ExplainedCaller::User { issuer, subject } => {
                let server = required(server)?;
                let grant = self.grant_of_user(issuer.as_deref(), subject).await?;
                let issuer = match issuer {
                    Some(issuer) => issuer.clone(),
                    None => (self.homes.first()).map_or_else(String::new, |home| home.config.issuer.clone()),
                };
                let recorded = self.recorded_of_user(&issuer, subject, server).await?;
                Ok(Found {
                    pair: recorded.as_ref().map(|pair| pair.pair.clone()),
                    recorded,
                    ..Found::of_grant(server, grant)
                })
            }
            ExplainedCaller::Pair(digest) => self.of_pair(digest, server).await,
        }
    }

    async fn of_session(&self, server: &str, session: SessionKey) -> Result<Found, Refused> {
        let grant = self.sessions.grant(&session).await?;
        let recorded = self.recorded(session.digest(), server).await?;
        let (grant, since) = grant.map_or_else(
            || (None, Entitlement::default()),
            |(grant, since)| (Some(grant), since),
        );
        Ok(Found {
            server: server.to_owned(),
            grant,
            since,
            session: Some(session),
            pair: recorded.as_ref().map(|pair| pair.pair.clone()),
            recorded,
            user: None,
        })
    }

    async fn of_pair(&self, digest: &str, server: Option<&str>) -> Result<Found, Refused> {
        if !is_pair_digest(digest) {
            return Err(bad(
                "a pair is eight lower-case hexadecimal digits, as in a log line's pair=",
            ));
        }
        if let Some(pair) = self.history.pair(digest).await? {
            check_server(server, &pair.server)?;
            let mut found = match &pair.session {
                Some(session) => {
                    let session = SessionKey::from_digest(session.clone());
                    self.of_session(&pair.server, session).await?
                }
                None => Found::of_grant(&pair.server, GrantKey::from_digest(pair.grant.clone())),
            };
            found.pair = Some(digest.to_owned());
            found.recorded = Some(pair);
            return Ok(found);
        }
        self.of_event(digest, server).await
    }

    /// A pair whose user was not proven, or that was recorded too long ago: the newest event names it.
    async fn of_event(&self, digest: &str, server: Option<&str>) -> Result<Found, Refused> {
        let page = self.history.before(None, EVENTS_SEARCHED).await?;
        let event = page
            .events
            .into_iter()
            .map(|recorded| recorded.event)
            .find(|event| event.pair.as_deref() == Some(digest))
            .ok_or_else(|| {
                bad("no pair with this digest is recorded: control has not been asked for it for hours, or the filter \
                     refused its requests without a call; search by user or session instead")
            })?;
        let (Some(named), Some(user)) = (event.server, event.user) else {
            return Err(bad(
                "the requests of this pair had no readable token, so it has no user",
            ));
        };
        check_server(server, &named)?;
        let grant = self.grant_of_user(Some(&user.issuer), &user.subject).await?;
        Ok(Found {
            pair: Some(digest.to_owned()),
            user: Some(user),
            ..Found::of_grant(&named, grant)
        })
    }

    /// The pair of the user at `server` that was recorded last, of all sessions and of none.
    async fn recorded_of_user(
        &self,
        issuer: &str,
        subject: &str,
        server: &str,
    ) -> Result<Option<PairRecord>, StoreError> {
        let mut newest = self.recorded(&user_owner(issuer, subject), server).await?;
        let sessions = self.sessions.of_user(issuer, subject).await?;
        for session in sessions.iter().take(SESSIONS_SEARCHED) {
            let pair = self.recorded(session.digest(), server).await?;
            newest = newest.into_iter().chain(pair).max_by_key(|pair| pair.at_ms);
        }
        Ok(newest)
    }

    async fn recorded(&self, owner: &str, server: &str) -> Result<Option<PairRecord>, StoreError> {
        let pairs = self.history.pairs_of(owner).await?;
        Ok(pairs.into_iter().find(|pair| pair.server == server))
    }

    /// The digest that the filter computes for the session `handle`: by the handle, or by the access tokens of a login here.
    async fn pair_digest(
        &self,
        server: &str,
        handle: &SecretString,
        found: &Found,
    ) -> Result<String, StoreError> {
        let own = self.authorization.as_ref();
        let source_of_own = match (own, &found.session) {
            (Some(own), Some(session)) if self.is_logged_in_here(session).await? => Some(Claims {
                exp_seconds: 0,
                issued_at_seconds: None,
                issuer: own.config.issuer.clone(),
                subject: handle.expose_secret().to_owned(),
                audiences: Vec::new(),
            }),
            _ => None,
        };
        let subject = source_of_own.as_ref().map(TokenSubject::new);
        let source = match &subject {
            Some(subject) => SessionSource::Subject(subject),
            None => SessionSource::Handle(handle.expose_secret()),
        };
        Ok(PairKey::new(server, source).short())
    }

    /// Whether `session` is a login at our own authorization server.
    pub(crate) async fn is_logged_in_here(&self, session: &SessionKey) -> Result<bool, StoreError> {
        match &self.authorization {
            Some(own) => Ok(own.families.read(&session.family()).await?.is_some()),
            None => Ok(false),
        }
    }
}

impl Found {
    fn of_grant(server: &str, grant: GrantKey) -> Self {
        Self {
            grant: Some(grant),
            ..Self::unknown(server)
        }
    }

    fn unknown(server: &str) -> Self {
        Self {
            server: server.to_owned(),
            grant: None,
            since: Entitlement::default(),
            session: None,
            pair: None,
            recorded: None,
            user: None,
        }
    }
}

fn required(server: Option<&str>) -> Result<&str, Refused> {
    server.ok_or_else(|| bad("name the server: /v1/explain?server=NAME"))
}

fn check_server(named: Option<&str>, of_pair: &str) -> Result<(), Refused> {
    match named {
        Some(named) if named != of_pair => Err(bad(&format!("the pair is of the server {of_pair}"))),
        _ => Ok(()),
    }
}
