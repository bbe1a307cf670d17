//! Sign-outs by an operator: of one session, or of a user everywhere. They run to their end even if the browser leaves, and are
//! recorded with the operator.

use std::sync::Arc;

use super::Console;
use super::detail::{grant_key, session_key};
use super::refusal::{ConsoleRefusal, ConsoleRefused};
use crate::activity::{Actor, User};
use crate::app::Service;
use crate::console::session::ConsoleSession;
use crate::upstream::grant::sign_out::SignOutTime;

/// The operator as the activity and the audit log name the person.
fn actor(console: &Console, operator: &ConsoleSession) -> Actor {
    Actor::at_console(User {
        name: Some(operator.label.clone()),
        ..User::new(&console.config.client.issuer, &operator.subject)
    })
}

impl Service {
    /// Ends the session `digest` for `operator`.
    ///
    /// # Errors
    /// [`ConsoleRefused`]: there is no such session, or the store failed; a repeated sign-out finishes the rest.
    pub(crate) async fn console_end_session(
        self: &Arc<Self>,
        console: &Console,
        operator: &ConsoleSession,
        digest: &str,
    ) -> Result<(), ConsoleRefused> {
        let session = session_key(digest)?;
        if self.session_row(&session).await?.is_none() {
            return Err(ConsoleRefused::new(
                ConsoleRefusal::NotFound,
                "the session has ended already",
            ));
        }
        let actor = actor(console, operator);
        let ended =
            self.run_to_completion(|service| async move { service.end_session(&session, actor).await });
        Ok(ended.await?)
    }

    /// Signs the user of the login `digest` out everywhere, for `operator`. Returns the number of sessions that ended.
    ///
    /// # Errors
    /// [`ConsoleRefused`]: there is no such login, its user is not known, or the store failed.
    pub(crate) async fn console_sign_out_user(
        self: &Arc<Self>,
        console: &Console,
        operator: &ConsoleSession,
        digest: &str,
    ) -> Result<u64, ConsoleRefused> {
        let grant = grant_key(digest)?;
        let row = self.user_row(&grant).await?.ok_or(ConsoleRefusal::NotFound)?;
        let Some(identity) = row.identity else {
            return Err(ConsoleRefused::new(
                ConsoleRefusal::NotFound,
                "the login's record does not name its user any more: end its sessions one by one, or sign the user out by \
                 POST /v1/sign-out",
            ));
        };
        let (issuer, actor) = (row.issuer, actor(console, operator));
        let ended = self.run_to_completion(|service| async move {
            let now = SignOutTime::Now;
            service.sign_out(&issuer, &identity.subject, now, actor).await
        });
        Ok(ended.await?)
    }
}
