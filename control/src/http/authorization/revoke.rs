//! `POST /revoke` (RFC 7009): a client ends its login.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::answer;
use super::form::ClientForm;
use super::hosted::Hosted;
use super::source::RequestSource;
use crate::app::authorization::Revoked;
use crate::authorization::refusal::AuthorizationRefused;
use crate::authorization::source::Source;
use crate::http::admission::Admitted;

const ENDPOINT: &str = "revoke";

pub(super) async fn revoke(
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
    match revoked(&hosted, &form, &headers, source, admitted).await {
        Ok(revoked) => {
            let outcome = match revoked {
                Revoked::Ended => "revoked",
                Revoked::Unknown => "unknown",
            };
            hosted.service.report_authorization_done(ENDPOINT, outcome);
            answer::json(StatusCode::OK, &json!({}))
        }
        Err(refused) => {
            let client = form.get("client_id");
            hosted
                .service
                .report_authorization_refused(ENDPOINT, client, &refused);
            answer::refused(&refused)
        }
    }
}

async fn revoked(
    hosted: &Hosted,
    form: &ClientForm,
    headers: &HeaderMap,
    source: Source,
    admitted: Admitted,
) -> Result<Revoked, AuthorizationRefused> {
    form.check()?;
    let client = form.client(headers, source)?;
    let token = form.required("token")?;
    let server = Arc::clone(&hosted.server);
    let revoked = hosted.service.run_to_completion(|service| async move {
        let _admitted = admitted;
        Ok(service.revoke(&server, &client, &token).await)
    });
    revoked.await?
}
