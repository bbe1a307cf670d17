//! How token requests end: counted, logged at the boundary and recorded, with the digest of the pair that the filter's log
//! lines have too.

use std::sync::Arc;

use secrecy::ExposeSecret;
use tokenward_protocol::jwt::{Claims, session_of};
use tokenward_protocol::pair::{PairKey, SessionSource, TokenSubject};
use tokenward_protocol::refusal::RefusalClass;
use tokenward_protocol::token_endpoint::{SubjectTokenType, TokenRequest};

use super::Service;
use super::subject::ProvenSubject;
use crate::activity::{Event, EventKind, PairOutcome, PairRecord, User};
use crate::config::SealingConfig;
use crate::digest;
use crate::observe::throttle::Emit;
use crate::refused::Refused;
use crate::session::SessionKey;
use crate::upstream::exchange::TokenOrigin;
use crate::upstream::grant::record::GrantKey;
use crate::upstream::issuer::HomeIssuer;
use crate::upstream::issuer::proven_tokens::TokenDigest;

/// The user that the presented token of a request proves.
pub(super) struct ProvenUser {
    pub(super) grant: GrantKey,
    pub(super) home: Arc<HomeIssuer>,
    pub(super) origin: TokenOrigin,
}

impl ProvenUser {
    pub(super) fn of(subject: &ProvenSubject) -> Self {
        Self {
            grant: subject.grant.clone(),
            home: Arc::clone(&subject.home),
            origin: subject.presented.origin,
        }
    }
}

/// The pair of a request, as far as its unverified token states it.
struct RequestPair {
    /// Eight digits of the digest that the filter computes.
    digest: String,
    /// The key of the throttle: it also has the token's user, so that a forged token does not silence another's lines.
    key: String,
    session: Option<SessionKey>,
    user: Option<User>,
}

impl RequestPair {
    fn of(request: &TokenRequest) -> Self {
        let token = request.subject_token.expose_secret();
        let server = request.server.as_str();
        let Ok(mut claims) = Claims::read(token.as_bytes()) else {
            return Self {
                digest: PairKey::new(server, SessionSource::Anonymous).short(),
                key: digest::hex_of_parts(&["pair", server, "malformed"]),
                session: None,
                user: None,
            };
        };
        let is_own = request.subject_token_type == SubjectTokenType::AccessToken;
        let handle = request.session.clone();
        let of_token = is_own
            .then(|| session_of(token.as_bytes()))
            .flatten()
            .map(Into::into);
        let named = handle
            .as_ref()
            .map(ExposeSecret::expose_secret)
            .filter(|_| !is_own);
        let session = handle.as_ref().or(of_token.as_ref());
        let session_text = session.map(ExposeSecret::expose_secret).unwrap_or_default();
        let key = digest::hex_of_parts(&["pair", server, &claims.issuer, &claims.subject, session_text]);
        let user = User::of_token(token);
        if is_own {
            // All access tokens of one login are of one owner: its session.
            claims.subject = session_text.to_owned();
            claims.audiences.clear();
        }
        let subject = TokenSubject::new(&claims);
        let source = named.map_or(SessionSource::Subject(&subject), SessionSource::Handle);
        Self {
            digest: PairKey::new(server, source).short(),
            key,
            session: session.map(SessionKey::of_id),
            user,
        }
    }
}

impl Service {
    /// Counts, logs and records the outcome of `request` for the server `label`.
    pub(super) fn report<T>(
        &self,
        label: &str,
        (request, digest): (&TokenRequest, TokenDigest),
        proven: Option<&ProvenUser>,
        issued: &Result<T, Refused>,
    ) {
        let outcome = match issued {
            Ok(_) => "token",
            Err(refused) => refused.refusal.name(),
        };
        self.context.metrics.token_request(label, outcome);
        let now_ms = self.context.clock.now_ms();
        let session = request.session.as_ref().map_or("", ExposeSecret::expose_secret);
        let seen = self.context.recorder.seen(&request.server, session, &digest);
        // The pair costs a second parse of the token: it is computed only when something may be due.
        let is_recorded = || self.context.recorder.is_recorded(seen, now_ms);
        if issued.is_ok() && self.throttle.is_calm(now_ms) && is_recorded() {
            return;
        }
        let pair = RequestPair::of(request);
        self.log_outcome(label, &pair, proven, issued);
        let Some(proven) = proven else { return };
        self.context.recorder.record_pair(
            seen,
            PairRecord {
                server: label.to_owned(),
                session: pair.session.as_ref().map(|session| session.digest().to_owned()),
                grant: proven.grant.digest().to_owned(),
                issuer: proven.home.config.issuer.clone(),
                user: pair.user_of(proven),
                pair: pair.digest,
                outcome: match issued {
                    Ok(_) => PairOutcome::Token,
                    Err(refused) => PairOutcome::Refused {
                        refusal: refused.refusal.name().to_owned(),
                        cause: refused.cause.clone(),
                    },
                },
                at_ms: now_ms,
            },
        );
    }

