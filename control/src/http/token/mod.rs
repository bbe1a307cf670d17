//! `POST /oauth2/token`: an RFC 8693 security token service.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use secrecy::ExposeSecret;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{
    LONGEST_FORM_BYTES, TOKEN_TYPE_ID_TOKEN, TokenAnswer, TokenRequest,
};

use super::admission::Admitted;
use super::body::{self, Intake};
use super::caller::{FILTER, InForm};
use super::{caller, response};
use crate::app::Service;
use crate::config::ServerConfig;
use crate::refused::Refused;

/// RFC 6749 §2.3: no more than one method.
const AUTHENTICATE_ONCE: &str =
    "authenticate once: in one Authorization header, or with client_id and client_secret";

/// The answer to a request that is not served.
type NotServed = Box<Response>;

pub(super) async fn token(
    State(service): State<Arc<Service>>,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let request = match request(&service, &admitted, &headers, body).await {
        Ok(request) => request,
        Err(answer) => return *answer,
    };
    match service.token(request).await {
        Ok(served) => {
            let now_seconds = service.context.clock.now_ms() / 1000;
            response::json(
                StatusCode::OK,
                &TokenAnswer {
                    access_token: served.token.expose_secret().to_owned(),
                    issued_token_type: TOKEN_TYPE_ID_TOKEN.to_owned(),
                    token_type: "Bearer".to_owned(),
                    expires_in: served.exp_seconds.saturating_sub(now_seconds),
                    expires_at: served.exp_seconds,
                },
            )
        }
        Err(refused) => response::refused(&refused),
    }
}

/// The question, of a caller that has shown the filter's credential. Where the header does not show it, nothing is read
/// unless the form can (RFC 6749 §2.3.1, `client_secret_post`).
async fn request(
    service: &Service,
    admitted: &Admitted,
    headers: &HeaderMap,
    body: Body,
) -> Result<TokenRequest, NotServed> {
    let credential = &service.config.credentials.filter;
    let in_header = headers.contains_key(AUTHORIZATION);
    if headers.get_all(AUTHORIZATION).iter().count() > 1 {
        return Err(bad(service, "invalid_request", AUTHENTICATE_ONCE));
    }
    if in_header || !body::is_form(headers) {
        caller::check(headers, FILTER, credential).map_err(|refused| rejected(service, &refused))?;
    }
    let intake = Intake {
        headers,
        body,
        admitted,
        metrics: service.metrics(),
    };
    let form = intake.form(LONGEST_FORM_BYTES).await?;
    match (caller::in_form(&form, FILTER, credential), in_header) {
        (InForm::Nothing, true) => {}
        (InForm::Shown, false) => admitted.is_known(),
        (InForm::Nothing | InForm::Wrong, false) => {
            return Err(rejected(service, &caller::rejected(FILTER)));
        }
        (InForm::Ambiguous, _) | (InForm::Shown | InForm::Wrong, true) => {
            return Err(bad(service, "invalid_request", AUTHENTICATE_ONCE));
        }
    }
    TokenRequest::read(&form, |resource| server_of(service, resource))
        .map_err(|why| bad(service, why.error(), &why.to_string()))
}

/// The server that has `resource` (RFC 8707), byte for byte.
fn server_of(service: &Service, resource: &str) -> Option<String> {
    let has = |server: &&ServerConfig| {
        let named = server.resource.as_ref();
        named.is_some_and(|named| named.identifier == resource)
    };
    service
        .config
        .servers
        .iter()
        .find(has)
        .map(|server| server.name.clone())
}

fn rejected(service: &Service, refused: &Refused) -> NotServed {
    service.metrics().token_request("unknown", refused.refusal.name());
    service.note_caller(FILTER, refused);
    Box::new(response::refused(refused))
}

fn bad(service: &Service, error: &str, what: &str) -> NotServed {
    service
        .metrics()
        .token_request("unknown", Refusal::BadRequest.name());
    let refused = Refused::new(Refusal::BadRequest).because(what);
    Box::new(response::failure(
        StatusCode::BAD_REQUEST,
        error,
        Refusal::BadRequest,
        &refused.description(),
    ))
}
