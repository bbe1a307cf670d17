//! The client's authentication: its id and secret in the header or in the form (RFC 6749 §2.3.1), or an assertion that its
//! key signs (RFC 7523 §2.2).

use http::HeaderMap;
use serde_json::Value;

use super::CloudClient;
use super::engine::Engine;
use super::product::Refusal;
use crate::issuer::form::{Form, basic, unescape};
use crate::issuer::jose::Jws;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A request that a client makes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) form: &'a Form,
    /// The endpoint.
    pub(super) url: &'a str,
}

/// The authenticated client of a request. A request in two ways, or in none, is refused, and so is the secret of a client that
/// has a key.
pub(super) fn authenticated(engine: &Engine, asked: Asked<'_>) -> Result<CloudClient, Refusal> {
    let form = asked.form;
    let by_header = basic(asked.headers);
    let by_key = form.has("client_assertion");
    let ways = [by_header.is_some(), form.has("client_secret"), by_key];
    if ways.into_iter().filter(|way| *way).count() != 1 {
        return Err(Refusal::Client);
    }
    if by_key {
        return by_assertion(engine, asked);
    }
    let (id, secret) = match by_header {
        Some((id, secret)) => (
            unescape(&id).ok_or(Refusal::Client)?,
            unescape(&secret).ok_or(Refusal::Client)?,
        ),
        None => (
            form.get("client_id").to_owned(),
            form.get("client_secret").to_owned(),
        ),
    };
    engine
        .client(&id)
        .filter(|client| client.key.is_none() && client.secret == secret)
        .ok_or(Refusal::Client)
}

fn by_assertion(engine: &Engine, asked: Asked<'_>) -> Result<CloudClient, Refusal> {
    let form = asked.form;
    let assertion = Jws::read(form.get("client_assertion")).ok_or(Refusal::Client)?;
    let id = assertion.text("sub").unwrap_or_default();
    let client = engine.client(id).ok_or(Refusal::Client)?;
    let is_signed = client.key.as_ref().is_some_and(|key| key.signed(&assertion));
    let names_client = assertion.text("iss") == Some(id) && [id, ""].contains(&form.get("client_id"));
    let audience = engine.product.assertion_audience(engine, asked.url);
    let now_seconds = engine.clock().now_seconds();
    let lifetime = engine.product.longest_assertion_seconds();
    let is_in_time = assertion
        .exp_seconds()
        .is_some_and(|exp| (now_seconds + 1..=now_seconds + lifetime).contains(&exp));
    let is_good = form.get("client_assertion_type") == ASSERTION_TYPE
        && is_signed
        && names_client
        && is_in_time
        && assertion.audiences() == [audience];
    // Each is good for one request.
    let id = assertion
        .claims
        .get("jti")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if is_good && !id.is_empty() && engine.is_first_assertion(id) {
        Ok(client)
    } else {
        Err(Refusal::Client)
    }
}
