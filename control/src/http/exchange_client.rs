//! The client of the exchange endpoint: the one that the server's exchange is configured with, as the aggregator has it for
//! the remote issuer, or the aggregator with its own credential.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use secrecy::SecretString;

use super::caller::{self, AGGREGATOR};
use crate::app::{Server, Service};
use crate::config::ClientAuth;
use crate::serve::Caller;

/// What a caller may present: a client id and its secret.
pub(super) type Accepted<'a> = (&'a str, &'a SecretString);

/// The accepted credentials for `server`; for a name that is no `exchange` server only the aggregator's.
pub(super) fn accepted<'a>(
    service: &'a Service,
    server: Option<&'a Arc<Server>>,
) -> impl Iterator<Item = Accepted<'a>> + use<'a> {
    let of_server = server.and_then(|server| {
        let config = &server.remote.as_ref()?.config;
        // A client with a private key has no secret that a caller could present.
        let has_secret = config.client_auth != Some(ClientAuth::PrivateKeyJwt);
        has_secret.then_some((config.client_id.as_str(), &config.client_secret))
    });
    std::iter::once((AGGREGATOR, &service.config.credentials.aggregator)).chain(of_server)
}

/// Whether the headers of a request for `path` present a credential that the exchange endpoint accepts there.
pub(super) fn caller_of(service: &Service, path: &str, headers: &HeaderMap) -> Caller {
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
pub(super) fn in_headers(service: &Service, server: Option<&Arc<Server>>, headers: &HeaderMap) -> bool {
    accepted(service, server).fold(false, |known, (id, secret)| {
        known | caller::check(headers, id, secret).is_ok()
    })
}
