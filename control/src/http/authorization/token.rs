//! `POST /token` (RFC 6749 §3.2): a code or a refresh token for the next tokens of a login.

use axum::Extension;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use secrecy::ExposeSecret;
use serde::Serialize;

use super::answer;
use super::form::ClientForm;
use super::hosted::Hosted;
use super::source::RequestSource;
use crate::app::authorization::{CodeRequest, IssuedTokens, RefreshRequest, TokenRequestOfClient};
use crate::authorization::refusal::{AuthorizationRefusal, AuthorizationRefused};
use crate::authorization::source::Source;
use crate::http::admission::Admitted;

const ENDPOINT: &str = "token";

/// RFC 6749 §5.1.
#[derive(Serialize)]
struct TokenResponse<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    refresh_token: &'a str,
    scope: &'a str,
}

pub(super) async fn token(
    hosted: Hosted,
    RequestSource(source): RequestSource,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let form = match ClientForm::read(&hosted, &admitted, &headers, body).await {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let client_id = form.get("client_id").map(str::to_owned);
    let issued = match parsed(&form, &headers, source) {
        Ok(request) => hosted.issue(request, admitted).await,
        Err(refused) => Err(refused),
    };
    match issued {
        Ok((outcome, tokens)) => {
            hosted.service.report_authorization_done(ENDPOINT, outcome);
            response(&tokens)
        }
        Err(refused) => {
            hosted
                .service
                .report_authorization_refused(ENDPOINT, client_id.as_deref(), &refused);
            answer::refused(&refused)
        }
    }
}

fn response(tokens: &IssuedTokens) -> Response {
    answer::json(
        StatusCode::OK,
        &TokenResponse {
            access_token: tokens.access_token.expose_secret(),
            token_type: "Bearer",
            expires_in: tokens.expires_in_seconds,
            refresh_token: tokens.refresh_token.expose_secret(),
            scope: &tokens.scope,
        },
    )
}

fn parsed(
    form: &ClientForm,
    headers: &HeaderMap,
    source: Source,
) -> Result<TokenRequestOfClient, AuthorizationRefused> {
    form.check()?;
    let client = form.client(headers, source)?;
    let text = |name| form.get(name).map(str::to_owned);
    match form.get("grant_type") {
        Some("authorization_code") => Ok(TokenRequestOfClient::Code(CodeRequest {
            client,
            code: form.required("code")?,
            redirect_uri: text("redirect_uri"),
            code_verifier: form.secret("code_verifier"),
            resource: text("resource"),
        })),
        Some("refresh_token") => Ok(TokenRequestOfClient::Refresh(RefreshRequest {
            client,
            refresh_token: form.required("refresh_token")?,
            scope: text("scope"),
            resource: text("resource"),
        })),
        Some(_) => Err(AuthorizationRefusal::UnsupportedGrantType.into()),
        None => Err(AuthorizationRefused::bad_request("grant_type is missing")),
    }
}

impl Hosted {
    /// Runs `request` to its end even if the client disconnects: it may have used up what the client has.
    async fn issue(
        &self,
        request: TokenRequestOfClient,
        admitted: Admitted,
    ) -> Result<(&'static str, IssuedTokens), AuthorizationRefused> {
        let server = std::sync::Arc::clone(&self.server);
        let issued = self.service.run_to_completion(|service| async move {
            let _admitted = admitted;
            Ok(service.tokens_for(&server, &request).await)
        });
        issued.await?
    }
}
