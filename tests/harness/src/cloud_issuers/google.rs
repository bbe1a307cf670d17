//! Google. Sources: developers.google.com, identity/protocols/oauth2 (refresh token expiration: 100 refresh tokens for each
//! account and client, six months without use), identity/protocols/oauth2/web-server (refresh and revocation),
//! identity/openid-connect/reference (discovery, claims); what a revocation ends from Significant-Gravitas/AutoGPT#10493;
//! the words of refusals from googleapis/google-auth-library-nodejs#1961 and googleapis/google-auth-library-python#368.
//!
//! The real discovery document names other hosts than the issuer's; here all is on one.

use serde_json::{Map, Value, json};

use super::CloudClient;
use super::answer::Answer;
use super::client::Asked;
use super::engine::Engine;
use super::logins::Login;
use super::product::{Product, Refusal, UserState, failure, unknown_scopes};
use crate::issuer::form::Form;
use crate::issuer::{Endpoint, Failure, fingerprint, wire};
use crate::secrets;

#[derive(Debug)]
pub(super) struct Google;

impl Product for Google {
    fn issuer(&self, base: &str) -> String {
        base.to_owned()
    }

    fn discovery(&self, base: &str) -> Value {
        json!({
            "issuer": base,
            "authorization_endpoint": format!("{base}/o/oauth2/v2/auth"),
            "device_authorization_endpoint": format!("{base}/device/code"),
            "token_endpoint": format!("{base}/token"),
            "userinfo_endpoint": format!("{base}/v1/userinfo"),
            "revocation_endpoint": format!("{base}/revoke"),
            "jwks_uri": format!("{base}/oauth2/v3/certs"),
            "response_types_supported": ["code", "token", "id_token", "code token", "code id_token", "none"],
            "response_modes_supported": ["query", "fragment", "form_post"],
            "authorization_response_iss_parameter_supported": true,
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "email", "profile"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "claims_supported": ["aud", "email", "email_verified", "exp", "iat", "iss", "name", "sub"],
            "code_challenge_methods_supported": ["plain", "S256"],
            "grant_types_supported": [
                "authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code",
                "urn:ietf:params:oauth:grant-type:jwt-bearer",
            ],
        })
    }

    fn authorization_path(&self) -> &'static str {
        "/o/oauth2/v2/auth"
    }

    /// `offline_access` is none of them.
    fn scope_problem(&self, scopes: &[String]) -> Option<String> {
        const KNOWN: [&str; 3] = ["openid", "email", "profile"];
        let is_known =
            |scope: &str| KNOWN.contains(&scope) || scope.starts_with("https://www.googleapis.com/auth/");
        let unknown = unknown_scopes(scopes, is_known)?;
        Some(format!(
            "Some requested scopes were invalid. {{invalid=[{unknown}]}}"
        ))
    }

    /// From the second login on only with the user's consent again.
    fn is_offline(&self, query: &Form) -> bool {
        query.get("access_type") == "offline" && query.get("prompt").split(' ').any(|word| word == "consent")
    }

    fn token_path(&self) -> &'static str {
        "/token"
    }

    fn keys_path(&self) -> &'static str {
        "/oauth2/v3/certs"
    }

    fn endpoint(&self, path: &str) -> Endpoint {
        match path {
            "/revoke" => Endpoint::Revoke,
            _ => Endpoint::Other,
        }
    }

    fn longest_assertion_seconds(&self) -> i64 {
        0
    }

    fn most_logins(&self) -> usize {
        100
    }

    fn refresh_token(&self, random: &str) -> String {
        format!("1//0{random}")
    }

    fn repeats_refresh_token(&self) -> bool {
        false
    }

    fn subject(&self, user: &str, _client_id: &str) -> String {
        let digits: String = fingerprint(user)
            .bytes()
            .map(|byte| char::from(b'0' + byte % 10))
            .collect();
        format!("10769{digits}")
    }

    fn id_claims(&self, _engine: &Engine, login: &Login) -> Map<String, Value> {
        let claims = json!({
            "azp": login.client_id,
            "sub": self.subject(&login.user, &login.client_id),
            "email": login.user,
            "email_verified": true,
            "name": login.user,
            // Another one in each ID token; that it belongs to the access token beside it is not pretended.
            "at_hash": wire::new_id(),
        });
        claims.as_object().cloned().unwrap_or_default()
    }

    /// Opaque.
    fn access_token(&self, _engine: &Engine, _login: &Login) -> String {
        let token = format!("ya29.a0{}", wire::new_id());
        secrets::note(&token);
        token
    }

    fn adorn(&self, answer: &mut Map<String, Value>) {
        answer.insert(
            "scope".to_owned(),
            json!("openid https://www.googleapis.com/auth/userinfo.email"),
        );
    }

    fn refusal(&self, _engine: &Engine, refusal: &Refusal) -> Answer {
        match refusal {
            Refusal::Client => Answer::error(401, "invalid_client", "Unauthorized"),
            Refusal::OfOtherClient => Answer::error(400, "invalid_grant", "Bad Request"),
            Refusal::User(UserState::Disabled) => {
                Answer::error(400, "invalid_grant", "Account has been deleted")
            }
            Refusal::User(UserState::MustInteract) => Answer::new(
                400,
                json!({
                    "error": "invalid_grant",
                    "error_description": "reauth related error (invalid_rapt)",
                    "error_uri": "https://support.google.com/a/answer/9368756",
                    "error_subtype": "invalid_rapt",
                }),
            ),
            Refusal::Dead(_) | Refusal::User(_) => {
                Answer::error(400, "invalid_grant", "Token has been expired or revoked.")
            }
            Refusal::GrantType(grant) => Answer::error(
                400,
                "unsupported_grant_type",
                &format!("Invalid grant_type: {grant}"),
            ),
            Refusal::Missing(parameter) => Answer::error(
                400,
                "invalid_request",
                &format!("Missing required parameter: {parameter}"),
            ),
            Refusal::Own(answer) => answer.clone(),
        }
    }

    fn passing(&self) -> Vec<Failure> {
        vec![
            failure(500, &json!({"error": "internal_failure"})),
            failure(503, &json!({"error": "temporarily_unavailable"})),
            failure(502, &json!("Error 502 (Server Error)!!1")),
        ]
    }

    /// There is none of a user's token.
    fn exchange(&self, _engine: &Engine, _client: &CloudClient, form: &Form) -> Result<Answer, Refusal> {
        Err(Refusal::GrantType(form.get("grant_type").to_owned()))
    }

    /// Takes no client's credentials, and ends all that the user has granted to the client: every login.
    fn revoke(&self, engine: &Engine, asked: Asked<'_>) -> Answer {
        let mut logins = engine.logins();
        let meant = logins.of_token(asked.form.get("token")).cloned();
        let Some(meant) = meant.filter(|login| login.ended.is_none()) else {
            return Answer::error(400, "invalid_token", "Token expired or revoked");
        };
        logins.end(|login| login.user == meant.user && login.client_id == meant.client_id);
        Answer::ok(json!({}))
    }
}
