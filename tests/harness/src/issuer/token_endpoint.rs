//! `/token`: password and refresh grants.

use axum::response::Response;
use http::StatusCode;

use super::answers::{DexError, Tokens};
use super::clock::milliseconds;
use super::dex::{Dex, LOCAL, identity};
use super::form::Form;
use super::grants::{GrantRefusal, Identity, Step};
use super::tokens::{TokenOrder, peer_of};
use super::{Failure, exchange};

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
        // There is no browser login here, so no code was ever issued.
        _ => Err(DexError::new(
            StatusCode::BAD_REQUEST,
            "invalid_grant",
            "Invalid or expired code parameter.",
        )),
    }
}

/// `expires_in`: whole seconds left when the answer is written, which is always some time after the issue.
pub(crate) fn expires_in(dex: &Dex, issued_ms: i64) -> i64 {
    let spent_ms = (dex.clock.now_ms() - issued_ms).max(1);
    (milliseconds(dex.id_token_lifetime()) - spent_ms).div_euclid(1000)
}

fn log_in(dex: &Dex, client_id: &str, form: &Form, failure: Option<&Failure>) -> Result<Response, DexError> {
    let scopes = form.scopes();
    check_scopes(dex, client_id, &scopes)?;
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
    let mut tokens = issue(dex, client_id, LOCAL, &identity, &scopes, failure)?;
    if offline {
        let grant = dex
            .grants()
            .open(dex.clock.now_ms(), client_id, LOCAL, identity, scopes);
        tokens.refresh_token = Some(grant.refresh_token());
    }
    dex.count(Some(&user.email), |counts| counts.logins += 1);
    Ok(tokens.into_response())
}

fn check_scopes(dex: &Dex, client_id: &str, scopes: &[String]) -> Result<(), DexError> {
    const KNOWN: [&str; 6] = [
        "openid",
        "offline_access",
        "email",
        "profile",
        "groups",
        "federated:id",
    ];
    if !scopes.iter().any(|scope| scope == "openid") {
        return Err(DexError::invalid_request(
            r#"Missing required scope(s) ["openid"]."#,
        ));
    }
    let unknown: Vec<&String> = scopes
        .iter()
        .filter(|scope| !KNOWN.contains(&scope.as_str()) && peer_of(scope).is_none())
        .collect();
    if !unknown.is_empty() {
        return Err(DexError::invalid_request(format!(
            "Unrecognized scope(s) {}",
            quoted(&unknown)
        )));
    }
    let untrusted: Vec<&String> = scopes
        .iter()
        .filter(|scope| peer_of(scope).is_some_and(|peer| !dex.is_trusted(client_id, peer)))
        .collect();
    if !untrusted.is_empty() {
        return Err(DexError::invalid_request(format!(
            "Client can't request scope(s) {}",
            quoted(&untrusted)
        )));
    }
    Ok(())
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
    let mut tokens = issue(
        dex,
        client_id,
        &grant.connector_id,
        &grant.identity,
        &scopes,
        failure,
    )?;
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

fn issue(
    dex: &Dex,
    client_id: &str,
    connector_id: &str,
    identity: &Identity,
    scopes: &[String],
    failure: Option<&Failure>,
) -> Result<Tokens, DexError> {
    let order = TokenOrder {
        client_id,
        connector_id,
        identity,
        scopes,
        failure,
    };
    let issued_ms = dex.clock.now_ms();
    let access_token = order
        .access_token(dex, issued_ms)
        .map_err(|_| DexError::internal())?;
    let id_token = order
        .id_token(dex, issued_ms, Some(&access_token))
        .map_err(|_| DexError::internal())?;
    Ok(Tokens {
        access_token,
        token_type: "bearer",
        expires_in: expires_in(dex, issued_ms),
        id_token: (failure != Some(&Failure::NoIdToken)).then_some(id_token),
        ..Tokens::default()
    })
}

/// A list as Dex prints it: `["a" "b"]`.
fn quoted(texts: &[&String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", texts.join(" "))
}
