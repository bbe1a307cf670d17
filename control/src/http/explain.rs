//! `GET /v1/explain?server=NAME`. The session's handle comes in a header, because proxies log URLs.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use secrecy::SecretString;
use tokenward_protocol::form::Form;
use tokenward_protocol::refusal::Refusal;

use super::{response, sessions};
use crate::app::Service;
use crate::refused::Refused;

/// Request header with the session's handle.
pub const SESSION_HEADER: &str = "x-tokenward-session";

pub(super) async fn explain(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let explained = async {
        sessions::check_aggregator(&service, &headers)?;
        let server = server(query.as_deref().unwrap_or_default())?;
        let session = session(&headers)?;
        service.explain(&session, &server).await
    };
    match explained.await {
        Ok(explanation) => response::json(StatusCode::OK, &explanation),
        Err(refused) if refused.refusal == Refusal::UnknownServer => response::error(
            StatusCode::NOT_FOUND,
            "invalid_target",
            Refusal::UnknownServer,
            &refused.description(),
        ),
        Err(refused) => response::refusal(&refused),
    }
}

fn bad(cause: &str) -> Refused {
    Refused::new(Refusal::BadRequest).because(cause)
}

fn server(query: &str) -> Result<String, Refused> {
    let query = Form::read(query.as_bytes())
        .map_err(|_| bad("the query is percent-encoded UTF-8 without control characters"))?;
    if !matches!(query.once_or_empty("session"), Ok(None)) {
        return Err(bad(
            "a session handle does not belong in a URL, which proxies log: send it in the header \
             x-tokenward-session",
        ));
    }
    match query.once_or_empty("server") {
        Ok(Some(server)) if !server.is_empty() => Ok(server.to_owned()),
        Ok(None) => Err(bad("name the server: /v1/explain?server=NAME")),
        Ok(Some(_)) | Err(_) => Err(bad("server comes once and is not empty")),
    }
}

fn session(headers: &HeaderMap) -> Result<SecretString, Refused> {
    let mut values = headers.get_all(SESSION_HEADER).iter();
    match (values.next().map(|value| value.to_str()), values.next()) {
        (Some(Ok(id)), None) => sessions::session_id(id.to_owned()),
        _ => Err(bad("send the session's handle in one header x-tokenward-session")),
    }
}
