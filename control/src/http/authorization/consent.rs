//! `POST /authorize/consent`: the form of the consent page.

use axum::Extension;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{ORIGIN, SET_COOKIE};
use axum::response::Response;
use tokenward_protocol::form::Form;
use url::Url;

use super::browser_answer::{self, Answering};
use super::cookie::{CookieName, Cookies};
use super::hosted::Hosted;
use super::page::{self, onward::Onward};
use super::source::RequestSource;
use crate::app::authorization::consent::{ConsentDecision, DecisionAnswer};
use crate::authorization::consent::FetchSite;
use crate::authorization::refusal::AuthorizationRefused;
use crate::authorization::request::sealed_form::LOGIN_LIFETIME;
use crate::http::admission::Admitted;
use crate::http::body::RequestBody;

/// The longest form, in bytes.
const MAX_FORM_BYTES: usize = 40 * 1024;

/// The endpoint, for metrics and logs.
const ENDPOINT: &str = "consent";

/// `POST /authorize/consent`.
pub(super) async fn post(
    hosted: Hosted,
    RequestSource(source): RequestSource,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answering = Answering::new(&hosted, ENDPOINT);
    let issuer = &hosted.server.config.issuer;
    // Each decision may store a login.
    if let Err(refused) = hosted.server.admit_visit(source) {
        return answering.problem(&refused, None);
    }
    if let Err(cause) = is_own_page(&hosted.server.config.url, &headers) {
        return answering.foreign(cause);
    }
    let body = RequestBody {
        headers: &headers,
        body,
        admitted: &admitted,
        metrics: hosted.service.metrics(),
    };
    let form = match body.form(MAX_FORM_BYTES).await {
        Ok(form) => form,
        Err(rejection) => return *rejection,
    };
    let decision = match decision(&form) {
        Ok(decision) => decision,
        Err(refused) => return answering.problem(&refused, None),
    };
    let cookies = Cookies::of(issuer);
    let browser = cookies.read(&headers, CookieName::Consent);
    let decided = hosted
        .service
        .decide_consent(&hosted.server, browser.as_ref(), &decision);
    match Box::pin(decided).await {
        Ok(DecisionAnswer::Upstream(upstream)) => {
            answering.done("allowed");
            let onward = Onward {
                heading: "You are being sent to the login",
                location: upstream.url.as_str(),
                destination: "the login",
            };
            let mut response = page::onward::page(issuer, &onward);
            let cookie = cookies.set(
                CookieName::Login(&upstream.state),
                &upstream.browser,
                LOGIN_LIFETIME,
            );
            response.headers_mut().append(SET_COOKIE, cookie);
            response
        }
        Ok(DecisionAnswer::Denied(reply)) => {
            answering.count(Some(&reply.client), &reply.refused, None);
            let onward = Onward {
                heading: "Denied",
                location: &reply.location,
                destination: "the program",
            };
            page::onward::page(issuer, &onward)
        }
        Err(refused) => answering.problem(&refused, None),
    }
}

/// Whether the browser says that one of our own pages sent the form. Old browsers say nothing; the cookie and the sealed form
/// decide then.
fn is_own_page(issuer: &Url, headers: &HeaderMap) -> Result<(), &'static str> {
    if let Some(origin) = headers.get(ORIGIN) {
        // A page with `Referrer-Policy: no-referrer` has its origin sent as `null` (Fetch standard, "append a request Origin
        // header").
        let is_ours = *origin == issuer.origin().ascii_serialization() || origin == "null";
        if !is_ours {
            return Err("another site sent the form");
        }
    }
    match FetchSite::read(browser_answer::fetch_site(headers)) {
        FetchSite::Other => Err("another site sent the form"),
        FetchSite::SameOrigin | FetchSite::UserAgent | FetchSite::Unknown => Ok(()),
    }
}

fn decision(form: &Form) -> Result<ConsentDecision<'_>, AuthorizationRefused> {
    let once = |name: &'static str| {
        let value = form.once(name);
        value.map_err(|_| AuthorizationRefused::bad_request(format!("{name} occurs more than once")))
    };
    let allowed = match once("decision")? {
        Some("allow") => true,
        Some("deny") => false,
        _ => return Err(AuthorizationRefused::bad_request("decision is allow or deny")),
    };
    Ok(ConsentDecision {
        sealed: once("request")?.ok_or_else(|| AuthorizationRefused::bad_request("request is missing"))?,
        allowed,
        remember: once("remember")? == Some("yes"),
    })
}
