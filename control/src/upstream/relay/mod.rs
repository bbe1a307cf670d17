//! The relay answers an issuer's clients at the issuer's own token endpoint: it learns logins from the answers that pass, and
//! refreshes them in the same single flight as the servers' token requests (docs/adr/0023).
//!
//! [`crate::http`] recognises and passes the requests. Here a refresh token finds its grant
//! ([`crate::upstream::grant`]), and a client its response.

mod learn;
mod request;
mod words;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokenward_protocol::refusal::{Refusal, RefusalClass};
use tokio_util::task::TaskTracker;

pub use self::request::RequestDigest;
pub use crate::upstream::grant::bypass::{BypassNotice, bypass_notice};

use crate::context::Context;
use crate::refused::Refused;
use crate::store::{Store, StoreError};
use crate::upstream::grant::record::{GrantKey, fingerprint};
use crate::upstream::grant::relayed::IssuerWords;
use crate::upstream::grant::{Grants, HandedOut, NotRefreshed, PresentedToken, Settled};
use crate::upstream::issuer::HomeIssuer;
use crate::upstream::issuer::answer::response::TokenResponse;

/// Attempts to answer a client while others change its grant.
const MAX_ROUNDS: usize = 6;
/// How long a client waits for an answer where the configuration names no relay.
const DEADLINE: Duration = Duration::from_secs(8);
/// `Retry-After` where an operator must act first.
const MISCONFIGURED_WAIT: Duration = Duration::from_secs(30);

/// Why a client gets no tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayRefusal {
    /// The issuer's own words, or those that it would have used: the login has ended, or the client is refused.
    Issuer {
        /// HTTP status.
        status: u16,
        /// The JSON body.
        body: Vec<u8>,
    },
    /// Control cannot answer now.
    Refused(Refused),
}

impl From<IssuerWords> for RelayRefusal {
    fn from(words: IssuerWords) -> Self {
        Self::Issuer {
            status: words.status,
            body: words.body,
        }
    }
}

impl From<StoreError> for RelayRefusal {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

/// Refreshes for an issuer's clients, and learns their logins. Cheap to clone.
#[derive(Clone)]
pub struct Relay {
    context: Context,
    grants: Grants,
    tasks: TaskTracker,
}

/// How a client's request was answered.
struct Answered {
    response: TokenResponse,
    /// Whether the issuer was called for it.
    is_new: bool,
}

impl Relay {
    /// A relay on `grants`.
    #[must_use]
    pub fn new(context: Context, grants: Grants) -> Self {
        let tasks = TaskTracker::new();
        // A closed tracker still takes tasks; `wait` then returns whenever none is running.
        tasks.close();
        Self {
            context,
            grants,
            tasks,
        }
    }

