//! `grant_type=urn:ietf:params:oauth:grant-type:token-exchange`: an RFC 8693 security token service.

use axum::http::StatusCode;
use axum::response::Response;
use secrecy::ExposeSecret;
use serde::Serialize;
use tokenward_protocol::form::Form;
use tokenward_protocol::token_endpoint::TokenRequest;

use super::{ErrorResponse, bad_request};
use crate::app::Service;
use crate::config::ServerConfig;
use crate::http::response;

/// Bytes of an answer beside its token.
const ANSWER_BYTES: usize = 192;

/// [`TokenAnswer`](tokenward_protocol::token_endpoint::TokenAnswer), written without a copy of the token.
#[derive(Serialize)]
struct Answer<'a> {
    access_token: &'a str,
    issued_token_type: &'static str,
    token_type: &'static str,
    expires_in: u64,
    expires_at: u64,
}

/// Issues a token for the server and subject of `form`.
pub(super) async fn issue(service: &Service, form: &Form) -> Result<Response, ErrorResponse> {
    let request = TokenRequest::read(form, |resource| server_of(service, resource))
        .map_err(|bad| bad_request(service, &bad))?;
    let served = service
        .token(request)
        .await
        .map_err(|refused| Box::new(response::refusal(&refused)))?;
    let now_seconds = service.context.clock.now_ms() / 1000;
    let token = served.token.expose_secret();
    Ok(response::json_of_about(
        token.len() + ANSWER_BYTES,
        StatusCode::OK,
        &Answer {
            access_token: token,
            issued_token_type: served.kind.uri(),
            token_type: "Bearer",
            expires_in: served.usable_until_seconds.saturating_sub(now_seconds),
            expires_at: served.usable_until_seconds,
        },
    ))
}

/// The server with this `resource` (RFC 8707), compared byte for byte.
fn server_of(service: &Service, resource: &str) -> Option<String> {
    let matches = |server: &&ServerConfig| {
        let configured = server.resource.as_ref();
        configured.is_some_and(|configured| configured.identifier == resource)
    };
    let server = service.config.servers.iter().find(matches)?;
    Some(server.name.clone())
}
