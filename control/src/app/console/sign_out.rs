//! Sign-outs by an operator: of one session, or of a user everywhere. They run to their end even if the browser leaves.

use std::sync::Arc;

use super::detail::{grant_key, session_key};
use super::refusal::{ConsoleRefusal, ConsoleRefused};
use super::view::UserRow;
use crate::activity::event::bounded;
use crate::activity::{Event, EventKind, User, Via};
use crate::app::Service;
use crate::console::session::ConsoleSession;
use crate::digest;
use crate::upstream::grant::sign_out::SignOutTime;

impl Service {
    /// Ends the session `key` for `operator`.
    ///
    /// # Errors
    /// [`ConsoleRefused`]: there is no such session, or the store failed; a repeated sign-out finishes the rest.
    pub(crate) async fn console_end_session(
        self: &Arc<Self>,
        operator: &ConsoleSession,
        key: &str,
    ) -> Result<(), ConsoleRefused> {
        let session = session_key(key)?;
        let Some(row) = self.session_row(&session).await? else {
            return Err(ConsoleRefused::new(
                ConsoleRefusal::NotFound,
                "the session has ended already",
            ));
        };
        let short = row.short.clone();
        self.run_to_completion(|service| async move { Ok(service.sessions.end(&session).await?) })
            .await?;
        tracing::info!(
            operator = operator.subject,
            session = short,
            "session ended at the console"
        );
        let user = row.user.as_ref();
        self.context.recorder.record(Event {
            session: Some(row.short.clone()),
            grant: user.map(|user| digest::short(&user.grant).to_owned()),
            count: Some(1),
            ..self.signed_out(operator, user)
        });
        Ok(())
    }

    /// Signs the user of the login `key` out everywhere, for `operator`. Returns the number of sessions that ended.
    ///
    /// # Errors
    /// [`ConsoleRefused`]: there is no such login, its user is not known, or the store failed.
    pub(crate) async fn console_sign_out_user(
        self: &Arc<Self>,
        operator: &ConsoleSession,
        key: &str,
    ) -> Result<u64, ConsoleRefused> {
        let grant = grant_key(key)?;
        let row = self.user_row(&grant).await?.ok_or(ConsoleRefusal::NotFound)?;
        let Some(identity) = row.identity.clone() else {
            return Err(ConsoleRefused::new(
                ConsoleRefusal::NotFound,
                "the login's record does not name its user any more: end its sessions one by one, or sign the user out by \
                 POST /v1/sign-out",
            ));
        };
        let issuer = row.issuer.clone();
        let sessions = self
            .run_to_completion(|service| async move {
                let homes = service.homes.iter().filter(|home| home.config.issuer == issuer);
                let clients: Vec<&str> = homes.map(|home| home.config.client_id.as_str()).collect();
                let now = SignOutTime::Now;
                let ended = service
                    .sessions
                    .sign_out(&issuer, &identity.subject, &clients, now);
                Ok(ended.await?)
            })
            .await?;
        let short = digest::short(grant.digest());
        tracing::info!(
            operator = operator.subject,
            grant = short,
            sessions,
            "user signed out at the console"
        );
        self.context.recorder.record(Event {
            grant: Some(short.to_owned()),
            count: Some(sessions),
            ..self.signed_out(operator, Some(&row))
        });
        Ok(sessions)
    }

    /// The event of a sign-out by `operator`, who is accountable for it.
    fn signed_out(&self, operator: &ConsoleSession, user: Option<&UserRow>) -> Event {
        let names = user.and_then(|row| Some((&row.issuer, row.identity.as_ref()?)));
        let user = names.map(|(issuer, identity)| User {
            email: identity.email.clone(),
            name: identity.name.clone().or_else(|| identity.username.clone()),
            ..User::new(issuer, &identity.subject)
        });
        let by = format!("by {} ({}) at the console", operator.label, operator.subject);
        Event {
            issuer: user.as_ref().map(|user| user.issuer.clone()),
            via: Some(Via::Console),
            cause: Some(bounded(&by)),
            ..Event::new(EventKind::SignOut, self.context.clock.now_ms()).verified_user(user)
        }
    }
}
