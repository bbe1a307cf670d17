//! What the endpoints for browsers answer with: redirects and error pages, each counted and logged.

use axum::http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret as _;

use super::hosted::Hosted;
use super::page;
use crate::app::authorization::authorize::RefusedReply;
use crate::app::authorization::callback::WaitingClient;
use crate::authorization::browser;
use crate::authorization::refusal::{AuthorizationRefusal, AuthorizationRefused};

/// `Sec-Fetch-Site` of a request.
pub(super) fn fetch_site(headers: &HeaderMap) -> Option<&str> {
    headers.get("sec-fetch-site")?.to_str().ok()
}

/// A redirect to `location`, which is never cached. Without a page: the address cannot be one.
pub(super) fn redirect(status: StatusCode, location: &str) -> Response {
    let Ok(location) = HeaderValue::try_from(location) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let headers = [
        (LOCATION, location),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (status, headers).into_response()
}

/// Answers at one endpoint.
pub(super) struct Answering<'a> {
    hosted: &'a Hosted,
    endpoint: &'static str,
}

impl<'a> Answering<'a> {
    pub(super) fn new(hosted: &'a Hosted, endpoint: &'static str) -> Self {
        Self { hosted, endpoint }
    }

    /// Counts a success.
    pub(super) fn done(&self, outcome: &'static str) {
        self.hosted
            .service
            .report_authorization_done(self.endpoint, outcome);
    }

    /// Counts and logs a refusal; `reference` joins the line with the page.
    pub(super) fn count(
        &self,
        client: Option<&str>,
        refused: &AuthorizationRefused,
        reference: Option<&str>,
    ) {
        let service = &self.hosted.service;
        service.report_authorization_refused(self.endpoint, client, refused);
        if let Some(reference) = reference {
            service.log_error_page(self.endpoint, refused, reference);
        }
    }

    /// Tells the client that its request is refused.
    pub(super) fn reply(&self, reply: &RefusedReply) -> Response {
        self.count(Some(&reply.client), &reply.refused, None);
        // 303: never a POST to the client (RFC 9700 §4.12).
        redirect(StatusCode::SEE_OTHER, &reply.location)
    }

    /// Tells the user.
    pub(super) fn problem(&self, refused: &AuthorizationRefused, client: Option<&WaitingClient>) -> Response {
        let reference = reference();
        self.count(client.map(|client| client.id.as_str()), refused, Some(&reference));
        page::problem::page(&self.hosted.server.config.issuer, refused, client, &reference)
    }

    /// Tells the user that this request is not one of this browser's pages.
    pub(super) fn foreign(&self, cause: &str) -> Response {
        let refused = AuthorizationRefused::new(AuthorizationRefusal::OtherBrowser).because(cause);
        self.problem(&refused, None)
    }
}

/// A short random text with which an operator finds the log line of a page.
fn reference() -> String {
    let random = browser::random_session();
    random.map_or_else(
        |_| "-".to_owned(),
        |random| random.expose_secret().chars().take(8).collect(),
    )
}
