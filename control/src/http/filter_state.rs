//! `GET /filter/state`: what the filter learns from control ([`tokenward_protocol::filter_state`]).

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tokenward_protocol::form::Form;
use tokenward_protocol::refusal::Refusal;

use super::caller::{self, FILTER};
use super::response;
use crate::app::Service;
use crate::refused::Refused;

pub(super) async fn state(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let answered = async {
        caller::check(&headers, FILTER, &service.config.credentials.filter)?;
        let (after, servers) = versions(query.as_deref().unwrap_or_default())?;
        service.filter_state(after, servers).await
    };
    match answered.await {
        Ok(bytes) => (
            StatusCode::OK,
            [
                (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
                (CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ],
            bytes,
        )
            .into_response(),
        Err(refused) => {
            service.log_rejected_caller(FILTER, &refused);
            response::refusal(&refused)
        }
    }
}

/// `after` and `servers`: what the filter has; 0 where one is left out.
fn versions(query: &str) -> Result<(u64, u64), Refused> {
    let bad = |cause: &str| Refused::new(Refusal::BadRequest).because(cause);
    let query = Form::read(query.as_bytes()).map_err(|_| bad("the query is percent-encoded UTF-8"))?;
    let version = |name| match query.once_or_empty(name) {
        Ok(None) => Ok(0),
        Ok(Some(text)) => text
            .parse()
            .map_err(|_| bad("after and servers are whole numbers")),
        Err(_) => Err(bad("after and servers come at most once")),
    };
    Ok((version("after")?, version("servers")?))
}
