//! Logins in a browser: the authorization endpoint, the login page, and the codes that come of them. Paths, statuses,
//! texts and the checks' order are those of Dex v2.45.1 with `skipApprovalScreen`; only the page looks different.

mod code;
mod page;
mod start;

use std::collections::HashMap;

use axum::response::Response;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, StatusCode};

use super::answers;
use super::dex::{Dex, LOCAL, identity};
use super::form::Form;
use super::grants::Identity;
use super::wire;

pub(crate) use code::redeem;

/// How long a code lives, as in Dex, milliseconds.
const CODE_LIFETIME_MS: i64 = 30 * 60 * 1000;

/// What a client requested at the authorization endpoint, and Dex accepted.
#[derive(Debug, Clone)]
struct AuthorizationRequest {
    client_id: String,
    redirect_uri: String,
    scopes: Vec<String>,
    state: String,
    nonce: String,
    /// `code_challenge` and its method; empty without PKCE.
    challenge: String,
    challenge_method: String,
}

/// A code with the login that it stands for.
#[derive(Debug, Clone)]
struct IssuedCode {
    request: AuthorizationRequest,
    identity: Identity,
    issued_ms: i64,
}

/// Logins under way, and codes that no client has redeemed yet.
#[derive(Debug, Default)]
pub(crate) struct Logins {
    requests: HashMap<String, AuthorizationRequest>,
    codes: HashMap<String, IssuedCode>,
}

impl Logins {
    /// What a restart with memory storage leaves: nothing.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Answers a browser at `/auth` and below; `path` starts there.
pub(crate) fn answer(dex: &Dex, method: &Method, path: &str, query: &Form, form: &Form) -> Response {
    match path {
        "/auth" => start::choose_connector(dex, query),
        "/auth/local" => start::begin(dex, query),
        "/auth/local/login" if method == Method::POST => log_in(dex, query.get("state"), form),
        "/auth/local/login" => show(dex, query.get("state")),
        _ => answers::not_found(),
    }
}

fn show(dex: &Dex, id: &str) -> Response {
    let known = dex.logins().requests.get(id).cloned();
    known.map_or_else(gone, |request| {
        page::login(dex, &request.client_id, id, None).into_response(StatusCode::OK)
    })
}

/// The user sent the page's form. The right password ends the request: the page does not work a second time.
fn log_in(dex: &Dex, id: &str, form: &Form) -> Response {
    let Some(request) = dex.logins().requests.get(id).cloned() else {
        return gone();
    };
    let email = form.get("login");
    let user = dex
        .user(email)
        .filter(|user| user.password == form.get("password"));
    let Some(user) = user else {
        return page::login(dex, &request.client_id, id, Some(email)).into_response(StatusCode::UNAUTHORIZED);
    };
    let code = wire::new_id();
    let back = with_parameters(
        &request.redirect_uri,
        &[("code", &code), ("state", &request.state)],
    );
    let issued = IssuedCode {
        request,
        identity: identity(&user),
        issued_ms: dex.clock.now_ms(),
    };
    let mut logins = dex.logins();
    logins.requests.remove(id);
    logins.codes.insert(code, issued);
    drop(logins);
    redirect(StatusCode::SEE_OTHER, &back)
}

fn gone() -> Response {
    page::error("Bad Request", "Requested resource does not exist.").into_response(StatusCode::BAD_REQUEST)
}

fn redirect(status: StatusCode, location: &str) -> Response {
    let mut response = answers::with_type(status, "text/html; charset=utf-8", "");
    match HeaderValue::from_str(location) {
        Ok(location) => {
            response.headers_mut().insert(LOCATION, location);
            response
        }
        Err(_) => gone(),
    }
}

/// A redirect URI with more parameters in its query. Names are in their order of the alphabet, as Go encodes them.
fn with_parameters(redirect_uri: &str, parameters: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters.iter().filter(|(_, value)| !value.is_empty()))
        .finish();
    let separator = if redirect_uri.contains('?') { '&' } else { '?' };
    format!("{redirect_uri}{separator}{query}")
}

impl page::Page {
    fn into_response(self, status: StatusCode) -> Response {
        let mut response = answers::with_type(status, "text/html; charset=utf-8", self.0);
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        response
    }
}
