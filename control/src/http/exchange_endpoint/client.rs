//! Client authentication at the exchange endpoint, in the header or in the form.

use std::sync::Arc;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use tokenward_protocol::form::Form;
use tokenward_protocol::token_endpoint::MAX_FORM_BYTES;

use super::answer;
use crate::app::{Server, Service};
use crate::http::admission::Admitted;
use crate::http::body::{self, RequestBody};
use crate::http::caller::{self, FormCredential};
use crate::http::exchange_client::{accepted, in_headers};

/// The best of the accepted credentials in `form`.
fn in_form(service: &Service, server: Option<&Arc<Server>>, form: &Form) -> FormCredential {
    accepted(service, server)
        .map(|(id, secret)| caller::in_form(form, id, secret))
        .fold(FormCredential::Invalid, |best, next| match (best, next) {
            (FormCredential::Valid, _) | (_, FormCredential::Valid) => FormCredential::Valid,
            (FormCredential::Invalid, next) => next,
            (best, _) => best,
        })
}

/// The request's form, once its client is authenticated.
pub(super) async fn authenticated_form(
    service: &Service,
    server: Option<&Arc<Server>>,
    admitted: &Admitted,
    headers: &HeaderMap,
    body: Body,
) -> Result<Form, Box<Response>> {
    let rejected = || Box::new(answer::rejected_client(service));
    let in_header = headers.contains_key(AUTHORIZATION);
    if (in_header || !body::is_form(headers)) && !in_headers(service, server, headers) {
        return Err(rejected());
    }
    let body = RequestBody {
        headers,
        body,
        admitted,
        metrics: service.metrics(),
    };
    let form = body.form(MAX_FORM_BYTES).await?;
    // In two places at once Dex reads the header alone; a secret that is sent twice says nothing more.
    match (in_form(service, server, &form), in_header) {
        (FormCredential::Ambiguous, _) => Err(Box::new(answer::ambiguous_client(service))),
        (_, true) => Ok(form),
        (FormCredential::Valid, false) => {
            admitted.authenticated();
            Ok(form)
        }
        (FormCredential::Absent | FormCredential::Invalid, false) => Err(rejected()),
    }
}
