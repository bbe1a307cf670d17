//! `grant_type=authorization_code` at the token endpoint.

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use sha2::Digest as _;

use super::super::Failure;
use super::super::answers::DexError;
use super::super::grants::Login;
use super::super::token_endpoint::issue;
use super::super::tokens::TokenOrder;
use super::{AuthorizationRequest, CODE_LIFETIME_MS, Dex, Form, IssuedCode, LOCAL};

/// Redeems a code. A refused request leaves it as it is; tokens end it.
pub(crate) fn redeem(
    dex: &Dex,
    client_id: &str,
    form: &Form,
    failure: Option<&Failure>,
) -> Result<Response, DexError> {
    let code = form.get("code");
    if code.is_empty() {
        return Err(DexError::invalid_request("Required param: code."));
    }
    let issued = find(dex, client_id, code)?;
    check_verifier(&issued.request, form.get("code_verifier"))?;
    if issued.request.redirect_uri != form.get("redirect_uri") {
        return Err(DexError::invalid_request(
            "redirect_uri did not match URI from initial request.",
        ));
    }
    if dex.logins().codes.remove(code).is_none() {
        return Err(unknown_code());
    }
    let IssuedCode {
        request, identity, ..
    } = issued;
    let order = TokenOrder {
        client_id,
        connector_id: LOCAL,
        identity: &identity,
        scopes: &request.scopes,
        nonce: &request.nonce,
        code: Some(code),
        failure,
    };
    let mut tokens = issue(dex, &order)?;
    let offline = request.scopes.iter().any(|scope| scope == "offline_access");
    if offline && failure != Some(&Failure::DropRefreshToken) {
        let login = Login {
            client_id: client_id.to_owned(),
            connector_id: LOCAL.to_owned(),
            identity: identity.clone(),
            scopes: request.scopes.clone(),
            nonce: request.nonce.clone(),
        };
        let grant = dex.grants().open(dex.clock.now_ms(), login);
        tokens.refresh_token = Some(grant.refresh_token());
    }
    dex.count(Some(&identity.email), |counts| counts.logins += 1);
    Ok(tokens.into_response())
}

/// A code that is too old, or of another client, is an error of Dex's own.
fn find(dex: &Dex, client_id: &str, code: &str) -> Result<IssuedCode, DexError> {
    let issued = dex.logins().codes.get(code).cloned().ok_or_else(unknown_code)?;
    let is_old = dex.clock.now_ms() > issued.issued_ms + CODE_LIFETIME_MS;
    if is_old || issued.request.client_id != client_id {
        return Err(DexError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "",
        ));
    }
    Ok(issued)
}

fn unknown_code() -> DexError {
    invalid_grant("Invalid or expired code parameter.")
}

fn invalid_grant(description: &str) -> DexError {
    DexError::new(StatusCode::BAD_REQUEST, "invalid_grant", description)
}

/// PKCE (RFC 7636 §4.6); a request without a method is `plain`.
fn check_verifier(request: &AuthorizationRequest, verifier: &str) -> Result<(), DexError> {
    match (request.challenge.as_str(), verifier) {
        ("", "") => Ok(()),
        ("", _) => Err(DexError::invalid_request(
            "No PKCE flow started. Cannot check code_verifier.",
        )),
        (_, "") => Err(invalid_grant("Expecting parameter code_verifier in PKCE flow.")),
        (challenge, verifier) => {
            let expected = if request.challenge_method == "S256" {
                URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(verifier))
            } else {
                verifier.to_owned()
            };
            if expected == challenge {
                Ok(())
            } else {
                Err(invalid_grant("Invalid code_verifier."))
            }
        }
    }
}
