//! Auth0. Sources: auth0.com/docs, secure/tokens/refresh-tokens (refresh-token-rotation, configure-refresh-token-rotation,
//! revoke-refresh-tokens, use-refresh-tokens), authenticate/custom-token-exchange, secure/tokens/access-tokens,
//! authenticate/login/logout/back-channel-logout; the words for a dead refresh token from support.auth0.com ("Troubleshoot
//! Refresh Token Unknown or Invalid Before Expiry"), for a blocked user from auth0/auth0-spa-js#1525, for a wrong client from
//! auth0/node-auth0#682, for the rate limit from community.auth0.com/t/77440.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::CloudClient;
use super::answer::Answer;
use super::client::{self, Asked};
use super::engine::{Engine, seconds};
use super::logins::Login;
use super::product::{Product, Refusal, UserState, failure, failure_for};
use crate::issuer::form::Form;
use crate::issuer::{Endpoint, Failure, fingerprint, wire};
use crate::secrets;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// Identifier of the API that every login requests.
const LOGIN_API: &str = "https://mcp.example.com";
/// Identifier of the API behind an exchange.
const API: &str = "https://reports.example.com";
/// `subject_token_type` of the tenant's one profile of custom token exchange.
const PROFILE: &str = "urn:example:login";

#[derive(Debug)]
pub(super) struct Auth0;

impl Product for Auth0 {
    /// With the slash at its end.
    fn issuer(&self, base: &str) -> String {
        format!("{base}/")
    }

    fn discovery(&self, base: &str) -> Value {
        json!({
            "issuer": self.issuer(base),
            "authorization_endpoint": format!("{base}/authorize"),
            "token_endpoint": format!("{base}/oauth/token"),
            "device_authorization_endpoint": format!("{base}/oauth/device/code"),
            "userinfo_endpoint": format!("{base}/userinfo"),
            "mfa_challenge_endpoint": format!("{base}/mfa/challenge"),
            "jwks_uri": format!("{base}/.well-known/jwks.json"),
            "registration_endpoint": format!("{base}/oidc/register"),
            "revocation_endpoint": format!("{base}/oauth/revoke"),
            "end_session_endpoint": format!("{base}/oidc/logout"),
            "scopes_supported": ["openid", "profile", "offline_access", "name", "email"],
            "response_types_supported": ["code", "token", "id_token", "code token", "code id_token"],
            "code_challenge_methods_supported": ["S256", "plain"],
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["public"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt"],
            "claims_supported": ["aud", "auth_time", "email", "exp", "iat", "iss", "name", "sub"],
            "request_uri_parameter_supported": false,
            "id_token_signing_alg_values_supported": ["HS256", "RS256", "PS256"],
            "backchannel_logout_supported": true,
            "backchannel_logout_session_supported": true,
        })
    }

    fn authorization_path(&self) -> &'static str {
        "/authorize"
    }

    /// Unknown ones are ignored.
    fn scope_problem(&self, _scopes: &[String]) -> Option<String> {
        None
    }

