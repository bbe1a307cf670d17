//! `POST /exchange/{server}/token`: the token endpoint of a server's remote issuer, as an aggregator sees it that exchanges
//! by itself (`tokenExchange.dexTokenEndpoint`). It answers in Dex's words, and nothing but exchanges.

mod answer;
mod client;
mod request;

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;

use self::request::ExchangeForm;
use super::admission::Admitted;
use crate::app::Service;

/// The path, in axum's notation. A `/` in the server's name is percent-encoded.
pub(super) const PATH: &str = "/exchange/{server}/token";

pub(super) async fn exchange(
    State(service): State<Arc<Service>>,
    Extension(admitted): Extension<Admitted>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    let server = service
        .servers
        .get(&name)
        .filter(|server| server.remote.is_some());
    let authenticated = client::authenticated_form(&service, server, &admitted, &headers, body).await;
    let form = match authenticated {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let Some((server, remote)) = server.and_then(|server| Some((server, server.remote.as_ref()?))) else {
        return answer::unknown_server(&service);
    };
    let subject_token = match ExchangeForm::read(&form, &remote.config) {
        Ok(form) => form.subject_token,
        Err(bad) => return answer::bad_request(&service, &server.config.name, &bad),
    };
    match service.exchange_for_client(server, subject_token).await {
        Ok(served) => answer::token(&served, service.context.clock.now_ms()),
        Err(refused) => answer::refused(&refused),
    }
}
