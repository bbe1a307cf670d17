//! The console's answers: pages with their security headers, redirects, and pages about a refusal.

use askama::Template;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};

use crate::app::console::refusal::{Advice, ConsoleRefused};
use crate::config::ConsoleConfig;
use crate::console::attempt::own_path;
use crate::console::session::ConsoleSession;
use crate::http::authorization::page::text::cut;

/// Everything comes from this origin, nothing inline; forms go to it only.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
/// The longest cause that is shown, in characters.
const LONGEST_CAUSE: usize = 500;

/// What every page of a logged-in operator has around its content.
pub(super) struct Frame {
    /// The document's title.
    pub(super) title: String,
    /// The part of the navigation that the page belongs to.
    pub(super) here: &'static str,
    /// What the operator is called; empty without a login.
    pub(super) operator: String,
    /// The token of its forms.
    pub(super) csrf: String,
    /// Whether the script keeps the page up to date.
    pub(super) live: bool,
}

impl Frame {
    /// Of a page that is brought up to date while it is shown.
    pub(super) fn live(session: &ConsoleSession, title: impl Into<String>, here: &'static str) -> Self {
        Self {
            live: true,
            ..Self::still(session, title, here)
        }
    }

    /// Of a page that stays as it is.
    pub(super) fn still(session: &ConsoleSession, title: impl Into<String>, here: &'static str) -> Self {
        Self {
            title: title.into(),
            here,
            operator: cut(&session.label, 60),
            csrf: session.csrf().to_owned(),
            live: false,
        }
    }

    fn outside(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            here: "",
            operator: String::new(),
            csrf: String::new(),
            live: false,
        }
    }
}

#[derive(Template)]
#[template(path = "console/problem.html")]
struct ProblemPage {
    frame: Frame,
    advice: Advice,
    cause: String,
}

#[derive(Template)]
#[template(path = "console/login.html")]
struct LoginPage<'a> {
    frame: Frame,
    issuer: &'a str,
    to: String,
}

/// The response with `page`.
pub(super) fn page(status: StatusCode, page: &impl Template) -> Response {
    let Ok(body) = page.render() else {
        // Rendering into a String cannot fail.
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let content_type = (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    with_security_headers((status, [content_type], body).into_response())
}

/// Adds the headers that every answer has.
pub(super) fn with_security_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        // Same-origin: browsers then send `Origin` with the console's own forms.
        (REFERRER_POLICY, "same-origin"),
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A redirect with GET.
pub(super) fn redirect(location: &str) -> Response {
    let Ok(location) = HeaderValue::try_from(location) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    with_security_headers((StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response())
}

/// The page about `refused`, with the console's navigation if `session` is there.
pub(super) fn problem(session: Option<&ConsoleSession>, refused: &ConsoleRefused) -> Response {
    let advice = refused.refusal.advice();
    tracing::debug!(
        refusal = advice.name,
        cause = refused.cause,
        "refused at the console"
    );
    let frame = match session {
        Some(session) => Frame::still(session, advice.heading, ""),
        None => Frame::outside(advice.heading),
    };
    let status = StatusCode::from_u16(advice.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let mut response = page(
        status,
        &ProblemPage {
            frame,
            advice,
            cause: cut(&refused.cause, LONGEST_CAUSE),
        },
    );
    if let Some(seconds) = refused.retry_after_seconds {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// 401 with the page that leads to the login, and from there back to `path`.
pub(super) fn login_needed(console: &ConsoleConfig, path: &str) -> Response {
    let to: String = url::form_urlencoded::byte_serialize(own_path(path).as_bytes()).collect();
    page(
        StatusCode::UNAUTHORIZED,
        &LoginPage {
            frame: Frame::outside("Log in"),
            issuer: &console.client.issuer,
            to,
        },
    )
}

/// The answer to a request for another host: nothing of the console is there.
pub(super) fn wrong_host() -> Response {
    const TEXT: &str =
        "This is the console of Tokenward, at another address: open it at console.public_url.\n";
    let content_type = (
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    with_security_headers((StatusCode::MISDIRECTED_REQUEST, [content_type], TEXT).into_response())
}
