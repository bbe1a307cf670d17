//! Client authentication at the token endpoint (RFC 6749 §2.3). The one client is the filter, or a caller that holds
//! the filter's credential.

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use tokenward_protocol::form::Form;
use tokenward_protocol::token_endpoint::MAX_FORM_BYTES;

use super::{ErrorResponse, invalid};
use crate::app::Service;
use crate::http::admission::Admitted;
use crate::http::body::{self, RequestBody};
use crate::http::caller::{self, FILTER, FormCredential};
use crate::http::response;
use crate::refused::Refused;

/// RFC 6749 §2.3: no more than one method.
const AUTHENTICATE_ONCE: &str =
    "authenticate once: in one Authorization header, or with client_id and client_secret";

/// The request's form, once its client is authenticated. Without a credential in the header the body is read only where
/// it is announced as a form, which may hold the credential (RFC 6749 §2.3.1, `client_secret_post`).
pub(super) async fn authenticated_form(
    service: &Service,
    admitted: &Admitted,
    headers: &HeaderMap,
    body: Body,
) -> Result<Form, ErrorResponse> {
    let credential = &service.config.credentials.filter;
    let in_header = headers.contains_key(AUTHORIZATION);
    if headers.get_all(AUTHORIZATION).iter().count() > 1 {
        return Err(invalid(service, "invalid_request", AUTHENTICATE_ONCE));
    }
    if (in_header || !body::is_form(headers)) && !admitted.is_filter {
        return Err(rejected(service, &caller::rejected(FILTER)));
    }
    let body = RequestBody {
        headers,
        body,
        admitted,
        metrics: service.metrics(),
    };
    let form = body.form(MAX_FORM_BYTES).await?;
    match (caller::in_form(&form, FILTER, credential), in_header) {
        (FormCredential::Absent, true) => {}
        (FormCredential::Valid, false) => admitted.authenticated(),
        (FormCredential::Absent | FormCredential::Invalid, false) => {
            return Err(rejected(service, &caller::rejected(FILTER)));
        }
        (FormCredential::Ambiguous, _) | (FormCredential::Valid | FormCredential::Invalid, true) => {
            return Err(invalid(service, "invalid_request", AUTHENTICATE_ONCE));
        }
    }
    Ok(form)
}

fn rejected(service: &Service, refused: &Refused) -> ErrorResponse {
    service.metrics().token_request("unknown", refused.refusal.name());
    service.log_rejected_caller(FILTER, refused);
    Box::new(response::refusal(refused))
}
