//! The pages for users: plain HTML without scripts, never cached, framed or leaked by a referrer.

pub(super) mod consent;
pub(super) mod onward;
pub(super) mod problem;
pub(in crate::http) mod text;

use askama::Template;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret as _;

use crate::authorization::browser;

/// The nonce of one page's style sheet.
pub(super) struct StyleNonce(String);

impl StyleNonce {
    /// A new one. Without random bytes the page has no style, and is as readable.
    pub(super) fn new() -> Self {
        let nonce = browser::random_text().map(|nonce| nonce.expose_secret().to_owned());
        Self(nonce.unwrap_or_default())
    }

    /// The page's policy. Forms go to ourselves only: a browser applies `form-action` to the redirects after a form too, so
    /// a form is answered by a page that leads on, and no host need be listed here.
    fn policy(&self) -> String {
        format!(
            "default-src 'none'; style-src 'nonce-{}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
            self.0
        )
    }
}

/// The response with `page`, whose style has `nonce`.
pub(super) fn html(status: StatusCode, page: &impl Template, nonce: &StyleNonce) -> Response {
    let Ok(body) = page.render() else {
        // Rendering into a String cannot fail.
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let policy = HeaderValue::try_from(nonce.policy())
        .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (CONTENT_SECURITY_POLICY, policy),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, headers, body).into_response()
}
