//! The authorization server answers only where clients look for it: at its issuer's host and port. On any other host, and
//! without the section in the configuration, its paths do not exist.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::response::Response;
use url::Url;

use crate::app::authorization::AuthorizationServer;
use crate::app::{Current, Service};
use crate::http::not_found;

/// Extracts the authorization server that a request is for. Every handler of its endpoints takes it.
pub(in crate::http) struct Hosted {
    pub(in crate::http) service: Arc<Service>,
    pub(in crate::http) server: Arc<AuthorizationServer>,
}

impl FromRequestParts<Current> for Hosted {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, current: &Current) -> Result<Self, Response> {
        let service = current.service();
        match &service.authorization {
            Some(server) if is_at(&server.config.url, parts) => Ok(Self {
                server: Arc::clone(server),
                service,
            }),
            _ => Err(not_found().await),
        }
    }
}

/// Whether the request is for the host and port of `issuer`.
pub(in crate::http) fn is_at(issuer: &Url, parts: &Parts) -> bool {
    let authority = match (parts.uri.authority(), parts.headers.get(HOST)) {
        // HTTP/2 sends it as `:authority` (RFC 9113 §8.3.1).
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => host.to_str().unwrap_or_default(),
        (None, None) => "",
    };
    Url::parse(&format!("{}://{authority}", issuer.scheme())).is_ok_and(|url| url.origin() == issuer.origin())
}
