//! Remembered consents: only of clients that the operator lists, in the browser in which the user agreed, for that user.
//!
//! A remembered consent is what a malicious MCP server would use to log a victim in without being noticed, so by default the
//! page is always shown. The rules: the client is listed and identifies itself by an https URL, so that its redirect URIs are
//! vouched for; no loopback redirect, which any local program can claim; and the browser did not come from another site.

use serde::{Deserialize, Serialize};

use super::browser::BrowserSecret;
use super::request::{CheckedRequest, RedirectKind};
use super::stored;
use crate::config::RememberedConsentConfig;
use crate::context::Context;
use crate::digest;
use crate::store::{Expected, Key, StoreError};

/// What a request's `Sec-Fetch-Site` tells (Fetch metadata).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchSite {
    /// `same-origin`: one of our pages.
    SameOrigin,
    /// `none`: the user typed it, or a program outside the browser opened it.
    UserAgent,
    /// `same-site` or `cross-site`: another site.
    Other,
    /// Absent or unknown.
    Unknown,
}

impl FetchSite {
    /// Reads the header's value.
    #[must_use]
    pub fn read(value: Option<&str>) -> Self {
        match value {
            Some("same-origin") => Self::SameOrigin,
            Some("none") => Self::UserAgent,
            Some("same-site" | "cross-site") => Self::Other,
            _ => Self::Unknown,
        }
    }
}

/// A consent in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedConsent {
    consent_digest: String,
    resource: String,
    scope: Vec<String>,
    redirect_uri: String,
    /// [`user_digest`].
    pub user: String,
}

/// Identifies the user who consented.
#[must_use]
pub fn user_digest(issuer: &str, subject: &str) -> String {
    digest::hex_of_parts(&["consent user", issuer, subject])
}

/// Whether the consent to `request` may be remembered at all.
#[must_use]
pub fn may_be_remembered(config: &RememberedConsentConfig, request: &CheckedRequest) -> bool {
    request.redirect_kind == RedirectKind::Web
        && request.client_host.is_some()
        && request.client.id.starts_with("https://")
        && config.clients.contains(&request.client.id)
}

/// Whether a remembered consent may answer a request that came from `site`.
#[must_use]
pub fn may_be_used(config: &RememberedConsentConfig, request: &CheckedRequest, site: FetchSite) -> bool {
    may_be_remembered(config, request) && matches!(site, FetchSite::SameOrigin | FetchSite::UserAgent)
}

impl RememberedConsent {
    /// The consent of `user` to `request`.
    #[must_use]
    pub fn new(request: &CheckedRequest, user: String) -> Self {
        Self {
            consent_digest: request.consent_digest.clone(),
            resource: request.resource.clone(),
            scope: request.scope.clone(),
            redirect_uri: request.reply_to.redirect_uri.clone(),
            user,
        }
    }

    /// Whether it covers `request`: the client has not changed since, and asks for nothing more.
    #[must_use]
    pub fn covers(&self, request: &CheckedRequest) -> bool {
        self.consent_digest == request.consent_digest
            && self.resource == request.resource
            && self.redirect_uri == request.reply_to.redirect_uri
            && request.scope.iter().all(|scope| self.scope.contains(scope))
    }
}

/// One record for each browser, client and resource.
fn key(browser: &BrowserSecret, request: &CheckedRequest) -> Key {
    let browser = browser.digest("remembered consent");
    let parts = [browser.as_str(), &request.client.id, &request.resource];
    Key::new("login_consent", &digest::hex_of_parts(&parts))
}

/// The consent to `request` that `browser` remembers.
///
/// # Errors
/// [`StoreError`].
pub async fn find(
    context: &Context,
    browser: &BrowserSecret,
    request: &CheckedRequest,
) -> Result<Option<RememberedConsent>, StoreError> {
    let key = key(browser, request);
    let Some(entry) = context.store.read(&key).await? else {
        return Ok(None);
    };
    let consent: RememberedConsent = stored::from_bytes(&context.ring, &key, &entry.value)?;
    Ok(Some(consent).filter(|consent| consent.covers(request)))
}

/// Stores the consent of `user` to `request` for `browser`.
///
/// # Errors
/// [`StoreError`].
pub async fn remember(
    context: &Context,
    config: &RememberedConsentConfig,
    browser: &BrowserSecret,
    request: &CheckedRequest,
    user: String,
) -> Result<(), StoreError> {
    let key = key(browser, request);
    let consent = RememberedConsent::new(request, user);
    let bytes = stored::to_bytes(&context.ring, &key, &consent)?;
    let store = &context.store;
    store
        .write(&key, Expected::Any, &bytes, Some(config.lifetime))
        .await
        .map(drop)
}

/// Forgets the consent to `request` that `browser` remembers.
///
/// # Errors
/// [`StoreError`].
pub async fn forget(
    context: &Context,
    browser: &BrowserSecret,
    request: &CheckedRequest,
) -> Result<(), StoreError> {
    let store = &context.store;
    store
        .delete(&key(browser, request), Expected::Any)
        .await
        .map(drop)
}
