//! Requests that the learned state decides: a token whose user, session or signing key has ended, and any request before
//! the state is known.

use tokenward_protocol::refusal::Refusal;

use super::presented::Presented;
use super::state::Worker;
use crate::config::Unmatched;
use crate::host::Host;
use crate::metric::RequestOutcome;
use crate::request::RequestHead;
use crate::server_match::ServerMatch;
use crate::verdict::Verdict;

impl<H: Host> Worker<H> {
    /// Whether the presented token has ended. Its replacement is dropped then; otherwise it is not looked for again until the
    /// sign-outs change.
    #[cold]
    #[inline(never)]
    pub(super) fn has_ended(&mut self, presented: &Presented<'_>) -> bool {
        let (token, token_use) = (presented.token, &presented.token_use);
        let Some(learned) = &self.learned else {
            return false;
        };
        let (sign_outs, issued_at) = (&learned.sign_outs, token.claims.issued_at_seconds);
        let key = &token_use.token_key;
        let has_ended =
            sign_outs.cover(&token.endings, issued_at) || sign_outs.cover(&[token_use.session], issued_at);
        if has_ended {
            self.replacements.remove(key);
        } else {
            self.memo.note_checked(token, key, self.sign_outs_edition);
        }
        has_ended
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
