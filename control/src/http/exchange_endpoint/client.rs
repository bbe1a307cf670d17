//! Client authentication at the exchange endpoint: the client that the server's exchange is configured with, as the
//! aggregator has it for the remote issuer, or the aggregator's own credential.

use std::sync::Arc;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use secrecy::SecretString;
use tokenward_protocol::form::Form;
use tokenward_protocol::token_endpoint::MAX_FORM_BYTES;

use super::answer;
use crate::app::{Server, Service};
use crate::http::admission::Admitted;
use crate::http::body::{self, RequestBody};
use crate::http::caller::{self, AGGREGATOR, FormCredential};
use crate::serve::Caller;

/// What a caller may present: a client id and its secret.
type Accepted<'a> = (&'a str, &'a SecretString);

/// The accepted credentials for `server`; for a name that is no `exchange` server only the aggregator's.
fn accepted<'a>(
    service: &'a Service,
    server: Option<&'a Arc<Server>>,
) -> impl Iterator<Item = Accepted<'a>> + use<'a> {
    let of_server = server.and_then(|server| {
        let config = &server.remote.as_ref()?.config;
        Some((config.client_id.as_str(), &config.client_secret))
    });
    std::iter::once((AGGREGATOR, &service.config.credentials.aggregator)).chain(of_server)
}

/// Whether the headers of a request for `path` present a credential that the exchange endpoint accepts there.
pub(in crate::http) fn caller_of(service: &Service, path: &str, headers: &HeaderMap) -> Caller {
    let name = path
        .strip_prefix("/exchange/")
        .and_then(|rest| rest.strip_suffix("/token"));
    let Some(name) = name.filter(|_| headers.contains_key(AUTHORIZATION)) else {
        return Caller::Unknown;
    };
    let server = caller::form_decoded(name).and_then(|name| service.servers.get(&name));
    if in_headers(service, server, headers) {
        Caller::Known
    } else {
        Caller::Unknown
    }
}

/// Every accepted credential is compared, so that the time does not tell them apart.
fn in_headers(service: &Service, server: Option<&Arc<Server>>, headers: &HeaderMap) -> bool {
    accepted(service, server).fold(false, |known, (id, secret)| {
        known | caller::check(headers, id, secret).is_ok()
    })
}

/// The same for credentials in the form.
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
