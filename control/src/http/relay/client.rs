//! Which configured client has made a token request, by a secret that control itself compares (RFC 6749 §2.3.1).

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use tokenward_protocol::form::Form;

use crate::app::relay::RelayEndpoint;
use crate::http::caller::{self, FormCredential};
use crate::upstream::issuer::HomeIssuer;

/// The client whose id and secret the `Authorization` header holds (`client_secret_basic`), form-encoded or verbatim.
pub(crate) fn in_header(endpoint: &RelayEndpoint, headers: &HeaderMap) -> Option<Arc<HomeIssuer>> {
    let matches = |home: &&Arc<HomeIssuer>| {
        caller::is_basic(headers, &home.config.client_id, &home.config.client_secret)
    };
    endpoint.clients.iter().find(matches).cloned()
}

/// The client that is authenticated exactly once: by the header, of which `in_header` is the result, or by the form
/// (`client_secret_post`). An assertion, a second method and another `client_id` leave the request to the issuer.
pub(super) fn checked(
    endpoint: &RelayEndpoint,
    headers: &HeaderMap,
    in_header: Option<&Arc<HomeIssuer>>,
    form: &Form,
) -> Option<Arc<HomeIssuer>> {
    let in_form =
        |home: &Arc<HomeIssuer>| caller::in_form(form, &home.config.client_id, &home.config.client_secret);
    if headers.contains_key(AUTHORIZATION) {
        return in_header
            .filter(|home| in_form(home) == FormCredential::Absent)
            .cloned();
    }
    let mut clients = endpoint.clients.iter();
    clients
        .find(|home| in_form(home) == FormCredential::Valid)
        .cloned()
}
