//! `/v1/sessions/{id}` and `/v1/sign-out`: the aggregator's side.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::LONGEST_SESSION_BYTES;

use super::{answer, caller, intake};
use crate::refused::Refused;
use crate::service::Service;
use crate::service::register::Registration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutBody {
    issuer: String,
    client_id: String,
    id_token: String,
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignOutBody {
    issuer: String,
    subject: String,
}

#[derive(Serialize)]
struct SignedOut {
    sessions: u64,
}

/// The caller is the aggregator.
pub(super) fn aggregator(service: &Service, headers: &HeaderMap) -> Result<(), Refused> {
    caller::check(headers, "aggregator", &service.config.credentials.aggregator)
        .inspect_err(|refused| service.note_caller("aggregator", refused))
}

/// What the store keeps from being done is said in the log too, not only to the caller.
fn noted<'a>(service: &Service, refused: &'a Refused) -> &'a Refused {
    if refused.refusal == Refusal::StoreUnavailable {
        service.note_caller("aggregator", refused);
    }
    refused
}

pub(super) fn session_id(id: String) -> Result<SecretString, Refused> {
    if id.is_empty() || id.len() > LONGEST_SESSION_BYTES {
        return Err(Refused::new(Refusal::BadRequest)
            .because(format!("a session id has 1 to {LONGEST_SESSION_BYTES} bytes")));
    }
    Ok(id.into())
}

/// The id in the path, where it is text. A rejection of axum's own would have another shape than all our answers, and come
/// before the credential was looked at.
type NamedId = Result<Path<String>, PathRejection>;

fn named(id: NamedId) -> Result<SecretString, Refused> {
    let Ok(Path(id)) = id else {
        return Err(Refused::new(Refusal::BadRequest).because("a session id is UTF-8 once percent-decoded"));
    };
    session_id(id)
}

pub(super) async fn put(
    State(service): State<Arc<Service>>,
    id: NamedId,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if let Err(refused) = aggregator(&service, &headers) {
        return answer::refused(&refused);
    }
    let body: PutBody = match intake::json(&headers, body).await {
        Ok(body) => body,
        Err(rejection) => return *rejection,
    };
    let registration = Registration {
        issuer: body.issuer,
        client_id: body.client_id,
        id_token: body.id_token.into(),
        // Some clients write "" for none.
        refresh_token: body
            .refresh_token
            .filter(|token| !token.is_empty())
            .map(Into::into),
    };
    let put = service.to_its_end(|service| async move { kept(&service, id, &registration).await });
    match put.await {
        Ok(response) => response,
        Err(refused) => {
            service.note_caller("aggregator", &refused);
            answer::refused(&refused)
        }
    }
}

async fn kept(service: &Service, id: NamedId, registration: &Registration) -> Result<Response, Refused> {
    let id = named(id)?;
    let put = service.put_session(&id, registration).await?;
    let status = if put.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(answer::json(status, &service.session_status(&id).await?))
}

pub(super) async fn get(State(service): State<Arc<Service>>, id: NamedId, headers: HeaderMap) -> Response {
    let looked = async {
        aggregator(&service, &headers)?;
        service.session_status(&named(id)?).await
    };
    match looked.await {
        Ok(status) => answer::json(StatusCode::OK, &status),
        Err(refused) if refused.refusal == Refusal::UnknownSession => answer::failure(
            StatusCode::NOT_FOUND,
            "invalid_request",
            Refusal::UnknownSession,
            "no such session is known; put it again",
        ),
        Err(refused) => answer::refused(noted(&service, &refused)),
    }
}

pub(super) async fn delete(State(service): State<Arc<Service>>, id: NamedId, headers: HeaderMap) -> Response {
    let ended = async {
        aggregator(&service, &headers)?;
        let id = named(id)?;
        let ended = service.to_its_end(|service| async move { service.end_session(&id).await });
        ended.await
    };
    match ended.await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refused) => answer::refused(noted(&service, &refused)),
    }
}

pub(super) async fn sign_out(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if let Err(refused) = aggregator(&service, &headers) {
        return answer::refused(&refused);
    }
    let body: SignOutBody = match intake::json(&headers, body).await {
        Ok(body) => body,
        Err(rejection) => return *rejection,
    };
    let ended =
        service.to_its_end(|service| async move { service.sign_out(&body.issuer, &body.subject).await });
    match ended.await {
        Ok(sessions) => answer::json(StatusCode::OK, &SignedOut { sessions }),
        Err(refused) => answer::refused(noted(&service, &refused)),
    }
}