    fn login_api(&self) -> Option<&'static str> {
        Some(LOGIN_API)
    }

    fn token_path(&self) -> &'static str {
        "/oauth/token"
    }

    fn keys_path(&self) -> &'static str {
        "/.well-known/jwks.json"
    }

    fn endpoint(&self, path: &str) -> Endpoint {
        match path {
            "/oauth/revoke" => Endpoint::Revoke,
            _ => Endpoint::Other,
        }
    }

    fn api_audience(&self) -> &'static str {
        API
    }

    /// The tenant, whichever endpoint is called.
    fn assertion_audience(&self, engine: &Engine, _url: &str) -> String {
        engine.issuer.clone()
    }

    fn longest_assertion_seconds(&self) -> i64 {
        300
    }

    fn most_logins(&self) -> usize {
        200
    }

    fn refresh_token(&self, random: &str) -> String {
        format!("v1.M{random}")
    }

    fn repeats_refresh_token(&self) -> bool {
        false
    }

    fn subject(&self, user: &str, _client_id: &str) -> String {
        format!("auth0|{}", fingerprint(user))
    }

    fn id_claims(&self, _engine: &Engine, login: &Login) -> Map<String, Value> {
        let claims = json!({
            "sub": self.subject(&login.user, &login.client_id),
            "sid": login.session,
            "name": login.user,
            "email": login.user,
            "email_verified": true,
        });
        claims.as_object().cloned().unwrap_or_default()
    }

    fn access_token(&self, engine: &Engine, login: &Login) -> String {
        let subject = self.subject(&login.user, &login.client_id);
        match &login.api {
            Some(api) => access_token(engine, &subject, api, &login.client_id),
            // Opaque, for `/userinfo` alone.
            None => {
                let token = wire::new_id();
                secrets::note(&token);
                token
            }
        }
    }

    fn adorn(&self, answer: &mut Map<String, Value>) {
        answer.insert("scope".to_owned(), json!("openid profile email offline_access"));
    }

    fn refusal(&self, _engine: &Engine, refusal: &Refusal) -> Answer {
        match refusal {
            Refusal::Client => Answer::error(401, "access_denied", "Unauthorized"),
            Refusal::User(UserState::Disabled) => Answer::error(403, "invalid_grant", "user is blocked"),
            Refusal::User(UserState::MustInteract) => Answer::new(
                403,
                json!({
                    "error": "mfa_required",
                    "error_description": "Multifactor authentication required",
                    "mfa_token": "Fe26.2*SERVER*made-up",
                }),
            ),
            Refusal::Dead(_) | Refusal::OfOtherClient | Refusal::User(_) => {
                Answer::error(403, "invalid_grant", "Unknown or invalid refresh token.")
            }
            Refusal::GrantType(grant) => Answer::error(
                403,
                "unauthorized_client",
                &format!("Grant type '{grant}' not allowed for the client."),
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
        let limit = |code: &str| json!({"error": code, "error_description": "Global limit has been reached"});
        vec![
            failure_for(429, &limit("too_many_requests"), Duration::from_secs(30)),
            failure(429, &limit("access_denied")),
            failure(500, &limit("access_denied")),
        ]
    }

    /// Custom token exchange: the tenant's Action takes a token of the tenant itself.
    fn exchange(&self, engine: &Engine, client: &CloudClient, form: &Form) -> Result<Answer, Refusal> {
        let grant = form.get("grant_type");
        if grant != EXCHANGE {
            return Err(Refusal::GrantType(grant.to_owned()));
        }
        let required = ["subject_token", "subject_token_type", "audience"];
        if let Some(missing) = required.into_iter().find(|name| form.get(name).is_empty()) {
            return Err(Refusal::Missing(missing));
        }
        let own = |status, code: &str, description: &str| {
            Err(Refusal::Own(Answer::error(status, code, description)))
        };
        if form.get("subject_token_type") != PROFILE {
            return own(400, "invalid_request", "Invalid subject_token_type");
        }
        if form.get("audience") != API {
            let description = format!("Service not found: {}", form.get("audience"));
            return own(403, "access_denied", &description);
        }
        let Ok(subject) = engine.verified(form.get("subject_token")) else {
            return own(400, "invalid_request", "Invalid subject_token");
        };
        let user = subject.text("sub").unwrap_or_default();
        let token = access_token(engine, user, API, &client.id);
        engine.count(None, |counts| counts.exchanges_succeeded += 1);
        Ok(Answer::ok(json!({
            "access_token": token,
            "scope": "read:reports",
            "expires_in": seconds(engine.config.token_lifetime),
            "token_type": "Bearer",
            "issued_token_type": ACCESS_TOKEN,
        })))
    }

    /// One token's login, or all of the user at the client where the tenant is set so.
    fn revoke(&self, engine: &Engine, asked: Asked<'_>) -> Answer {
        if let Err(refusal) = client::authenticated(engine, asked) {
            return self.refusal(engine, &refusal);
        }
        let mut logins = engine.logins();
        if let Some(meant) = logins.of_token(asked.form.get("token")).cloned() {
            let deletes_grant = engine.config.revocation_deletes_grant;
            logins.end(|login| {
                let is_of_grant = login.user == meant.user && login.client_id == meant.client_id;
                login.session == meant.session || (deletes_grant && is_of_grant)
            });
        }
        Answer::ok(Value::Null)
    }
}

/// With Auth0's own profile of access tokens.
fn access_token(engine: &Engine, subject: &str, api: &str, client_id: &str) -> String {
    let claims = json!({
        "sub": subject,
        "aud": [api, format!("{}/userinfo", engine.base)],
        "azp": client_id,
        "scope": "openid profile email offline_access",
    });
    engine.signed(claims.as_object().cloned().unwrap_or_default(), "JWT")
}
