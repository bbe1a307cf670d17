//! `/token`: password and refresh grants; codes and exchanges have files of their own.

use axum::response::Response;
use http::StatusCode;

use super::answers::{DexError, Tokens};
use super::clock::milliseconds;
use super::dex::{Dex, LOCAL, identity};
use super::form::Form;
use super::grants::{GrantRefusal, Login, Step};
use super::tokens::{TokenOrder, peer_of};
use super::{Failure, exchange, login, opaque};

pub(crate) const PASSWORD: &str = "password";
pub(crate) const REFRESH: &str = "refresh_token";
pub(crate) const CODE: &str = "authorization_code";
pub(crate) const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

const NOT_VALID: &str = "Refresh token is invalid or has already been claimed by another client.";

/// Answers a POST to the token endpoint.
pub(crate) async fn answer(
    dex: &Dex,
    headers: &http::HeaderMap,
    form: &Form,
    failure: Option<&Failure>,
) -> Result<Response, DexError> {
    let grant_type = form.get("grant_type");
    if ![PASSWORD, REFRESH, EXCHANGE, CODE].contains(&grant_type) {
        return Err(DexError::new(
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            "",
        ));
    }
    let client_id = &form.client(headers, dex)?.id;
    match grant_type {
        PASSWORD => log_in(dex, client_id, form, failure),
        REFRESH => refresh(dex, client_id, form, failure),
        EXCHANGE => exchange::exchange(dex, client_id, form, failure).await,
        _ => login::redeem(dex, client_id, form, failure),
    }
}

/// `expires_in`: whole seconds left when the answer is written, which is always some time after the issue.
pub(crate) fn expires_in(dex: &Dex, issued_ms: i64) -> i64 {
    let spent_ms = (dex.clock.now_ms() - issued_ms).max(1);
    (milliseconds(dex.id_token_lifetime()) - spent_ms).div_euclid(1000)
}

fn log_in(dex: &Dex, client_id: &str, form: &Form, failure: Option<&Failure>) -> Result<Response, DexError> {
    let scopes = form.scopes();
    if let Some(description) = scope_problem(dex, client_id, &scopes) {
        return Err(DexError::invalid_request(description));
    }
    let user = dex
        .user(form.get("username"))
        .filter(|user| user.password == form.get("password"))
        .ok_or_else(|| {
            DexError::new(
                StatusCode::UNAUTHORIZED,
                "access_denied",
                "Invalid username or password",
            )
        })?;
    let identity = identity(&user);
    let offline = scopes.iter().any(|scope| scope == "offline_access");
    let order = TokenOrder {
        client_id,
        connector_id: LOCAL,
        identity: &identity,
        scopes: &scopes,
        nonce: "",
        code: None,
        failure,
    };
    let mut tokens = issue(dex, &order)?;
    if offline {
        let login = Login {
            client_id: client_id.to_owned(),
            connector_id: LOCAL.to_owned(),
            identity,
            scopes,
            nonce: String::new(),
        };
        let grant = dex.grants().open(dex.clock.now_ms(), login);
        tokens.refresh_token = Some(grant.refresh_token());
    }
    dex.count(Some(&user.email), |counts| counts.logins += 1);
    Ok(tokens.into_response())
}