    /// Logs the refusal of a caller's credential or registration, at most once a minute per caller and refusal.
    pub(crate) fn log_rejected_caller(&self, caller: &str, refused: &Refused) {
        let key = digest::hex_of_parts(&["caller", caller, refused.refusal.name()]);
        let pair = RequestPair {
            digest: digest::short(&key).to_owned(),
            key,
            session: None,
            user: None,
        };
        self.log_outcome::<()>(caller, &pair, None, &Err(refused.clone()));
    }

    /// Logs at the boundary: at most one WARN or ERROR a minute per pair, and INFO on recovery. Records that a refusal began
    /// or ended.
    fn log_outcome<T>(
        &self,
        server: &str,
        request_pair: &RequestPair,
        proven: Option<&ProvenUser>,
        issued: &Result<T, Refused>,
    ) {
        let (pair, key) = (request_pair.digest.as_str(), request_pair.key.as_str());
        let now_ms = self.context.clock.now_ms();
        let record = |event: Event| {
            let event = request_pair.described(server, proven, event);
            self.context.recorder.record(event);
        };
        match issued {
            Ok(_) => {
                if let Some((suppressed, ended)) = self.throttle.ended_or_recovered(key) {
                    tracing::info!(server, pair, suppressed, "tokens are available again");
                    if ended {
                        record(Event {
                            count: Some(suppressed),
                            ..Event::new(EventKind::RefusalEnded, now_ms)
                        });
                    }
                }
            }
            Err(refused) => {
                let (refusal, cause) = (refused.refusal.name(), refused.cause.as_str());
                let (emit, began) = self.throttle.began_or_failed(key, now_ms);
                match emit {
                    Emit::Warn { suppressed } if refused.refusal.class() == RefusalClass::Misconfigured => {
                        tracing::error!(
                            server,
                            pair,
                            refusal,
                            cause,
                            suppressed,
                            "no token: an operator must act"
                        );
                    }
                    Emit::Warn { suppressed } => {
                        tracing::warn!(server, pair, refusal, cause, suppressed, "no token");
                    }
                    Emit::Debug => tracing::debug!(server, pair, refusal, cause, "no token"),
                }
                if began {
                    let remedy = refused.refusal.description();
                    record(Event::new(EventKind::RefusalBegan, now_ms).refused(refusal, cause, remedy));
                }
            }
        }
    }

    /// Records that a reload was applied, or refused with `cause`.
    pub(crate) fn record_reload(&self, outcome: &str, cause: Option<String>) {
        let remedy = match cause {
            Some(_) => "fix the configuration and reload it again: the old one stays in force",
            None => "",
        };
        let event = Event::new(EventKind::Reload, self.context.clock.now_ms());
        self.context
            .recorder
            .record(event.refused(outcome, &cause.unwrap_or_default(), remedy));
    }

    /// Records the sealing keys of an earlier configuration that this one lacks.
    pub(crate) fn record_dropped_keys(&self, before: &SealingConfig) {
        let ids = |sealing: &SealingConfig| -> Vec<String> {
            let all = std::iter::once(&sealing.current).chain(&sealing.previous);
            all.map(|key| key.id.clone()).collect()
        };
        let present = ids(&self.config.sealing);
        for id in ids(before).into_iter().filter(|id| !present.contains(id)) {
            let cause = format!("the sealing key {id} is not configured any more");
            let remedy = "tokens that it sealed open again once it is in sealing.previous";
            let event = Event::new(EventKind::KeyDropped, self.context.clock.now_ms());
            self.context
                .recorder
                .record(event.refused("sealing_key_removed", &cause, remedy));
        }
    }
}

impl RequestPair {
    /// The user of the pair, once proven. An access token of our own states the user's `sub`, and not their issuer.
    fn user_of(&self, proven: &ProvenUser) -> User {
        let issuer = proven.home.config.issuer.as_str();
        match &self.user {
            Some(user) if proven.origin == TokenOrigin::Own => User::new(issuer, &user.subject),
            Some(user) => user.clone(),
            None => User::new(issuer, ""),
        }
    }

    /// `event` with what is known of the pair.
    fn described(&self, server: &str, proven: Option<&ProvenUser>, event: Event) -> Event {
        let user = match proven {
            Some(proven) => Some(self.user_of(proven)),
            None => self.user.clone(),
        };
        Event {
            server: Some(server.to_owned()),
            issuer: user.as_ref().map(|user| user.issuer.clone()),
            pair: Some(self.digest.clone()),
            session: self.session.as_ref().map(|session| session.short().to_owned()),
            grant: proven.map(|proven| digest::short(proven.grant.digest()).to_owned()),
            is_user_verified: proven.is_some(),
            user,
            ..event
        }
    }
}
