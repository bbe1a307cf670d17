//! The authorization response of the upstream issuer (RFC 6749 §4.1.2, RFC 9207). Pure.

use secrecy::SecretString;
use tokenward_protocol::form::Form;

use super::refusal::{AuthorizationRefusal, AuthorizationRefused};
use crate::upstream::issuer::loggable::loggable;

/// The longest description that is repeated, in characters.
const LONGEST_DESCRIPTION: usize = 200;

/// What the issuer sent with the browser.
#[derive(Debug)]
pub struct UpstreamResponse {
    /// `state`.
    pub state: SecretString,
    /// `code`.
    pub code: Option<SecretString>,
    /// `iss`.
    pub issuer: Option<String>,
    /// `error`.
    pub error: Option<UpstreamError>,
}

/// An error of the issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamError {
    /// `error`.
    pub code: String,
    /// `error_description`, in the issuer's words.
    pub description: Option<String>,
}

impl UpstreamResponse {
    /// Reads the query of the redirect.
    ///
    /// # Errors
    /// [`AuthorizationRefusal::BadRequest`] for one without `state`, or with a parameter twice.
    pub fn read(query: &Form) -> Result<Self, AuthorizationRefused> {
        let once = |name: &'static str| {
            let value = query.once(name);
            value.map_err(|_| AuthorizationRefused::bad_request(format!("{name} occurs more than once")))
        };
        let description = once("error_description")?.map(str::to_owned);
        let state = once("state")?.ok_or_else(|| AuthorizationRefused::bad_request("state is missing"))?;
        Ok(Self {
            state: state.into(),
            code: once("code")?.map(Into::into),
            issuer: once("iss")?.map(str::to_owned),
            error: once("error")?.map(|code| UpstreamError {
                code: code.to_owned(),
                description,
            }),
        })
    }
}

/// What an error of the issuer means for the user (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6).
#[must_use]
pub fn refusal_of_error(error: &UpstreamError) -> AuthorizationRefused {
    let refusal = match error.code.as_str() {
        "temporarily_unavailable" | "server_error" => AuthorizationRefusal::IssuerUnavailable,
        "invalid_request"
        | "unauthorized_client"
        | "unsupported_response_type"
        | "invalid_scope"
        | "invalid_target"
        | "request_not_supported"
        | "request_uri_not_supported"
        | "registration_not_supported" => AuthorizationRefusal::Misconfigured,
        _ => AuthorizationRefusal::UpstreamDenied,
    };
    let code = loggable(&error.code);
    let description = error.description.as_deref().map(beginning);
    AuthorizationRefused::new(refusal).because(match description {
        Some(description) => format!("the issuer answered {code}: {description}"),
        None => format!("the issuer answered {code}"),
    })
}

/// As much of a description as logs and pages repeat.
fn beginning(description: &str) -> String {
    description.chars().take(LONGEST_DESCRIPTION).collect()
}
