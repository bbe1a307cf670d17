//! Error pages: what happened, where the fault is, and what the user can do.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::Response;

use super::text::{cut, shown};
use super::{StyleNonce, html};
use crate::app::authorization::callback::WaitingClient;
use crate::authorization::refusal::{AuthorizationRefusal, AuthorizationRefused};

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    nonce: &'a str,
    issuer: &'a str,
    heading: String,
    cause: String,
    fault: &'static str,
    remedy: &'static str,
    client: Option<ShownClient<'a>>,
    code: &'static str,
    reference: &'a str,
}

struct ShownClient<'a> {
    name: String,
    location: &'a str,
}

/// The longest cause that is shown, in characters.
const LONGEST_CAUSE: usize = 250;

/// The page about `refused`. The log line of it has `reference`.
pub(in crate::http::authorization) fn page(
    issuer: &str,
    refused: &AuthorizationRefused,
    client: Option<&WaitingClient>,
    reference: &str,
) -> Response {
    let nonce = StyleNonce::new();
    let (fault, remedy) = advice(refused.refusal);
    let page = ProblemPage {
        nonce: &nonce.0,
        issuer,
        heading: sentence(refused.refusal.description()),
        cause: cut(&refused.cause, LONGEST_CAUSE),
        fault,
        remedy,
        client: client.map(|client| ShownClient {
            name: shown(&client.name),
            location: &client.location,
        }),
        code: refused.refusal.name(),
        reference,
    };
    let status = match StatusCode::from_u16(refused.refusal.status()) {
        // A page has no challenge that a browser could answer.
        Ok(StatusCode::UNAUTHORIZED) => StatusCode::BAD_REQUEST,
        Ok(status) => status,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut response = html(status, &page, &nonce);
    if let Some(seconds) = refused.retry_after_header() {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// A description of the refusal table with a capital letter.
fn sentence(description: &str) -> String {
    let mut letters = description.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

const PROGRAM: &str =
    "The program that sent you here made a request that is not accepted. Nothing was sent back to it.";
const BROWSER: &str = "In this browser, or in the link that you followed.";
const ISSUER: &str = "At the login service of your organisation, which answered this.";
const OPERATION: &str = "In the operation of this service, not in your program or your browser.";

const REPORT: &str = "Report it to the maker of the program, with the reference below.";
const START_AGAIN: &str = "Go back to your program and start the login again, in this browser. If someone sent you a link to \
                           this page, close it.";
const TRY_AGAIN: &str = "Wait a moment, then start the login again in your program.";
const TELL_OPERATOR: &str = "Tell your administrator, with the reference below. Starting again does not help until it is \
                             repaired.";

/// Where the fault is, and what to do.
fn advice(refusal: AuthorizationRefusal) -> (&'static str, &'static str) {
    use AuthorizationRefusal as Why;
    match refusal {
        Why::UnknownClient => (
            "The program is not known here, or its registration is too old.",
            "Let the program register again: remove the server from it and add it again. If that does not help, tell your \
             administrator.",
        ),
        Why::TooMany => ("Too many logins were started from your network.", TRY_AGAIN),
        Why::OtherBrowser | Why::UnknownLogin | Why::MixUp => (BROWSER, START_AGAIN),
        Why::ConsentOfAnother => (
            BROWSER,
            "Start the login again in your program: you will be asked yourself this time.",
        ),
        Why::Denied => (
            "You denied the request.",
            "Start the login again if you want to allow it.",
        ),
        Why::UpstreamDenied => (
            ISSUER,
            "If you cancelled the login, start it again. If not, ask your administrator whether you may use this service.",
        ),
        Why::UpstreamCodeRejected => (ISSUER, START_AGAIN),
        Why::UpstreamInvalid => (ISSUER, TELL_OPERATOR),
        Why::NoRefreshToken => (
            "At the login service of your organisation, or in its settings: it must give this service a refresh token.",
            "Tell your administrator: the client of this service at the issuer needs the scope offline_access and the grant \
             type refresh_token.",
        ),
        Why::OutcomeUnknown | Why::IssuerUnavailable => (
            "At the login service of your organisation, or on the way to it.",
            TRY_AGAIN,
        ),
        Why::StoreUnavailable | Why::Busy => (OPERATION, TRY_AGAIN),
        Why::Misconfigured => (OPERATION, TELL_OPERATOR),
        _ => (PROGRAM, REPORT),
    }
}
