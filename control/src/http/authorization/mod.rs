//! The endpoints of our own authorization server, at the host of its issuer.

mod answer;
mod authorize;
mod browser_answer;
mod callback;
mod consent;
mod cookie;
pub(super) mod cors;
mod form;
pub(super) mod hosted;
mod metadata;
pub(super) mod page;
mod register;
mod revoke;
pub(super) mod source;
mod token;

use axum::response::Response;
use axum::routing::{MethodRouter, get, post};

use self::hosted::Hosted;
use super::method_not_allowed;
use crate::app::Current;
use crate::app::authorization::upstream::CALLBACK_PATH;

/// The routes. A path that is not configured, or is requested of another host, is 404 whatever the method.
pub(super) fn routes() -> Vec<(&'static str, MethodRouter<Current>)> {
    vec![
        (
            "/authorize",
            for_browsers(get(authorize::get).post(authorize::post)),
        ),
        (page::consent::CONSENT_PATH, for_browsers(post(consent::post))),
        (CALLBACK_PATH, for_browsers(get(callback::get))),
        (metadata::PATH, for_clients(get(metadata::metadata))),
        (metadata::KEYS_PATH, for_clients(get(metadata::keys))),
        ("/token", for_clients(post(token::token))),
        ("/register", for_clients(post(register::register))),
        ("/revoke", for_clients(post(revoke::revoke))),
    ]
}

/// An endpoint that clients call, also those in browsers: with CORS.
fn for_clients(methods: MethodRouter<Current>) -> MethodRouter<Current> {
    methods.options(cors::preflight).fallback(wrong_method)
}

async fn wrong_method(_: Hosted) -> Response {
    cors::with_cors(method_not_allowed().await)
}

/// An endpoint that users' browsers visit: without CORS.
fn for_browsers(methods: MethodRouter<Current>) -> MethodRouter<Current> {
    methods.fallback(wrong_method_of_browser)
}

async fn wrong_method_of_browser(_: Hosted) -> Response {
    method_not_allowed().await
}
