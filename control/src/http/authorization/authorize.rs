//! `GET` and `POST /authorize` (RFC 6749 §3.1): a client sends its user's browser here.

use axum::Extension;
use axum::body::Body;
use axum::extract::RawQuery;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tokenward_protocol::form::Form;

use super::browser_answer::{self, Answering};
use super::cookie::{CookieName, Cookies};
use super::hosted::Hosted;
use super::page;
use super::source::RequestSource;
use crate::app::authorization::authorize::{AuthorizeAnswer, Visit};
use crate::authorization::consent::FetchSite;
use crate::authorization::refusal::AuthorizationRefused;
use crate::authorization::request::sealed_form::LOGIN_LIFETIME;
use crate::authorization::source::Source;
use crate::http::admission::Admitted;
use crate::http::body::RequestBody;

/// The longest query or form, in bytes: below the limit of 16 KiB for a request's head, beyond which the listener answers
/// without a page.
const MAX_REQUEST_BYTES: usize = 12 * 1024;

/// The endpoint, for metrics and logs.
const ENDPOINT: &str = "authorize";

/// `GET /authorize`.
pub(super) async fn get(
    hosted: Hosted,
    RequestSource(source): RequestSource,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    if query.len() > MAX_REQUEST_BYTES {
        let cause = format!("it is longer than {MAX_REQUEST_BYTES} bytes");
        return Answering::new(&hosted, ENDPOINT).problem(&AuthorizationRefused::bad_request(cause), None);
    }
    match Form::read(query.as_bytes()) {
        Ok(form) => answer(&hosted, &form, source, &headers).await,
        Err(bad) => {
            let refused = AuthorizationRefused::bad_request(bad.to_string());
            Answering::new(&hosted, ENDPOINT).problem(&refused, None)
        }
    }
}

/// `POST /authorize`, with the same parameters in a form.
pub(super) async fn post(
    hosted: Hosted,
    RequestSource(source): RequestSource,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let body = RequestBody {
        headers: &headers,
        body,
        admitted: &admitted,
        metrics: hosted.service.metrics(),
    };
    match body.form(MAX_REQUEST_BYTES).await {
        Ok(form) => answer(&hosted, &form, source, &headers).await,
        Err(rejection) => *rejection,
    }
}

async fn answer(hosted: &Hosted, form: &Form, source: Source, headers: &HeaderMap) -> Response {
    let answering = Answering::new(hosted, ENDPOINT);
    if let Err(refused) = hosted.server.admit_visit(source) {
        return answering.problem(&refused, None);
    }
    let issuer = &hosted.server.config.issuer;
    let cookies = Cookies::of(issuer);
    let visit = Visit {
        source,
        site: FetchSite::read(browser_answer::fetch_site(headers)),
        consent: cookies.read(headers, CookieName::Consent),
        remembered: cookies.read(headers, CookieName::Remembered),
    };
    match Box::pin(hosted.service.authorize(&hosted.server, form, &visit)).await {
        Ok(AuthorizeAnswer::Consent(asked)) => {
            answering.done("consent_asked");
            let mut response = page::consent::page(issuer, &asked);
            let cookie = cookies.set(CookieName::Consent, &asked.browser, LOGIN_LIFETIME);
            response.headers_mut().append(SET_COOKIE, cookie);
            response
        }
        Ok(AuthorizeAnswer::Upstream(upstream)) => {
            answering.done("consent_remembered");
            let mut response = browser_answer::redirect(StatusCode::FOUND, upstream.url.as_str());
            let cookie = cookies.set(
                CookieName::Login(&upstream.state),
                &upstream.browser,
                LOGIN_LIFETIME,
            );
            response.headers_mut().append(SET_COOKIE, cookie);
            response
        }
        Ok(AuthorizeAnswer::Refused(reply)) => answering.reply(&reply),
        Ok(AuthorizeAnswer::Shown(shown)) => answering.problem(&shown.refused, Some(&shown.client)),
        Err(refused) => answering.problem(&refused, None),
    }
}
