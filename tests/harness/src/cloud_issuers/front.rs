//! The path of a request: counted, held, failed on demand, answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use http::{HeaderMap, Method};
use serde_json::Value;

use super::answer::Answer;
use super::client::Asked;
use super::engine::Engine;
use super::{authorization, token_endpoint};
use crate::issuer::form::Form;
use crate::issuer::jose::Jws;
use crate::issuer::{Endpoint, Failure, Presentation, fingerprint};
use crate::parts::Cut;

const LONGEST_BODY_BYTES: usize = 1024 * 1024;
const DISCOVERY: &str = "/.well-known/openid-configuration";

#[derive(Debug, Clone)]
pub(super) struct Front {
    pub(super) engine: Arc<Engine>,
    pub(super) down: Arc<AtomicBool>,
}

struct Call {
    method: Method,
    /// The whole address.
    url: String,
    headers: HeaderMap,
    form: Form,
    query: Form,
    endpoint: Endpoint,
}

impl Front {
    pub(super) fn router(self) -> Router {
        Router::new().fallback(answer).with_state(self)
    }
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
    let endpoint = endpoint_of(&front.engine, parts.uri.path(), &form);
    let call = Call {
        method: parts.method,
        url: format!("{}{}", front.engine.base, parts.uri.path()),
        headers: parts.headers,
        query: Form::of_query(parts.uri.query().unwrap_or_default()),
        form,
        endpoint,
    };
    if front.down.load(Ordering::SeqCst) {
        front.engine.count(None, |counts| counts.while_down += 1);
        cut.cut();
        return Response::default();
    }
    count_arrival(&front.engine, &call);
    // A request that has begun is carried through although its client has gone.
    let carried = tokio::spawn(carry(front, cut, call)).await;
    carried.unwrap_or_else(|_| Answer::new(500, Value::Null).into_response())
}

async fn carry(front: Front, cut: Cut, call: Call) -> Response {
    let engine = &front.engine;
    engine.faults.pass(call.endpoint).await;
    match engine.faults.take(call.endpoint) {
        Some(Failure::Answer {
            status,
            body,
            retry_after_seconds,
        }) => {
            let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
            let answer = Answer {
                retry_after_seconds,
                ..Answer::new(status, body)
            };
            answer.into_response()
        }
        Some(Failure::Hang) => std::future::pending().await,
        Some(Failure::CloseBeforeAnswer) => {
            cut.cut();
            Response::default()
        }
        Some(Failure::CloseAfterCommit) => {
            let response = dispatch(engine, &call).into_response();
            cut.cut();
            response
        }
        _ => dispatch(engine, &call).into_response(),
    }
}

fn dispatch(engine: &Engine, call: &Call) -> Answer {
    let asked = Asked {
        headers: &call.headers,
        form: &call.form,
        url: &call.url,
    };
    match call.endpoint {
        Endpoint::Discovery => Answer::ok(engine.product.discovery(&engine.base)),
        Endpoint::Keys => Answer::ok(engine.jwks()),
        Endpoint::Refresh | Endpoint::Exchange | Endpoint::Login if call.method == Method::POST => {
            token_endpoint::answer(engine, asked)
        }
        Endpoint::Authorization => authorization::authorize(engine, &call.query),
        Endpoint::Introspect => engine.product.introspect(engine, asked),
        Endpoint::Revoke => engine.product.revoke(engine, asked),
        _ => Answer::not_found(),
    }
}

fn endpoint_of(engine: &Engine, path: &str, form: &Form) -> Endpoint {
    let issuer_path = engine.issuer.strip_prefix(&engine.base).unwrap_or_default();
    if path.strip_suffix(DISCOVERY) == Some(issuer_path.trim_end_matches('/')) {
        return Endpoint::Discovery;
    }
    if path == engine.product.keys_path() {
        return Endpoint::Keys;
    }
    if path == engine.product.authorization_path() {
        return Endpoint::Authorization;
    }
    if path != engine.product.token_path() {
        return engine.product.endpoint(path);
    }
    match form.get("grant_type") {
        token_endpoint::REFRESH => Endpoint::Refresh,
        token_endpoint::CODE => Endpoint::Login,
        _ => Endpoint::Exchange,
    }
}

fn count_arrival(engine: &Engine, call: &Call) {
    match call.endpoint {
        Endpoint::Discovery => engine.count(None, |counts| counts.discovery_fetches += 1),
        Endpoint::Authorization => engine.count(None, |counts| counts.authorizations += 1),
        Endpoint::Keys => engine.count(None, |counts| counts.key_fetches += 1),
        Endpoint::Introspect => engine.count(None, |counts| counts.introspections += 1),
        Endpoint::Revoke => {
            let revoked = fingerprint(call.form.get("token"));
            engine.counter().revoked.push(revoked);
            engine.count(None, |counts| counts.revocations += 1);
        }
        Endpoint::Refresh => {
            let token = call.form.get("refresh_token");
            let user = engine.logins().of_token(token).map(|login| login.user.clone());
            let presentation = Presentation {
                user: user.clone(),
                fingerprint: fingerprint(token),
            };
            // Before the count: a test that awaits the count may read the presentation at once.
            engine.counter().presentations.push(presentation);
            engine.count(user.as_deref(), |counts| counts.refreshes_presented += 1);
        }
        Endpoint::Exchange => {
            let subject = ["subject_token", "assertion"].map(|name| call.form.get(name));
            let user = subject.iter().find_map(|token| {
                let jws = Jws::read(token)?;
                jws.text("email").map(str::to_owned)
            });
            engine.count(user.as_deref(), |counts| counts.exchanges_presented += 1);
        }
        _ => {}
    }
}
