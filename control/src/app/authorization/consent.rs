//! `/authorize/consent`: what the user decided.

use super::AuthorizationServer;
use super::authorize::{CONSENT_PURPOSE, RefusedReply};
use super::upstream::ToUpstream;
use crate::app::Service;
use crate::authorization::browser::BrowserSecret;
use crate::authorization::consent;
use crate::authorization::refusal::{AuthorizationRefusal, AuthorizationRefused};
use crate::authorization::request::sealed_form::{self, BadForm};

/// What the consent page's form says.
#[derive(Debug)]
pub(crate) struct ConsentDecision<'a> {
    /// The sealed request.
    pub(crate) sealed: &'a str,
    /// Whether the user agreed.
    pub(crate) allowed: bool,
    /// Whether the user wants this remembered.
    pub(crate) remember: bool,
}

/// Where the browser goes after the decision.
#[derive(Debug)]
pub(crate) enum DecisionAnswer {
    /// To the upstream issuer.
    Upstream(Box<ToUpstream>),
    /// Back to the client, without a code.
    Denied(RefusedReply),
}

impl Service {
    /// Carries out a decision that was made in the browser with the cookie `browser`.
    ///
    /// # Errors
    /// [`AuthorizationRefused`] for the user.
    pub(crate) async fn decide_consent(
        &self,
        server: &AuthorizationServer,
        browser: Option<&BrowserSecret>,
        decision: &ConsentDecision<'_>,
    ) -> Result<DecisionAnswer, AuthorizationRefused> {
        let browser = browser.ok_or(AuthorizationRefusal::OtherBrowser)?;
        let now_ms = self.context.clock.now_ms();
        let digest = browser.digest(CONSENT_PURPOSE);
        let opened = sealed_form::open(&self.context.ring, &digest, decision.sealed, now_ms);
        let request = opened.map_err(|bad| match bad {
            BadForm::Foreign => AuthorizationRefused::new(AuthorizationRefusal::OtherBrowser),
            BadForm::Old => AuthorizationRefusal::UnknownLogin.into(),
        })?;
        if !decision.allowed {
            let refused = AuthorizationRefusal::Denied.into();
            let reply = RefusedReply::new(server, &request.reply_to, &request.client.id, refused);
            return Ok(DecisionAnswer::Denied(reply));
        }
        let remember =
            decision.remember && consent::may_be_remembered(&server.config.remembered_consent, &request);
        let onward = self.begin_upstream_login(server, request, remember, None).await?;
        Ok(DecisionAnswer::Upstream(Box::new(onward)))
    }
}
