//! `GET /v1/explain?server=NAME`. The session's handle, the user's issuer and subject, or the pair's digest come in headers,
//! because proxies log URLs. With a pair, the server may be left out.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tokenward_protocol::form::Form;
use tokenward_protocol::refusal::Refusal;

use super::{response, sessions};
use crate::app::Service;
use crate::app::explain::ExplainedCaller;
use crate::refused::Refused;

/// Request header with the session's handle.
pub const SESSION_HEADER: &str = "x-tokenward-session";
/// Request header with the user's `sub`, in place of a session.
pub(crate) const SUBJECT_HEADER: &str = "x-tokenward-subject";
/// Request header with the user's `iss`; needed where several issuers are configured.
pub(crate) const ISSUER_HEADER: &str = "x-tokenward-issuer";
/// Request header with a pair's digest, as log lines have it, in place of a session.
pub(crate) const PAIR_HEADER: &str = "x-tokenward-pair";

pub(super) async fn explain(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let explained = async {
        sessions::check_aggregator(&service, &headers)?;
        let server = server(query.as_deref().unwrap_or_default())?;
        let caller = caller(&headers)?;
        service.explain(&caller, server.as_deref()).await
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

/// The server in the query, if it names one.
fn server(query: &str) -> Result<Option<String>, Refused> {
    let query = Form::read(query.as_bytes())
        .map_err(|_| bad("the query is percent-encoded UTF-8 without control characters"))?;
    if !matches!(query.once_or_empty("session"), Ok(None)) {
        return Err(bad(
            "a session handle does not belong in a URL, which proxies log: send it in the header \
             x-tokenward-session",
        ));
    }
    match query.once_or_empty("server") {
        Ok(Some(server)) if !server.is_empty() => Ok(Some(server.to_owned())),
        Ok(None) => Ok(None),
        Ok(Some(_)) | Err(_) => Err(bad("server comes once and is not empty")),
    }
}

/// The one caller that the headers name.
fn caller(headers: &HeaderMap) -> Result<ExplainedCaller, Refused> {
    let session = once(headers, SESSION_HEADER)?;
    let (subject, issuer) = (once(headers, SUBJECT_HEADER)?, once(headers, ISSUER_HEADER)?);
    let pair = once(headers, PAIR_HEADER)?;
    match (session, subject, issuer) {
        (None, None, None) if pair.is_some() => Ok(ExplainedCaller::Pair(pair.unwrap_or_default())),
        _ if pair.is_some() => Err(bad(
            "x-tokenward-pair names session and user by itself: send no other",
        )),
        (Some(id), None, None) => sessions::session_id(id).map(ExplainedCaller::Session),
        (None, Some(subject), issuer) if !subject.is_empty() => Ok(ExplainedCaller::User { issuer, subject }),
        _ => Err(bad(
            "send the session's handle in the header x-tokenward-session, the user's sub in x-tokenward-subject (and iss \
             in x-tokenward-issuer), or a pair's digest in x-tokenward-pair, each once",
        )),
    }
}

fn once(headers: &HeaderMap, name: &str) -> Result<Option<String>, Refused> {
    let mut values = headers.get_all(name).iter().map(|value| value.to_str());
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(Ok(value)), None) => Ok(Some(value.to_owned())),
        _ => Err(bad(&format!("send the header {name} once, in ASCII"))),
    }
}
