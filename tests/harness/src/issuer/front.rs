//! The path of a request through a fake Dex: counted, held, delayed, failed on demand, answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::answers::{self, DexError};
use super::counts::{Presentation, fingerprint};
use super::dex::Dex;
use super::form::Form;
use super::jose::Jws;
use super::{Endpoint, Failure, inspection, login, token_endpoint, wire};
use crate::parts::Cut;

const LONGEST_BODY_BYTES: usize = 1024 * 1024;
/// A grant type (RFC 7523 §2.1) by which other issuers than Dex exchange tokens.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

#[derive(Debug, Clone)]
pub(crate) struct Front {
    pub(crate) dex: Arc<Dex>,
    pub(crate) down: Arc<AtomicBool>,
}

impl Front {
    pub(crate) fn router(self) -> Router {
        Router::new().fallback(answer).with_state(self)
    }
}

/// A request with its body read.
struct Call {
    method: Method,
    path: String,
    query: Form,
    headers: HeaderMap,
    form: Form,
    endpoint: Endpoint,
}

async fn answer(
    State(front): State<Front>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LONGEST_BODY_BYTES)
        .await
        .unwrap_or_else(|_| Bytes::new());
    let form = Form::read(&parts.headers, &body);
    let path = parts
        .uri
        .path()
        .strip_prefix("/dex")
        .unwrap_or_default()
        .to_owned();
    let endpoint = endpoint_of(&path, &form);
    let call = Call {
        method: parts.method,
        path,
        query: Form::of_query(parts.uri.query().unwrap_or_default()),
        headers: parts.headers,
        form,
        endpoint,
    };
    if front.down.load(Ordering::SeqCst) {
        front.dex.count(None, |counts| counts.while_down += 1);
        cut.cut();
        return Response::default();
    }
    count_arrival(&front.dex, &call);
    // Like Dex, a request that has begun is carried through although its client has gone.
    let carried = tokio::spawn(carry(front, cut, call)).await;
    carried.unwrap_or_else(|_| DexError::internal().into_response())
}

async fn carry(front: Front, cut: Cut, call: Call) -> Response {
    let dex = &front.dex;
    dex.faults.pass(call.endpoint).await;
    let latency = dex.faults.latency(call.endpoint);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    match dex.faults.take(call.endpoint) {
        Some(Failure::Answer {
            status,
            body,
            retry_after_seconds,
        }) => scripted(status, body, retry_after_seconds),
        Some(Failure::Hang) => std::future::pending().await,
        Some(Failure::CloseBeforeAnswer) => {
            cut.cut();
            Response::default()
        }
        Some(Failure::CloseAfterCommit) => {
            let response = dispatch(dex, &call, None).await;
            cut.cut();
            response
        }
        Some(Failure::Garbage) => {
            let response = dispatch(dex, &call, None).await;
            if response.status().is_success() {
                response.map(|_| Body::from("<html>502</html>"))
            } else {
                response
            }
        }
        Some(Failure::Disguised(disguise)) => {
            let response = dispatch(dex, &call, None).await;
            disguise.put_on(dex, response).await
        }
        failure => dispatch(dex, &call, failure.as_ref()).await,
    }
}

fn scripted(status: u16, body: String, retry_after_seconds: Option<u64>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = answers::raw_json(status, body.into_bytes());
    if let Some(seconds) = retry_after_seconds {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

async fn dispatch(dex: &Dex, call: &Call, failure: Option<&Failure>) -> Response {
    match call.path.as_str() {
        "/.well-known/openid-configuration" => inspection::discovery(dex),
        "/keys" => inspection::keys(dex),
        "/userinfo" => inspection::user_info(dex, &call.headers),
        "/token/revoke" if dex.has_revocation => answers::json(StatusCode::OK, &serde_json::json!({})),
        "/token/introspect" => {
            inspection::introspect(dex, &call.method, &call.form).unwrap_or_else(DexError::into_response)
        }
        "/token" if call.method != Method::POST => {
            DexError::invalid_request("method not allowed").into_response()
        }
        "/token" => token_endpoint::answer(dex, &call.headers, &call.form, failure)
            .await
            .unwrap_or_else(DexError::into_response),
        path if call.endpoint == Endpoint::Authorization => {
            login::answer(dex, &call.method, path, &call.query, &call.form)
        }
        _ => answers::not_found(),
    }
}

pub(super) fn endpoint_of(path: &str, form: &Form) -> Endpoint {
    match (path, form.get("grant_type")) {
        ("/.well-known/openid-configuration", _) => Endpoint::Discovery,
        ("/keys" | "/jwks" | "/certs", _) => Endpoint::Keys,
        ("/userinfo", _) => Endpoint::UserInfo,
        ("/token/introspect" | "/token/introspection", _) => Endpoint::Introspect,
        ("/token/revoke" | "/revoke", _) => Endpoint::Revoke,
        ("/token", token_endpoint::PASSWORD | token_endpoint::CODE) => Endpoint::Login,
        ("/token", token_endpoint::REFRESH) => Endpoint::Refresh,
        ("/token", token_endpoint::EXCHANGE | JWT_BEARER) => Endpoint::Exchange,
        (path, _) if path == "/auth" || path.starts_with("/auth/") => Endpoint::Authorization,
        _ => Endpoint::Other,
    }
}

fn count_arrival(dex: &Dex, call: &Call) {
    match call.endpoint {
        Endpoint::Discovery => dex.count(None, |counts| counts.discovery_fetches += 1),
        Endpoint::Keys => dex.count(None, |counts| counts.key_fetches += 1),
        Endpoint::UserInfo => dex.count(None, |counts| counts.user_info_requests += 1),
        Endpoint::Introspect => dex.count(None, |counts| counts.introspections += 1),
        Endpoint::Revoke => {
            dex.counter().revoked.push(fingerprint(call.form.get("token")));
            dex.count(None, |counts| counts.revocations += 1);
        }
        Endpoint::Refresh => {
            let token = call.form.get("refresh_token");
            let user = dex.grants().owner(token).map(str::to_owned);
            let presentation = Presentation {
                user: user.clone(),
                fingerprint: fingerprint(token),
            };
            // Before the count: a test that awaits the count may read the presentation at once.
            dex.counter().presentations.push(presentation);
            dex.count(user.as_deref(), |counts| counts.refreshes_presented += 1);
        }
        Endpoint::Exchange => {
            let user = subject_email(dex, call.form.get("subject_token"));
            dex.count(user.as_deref(), |counts| counts.exchanges_presented += 1);
        }
        Endpoint::Authorization if call.path == "/auth" => {
            dex.count(None, |counts| counts.authorizations += 1);
        }
        Endpoint::Authorization | Endpoint::Login | Endpoint::Other => {}
    }
}

/// The user of an exchange request, by the claims of its subject token.
fn subject_email(dex: &Dex, subject_token: &str) -> Option<String> {
    let jws = Jws::read(subject_token)?;
    let (user_id, _) = wire::read_pair(jws.text("sub")?)?;
    jws.text("email")
        .map(str::to_owned)
        .or_else(|| dex.email_of(&user_id))
}
