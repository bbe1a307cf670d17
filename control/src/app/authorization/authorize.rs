//! `/authorize`: judges a client's request and asks its user.

use super::AuthorizationServer;
use super::callback::WaitingClient;
use super::upstream::ToUpstream;
use crate::app::Service;
use crate::authorization::browser::BrowserSecret;
use crate::authorization::client::redirect_uri::RedirectUri;
use crate::authorization::client::{Client, ClientKind};
use crate::authorization::consent::{self, FetchSite};
use crate::authorization::refusal::{AuthorizationRefusal, AuthorizationRefused};
use crate::authorization::request::check::check;
use crate::authorization::request::parameters::Parameters;
use crate::authorization::request::reply::ReplyTo;
use crate::authorization::request::{CheckedRequest, sealed_form};
use crate::authorization::source::{Allowance, Source};
use crate::config::MetadataDocumentHosts;
use crate::upstream::issuer::login::requested_scope;
use tokenward_protocol::form::Form;

/// What [`BrowserSecret::digest`] of the consent page's cookie is for.
pub(super) const CONSENT_PURPOSE: &str = "consent";

/// What is known of a browser that opens `/authorize`.
#[derive(Debug)]
pub(crate) struct Visit {
    /// Where the request comes from.
    pub(crate) source: Source,
    /// Which site sent the browser here.
    pub(crate) site: FetchSite,
    /// The cookie of consent pages.
    pub(crate) consent: Option<BrowserSecret>,
    /// The cookie of remembered consents.
    pub(crate) remembered: Option<BrowserSecret>,
}

/// What a browser gets at `/authorize`.
#[derive(Debug)]
pub(crate) enum AuthorizeAnswer {
    /// The user is asked.
    Consent(Box<ConsentAsked>),
    /// The user agreed before: on to the issuer.
    Upstream(Box<ToUpstream>),
    /// The client is told that its request is refused.
    Refused(RefusedReply),
    /// The user sees it: any program can have registered that redirect URI.
    Shown(ShownRefusal),
}

/// A refusal that is shown to the user, who decides whether to go back to the client.
#[derive(Debug)]
pub(crate) struct ShownRefusal {
    /// Why.
    pub(crate) refused: AuthorizationRefused,
    /// The client.
    pub(crate) client: WaitingClient,
}

/// A refusal that is sent to the client.
#[derive(Debug)]
pub(crate) struct RefusedReply {
    /// Where the browser goes.
    pub(crate) location: String,
    /// Why.
    pub(crate) refused: AuthorizationRefused,
    /// `client_id`.
    pub(crate) client: String,
}

/// What the consent page shows.
#[derive(Debug)]
pub(crate) struct ConsentAsked {
    /// The request.
    pub(crate) request: CheckedRequest,
    /// The same for the page's form.
    pub(crate) sealed: String,
    /// The value of the page's cookie.
    pub(crate) browser: BrowserSecret,
    /// The issuer where the user logs in.
    pub(crate) upstream_issuer: String,
    /// The scopes of the login there.
    pub(crate) upstream_scope: String,
    /// Whether the user may have the consent remembered, and for how many days.
    pub(crate) remember_days: Option<u64>,
}

impl RefusedReply {
    /// The same for the user, who decides whether to tell `client`.
    fn shown(self, client: Client) -> ShownRefusal {
        ShownRefusal {
            refused: self.refused,
            client: WaitingClient {
                id: client.id,
                name: client.name,
                location: self.location,
            },
        }
    }

    /// The refusal of a request of `client` that is answered at `reply_to`.
    pub(super) fn new(
        server: &AuthorizationServer,
        reply_to: &ReplyTo,
        client: &str,
        refused: AuthorizationRefused,
    ) -> Self {
        Self {
            location: reply_to.refused(&server.config.issuer, &refused),
            refused,
            client: client.to_owned(),
        }
    }
}

