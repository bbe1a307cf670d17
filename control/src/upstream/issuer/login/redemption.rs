//! Redeems the code that the issuer sent back.

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use crate::context::Context;
use crate::upstream::issuer::answer::login::{LoginAnswer, read_login};
use crate::upstream::issuer::client::{Connection, Sending};
use crate::upstream::issuer::discovery::is_no_endpoint;
use crate::upstream::issuer::limits::CallOutcome;
use crate::upstream::issuer::{CallPermit, HomeIssuer};

/// A code with what its redemption needs.
#[derive(Debug)]
pub struct CodeRedemption<'a> {
    /// `code`.
    pub code: &'a SecretString,
    /// The redirect URI of the authorization request.
    pub redirect_uri: &'a str,
    /// `code_verifier`.
    pub code_verifier: &'a SecretString,
}

impl HomeIssuer {
    /// Presents the code once (RFC 6749 §4.1.3), and records the outcome for the issuer's limits and metrics.
    pub async fn redeem_code(
        &self,
        context: &Context,
        permit: CallPermit,
        redemption: &CodeRedemption<'_>,
    ) -> LoginAnswer {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", redemption.code.expose_secret()),
            ("redirect_uri", redemption.redirect_uri),
            ("code_verifier", redemption.code_verifier.expose_secret()),
        ];
        let started = Instant::now();
        let raw = context
            .client
            .post_form(
                &permit.endpoint,
                self.credentials(),
                &form,
                // A code is accepted once, so it must not meet a connection that the issuer is about to close.
                Sending::from(Connection::Fresh).marked(self.loop_marker.as_ref()),
            )
            .await;
        let issuer = &self.config.issuer;
        context.metrics.issuer_request(issuer, "login", started.elapsed());
        if is_no_endpoint(raw.as_ref()) {
            self.discovery.reread_soon(context);
        }
        let answer = match &raw {
            Ok(answer) => read_login(answer, self.config.dialect),
            Err(failed) => LoginAnswer::Transient(failed.clone().into()),
        };
        context.metrics.issuer_answer(issuer, "login", answer.class());
        permit.call.record(match &answer {
            LoginAnswer::Transient(passing) => passing.into(),
            _ => CallOutcome::Answer,
        });
        answer
    }

    /// Whether every authorization response of the issuer has `iss`, as far as its discovery document was read.
    #[must_use]
    pub fn sends_issuer(&self) -> bool {
        self.discovery.sends_issuer()
    }
}

/// Whether `iss` of an authorization response shows that another issuer than `issuer` sent it (RFC 9207 §2.4): it differs, or
/// it is absent although `issuer` always sends it.
#[must_use]
pub fn is_from_another_issuer(issuer: &str, always_sent: bool, in_response: Option<&str>) -> bool {
    match in_response {
        Some(other) => other != issuer,
        None => always_sent,
    }
}
