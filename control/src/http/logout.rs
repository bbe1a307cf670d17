//! `POST /v1/backchannel-logout`: OpenID Connect Back-Channel Logout 1.0. The logout token itself is the proof, so no
//! credential is required.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use tokenward_protocol::refusal::Refusal;

use super::admission::Admitted;
use super::body::RequestBody;
use super::response;
use crate::app::Service;
use crate::refused::Refused;

/// Largest form with a logout token, in bytes: the token names a user and a session only.
const MAX_LOGOUT_BYTES: usize = 16 * 1024;

pub(super) async fn backchannel_logout(
    State(service): State<Arc<Service>>,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let body = RequestBody {
        headers: &headers,
        body,
        admitted: &admitted,
        metrics: service.metrics(),
    };
    let form = match body.form(MAX_LOGOUT_BYTES).await {
        Ok(form) => form,
        Err(rejection) => return *rejection,
    };
    let token: SecretString = match form.once("logout_token") {
        Ok(Some(token)) => token.into(),
        Ok(None) | Err(_) => {
            let bad = Refused::new(Refusal::BadRequest).because("send one logout_token");
            return response::refusal(&bad);
        }
    };
    let ended = service.run_to_completion(|service| async move {
        // The work continues after a disconnect, and its bytes stay accounted for until it ends.
        let _admitted = admitted;
        service.backchannel_logout(&token).await
    });
    match ended.await {
        Ok(_) => (
            StatusCode::OK,
            [(CACHE_CONTROL, HeaderValue::from_static("no-store"))],
        )
            .into_response(),
        Err(refused) => response::refusal(&refused),
    }
}
