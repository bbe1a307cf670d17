//! `GET /authorize/callback`: the redirect URI that is registered at the upstream issuer.

use axum::extract::RawQuery;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tokenward_protocol::form::Form;

use super::browser_answer::{self, Answering};
use super::cookie::{CookieName, Cookies};
use super::hosted::Hosted;
use crate::app::authorization::callback::ReturnCookies;
use crate::authorization::refusal::AuthorizationRefused;
use crate::authorization::upstream_leg::LoginState;
use crate::authorization::upstream_response::UpstreamResponse;

/// The endpoint, for metrics and logs.
const ENDPOINT: &str = "callback";

/// `GET /authorize/callback`.
pub(super) async fn get(hosted: Hosted, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let answering = Answering::new(&hosted, ENDPOINT);
    let response = match read(&query.unwrap_or_default()) {
        Ok(response) => response,
        Err(refused) => return answering.problem(&refused, None),
    };
    let cookies = Cookies::of(&hosted.server.config.issuer);
    let state = LoginState::of(&response.state);
    let sent = ReturnCookies {
        login: cookies.read(&headers, CookieName::Login(&state)),
        remembered: cookies.read(&headers, CookieName::Remembered),
    };
    let finished = hosted.service.finish_login(&hosted.server, response, sent);
    let (is_over, mut response) = match Box::pin(finished).await {
        Ok(finished) => {
            answering.done("logged_in");
            let mut response = browser_answer::redirect(StatusCode::SEE_OTHER, &finished.location);
            if let Some(browser) = &finished.remembered {
                let lifetime = hosted.server.config.remembered_consent.lifetime;
                let cookie = cookies.set(CookieName::Remembered, browser, lifetime);
                response.headers_mut().append(SET_COOKIE, cookie);
            }
            (true, response)
        }
        Err(failed) => {
            let client = failed.client.as_ref();
            (client.is_some(), answering.problem(&failed.refused, client))
        }
    };
    // Until the login was taken, the page can be loaded again, after an outage of the store for example.
    if is_over {
        let removed = cookies.remove(CookieName::Login(&state));
        response.headers_mut().append(SET_COOKIE, removed);
    }
    response
}

fn read(query: &str) -> Result<UpstreamResponse, AuthorizationRefused> {
    let form =
        Form::read(query.as_bytes()).map_err(|bad| AuthorizationRefused::bad_request(bad.to_string()))?;
    UpstreamResponse::read(&form)
}
