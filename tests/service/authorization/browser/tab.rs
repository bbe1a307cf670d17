//! A browser at the authorization server. Its host has a name that only the test knows how to reach.

use std::ops::Deref;

use reqwest::Method;
use tokenward_harness::browser::{Browser, HostTab, ShownPage};
use tokenward_tests::openapi::assert_documented;

use super::super::stage::{HOST, ISSUER};
use crate::deployment::Deployment;

/// One browser.
pub(super) struct Tab<'a> {
    deployment: &'a Deployment,
    host: HostTab,
    upstream: Browser,
}

impl Deref for Tab<'_> {
    type Target = HostTab;

    fn deref(&self) -> &HostTab {
        &self.host
    }
}

impl<'a> Tab<'a> {
    pub(super) fn new(deployment: &'a Deployment) -> anyhow::Result<Self> {
        Ok(Self {
            deployment,
            host: HostTab::new(),
            upstream: Browser::new()?,
        })
    }

    /// Opens a path of the authorization server, as a link on another site does.
    pub(super) async fn open(&self, path: &str) -> anyhow::Result<ShownPage> {
        self.send(Method::GET, path, None, &[("sec-fetch-site", "cross-site")])
            .await
    }

    /// Opens `/authorize`.
    pub(super) async fn authorize(&self, query: &str) -> anyhow::Result<ShownPage> {
        self.open(&format!("/authorize?{query}")).await
    }

    /// Presses a button of the consent page.
    pub(super) async fn decide(&self, page: &ShownPage, decision: &str) -> anyhow::Result<ShownPage> {
        let form = [("request", page.request()), ("decision", decision.to_owned())];
        let headers = [("sec-fetch-site", "same-origin"), ("origin", "null")];
        self.send(Method::POST, "/authorize/consent", Some(&form), &headers)
            .await
    }

    /// Logs in on the upstream issuer's pages. Returns the path and query with which it sends the browser back.
    pub(super) async fn log_in(&self, start: &str, email: &str) -> anyhow::Result<String> {
        let arrived = |url: &url::Url| url.as_str().starts_with(ISSUER);
        let back = self.upstream.log_in(start, email, arrived).await?;
        Ok(back.as_str().trim_start_matches(ISSUER).to_owned())
    }

    /// Agrees to the request of `query` and logs in as `email`. Returns the way back to the authorization server.
    pub(super) async fn agree(&self, query: &str, email: &str) -> anyhow::Result<String> {
        let consent = self.authorize(query).await?;
        let allowed = self.decide(&consent, "allow").await?;
        self.log_in(&allowed.onward(), email).await
    }

    /// Sends a request with the browser's cookies, and takes those of the answer.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        form: Option<&[(&str, String)]>,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<ShownPage> {
        let url = format!("{}{path}", self.deployment.urls[0]);
        let mut request = self
            .host
            .request(method.clone(), &url, headers)
            .header("host", HOST);
        if let Some(form) = form {
            request = request.form(form);
        }
        let page = self.host.send(request).await?;
        let path = path.split('?').next().unwrap_or_default();
        assert_documented(
            &method,
            path,
            page.status,
            page.header("content-type"),
            page.body.as_bytes(),
        );
        Ok(page)
    }
}
