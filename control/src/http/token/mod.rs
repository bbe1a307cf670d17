//! `POST /oauth2/token`: authenticates the client, then dispatches by `grant_type` to one handler each. A further grant
//! type is one more file and one more arm.

mod client;
mod token_exchange;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request, StatusCode};
use axum::response::Response;
use tokenward_protocol::form::Form;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{BadTokenRequest, GRANT_TYPE_TOKEN_EXCHANGE, TOKEN_PATH};
use tracing::Instrument as _;

use super::admission::Admitted;
use super::response;
use crate::app::Service;
use crate::observe::trace;
use crate::refused::Refused;

/// An error response in place of a token.
type ErrorResponse = Box<Response>;

/// The route of [`answer`].
pub(super) async fn token(State(service): State<Arc<Service>>, request: Request<Body>) -> Response {
    answer(&service, request).await
}

/// Whether [`answer`] is for `request`.
pub(super) fn is_requested(request: &Request<Body>) -> bool {
    request.method() == Method::POST && request.uri().path() == TOKEN_PATH
}

/// Answers an admitted request.
pub(super) async fn answer(service: &Service, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let Some(admitted) = parts.extensions.get::<Admitted>() else {
        return response::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            Refusal::Busy,
            "the request was not admitted",
        );
    };
    let form = match client::authenticated_form(service, admitted, headers, body).await {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let issued = match grant_type(&form) {
        Ok(GRANT_TYPE_TOKEN_EXCHANGE) => {
            let span = trace::token_request(headers);
            token_exchange::issue(service, &form).instrument(span).await
        }
        Ok(_) => Err(bad_request(service, &BadTokenRequest::GrantType)),
        Err(bad) => Err(bad_request(service, &bad)),
    };
    issued.unwrap_or_else(|response| *response)
}

/// The one `grant_type` of a request (RFC 6749 §3.2: a parameter is sent at most once).
fn grant_type(form: &Form) -> Result<&str, BadTokenRequest> {
    const NAME: &str = "grant_type";
    let value = form.once(NAME).map_err(|_| BadTokenRequest::Duplicate(NAME))?;
    value.ok_or(BadTokenRequest::Missing(NAME))
}

fn bad_request(service: &Service, bad: &BadTokenRequest) -> ErrorResponse {
    invalid(service, bad.error(), &bad.to_string())
}

/// 400 with the OAuth error code `error` (RFC 6749 §5.2).
fn invalid(service: &Service, error: &str, cause: &str) -> ErrorResponse {
    service
        .metrics()
        .token_request("unknown", Refusal::BadRequest.name());
    let refused = Refused::new(Refusal::BadRequest).because(cause);
    Box::new(response::error(
        StatusCode::BAD_REQUEST,
        error,
        Refusal::BadRequest,
        &refused.description(),
    ))
}