impl AuthorizationServer {
    /// Whether a browser is sent to `redirect_uri` before its user has decided anything. Any program can register, or
    /// publish a document where every host is accepted, and make a link to this server a link to a site of theirs
    /// (RFC 9700 §4.11.2). What stays on the user's computer is no such site.
    fn redirects_by_itself(&self, client: &Client, redirect_uri: &RedirectUri) -> bool {
        let is_vouched_for = match client.kind {
            ClientKind::Configured => true,
            ClientKind::MetadataDocument => {
                self.config.clients.metadata_documents.hosts != MetadataDocumentHosts::Any
            }
            ClientKind::Registered => false,
        };
        is_vouched_for || !redirect_uri.as_str().starts_with("https://")
    }

    /// Whether `source` may open a consent page now.
    ///
    /// # Errors
    /// [`AuthorizationRefused`].
    pub(crate) fn admit_visit(&self, source: Source) -> Result<(), AuthorizationRefused> {
        let taken = self.clients.take(source, Allowance::Consent);
        taken.map_err(|limited| {
            AuthorizationRefused::new(AuthorizationRefusal::TooMany).retry_after(limited.retry_after)
        })
    }
}

impl Service {
    /// Judges an authorization request. Nothing is stored.
    ///
    /// # Errors
    /// [`AuthorizationRefused`] for the user: the client or its redirect URI is not known, so nothing is sent there.
    pub(crate) async fn authorize(
        &self,
        server: &AuthorizationServer,
        form: &Form,
        visit: &Visit,
    ) -> Result<AuthorizeAnswer, AuthorizationRefused> {
        let parameters =
            Parameters::read(form).map_err(|bad| AuthorizationRefused::bad_request(bad.to_string()))?;
        let client = server.clients.find(&parameters.client_id, visit.source).await?;
        let redirect_uri = client
            .redirect_uri(&parameters.redirect_uri)
            .ok_or(AuthorizationRefusal::UnknownRedirectUri)?;
        let default_server = server.config.default_server.as_deref();
        let asked = match check(&parameters, &self.config.servers, default_server) {
            Ok(asked) => asked,
            Err(refused) => {
                let reply_to = ReplyTo {
                    redirect_uri: redirect_uri.as_str().to_owned(),
                    state: parameters.state,
                };
                let reply = RefusedReply::new(server, &reply_to, &client.id, refused);
                return Ok(match server.redirects_by_itself(&client, &redirect_uri) {
                    true => AuthorizeAnswer::Refused(reply),
                    false => AuthorizeAnswer::Shown(reply.shown(client)),
                });
            }
        };
        let now_ms = self.context.clock.now_ms();
        let request = CheckedRequest::new(&client, &redirect_uri, parameters.state, asked, now_ms);
        if let Some(user) = self.remembered_user(server, &request, visit).await {
            let onward = self
                .begin_upstream_login(server, request, false, Some(user))
                .await?;
            return Ok(AuthorizeAnswer::Upstream(Box::new(onward)));
        }
        let asked = self.ask(server, request, visit)?;
        Ok(AuthorizeAnswer::Consent(Box::new(asked)))
    }

    fn ask(
        &self,
        server: &AuthorizationServer,
        request: CheckedRequest,
        visit: &Visit,
    ) -> Result<ConsentAsked, AuthorizationRefused> {
        let home = self.login_home(server)?;
        let browser = match &visit.consent {
            // Several pages may be open in one browser.
            Some(browser) => browser.clone(),
            None => BrowserSecret::new()?,
        };
        let digest = browser.digest(CONSENT_PURPOSE);
        let sealed = sealed_form::seal(&self.context.ring, &digest, &request)?;
        let remembered = &server.config.remembered_consent;
        Ok(ConsentAsked {
            upstream_issuer: home.config.issuer.clone(),
            upstream_scope: requested_scope(&server.config.login, &home.config, &self.config.servers),
            remember_days: consent::may_be_remembered(remembered, &request)
                .then(|| remembered.lifetime.as_secs().div_ceil(24 * 3600)),
            request,
            sealed,
            browser,
        })
    }

    /// The user whose remembered consent answers `request`. A store that does not answer remembers nothing.
    async fn remembered_user(
        &self,
        server: &AuthorizationServer,
        request: &CheckedRequest,
        visit: &Visit,
    ) -> Option<String> {
        if !consent::may_be_used(&server.config.remembered_consent, request, visit.site) {
            return None;
        }
        let found = consent::find(&self.context, visit.remembered.as_ref()?, request).await;
        Some(found.ok()??.user)
    }
}