/// Why a client may not have these scopes, in Dex's words.
pub(crate) fn scope_problem(dex: &Dex, client_id: &str, scopes: &[String]) -> Option<String> {
    const KNOWN: [&str; 6] = [
        "openid",
        "offline_access",
        "email",
        "profile",
        "groups",
        "federated:id",
    ];
    if !scopes.iter().any(|scope| scope == "openid") {
        return Some(r#"Missing required scope(s) ["openid"]."#.to_owned());
    }
    let unknown: Vec<&String> = scopes
        .iter()
        .filter(|scope| !KNOWN.contains(&scope.as_str()) && peer_of(scope).is_none())
        .collect();
    if !unknown.is_empty() {
        return Some(format!("Unrecognized scope(s) {}", quoted(&unknown)));
    }
    let untrusted: Vec<&String> = scopes
        .iter()
        .filter(|scope| peer_of(scope).is_some_and(|peer| !dex.is_trusted(client_id, peer)))
        .collect();
    (!untrusted.is_empty()).then(|| format!("Client can't request scope(s) {}", quoted(&untrusted)))
}

fn refresh(dex: &Dex, client_id: &str, form: &Form, failure: Option<&Failure>) -> Result<Response, DexError> {
    let presented = form.get("refresh_token");
    if presented.is_empty() {
        return Err(DexError::invalid_request("No refresh token is found in request."));
    }
    let (now_ms, policy) = (dex.clock.now_ms(), dex.policy());
    let mut grants = dex.grants();
    let (grant, step) = grants
        .find(now_ms, policy, Some(client_id), presented)
        .map_err(|refusal| match refusal {
            GrantRefusal::Invalid => DexError::invalid_request(NOT_VALID),
            GrantRefusal::OtherClient => DexError::new(StatusCode::BAD_REQUEST, "invalid_grant", NOT_VALID),
            GrantRefusal::Expired => DexError::invalid_request("Refresh token expired."),
        })?;
    let scopes = narrowed(&grant.scopes, form.scopes())?;
    let omits_token = failure == Some(&Failure::DropRefreshToken);
    let grant = match step {
        Step::Repeat => grant,
        Step::Rotate => {
            let identity = dex
                .refreshed_identity(&grant.identity.user_id)
                .ok_or_else(DexError::internal)?;
            if omits_token {
                grant.with_identity(identity)
            } else {
                grants
                    .rotate(now_ms, policy, &grant.id, identity)
                    .ok_or_else(DexError::internal)?
            }
        }
    };
    drop(grants);
    let order = TokenOrder {
        client_id,
        connector_id: &grant.connector_id,
        identity: &grant.identity,
        scopes: &scopes,
        nonce: &grant.nonce,
        code: None,
        failure,
    };
    let mut tokens = issue(dex, &order)?;
    tokens.refresh_token = (!omits_token).then(|| grant.refresh_token());
    dex.count(Some(&grant.identity.email), |counts| {
        counts.refreshes_succeeded += 1;
    });
    Ok(tokens.into_response())
}

/// The scopes of one refresh: all that were granted, or those of them that are requested.
fn narrowed(granted: &[String], requested: Vec<String>) -> Result<Vec<String>, DexError> {
    let widened: Vec<&String> = requested
        .iter()
        .filter(|scope| !granted.contains(scope))
        .collect();
    if !widened.is_empty() {
        let description = format!(
            "Requested scopes contain unauthorized scope(s): {}.",
            quoted(&widened)
        );
        return Err(DexError::invalid_request(description));
    }
    Ok(if requested.is_empty() {
        granted.to_vec()
    } else {
        requested
    })
}

/// The tokens of an order; a refresh token is the caller's.
pub(crate) fn issue(dex: &Dex, order: &TokenOrder<'_>) -> Result<Tokens, DexError> {
    let issued_ms = dex.clock.now_ms();
    let access_token = order
        .access_token(dex, issued_ms)
        .map_err(|_| DexError::internal())?;
    let access_token = match dex.opaque_access_tokens {
        true => opaque::wrapped(&access_token),
        false => access_token,
    };
    let id_token = order
        .id_token(dex, issued_ms, Some(&access_token))
        .map_err(|_| DexError::internal())?;
    Ok(Tokens {
        access_token,
        token_type: "bearer",
        expires_in: expires_in(dex, issued_ms),
        id_token: (order.failure != Some(&Failure::NoIdToken)).then_some(id_token),
        ..Tokens::default()
    })
}

/// A list as Dex prints it: `["a" "b"]`.
fn quoted(texts: &[&String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", texts.join(" "))
}
