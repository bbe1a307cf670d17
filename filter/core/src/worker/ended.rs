//! What the servers and the learned state decide without a clock: whether a token fits its server, whether its user, session or
//! signing key has ended; and any request before the state is known.

use tokenward_protocol::refusal::Refusal;

use super::presented::Presented;
use super::state::Worker;
use crate::config::Unmatched;
use crate::decision::{fits_server, own_fits_server};
use crate::host::Host;
use crate::metric::RequestOutcome;
use crate::request::RequestHead;
use crate::server_match::ServerMatch;
use crate::verdict::Verdict;

impl<H: Host> Worker<H> {
    /// Checks what depends on the token and the state alone, and remembers of a good use that it was checked: until the servers
    /// or the sign-outs change, that is one comparison for each request.
    ///
    /// # Errors
    /// [`Refusal::SignedOut`]: the token has ended, and its replacement is dropped. [`Refusal::WrongIssuer`] or
    /// [`Refusal::WrongAudience`]: it does not fit its server.
    #[cold]
    #[inline(never)]
    pub(super) fn check(&mut self, presented: &Presented<'_>) -> Result<(), Refusal> {
        let (token, key) = (presented.token, &presented.token_use.token_key);
        if self.has_ended(presented) {
            self.replacements.remove(key);
            return Err(Refusal::SignedOut);
        }
        match token.is_own {
            true => own_fits_server(&token.claims, presented.server)?,
            false => fits_server(&token.claims, presented.server)?,
        }
        self.memo.note_checked(token, key, self.checks_edition);
        Ok(())
    }

    /// Whether a sign-out covers the presented token, or the session that the request names.
    fn has_ended(&self, presented: &Presented<'_>) -> bool {
        let Some(learned) = &self.learned else {
            return false;
        };
        let (sign_outs, token) = (&learned.sign_outs, presented.token);
        let issued_at = token.claims.issued_at_seconds;
        let session = [presented.token_use.session];
        sign_outs.cover(&token.endings, issued_at) || sign_outs.cover(&session, issued_at)
    }

    /// Refuses a request before the state is known, unless it is listed as unprotected. `None` once the state is known.
    #[cold]
    #[inline(never)]
    pub(super) fn without_state(&mut self, head: &RequestHead<'_>, now_ms: u64) -> Option<Verdict> {
        if let Some(mut learned) = self.learned.take() {
            // Another worker may have learned it: a request looks once a tick.
            if self.looked_at != self.ticks {
                self.looked_at = self.ticks;
                self.take_shared(&mut learned);
            }
            self.learned = Some(learned);
        }
        if !self.state_missing {
            return None;
        }
        let host = &self.context.host;
        let found = self
            .routes
            .find(&self.config, host, head.authority, head.path, now_ms);
        let is_listed = matches!(self.config.unmatched, Unmatched::Refuse { .. });
        if is_listed && found == ServerMatch::None {
            self.context.count_without_server(RequestOutcome::Passed);
            return Some(Verdict::Continue);
        }
        Some(self.refuse_without_server(Refusal::StateMissing))
    }
}
