//! Sign-outs by an operator: of one session, or of a user everywhere. They run to their end even if the browser leaves.

use std::sync::Arc;

use super::detail::{grant_key, session_key};
use super::refusal::{ConsoleRefusal, ConsoleRefused};
use crate::app::Service;
use crate::console::session::ConsoleSession;
use crate::upstream::grant::sign_out::SignOutTime;

impl Service {
    /// Ends the session `digest` for `operator`.
    ///
    /// # Errors
    /// [`ConsoleRefused`]: there is no such session, or the store failed; a repeated sign-out finishes the rest.
    pub(crate) async fn console_end_session(
        self: &Arc<Self>,
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
        let short = session.short().to_owned();
        self.run_to_completion(|service| async move { Ok(service.sessions.end(&session).await?) })
            .await?;
        tracing::info!(
            operator = operator.subject,
            session = short,
            "session ended at the console"
        );
        Ok(())
    }

    /// Signs the user of the login `digest` out everywhere, for `operator`. Returns the number of sessions that ended.
    ///
    /// # Errors
    /// [`ConsoleRefused`]: there is no such login, its user is not known, or the store failed.
    pub(crate) async fn console_sign_out_user(
        self: &Arc<Self>,
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
        let issuer = row.issuer;
        let sessions = self
            .run_to_completion(|service| async move {
                let now = SignOutTime::Now;
                service.sign_out(&issuer, &identity.subject, now).await
            })
            .await?;
        tracing::info!(
            operator = operator.subject,
            grant = crate::digest::short(grant.digest()),
            sessions,
            "user signed out at the console"
        );
        Ok(sessions)
    }
}
