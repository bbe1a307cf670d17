//! Redeems the code that the issuer sent back.

use secrecy::{ExposeSecret, SecretString};

use crate::context::Context;
use crate::upstream::issuer::answer::login::LoginAnswer;
use crate::upstream::issuer::client::Connection;
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
        // A code is accepted once, so it must not meet a connection that the issuer is about to close.
        let (answer, _) = self.present(context, permit, &form, Connection::Fresh).await;
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
