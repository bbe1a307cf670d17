//! Answers of the exchange endpoint: statuses and codes as Dex sends them, with a description that states the cause.

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use secrecy::ExposeSecret;
use serde::Serialize;
use tokenward_protocol::refusal::{Refusal, RefusalClass};

use super::request::BadExchange;
use crate::app::Service;
use crate::http::response;
use crate::refused::Refused;
use crate::upstream::grant::Served;

/// RFC 8693 §2.2.1, members as Dex has them.
#[derive(Serialize)]
struct Exchanged<'a> {
    access_token: &'a str,
    issued_token_type: &'static str,
    token_type: &'static str,
    expires_in: u64,
}

/// 200 with the exchanged token.
pub(super) fn token(served: &Served, now_ms: u64) -> Response {
    response::json(
        StatusCode::OK,
        &Exchanged {
            access_token: served.token.expose_secret(),
            issued_token_type: served.kind.uri(),
            token_type: "bearer",
            expires_in: served.exp_seconds.saturating_sub(now_ms / 1000),
        },
    )
}

/// Dex's answer to a subject that it does not accept is `access_denied`, whatever the reason; the rest is control's own.
pub(super) fn refused(refused: &Refused) -> Response {
    let (status, error) = match (refused.refusal, refused.refusal.class()) {
        (_, RefusalClass::LoginNeeded) | (Refusal::AlgorithmUnsupported, _) => {
            (StatusCode::UNAUTHORIZED, "access_denied")
        }
        (Refusal::TokenTooLarge | Refusal::BadRequest, _) => (StatusCode::BAD_REQUEST, "invalid_request"),
        (_, RefusalClass::Transient) => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
        (_, RefusalClass::Misconfigured) => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
    };
    let mut response = response::error(status, error, refused.refusal, &refused.description());
    if let Some(seconds) = refused.retry_after_header() {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// 400 for a form that Dex would not answer either.
pub(super) fn bad_request(service: &Service, server: &str, bad: &BadExchange) -> Response {
    count(service, server);
    response::error(
        StatusCode::BAD_REQUEST,
        bad.error(),
        Refusal::BadRequest,
        &bad.to_string(),
    )
}

/// 400: client credentials that occur twice.
pub(super) fn ambiguous_client(service: &Service) -> Response {
    count(service, "unknown");
    response::error(
        StatusCode::BAD_REQUEST,
        "invalid_request",
        Refusal::BadRequest,
        "authenticate once: in one Authorization header, or with one client_id and client_secret",
    )
}

/// 404 for a caller with the aggregator's credential: any other is not authenticated at a server without an exchange.
pub(super) fn unknown_server(service: &Service) -> Response {
    service
        .metrics()
        .token_request("unknown", Refusal::UnknownServer.name());
    let servers = service.config.servers.iter();
    let names: Vec<&str> = servers
        .filter(|server| server.token.is_exchange())
        .map(|server| server.name.as_str())
        .collect();
    let refused = Refused::new(Refusal::UnknownServer).because(format!(
        "servers with tokenExchange are {}",
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    ));
    response::error(
        StatusCode::NOT_FOUND,
        "invalid_target",
        Refusal::UnknownServer,
        &refused.description(),
    )
}

/// 401 `invalid_client`, in Dex's words.
pub(super) fn rejected_client(service: &Service) -> Response {
    let refused = Refused::new(Refusal::CallerRejected).because(
        "at the exchange endpoint present the clientCredentials of the server's tokenExchange, or the aggregator's \
         credential",
    );
    service
        .metrics()
        .token_request("unknown", Refusal::CallerRejected.name());
    service.log_rejected_caller("exchange", &refused);
    let mut response = response::error(
        StatusCode::UNAUTHORIZED,
        "invalid_client",
        Refusal::CallerRejected,
        "Invalid client credentials.",
    );
    let challenge = HeaderValue::from_static("Basic realm=\"tokenward\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

fn count(service: &Service, server: &str) {
    service
        .metrics()
        .token_request(server, Refusal::BadRequest.name());
}
