//! Okta, the custom authorization server `default`. Sources: developer.okta.com/docs/guides/refresh-tokens (rotation, grace
//! period, reuse detection), guides/set-up-token-exchange, reference/api/oidc (endpoints, errors, claims; the older page),
//! api/openapi/okta-oauth/guides/client-auth, reference/rl-best-practices (429); the words for a dead refresh token from
//! okta/okta-react-native#109.

use serde_json::{Map, Value, json};

use super::CloudClient;
use super::answer::Answer;
use super::client::{self, Asked};
use super::engine::{Engine, seconds};
use super::logins::Login;
use super::product::{Product, Refusal, failure, unknown_scopes};
use crate::issuer::form::Form;
use crate::issuer::{Endpoint, Failure, fingerprint};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// The audience of the authorization server: it has one.
const AUDIENCE: &str = "api://default";

#[derive(Debug)]
pub(super) struct Okta;

impl Product for Okta {
    fn issuer(&self, base: &str) -> String {
        format!("{base}/oauth2/default")
    }

    fn discovery(&self, base: &str) -> Value {
        let issuer = self.issuer(base);
        let methods = [
            "client_secret_basic",
            "client_secret_post",
            "client_secret_jwt",
            "private_key_jwt",
            "none",
        ];
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/v1/authorize"),
            "token_endpoint": format!("{issuer}/v1/token"),
            "userinfo_endpoint": format!("{issuer}/v1/userinfo"),
            "registration_endpoint": format!("{base}/oauth2/v1/clients"),
            "jwks_uri": format!("{issuer}/v1/keys"),
            "response_types_supported": ["code", "id_token", "code id_token", "code token", "id_token token", "code id_token token"],
            "response_modes_supported": ["query", "fragment", "form_post", "okta_post_message"],
            "grant_types_supported": ["authorization_code", "implicit", "refresh_token", "password", EXCHANGE],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "profile", "email", "address", "phone", "offline_access", "device_sso"],
            "token_endpoint_auth_methods_supported": methods,
            "code_challenge_methods_supported": ["S256"],
            "introspection_endpoint": format!("{issuer}/v1/introspect"),
            "introspection_endpoint_auth_methods_supported": methods,
            "revocation_endpoint": format!("{issuer}/v1/revoke"),
            "revocation_endpoint_auth_methods_supported": methods,
            "end_session_endpoint": format!("{issuer}/v1/logout"),
            "request_parameter_supported": true,
        })
    }

    fn authorization_path(&self) -> &'static str {
        "/oauth2/default/v1/authorize"
    }

    /// Those of the authorization server, which has no `groups` by itself.
    fn scope_problem(&self, scopes: &[String]) -> Option<String> {
        const KNOWN: [&str; 6] = ["openid", "profile", "email", "address", "phone", "offline_access"];
        unknown_scopes(scopes, |scope| KNOWN.contains(&scope)).map(|_| {
            "One or more scopes are not configured for the authorization server resource.".to_owned()
        })
    }

    fn token_path(&self) -> &'static str {
        "/oauth2/default/v1/token"
    }

    fn keys_path(&self) -> &'static str {
        "/oauth2/default/v1/keys"
    }

    fn endpoint(&self, path: &str) -> Endpoint {
        match path {
            "/oauth2/default/v1/introspect" => Endpoint::Introspect,
            "/oauth2/default/v1/revoke" => Endpoint::Revoke,
            _ => Endpoint::Other,
        }
    }

    fn api_audience(&self) -> &'static str {
        AUDIENCE
    }

    fn longest_assertion_seconds(&self) -> i64 {
        3600
    }

    fn most_logins(&self) -> usize {
        usize::MAX
    }

    fn refresh_token(&self, random: &str) -> String {
        format!("i6mapTIAVSp2oJkg{random}")
    }

    fn repeats_refresh_token(&self) -> bool {
        true
    }

    fn subject(&self, user: &str, _client_id: &str) -> String {
        format!("00u{}s9", fingerprint(user))
    }

    fn id_claims(&self, engine: &Engine, login: &Login) -> Map<String, Value> {
        let id = fingerprint(&format!("{} {}", login.session, engine.clock().now_ms()));
        let claims = json!({
            "sub": self.subject(&login.user, &login.client_id),
            "name": login.user,
            "email": login.user,
            "ver": 1,
            "jti": format!("ID.{id}"),
            "amr": ["pwd"],
            "idp": "00o1u4dzJPKXn7p5g0g4",
            "preferred_username": login.user,
            "auth_time": login.logged_in_seconds,
        });
        claims.as_object().cloned().unwrap_or_default()
    }

    fn access_token(&self, engine: &Engine, login: &Login) -> String {
        access_token(
            engine,
            &login.user,
            &login.client_id,
            &["openid", "offline_access"],
        )
    }

    fn adorn(&self, answer: &mut Map<String, Value>) {
        answer.insert("scope".to_owned(), json!("offline_access openid"));
    }

    fn refusal(&self, _engine: &Engine, refusal: &Refusal) -> Answer {
        match refusal {
            Refusal::Client => Answer::error(
                401,
                "invalid_client",
                "The client secret supplied for a confidential client is invalid.",
            ),
            // A deactivated user loses all refresh tokens; the words are the same.
            Refusal::Dead(_) | Refusal::OfOtherClient | Refusal::User(_) => {
                Answer::error(400, "invalid_grant", "The refresh token is invalid or expired.")
            }
            Refusal::GrantType(_) => Answer::error(
                400,
                "unsupported_grant_type",
                "The authorization grant type is not supported by the authorization server.",
            ),
            Refusal::Missing(parameter) => Answer::error(
                400,
                "invalid_request",
                &format!("The token request must specify a '{parameter}'."),
            ),
            Refusal::Own(answer) => answer.clone(),
        }
    }

    /// Okta's own errors, without a member `error`.
    fn passing(&self) -> Vec<Failure> {
        let own = |code: &str, summary: &str| {
            json!({
                "errorCode": code, "errorSummary": summary, "errorLink": code,
                "errorId": "oaeQdc5IvrlSGGnewf-cqqDqA", "errorCauses": [],
            })
        };
        let throttled = "API call exceeded rate limit due to too many requests.";
        vec![
            failure(429, &own("E0000047", throttled)),
            failure(500, &own("E0000009", "Internal Server Error")),
            failure(503, &own("E0000010", "Service is in read only mode")),
        ]
    }

    fn exchange(&self, engine: &Engine, client: &CloudClient, form: &Form) -> Result<Answer, Refusal> {
        let own = |code: &str, description: &str| Err(Refusal::Own(Answer::error(400, code, description)));
        let grant = form.get("grant_type");
        if grant != EXCHANGE {
            return Err(Refusal::GrantType(grant.to_owned()));
        }
        let required = ["subject_token", "subject_token_type", "audience", "scope"];
        if let Some(missing) = required.into_iter().find(|name| form.get(name).is_empty()) {
            return Err(Refusal::Missing(missing));
        }
        if form.get("subject_token_type") != ACCESS_TOKEN {
            return own("invalid_request", "The 'subject_token_type' is not supported.");
        }
        if form.get("audience") != AUDIENCE {
            return own("invalid_request", "The 'audience' is not valid.");
        }
        let scopes = form.scopes();
        if scopes
            .iter()
            .any(|scope| ["openid", "offline_access"].contains(&scope.as_str()))
        {
            return own(
                "invalid_scope",
                "One or more scopes are not configured for the authorization server resource.",
            );
        }
        let Ok(subject) = engine.verified(form.get("subject_token")) else {
            return own("invalid_grant", "The 'subject_token' is invalid.");
        };
        // An ID token has no `uid`.
        let (Some(user), Some(_)) = (subject.text("sub"), subject.text("uid")) else {
            return own("invalid_grant", "The 'subject_token' is invalid.");
        };
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let token = access_token(engine, user, &client.id, &scopes);
        engine.count(Some(user), |counts| counts.exchanges_succeeded += 1);
        Ok(Answer::ok(json!({
            "token_type": "Bearer",
            "expires_in": seconds(engine.config.token_lifetime),
            "access_token": token,
            "scope": scopes.join(" "),
            "issued_token_type": ACCESS_TOKEN,
        })))
    }

    /// One token's login; a token that is not known is no error.
    fn revoke(&self, engine: &Engine, asked: Asked<'_>) -> Answer {
        if let Err(refusal) = client::authenticated(engine, asked) {
            return self.refusal(engine, &refusal);
        }
        let mut logins = engine.logins();
        let session = logins
            .of_token(asked.form.get("token"))
            .map(|login| login.session.clone());
        if let Some(session) = session {
            logins.end(|login| login.session == session);
        }
        Answer::ok(Value::Null)
    }

    fn introspect(&self, engine: &Engine, asked: Asked<'_>) -> Answer {
        let client = match client::authenticated(engine, asked) {
            Ok(client) => client,
            Err(refusal) => return self.refusal(engine, &refusal),
        };
        let (token, config) = (asked.form.get("token"), &engine.config);
        let logins = engine.logins();
        let now_ms = engine.clock().now_ms();
        let is_active = logins.is_good(token, config.rotation, config.idle_lifetime, now_ms);
        let Some(login) = logins.of_token(token).filter(|_| is_active) else {
            return Answer::ok(json!({"active": false}));
        };
        Answer::ok(json!({
            "active": true,
            "token_type": "Bearer",
            "scope": "openid offline_access",
            "client_id": client.id,
            "username": login.user,
            "exp": now_ms.div_euclid(1000) + seconds(config.idle_lifetime),
            "sub": login.user,
        }))
    }
}

/// `sub` is the login name here, not the id of the ID token's `sub`; no `typ` in the header.
fn access_token(engine: &Engine, user: &str, client_id: &str, scopes: &[&str]) -> String {
    let id = fingerprint(&format!("{user} {}", engine.clock().now_ms()));
    let claims = json!({
        "ver": 1,
        "jti": format!("AT.{id}"),
        "aud": AUDIENCE,
        "cid": client_id,
        "uid": Okta.subject(user, client_id),
        "scp": scopes,
        "auth_time": engine.clock().now_seconds(),
        "sub": user,
    });
    engine.signed(claims.as_object().cloned().unwrap_or_default(), "")
}
