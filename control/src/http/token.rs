//! `POST /oauth2/token`: an RFC 8693 security token service.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use secrecy::ExposeSecret;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{TOKEN_TYPE_ID_TOKEN, TokenAnswer, TokenRequest};

use super::intake::{self, FORM};
use super::{answer, caller};
use crate::refused::Refused;
use crate::service::Service;

pub(super) async fn token(State(service): State<Arc<Service>>, headers: HeaderMap, body: Body) -> Response {
    if let Err(refused) = caller::check(&headers, "filter", &service.config.credentials.filter) {
        service.metrics().token_request("unknown", refused.refusal.name());
        service.note_caller("filter", &refused);
        return answer::refused(&refused);
    }
    let form = match intake::body(&headers, body, FORM).await {
        Ok(form) => form,
        Err(rejection) => return *rejection,
    };
    let request = match TokenRequest::from_form(&form) {
        Ok(request) => request,
        Err(bad) => {
            service
                .metrics()
                .token_request("unknown", Refusal::BadRequest.name());
            return answer::refused(&Refused::new(Refusal::BadRequest).because(bad.to_string()));
        }
    };
    match service.token(request).await {
        Ok(served) => {
            let now_seconds = service.context.clock.now_ms() / 1000;
            answer::json(
                StatusCode::OK,
                &TokenAnswer {
                    access_token: served.token.expose_secret().to_owned(),
                    issued_token_type: TOKEN_TYPE_ID_TOKEN.to_owned(),
                    token_type: "Bearer".to_owned(),
                    expires_in: served.exp_seconds.saturating_sub(now_seconds),
                    expires_at: served.exp_seconds,
                },
            )
        }
        Err(refused) => answer::refused(&refused),
    }
}
