//! The answer to a form: a page that leads on by itself. A redirect would be subject to `form-action` of the page with the
//! form, along the whole chain, and the issuer's own redirects (to its connectors) are not known here.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use super::{StyleNonce, html};

#[derive(Template)]
#[template(path = "onward.html")]
struct OnwardPage<'a> {
    nonce: &'a str,
    issuer: &'a str,
    heading: &'a str,
    location: &'a str,
    destination: &'a str,
}

/// Where a page leads.
pub(in crate::http::authorization) struct Onward<'a> {
    /// What happens now.
    pub(in crate::http::authorization) heading: &'a str,
    /// Where the browser goes.
    pub(in crate::http::authorization) location: &'a str,
    /// What is there, for the user.
    pub(in crate::http::authorization) destination: &'a str,
}

/// The page that leads to `onward`, of the authorization server `issuer`.
pub(in crate::http::authorization) fn page(issuer: &str, onward: &Onward<'_>) -> Response {
    let nonce = StyleNonce::new();
    let page = OnwardPage {
        nonce: &nonce.0,
        issuer,
        heading: onward.heading,
        location: onward.location,
        destination: onward.destination,
    };
    html(StatusCode::OK, &page, &nonce)
}
