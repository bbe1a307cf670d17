//! What every request of the console passes: the right host (a rebound DNS name is another one), a login that is still
//! valid, and for forms the console's own origin and the login's token.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{HeaderMap, ORIGIN};
use axum::http::request::Parts;
use axum::response::Response;
use tokenward_protocol::form::Form;

use super::{answer, cookie};
use crate::app::console::Console;
use crate::app::console::refusal::{ConsoleRefusal, ConsoleRefused};
use crate::app::{Current, Service};
use crate::console::session::ConsoleSession;
use crate::http::admission::Admitted;
use crate::http::authorization::hosted::is_at;
use crate::http::body::RequestBody;

/// The largest form, in bytes.
const MAX_FORM_BYTES: usize = 8 * 1024;
/// The form field with the login's token.
pub(super) const CSRF: &str = "csrf";

/// A request at the console's host.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) service: Arc<Service>,
    pub(super) console: Arc<Console>,
}

/// A request of an operator who is logged in.
pub(super) struct Visitor {
    pub(super) site: Site,
    pub(super) session: ConsoleSession,
}

/// A form of the console's own pages.
pub(super) struct OwnForm {
    pub(super) visitor: Visitor,
    pub(super) form: Form,
}

impl FromRequestParts<Current> for Site {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, current: &Current) -> Result<Self, Response> {
        let service = current.service();
        match &service.console {
            Some(console) if is_at(&console.config.public_url, parts) => Ok(Self {
                console: Arc::clone(console),
                service,
            }),
            _ => Err(answer::wrong_host()),
        }
    }
}

impl Site {
    /// The login of the browser's cookie; `None`: there is none, it is too old, or its operator has signed out. While the
    /// store does not answer, a sign-out of the last hour cannot be known: pages are shown, and no form is accepted.
    async fn session(&self, headers: &HeaderMap) -> Option<(ConsoleSession, bool)> {
        let config = &self.console.config;
        let context = &self.service.context;
        let sealed = cookie::read(headers, &cookie::session_name(config))?;
        let now_ms = context.clock.now_ms();
        let session = ConsoleSession::open(&context.ring, sealed, config.session_lifetime, now_ms)?;
        match self.service.is_console_session_ended(&session).await {
            Ok(true) => None,
            Ok(false) => Some((session, true)),
            Err(_) => Some((session, false)),
        }
    }
}

/// Whether a page of another site caused the request, as far as the browser states.
fn is_from_other_site(headers: &HeaderMap) -> bool {
    let site = headers
        .get("sec-fetch-site")
        .map(axum::http::HeaderValue::as_bytes);
    matches!(site, Some(b"cross-site" | b"same-site"))
}

impl FromRequestParts<Current> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, current: &Current) -> Result<Self, Response> {
        Ok(visit(parts, current).await?.0)
    }
}

/// The visitor, and whether the login is known not to have ended.
async fn visit(parts: &mut Parts, current: &Current) -> Result<(Visitor, bool), Response> {
    let site = Site::from_request_parts(parts, current).await?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let Some((session, is_certain)) = site.session(&parts.headers).await else {
        return Err(answer::login_needed(&site.console.config, path));
    };
    if let Some(admitted) = parts.extensions.get::<Admitted>() {
        admitted.authenticated();
    }
    Ok((Visitor { site, session }, is_certain))
}

impl FromRequest<Current> for OwnForm {
    type Rejection = Response;

    async fn from_request(request: Request, current: &Current) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let (visitor, is_certain) = visit(&mut parts, current).await?;
        let refuse = |refused: &ConsoleRefused| answer::problem(Some(&visitor.session), refused);
        let origin = parts.headers.get(ORIGIN).map(axum::http::HeaderValue::as_bytes);
        let is_own = origin == Some(visitor.site.console.config.origin().as_bytes());
        if !is_own || is_from_other_site(&parts.headers) {
            return Err(refuse(&ConsoleRefused::new(
                ConsoleRefusal::ForeignForm,
                "the form did not come from this console",
            )));
        }
        if !is_certain {
            return Err(refuse(&ConsoleRefusal::StoreUnavailable.into()));
        }
        let form = read(&parts, body, &visitor).await?;
        let csrf = form.once(CSRF).ok().flatten().unwrap_or_default();
        if form.has_repeated() || !visitor.session.is_csrf(csrf) {
            return Err(refuse(&ConsoleRefusal::ForeignForm.into()));
        }
        Ok(Self { visitor, form })
    }
}

async fn read(parts: &Parts, body: Body, visitor: &Visitor) -> Result<Form, Response> {
    let Some(admitted) = parts.extensions.get::<Admitted>() else {
        let refused = ConsoleRefusal::Busy.into();
        return Err(answer::problem(Some(&visitor.session), &refused));
    };
    let body = RequestBody {
        headers: &parts.headers,
        body,
        admitted,
        metrics: visitor.site.service.metrics(),
    };
    body.form(MAX_FORM_BYTES).await.map_err(|response| *response)
}

impl OwnForm {
    /// A field that is not empty.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.form.once(name).ok().flatten()
    }
}

/// One parameter of a query; `None` if it is not there, empty, repeated or unreadable.
pub(super) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let form = Form::read(query?.as_bytes()).ok()?;
    form.once(name).ok().flatten().map(str::to_owned)
}
