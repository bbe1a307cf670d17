//! Logins in a browser: the authorization endpoint, where the one user is logged in already and agrees to everything, and the
//! code that it gives (OpenID Connect Core §3.1, RFC 7636).

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::Digest as _;

use super::CloudClient;
use super::answer::Answer;
use super::engine::Engine;
use super::product::Refusal;
use super::token_endpoint;
use crate::issuer::form::Form;
use crate::issuer::wire;
use crate::secrets;

/// Codes that were not redeemed yet.
pub(super) type Codes = HashMap<String, Code>;

/// What a code stands for.
#[derive(Debug, Clone)]
pub(super) struct Code {
    client_id: String,
    redirect_uri: String,
    challenge: String,
    nonce: String,
    offline: bool,
    api: Option<String>,
}

/// The answer to an authorization request: a redirect, or an error page where there is no place to go back to.
pub(super) fn authorize(engine: &Engine, query: &Form) -> Answer {
    let redirect_uri = query.get("redirect_uri");
    let client = engine.client(query.get("client_id"));
    let is_registered =
        client.is_some_and(|client| client.redirect_uris.iter().any(|own| own == redirect_uri));
    if !is_registered {
        return Answer::new(400, json!("redirect_uri_mismatch"));
    }
    let state = ("state", query.get("state"));
    let is_code = query.get("response_type") == "code" && query.get("code_challenge_method") == "S256";
    let problem = if is_code {
        engine.product.scope_problem(&query.scopes())
    } else {
        Some("the request is not supported".to_owned())
    };
    if let Some(description) = problem {
        let error = [
            ("error", "invalid_scope"),
            ("error_description", &description),
            state,
        ];
        return redirect(redirect_uri, &error);
    }
    let code = wire::new_id();
    secrets::note(&code);
    let issued = Code {
        client_id: query.get("client_id").to_owned(),
        redirect_uri: redirect_uri.to_owned(),
        challenge: query.get("code_challenge").to_owned(),
        nonce: query.get("nonce").to_owned(),
        offline: engine.product.is_offline(query),
        api: Some(query.get("audience").to_owned()).filter(|audience| !audience.is_empty()),
    };
    engine.codes().insert(code.clone(), issued);
    redirect(redirect_uri, &[("code", &code), state, ("iss", &engine.issuer)])
}

fn redirect(to: &str, parameters: &[(&str, &str)]) -> Answer {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish();
    Answer {
        location: Some(format!("{to}?{query}")),
        ..Answer::new(302, Value::Null)
    }
}

/// Redeems a code, once.
pub(super) fn redeem(engine: &Engine, client: &CloudClient, form: &Form) -> Result<Answer, Refusal> {
    let refused = || {
        Refusal::Own(Answer::error(
            400,
            "invalid_grant",
            "The code is invalid or expired.",
        ))
    };
    let code = engine.codes().remove(form.get("code")).ok_or_else(refused)?;
    let challenge = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(form.get("code_verifier")));
    let is_good = code.client_id == client.id
        && code.redirect_uri == form.get("redirect_uri")
        && code.challenge == challenge;
    if !is_good {
        return Err(refused());
    }
    let login = engine.open_login(&engine.config.user, &client.id, code.api);
    let refresh_token = code.offline.then(|| login.refresh_token());
    let answer = token_endpoint::tokens(engine, &login, refresh_token, Some(&code.nonce));
    Ok(Answer::ok(Value::Object(answer)))
}
