//! `POST /register`: dynamic client registration (RFC 7591).

use axum::Extension;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;

use super::answer;
use super::hosted::Hosted;
use super::source::RequestSource;
use crate::app::authorization::register::Registered;
use crate::http::admission::Admitted;
use crate::http::body::RequestBody;

/// The longest body of a registration, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// The endpoint's name in metrics and logs.
const ENDPOINT: &str = "register";

/// RFC 7591 §3.2.1. There is no secret: every registered client is public.
#[derive(Serialize)]
struct Information<'a> {
    client_id: &'a str,
    client_id_issued_at: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    client_name: &'a str,
    redirect_uris: &'a [String],
    grant_types: [&'static str; 2],
    response_types: [&'static str; 1],
    token_endpoint_auth_method: &'static str,
}

pub(super) async fn register(
    hosted: Hosted,
    RequestSource(source): RequestSource,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Hosted { service, server } = hosted;
    if let Err(refused) = server.admit_registration(source) {
        service.report_authorization_refused(ENDPOINT, None, &refused);
        return answer::refused(&refused);
    }
    let body = RequestBody {
        headers: &headers,
        body,
        admitted: &admitted,
        metrics: service.metrics(),
    };
    let bytes = match body.json_bytes(MAX_BYTES).await {
        Ok(bytes) => bytes,
        Err(rejection) => return super::cors::with_cors(*rejection),
    };
    match server.register(&bytes) {
        Ok(registered) => {
            service.report_authorization_done(ENDPOINT, "registered");
            answer::json(StatusCode::CREATED, &information(&registered))
        }
        Err(refused) => {
            service.report_authorization_refused(ENDPOINT, None, &refused);
            answer::refused(&refused)
        }
    }
}

fn information(registered: &Registered) -> Information<'_> {
    Information {
        client_id: &registered.client_id,
        client_id_issued_at: registered.issued_at_seconds,
        client_name: &registered.registration.name,
        redirect_uris: &registered.registration.redirect_uris,
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
        token_endpoint_auth_method: "none",
    }
}
