//! The authorization endpoint: a request of a client becomes a login page, an error page or a redirect with an error.

use axum::response::Response;
use http::StatusCode;

use super::super::token_endpoint::scope_problem;
use super::{AuthorizationRequest, Dex, Form, LOCAL, page, redirect, wire, with_parameters};

/// `/auth`: there is one connector with a login page, so the browser is sent there at once.
pub(super) fn choose_connector(dex: &Dex, query: &Form) -> Response {
    let connector = query.get("connector_id");
    if !connector.is_empty() && !is_connector(dex, connector) {
        return page::error("Bad Request", "Connector ID does not match a valid Connector")
            .into_response(StatusCode::BAD_REQUEST);
    }
    let location = format!("/dex/auth/{LOCAL}?{}", query.encoded());
    redirect(StatusCode::FOUND, &location)
}

/// `/auth/local`: checks the request and stores it for the login page.
pub(super) fn begin(dex: &Dex, query: &Form) -> Response {
    let Some(client) = dex.client(query.get("client_id")) else {
        return page::error("Not Found", "Invalid client_id.").into_response(StatusCode::NOT_FOUND);
    };
    let redirect_uri = query.get("redirect_uri");
    if !client
        .redirect_uris
        .iter()
        .any(|registered| registered == redirect_uri)
    {
        return page::error("Bad Request", "Unregistered redirect_uri.")
            .into_response(StatusCode::BAD_REQUEST);
    }
    let request = AuthorizationRequest {
        client_id: client.id.clone(),
        redirect_uri: redirect_uri.to_owned(),
        scopes: query.scopes(),
        state: query.get("state").to_owned(),
        nonce: query.get("nonce").to_owned(),
        challenge: query.get("code_challenge").to_owned(),
        challenge_method: query.get("code_challenge_method").to_owned(),
    };
    if let Some((error, description)) = problem(dex, query, &request) {
        let parameters = [
            ("error", error),
            ("error_description", &description),
            ("state", &request.state),
        ];
        return redirect(StatusCode::SEE_OTHER, &with_parameters(redirect_uri, &parameters));
    }
    let id = wire::new_id();
    let location = format!("/dex/auth/{LOCAL}/login?back=&state={id}");
    dex.logins().requests.insert(id, request);
    redirect(StatusCode::FOUND, &location)
}

fn is_connector(dex: &Dex, id: &str) -> bool {
    id == LOCAL || dex.connector(id).is_some()
}

/// `error` and `error_description` of a request that goes back to its client, in the order of Dex's checks.
fn problem(dex: &Dex, query: &Form, request: &AuthorizationRequest) -> Option<(&'static str, String)> {
    let connector = query.get("connector_id");
    if !connector.is_empty() && !is_connector(dex, connector) {
        return Some(("invalid_request", "Invalid ConnectorID".to_owned()));
    }
    if query.has("request") {
        let description = "Server does not support request parameter.";
        return Some(("request_not_supported", description.to_owned()));
    }
    if !request.challenge.is_empty() && !["", "plain", "S256"].contains(&request.challenge_method.as_str()) {
        let method = &request.challenge_method;
        let description = format!("Unsupported PKCE challenge method ({method:?}).");
        return Some(("invalid_request", description));
    }
    if let Some(description) = scope_problem(dex, &request.client_id, &request.scopes) {
        return Some(("invalid_scope", description));
    }
    match query.get("response_type") {
        "code" => None,
        "" => Some(("invalid_request", "No response_type provided".to_owned())),
        other => Some((
            "unsupported_response_type",
            format!("Unsupported response type {other:?}"),
        )),
    }
}
