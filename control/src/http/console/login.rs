//! Login at the issuer, the way back, and sign-out of the console.

use axum::extract::RawQuery;
use axum::http::HeaderMap;
use axum::http::header::SET_COOKIE;
use axum::response::Response;
use tokenward_protocol::form::Form;

use super::guard::{OwnForm, Site, parameter};
use super::{FIRST, answer, cookie};
use crate::app::console::refusal::{ConsoleRefusal, ConsoleRefused};
use crate::authorization::upstream_response::UpstreamResponse;
use crate::console::attempt::{LIFETIME, LoginAttempt};
use crate::http::authorization::source::source;
use crate::serve::PeerAddress;

/// `GET /console/login?to=PATH`: to the issuer.
pub(super) async fn begin(
    site: Site,
    RawQuery(query): RawQuery,
    peer: Option<axum::Extension<PeerAddress>>,
    headers: HeaderMap,
) -> Response {
    let config = &site.console.config;
    let to = parameter(query.as_deref(), "to").unwrap_or_default();
    let peer = peer.map_or(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), |peer| {
        peer.0.0
    });
    let source = source(&headers, peer, config.trusted_proxies);
    let begun = site.service.begin_console_login(&site.console, source, &to).await;
    let begun =
        begun.and_then(|(attempt, url)| Ok((attempt.seal(&site.service.context.ring)?, attempt, url)));
    let (sealed, attempt, url) = match begun {
        Ok(begun) => begun,
        Err(refused) => return answer::problem(None, &refused),
    };
    let mut response = answer::redirect(url.as_str());
    let name = cookie::attempt_name(config, attempt.state());
    let set = cookie::set(config, &name, &sealed, LIFETIME);
    response.headers_mut().append(SET_COOKIE, set);
    response
}

/// `GET /console/callback`: the redirect URI that is registered at the issuer.
pub(super) async fn callback(site: Site, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let config = &site.console.config;
    let read = Form::read(query.unwrap_or_default().as_bytes())
        .map_err(|bad| bad.to_string())
        .and_then(|form| UpstreamResponse::read(&form).map_err(|refused| refused.cause));
    let upstream = match read {
        Ok(upstream) => upstream,
        Err(cause) => {
            return answer::problem(None, &ConsoleRefused::new(ConsoleRefusal::BadRequest, cause));
        }
    };
    let name = cookie::attempt_name(config, &upstream.state);
    let context = &site.service.context;
    let attempt = cookie::read(&headers, &name)
        .and_then(|sealed| LoginAttempt::open(&context.ring, sealed, context.clock.now_ms()));
    let Some(attempt) = attempt else {
        return answer::problem(None, &ConsoleRefusal::UnknownLogin.into());
    };
    let finished = site
        .service
        .finish_console_login(&site.console, &attempt, &upstream)
        .await;
    let finished = finished.and_then(|session| Ok((session.seal(&context.ring)?, session)));
    let mut response = match finished {
        Ok((sealed, session)) => {
            tracing::info!(operator = session.subject, "logged in at the console");
            let mut response = answer::redirect(&attempt.to);
            let set = cookie::set(
                config,
                &cookie::session_name(config),
                &sealed,
                config.session_lifetime,
            );
            response.headers_mut().append(SET_COOKIE, set);
            response
        }
        Err(refused) => {
            let name = refused.refusal.advice().name;
            tracing::warn!(
                refusal = name,
                cause = refused.cause,
                "a login at the console was refused"
            );
            answer::problem(None, &refused)
        }
    };
    response
        .headers_mut()
        .append(SET_COOKIE, cookie::remove(config, &name));
    response
}

/// `POST /console/logout`: ends this login on all replicas. Other pages of it lead to the login then.
pub(super) async fn logout(own: OwnForm) -> Response {
    let (site, session) = (&own.visitor.site, &own.visitor.session);
    let config = &site.console.config;
    let ended = site
        .service
        .end_console_session(session, config.session_lifetime)
        .await;
    if let Err(error) = ended {
        return answer::problem(Some(session), &error.into());
    }
    tracing::info!(operator = session.subject, "signed out of the console");
    let mut response = answer::redirect(FIRST);
    let removed = cookie::remove(config, &cookie::session_name(config));
    response.headers_mut().append(SET_COOKIE, removed);
    response
}
