//! `/v1/sessions/{id}` and `/v1/sign-out`: the API for the aggregator.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::MAX_SESSION_BYTES;

use super::admission::Admitted;
use super::body::RequestBody;
use super::{caller, response};
use crate::activity::Via;
use crate::app::Service;
use crate::app::sessions::{Registration, RegistrationError};
use crate::refused::Refused;
use crate::session::SessionKey;
use crate::upstream::grant::sign_out::SignOutTime;
use crate::upstream::issuer::access_token::GivenAccessToken;

/// Largest `PUT` of a session, in bytes: three tokens of the largest size that a gateway accepts (60 KiB), and the rest.
const MAX_PUT_BYTES: usize = 220 * 1024;
/// Largest sign-out request, in bytes.
const MAX_SIGN_OUT_BYTES: usize = 16 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutBody {
    issuer: String,
    client_id: String,
    id_token: String,
    refresh_token: Option<String>,
    access_token: Option<String>,
    access_token_expires_in: Option<u64>,
}

/// The members of [`PutBody`], for errors.
const PUT_MEMBERS: [&str; 6] = [
    "issuer",
    "client_id",
    "id_token",
    "refresh_token",
    "access_token",
    "access_token_expires_in",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignOutBody {
    issuer: String,
    subject: String,
}

/// The members of [`SignOutBody`], for errors.
const SIGN_OUT_MEMBERS: [&str; 2] = ["issuer", "subject"];

#[derive(Serialize)]
struct SignedOut {
    sessions: u64,
}

/// Refuses a caller that does not present the aggregator's credential.
pub(super) fn check_aggregator(service: &Service, headers: &HeaderMap) -> Result<(), Refused> {
    caller::check(
        headers,
        caller::AGGREGATOR,
        &service.config.credentials.aggregator,
    )
    .inspect_err(|refused| service.log_rejected_caller(caller::AGGREGATOR, refused))
}

/// Logs a refusal that the store caused: the operator must see it, not only the caller.
fn logged<'a>(service: &Service, refused: &'a Refused) -> &'a Refused {
    if refused.refusal == Refusal::StoreUnavailable {
        service.log_rejected_caller("aggregator", refused);
    }
    refused
}

pub(super) fn session_id(id: String) -> Result<SecretString, Refused> {
    if id.is_empty() || id.len() > MAX_SESSION_BYTES {
        return Err(Refused::new(Refusal::BadRequest)
            .because(format!("a session id has 1 to {MAX_SESSION_BYTES} bytes")));
    }
    Ok(id.into())
}

/// The id in the path. Extracted as a `Result`: axum's own rejection would have another shape than every other
/// response, and would come before the credential is checked.
type PathId = Result<Path<String>, PathRejection>;

fn decoded_id(id: PathId) -> Result<SecretString, Refused> {
    let Ok(Path(id)) = id else {
        return Err(Refused::new(Refusal::BadRequest).because("a session id is UTF-8 once percent-decoded"));
    };
    session_id(id)
}

pub(super) async fn put(
    State(service): State<Arc<Service>>,
    Extension(admitted): Extension<Admitted>,
    id: PathId,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if let Err(refused) = check_aggregator(&service, &headers) {
        return response::refusal(&refused);
    }
    let body = RequestBody {
        headers: &headers,
        body,
        admitted: &admitted,
        metrics: service.metrics(),
    };
    let body: PutBody = match body.json(MAX_PUT_BYTES, &PUT_MEMBERS).await {
        Ok(body) => body,
        Err(rejection) => return *rejection,
    };
    let registration = Registration {
        issuer: body.issuer,
        client_id: body.client_id,
        id_token: body.id_token.into(),
        // Some clients send "" for none.
        refresh_token: body
            .refresh_token
            .filter(|token| !token.is_empty())
            .map(Into::into),
        access_token: (body.access_token)
            .filter(|token| !token.is_empty())
            .map(|token| GivenAccessToken {
                token: token.into(),
                expires_in_seconds: body.access_token_expires_in,
            }),
        via: Via::Aggregator,
    };
    let put = service.run_to_completion(|service| async move {
        let _admitted = admitted;
        register(&service, id, &registration).await
    });
    match put.await {
        Ok(response) => response,
        Err(refused) => {
            service.log_rejected_caller("aggregator", &refused);
            response::refusal(&refused)
        }
    }
}

const CONFLICT: &str =
    "this session is in use for another user's login: end it first (DELETE), or use another session id";

async fn register(service: &Service, id: PathId, registration: &Registration) -> Result<Response, Refused> {
    let id = decoded_id(id)?;
    let status = match service.put_session(&id, registration).await {
        Ok(put) if put.created => StatusCode::CREATED,
        Ok(_) => StatusCode::OK,
        Err(RegistrationError::Refused(refused)) => return Err(refused),
        Err(RegistrationError::Conflict) => return Ok(conflict(service)),
    };
    Ok(response::json(status, &service.session_status(&id).await?))
}

fn conflict(service: &Service) -> Response {
    service.log_rejected_caller("aggregator", &Refused::new(Refusal::BadRequest).because(CONFLICT));
    response::error(
        StatusCode::CONFLICT,
        "invalid_request",
        Refusal::BadRequest,
        CONFLICT,
    )
}

pub(super) async fn get(State(service): State<Arc<Service>>, id: PathId, headers: HeaderMap) -> Response {
    let status = async {
        check_aggregator(&service, &headers)?;
        service.session_status(&decoded_id(id)?).await
    };
    match status.await {
        Ok(status) => response::json(StatusCode::OK, &status),
        Err(refused) if refused.refusal == Refusal::UnknownSession => response::error(
            StatusCode::NOT_FOUND,
            "invalid_request",
            Refusal::UnknownSession,
            "unknown session; PUT it again",
        ),
        Err(refused) => response::refusal(logged(&service, &refused)),
    }
}

pub(super) async fn delete(State(service): State<Arc<Service>>, id: PathId, headers: HeaderMap) -> Response {
    let ended = async {
        check_aggregator(&service, &headers)?;
        let id = decoded_id(id)?;
        let ended = service.run_to_completion(|service| async move {
            let session = SessionKey::of_id(&id);
            service.end_session(&session, Via::Aggregator).await
        });
        ended.await
    };
    match ended.await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refused) => response::refusal(logged(&service, &refused)),
    }
}

pub(super) async fn sign_out(
    State(service): State<Arc<Service>>,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if let Err(refused) = check_aggregator(&service, &headers) {
        return response::refusal(&refused);
    }
    let body = RequestBody {
        headers: &headers,
        body,
        admitted: &admitted,
        metrics: service.metrics(),
    };
    let body: SignOutBody = match body.json(MAX_SIGN_OUT_BYTES, &SIGN_OUT_MEMBERS).await {
        Ok(body) => body,
        Err(rejection) => return *rejection,
    };
    if body.issuer.is_empty() || body.subject.is_empty() {
        let bad = Refused::new(Refusal::BadRequest).because("the members issuer and subject are not empty");
        return response::refusal(&bad);
    }
    let ended = service.run_to_completion(|service| async move {
        let _admitted = admitted;
        let now = SignOutTime::Now;
        let (issuer, subject) = (&body.issuer, &body.subject);
        service.sign_out(issuer, subject, now, Via::Aggregator).await
    });
    match ended.await {
        Ok(sessions) => response::json(StatusCode::OK, &SignedOut { sessions }),
        Err(refused) => response::refusal(logged(&service, &refused)),
    }
}
