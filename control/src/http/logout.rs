//! `POST /v1/backchannel-logout`: OpenID Connect Back-Channel Logout 1.0. The logout token itself is the proof, so
//! no credential is asked for.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;

use super::answer;
use super::intake::{self, FORM};
use crate::service::Service;

pub(super) async fn backchannel_logout(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let form = match intake::body(&headers, body, FORM).await {
        Ok(form) => form,
        Err(rejection) => return *rejection,
    };
    let mut tokens = form_urlencoded::parse(&form).filter(|(name, _)| name == "logout_token");
    let token: SecretString = match (tokens.next(), tokens.next()) {
        (Some((_, token)), None) if !token.is_empty() => token.into_owned().into(),
        _ => String::new().into(),
    };
    let ended = service.to_its_end(|service| async move { service.backchannel_logout(&token).await });
    match ended.await {
        Ok(_) => (
            StatusCode::OK,
            [(CACHE_CONTROL, HeaderValue::from_static("no-store"))],
        )
            .into_response(),
        Err(refused) => answer::refused(&refused),
    }
}
