//! The consent page: which program asks for what, and where the user will be sent.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use super::text::{cut, shown};
use super::{StyleNonce, html};
use crate::app::authorization::authorize::ConsentAsked;
use crate::authorization::request::RedirectKind;
use crate::authorization::request::check::OFFLINE_ACCESS;

/// The form's address.
pub(in crate::http::authorization) const CONSENT_PATH: &str = "/authorize/consent";

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    nonce: &'a str,
    issuer: &'a str,
    server: String,
    name: String,
    configured: bool,
    client_host: Option<String>,
    resource: &'a str,
    scope: String,
    offline: bool,
    redirect_host: String,
    loopback: bool,
    private_use: bool,
    upstream: &'a str,
    upstream_scope: String,
    action: &'static str,
    request: &'a str,
    remember_days: Option<u64>,
}

/// The longest host that is shown, in characters: the longest that DNS allows.
const LONGEST_HOST: usize = 260;
/// The longest list of upstream scopes that is shown, in characters.
const LONGEST_SCOPE: usize = 1000;

/// The page that asks for `asked`, of the authorization server `issuer`.
pub(in crate::http::authorization) fn page(issuer: &str, asked: &ConsentAsked) -> Response {
    let nonce = StyleNonce::new();
    let request = &asked.request;
    let name = shown(&request.client_name);
    let page = ConsentPage {
        nonce: &nonce.0,
        issuer,
        server: shown(&request.server),
        name: if name.is_empty() {
            "a program without a name".to_owned()
        } else {
            name
        },
        configured: request.is_configured,
        client_host: request.client_host.as_deref().map(|host| cut(host, LONGEST_HOST)),
        resource: &request.resource,
        scope: request.scope.join(" "),
        offline: request.scope.iter().any(|scope| scope == OFFLINE_ACCESS),
        redirect_host: cut(&request.redirect_host, LONGEST_HOST),
        loopback: request.redirect_kind == RedirectKind::Loopback,
        private_use: request.redirect_kind == RedirectKind::PrivateUse,
        upstream: &asked.upstream_issuer,
        upstream_scope: cut(&asked.upstream_scope, LONGEST_SCOPE),
        action: CONSENT_PATH,
        request: &asked.sealed,
        remember_days: asked.remember_days,
    };
    html(StatusCode::OK, &page, &nonce)
}
