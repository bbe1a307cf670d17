//! The endpoints that only read: discovery, keys, userinfo and introspection.

use axum::response::Response;
use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::answers::{self, DexError};
use super::clock::milliseconds;
use super::dex::Dex;
use super::form::Form;
use super::jose::{Jws, PublicKey};
use super::tokens::{self, Audience};
use super::{token_endpoint, wire};

pub(crate) fn discovery(dex: &Dex) -> Response {
    let issuer = &dex.issuer;
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/auth"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "device_authorization_endpoint": format!("{issuer}/device/code"),
        "introspection_endpoint": format!("{issuer}/token/introspect"),
        "grant_types_supported": ["authorization_code", token_endpoint::PASSWORD, token_endpoint::REFRESH, token_endpoint::EXCHANGE],
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["S256", "plain"],
        "scopes_supported": ["openid", "email", "groups", "profile", "offline_access"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "claims_supported": ["iss", "sub", "aud", "iat", "exp", "email", "email_verified", "locale", "name", "preferred_username", "at_hash"],
    });
    if dex.has_revocation {
        document["revocation_endpoint"] = json!(format!("{issuer}/token/revoke"));
    }
    for (member, value) in &dex.discovery {
        if value.is_null() {
            document.as_object_mut().map(|members| members.remove(*member));
        } else {
            document[*member] = value.clone();
        }
    }
    answers::json(StatusCode::OK, &document)
}

pub(crate) fn keys(dex: &Dex) -> Response {
    let response = answers::json(StatusCode::OK, &dex.jwks());
    answers::with_header(response, CACHE_CONTROL, "max-age=600, must-revalidate")
}

/// 401 without a bearer token, 403 with a bad one: not what RFC 6750 requires.
pub(crate) fn user_info(dex: &Dex, headers: &HeaderMap) -> Response {
    let refusal = |status| DexError::new(status, "access_denied", "Invalid bearer token.").into_response();
    let authorization = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    match authorization.split_at_checked("Bearer ".len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("Bearer ") => match verified(dex, token) {
            Some(jws) => answers::raw_json(StatusCode::OK, jws.payload),
            None => refusal(StatusCode::FORBIDDEN),
        },
        _ => answers::bearer_challenge(refusal(StatusCode::UNAUTHORIZED)),
    }
}

/// A token this issuer signed that has not expired; `aud` is not looked at.
fn verified(dex: &Dex, token: &str) -> Option<Jws> {
    let jws = Jws::read(token)?;
    let in_time = dex.clock.now_ms() <= jws.exp_seconds()?.saturating_mul(1000);
    let ours = jws.text("iss") == Some(&dex.issuer) && jws.is_signed_by(&PublicKey::read_set(&dex.jwks()));
    (in_time && ours).then_some(jws)
}

/// RFC 7662 without any authentication of the caller, as in Dex.
pub(crate) fn introspect(dex: &Dex, method: &Method, form: &Form) -> Result<Response, DexError> {
    if method != Method::POST {
        return Err(DexError::invalid_request(format!(
            "HTTP method is \"{method}\", expected \"POST\"."
        )));
    }
    if form.is_empty() {
        return Err(DexError::invalid_request("The POST body can not be empty."));
    }
    if !form.has("token") {
        return Err(DexError::invalid_request(
            "The POST body doesn't contain 'token' parameter.",
        ));
    }
    let token = form.get("token");
    let active = if Jws::read(token).is_some() {
        verified(dex, token).and_then(|jws| introspect_token(dex, &jws))
    } else {
        introspect_refresh_token(dex, token)
    };
    Ok(match active {
        Some(introspection) => answers::json(StatusCode::OK, &introspection),
        None => answers::not_stored(answers::raw_json(
            StatusCode::OK,
            b"{\"active\":false}\n".to_vec(),
        )),
    })
}

/// Members in Dex's order.
#[derive(Debug, Serialize)]
struct Introspection {
    active: bool,
    client_id: String,
    sub: String,
    exp: i64,
    iat: i64,
    nbf: i64,
    aud: Audience,
    iss: String,
    token_type: &'static str,
    token_use: &'static str,
    ext: Map<String, Value>,
}

fn introspect_token(dex: &Dex, jws: &Jws) -> Option<Introspection> {
    const EXTRA: [&str; 5] = ["azp", "email", "email_verified", "groups", "name"];
    let audiences = jws.audiences();
    let client_id = match jws.text("azp") {
        Some(authorised) => authorised.to_owned(),
        None => audiences.first()?.clone(),
    };
    let iat = jws.claims.get("iat")?.as_i64()?;
    let extra = EXTRA
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), jws.claims.get(*name)?.clone())));
    Some(Introspection {
        active: true,
        client_id: dex.client(&client_id)?.id.clone(),
        sub: jws.text("sub")?.to_owned(),
        exp: jws.exp_seconds()?,
        iat,
        nbf: iat,
        aud: Audience::new(audiences),
        iss: dex.issuer.clone(),
        token_type: "Bearer",
        token_use: "access_token",
        ext: extra.collect(),
    })
}

fn introspect_refresh_token(dex: &Dex, token: &str) -> Option<Introspection> {
    let policy = dex.policy();
    let (grant, _) = dex.grants().find(dex.clock.now_ms(), policy, None, token).ok()?;
    let identity = &grant.identity;
    let mut ext = Map::new();
    ext.insert("email".to_owned(), json!(identity.email));
    ext.insert("email_verified".to_owned(), json!(identity.email_verified));
    if !identity.groups.is_empty() {
        ext.insert("groups".to_owned(), json!(identity.groups));
    }
    ext.insert("name".to_owned(), json!(identity.username));
    let iat = grant.created_ms.div_euclid(1000);
    Some(Introspection {
        active: true,
        sub: wire::subject(&identity.user_id, &grant.connector_id),
        exp: (grant.created_ms + milliseconds(policy.absolute_lifetime)).div_euclid(1000),
        iat,
        nbf: iat,
        aud: Audience::new(tokens::audiences(dex, &grant.client_id, &grant.scopes).ok()?),
        iss: dex.issuer.clone(),
        client_id: grant.client_id,
        token_type: "Bearer",
        token_use: "refresh_token",
        ext,
    })
}