    /// The response to the refresh token that an authenticated client of `home` presented: the newest one of its login while
    /// that is young enough, else the one of a refresh, of which there is one at a time for all callers and replicas. The
    /// client waits at most `relay.deadline`; what comes later is stored for its next request, also if it disconnects.
    ///
    /// # Errors
    /// [`RelayRefusal`].
    pub async fn refresh(
        &self,
        home: &Arc<HomeIssuer>,
        refresh_token: &SecretString,
    ) -> Result<TokenResponse, RelayRefusal> {
        let deadline = home
            .config
            .relay
            .as_ref()
            .map_or(DEADLINE, |relay| relay.deadline);
        let (relay, of_client) = (self.clone(), Arc::clone(home));
        let token = refresh_token.clone();
        let task = self
            .tasks
            .spawn(async move { relay.answer(&of_client, &token).await });
        let answered = match tokio::time::timeout(deadline, task).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(_)) => Err(RelayRefusal::Refused(Refusal::Busy.into())),
            Err(_) => Err(RelayRefusal::Refused(
                Refused::new(Refusal::IssuerUnavailable)
                    .because("the issuer or the store answers too slowly"),
            )),
        };
        let outcome = match &answered {
            Ok(Answered { is_new: true, .. }) => "refreshed",
            Ok(_) => "stored",
            Err(RelayRefusal::Issuer { .. }) => "ended",
            Err(RelayRefusal::Refused(refused)) => refused.refusal.name(),
        };
        let metrics = &self.context.metrics.relay;
        metrics.refresh(&home.config.issuer, outcome);
        answered.map(|answered| answered.response).map_err(transient)
    }

    /// Waits until no client's request and no login is being worked on.
    pub(crate) async fn wait_idle(&self) {
        self.tasks.wait().await;
    }

    /// The logins of `issuer` that were rotated past the relay; `None` if there were none within the last day.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bypass_notice(store: &dyn Store, issuer: &str) -> Result<Option<BypassNotice>, StoreError> {
        bypass_notice(store, issuer).await
    }

    async fn answer(
        &self,
        home: &Arc<HomeIssuer>,
        refresh_token: &SecretString,
    ) -> Result<Answered, RelayRefusal> {
        let presented = fingerprint(refresh_token);
        let mut is_new = false;
        for _ in 0..MAX_ROUNDS {
            let found = self.grants.of_presented(home, &presented, refresh_token).await;
            let (key, stored) = match found.map_err(RelayRefusal::Refused)? {
                PresentedToken::Of(key, stored) => (key, stored),
                PresentedToken::Ended(words) => return Err(ended(home, words)),
            };
            let words = stored.relayed.words.clone();
            let refreshed = match self.grants.response_record(&key, home, *stored, &presented).await {
                Ok(refreshed) => refreshed,
                Err(not_refreshed) => {
                    // The record was changed by others: what is it now?
                    if is_overtaken(&not_refreshed.refused) {
                        continue;
                    }
                    return Err(refusal(home, not_refreshed, words));
                }
            };
            is_new |= refreshed.is_new;
            // Before anything is handed out, it is where its next refresh takes place.
            if self.grants.settle(home, &key).await? == Settled::Elsewhere {
                continue;
            }
            match self
                .grants
                .hand_out(&key, &refreshed.record, Some(&presented))
                .await?
            {
                HandedOut::Response(response) => return Ok(Answered { response, is_new }),
                HandedOut::Overtaken => {}
                HandedOut::Nothing => {
                    let cause = "the issuer's response is too long, or not one of RFC 6749";
                    return Err(RelayRefusal::Refused(
                        Refused::new(Refusal::IssuerMisconfigured).because(cause),
                    ));
                }
            }
        }
        Err(RelayRefusal::Refused(Refusal::Busy.into()))
    }

    /// The newest response of the login of `key`, while it is alive and its tokens are fresh.
    async fn newest(&self, key: &GrantKey) -> Result<Option<TokenResponse>, StoreError> {
        let Some(record) = self.grants.record(key).await? else {
            return Ok(None);
        };
        match self.grants.hand_out(key, &record, None).await? {
            HandedOut::Response(response) => Ok(Some(response)),
            HandedOut::Overtaken | HandedOut::Nothing => Ok(None),
        }
    }
}

/// A client must keep its tokens whatever fails here: an error that is not the issuer's own is one that passes. Many clients
/// begin a new login at anything else.
fn transient(refusal: RelayRefusal) -> RelayRefusal {
    match refusal {
        RelayRefusal::Refused(refused) if refused.refusal.class() != RefusalClass::Transient => {
            let wait = refused
                .retry_after_seconds
                .map_or(MISCONFIGURED_WAIT, Duration::from_secs);
            RelayRefusal::Refused(
                Refused::new(Refusal::IssuerUnavailable)
                    .because(refused.description())
                    .retry_after(wait),
            )
        }
        refusal => refusal,
    }
}

/// Whether another writer changed the grant under a caller.
fn is_overtaken(refused: &Refused) -> bool {
    matches!(refused.refusal, Refusal::UnknownSession)
        || (refused.refusal == Refusal::Busy && refused.retry_after_seconds == Some(1))
}

fn ended(home: &HomeIssuer, words: Option<IssuerWords>) -> RelayRefusal {
    words.unwrap_or_else(|| words::of_dead_token(&home.config)).into()
}

/// The refusal of a refresh; `stored` are the words with which the issuer ended the login earlier.
fn refusal(home: &HomeIssuer, not_refreshed: NotRefreshed, stored: Option<IssuerWords>) -> RelayRefusal {
    let NotRefreshed { refused, words } = not_refreshed;
    match (refused.refusal, words) {
        (Refusal::NeedsLogin, words) => ended(home, words.or(stored)),
        // The issuer refuses this client, or its request: an operator of the client must read that.
        (Refusal::IssuerMisconfigured, Some(words)) => words.into(),
        _ => RelayRefusal::Refused(refused),
    }
}
