//! Requests that the gateway routes to control from an issuer's public token endpoint.
//!
//! What a configured client asks for with its own secret is answered here or learned from; everything else is passed to the
//! issuer as it is, and its answer back. Nothing of a request is logged.

mod answers;
pub(super) mod client;
mod passing;
pub(super) mod target;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderName, Method};
use axum::response::Response;
use secrecy::SecretString;
use tokenward_protocol::form::Form;

use self::target::RelayedTo;
use super::admission::{Admitted, over_budget};
use super::body::{self, Beginning, content_length, read_beginning};
use crate::app::relay::{LoginAnswer, RelayedLogin};
use crate::upstream::issuer::HomeIssuer;
use crate::upstream::relay::{RelayRefusal, RequestDigest};

/// Longest body that is read; a longer one is passed as it arrives. Token requests are shorter.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Proof of possession (RFC 9449): the answer is bound to the client's key, so only the client can use it.
const DPOP: HeaderName = HeaderName::from_static("dpop");

/// A request whose body is known: the head for the issuer, the body, and what it is accounted to.
struct Whole {
    head: axum::http::Request<()>,
    body: Bytes,
    admitted: Admitted,
}

/// Answers a relayed request.
pub(super) async fn answer(to: RelayedTo, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Some(admitted) = head.extensions.get::<Admitted>().cloned() else {
        // Every admitted request has it.
        return over_budget();
    };
    if to.endpoint.is_loop(&head.headers) {
        to.service.log_relay_loop(&to.endpoint);
        to.count("loop");
        return answers::came_back();
    }
    let Some(outgoing) = to.endpoint.outgoing(&head) else {
        return answers::bad_query();
    };
    let length = content_length(&head.headers);
    if !may_be_checked(&head) || length.is_some_and(|length| length > MAX_BODY_BYTES) {
        let body = passing::Streamed::new([Bytes::new(), Bytes::new()], body, admitted);
        return to.pass_stream(outgoing, body).await;
    }
    let body = match read_beginning(body, length, MAX_BODY_BYTES, &admitted).await {
        Ok(Beginning::Whole(body)) => Bytes::from(body),
        Ok(Beginning::Longer { read, rest }) => {
            let body = passing::Streamed::new(read, rest, admitted);
            return to.pass_stream(outgoing, body).await;
        }
        Err(why) => return body::unread(why, MAX_BODY_BYTES, to.service.metrics()),
    };
    let request = Whole {
        head: outgoing,
        body,
        admitted,
    };
    to.dispatch(&head, request).await
}

/// Whether the head is that of a token request which a configured client can make in the forms that control checks.
fn may_be_checked(head: &Parts) -> bool {
    head.method == Method::POST
        && head.uri.query().is_none()
        && body::is_form(&head.headers)
        && !head.headers.contains_key(DPOP)
        && head.headers.get_all(AUTHORIZATION).iter().count() <= 1
}

/// What a checked client asks for.
enum Asked {
    /// A refresh with this token.
    Refresh(SecretString),
    /// A login with an `authorization_code`, which the issuer accepts once.
    Code,
    /// Another kind of login.
    Login,
    /// Anything else.
    Other,
}

impl Asked {
    fn of(form: &Form) -> Self {
        let one = |name| form.once(name).ok().flatten();
        match one("grant_type") {
            Some("refresh_token") => {
                one("refresh_token").map_or(Self::Other, |token| Self::Refresh(token.into()))
            }
            Some("authorization_code") => Self::Code,
            Some("password" | "urn:ietf:params:oauth:grant-type:device_code") => Self::Login,
            _ => Self::Other,
        }
    }
}

impl RelayedTo {
    /// Counts a request that was passed to the issuer, or would have been.
    fn count(&self, outcome: &'static str) {
        let metrics = &self.service.metrics().relay;
        metrics.passed(&self.endpoint.issuer, outcome);
    }

    async fn dispatch(&self, head: &Parts, request: Whole) -> Response {
        let form = Form::read(&request.body).ok().filter(|form| !form.has_repeated());
        let checked = form.and_then(|form| {
            let in_header = self.client.as_ref();
            let home = client::checked(&self.endpoint, &head.headers, in_header, &form)?;
            Some((home, form))
        });
        let Some((home, form)) = checked else {
            return self.pass_whole(request).await;
        };
        request.admitted.authenticated();
        match Asked::of(&form) {
            Asked::Refresh(token) => self.refresh(&home, &token).await,
            Asked::Code => {
                let digest = RequestDigest::of(&home.config.issuer, &home.config.client_id, form.pairs());
                self.login(home, request, Some(digest)).await
            }
            Asked::Login => self.login(home, request, None).await,
            Asked::Other => self.pass_whole(request).await,
        }
    }

    async fn refresh(&self, home: &Arc<HomeIssuer>, token: &SecretString) -> Response {
        match self.service.relay.refresh(home, token).await {
            Ok(tokens) => answers::tokens(tokens.to_json()),
            Err(RelayRefusal::Issuer { status, body }) => answers::of_issuer(status, body),
            Err(RelayRefusal::Refused(refused)) => super::response::refusal(&refused),
        }
    }

    async fn login(&self, home: Arc<HomeIssuer>, request: Whole, digest: Option<RequestDigest>) -> Response {
        let login = RelayedLogin {
            endpoint: Arc::clone(&self.endpoint),
            home,
            head: request.head,
            form: request.body,
            digest,
            account: Arc::new(request.admitted),
        };
        match self.service.relay_login(login).await {
            LoginAnswer::Passed(answer) => {
                self.count("login");
                answers::passed(&answer)
            }
            LoginAnswer::Repeated(tokens) => answers::tokens(tokens),
            LoginAnswer::Failed(failed) => {
                self.count("unavailable");
                answers::no_answer(&failed)
            }
        }
    }

    async fn pass_whole(&self, request: Whole) -> Response {
        let Whole { head, body, admitted } = request;
        let request = head.map(|()| Body::from(body));
        let service = Arc::clone(&self.service);
        let endpoint = Arc::clone(&self.endpoint);
        // The issuer may use up a code that the request holds: a client that disconnects ends nothing.
        let passed = self.service.run_to_completion(|_| async move {
            let _admitted = admitted;
            Ok(passing::pass(&service, &endpoint, request, service.config.issuer_timeout).await)
        });
        match passed.await {
            Ok(Ok(response)) => {
                self.count("answered");
                response
            }
            Ok(Err(failed)) => {
                self.count("unavailable");
                answers::no_answer(&failed)
            }
            Err(refused) => super::response::refusal(&refused),
        }
    }

    async fn pass_stream(&self, head: axum::http::Request<()>, body: passing::Streamed) -> Response {
        let fault = body.fault();
        let config = &self.service.config;
        // The client may take `intake.deadline` for the body.
        let patience = config.issuer_timeout + config.intake.deadline;
        let request = head.map(|()| Body::new(body));
        match passing::pass(&self.service, &self.endpoint, request, patience).await {
            Ok(response) => {
                self.count("answered");
                response
            }
            Err(failed) => {
                self.count("unavailable");
                match fault.get() {
                    Some(why) => body::unread(why, MAX_BODY_BYTES, self.service.metrics()),
                    None => answers::no_answer(&failed),
                }
            }
        }
    }
}
