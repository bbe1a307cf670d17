//! A browser at the console. Its host has a name that only the test knows how to reach.

use std::ops::Deref;
use std::sync::Mutex;

use anyhow::Context as _;
use reqwest::Method;
use tokenward_harness::browser::{Browser, HostTab, ShownPage};

use super::stage::{HOST, ORIGIN};
use crate::deployment::Deployment;

/// One browser.
pub(super) struct Tab<'a> {
    deployment: &'a Deployment,
    host: HostTab,
    /// The replica that answers.
    replica: Mutex<usize>,
}

impl Deref for Tab<'_> {
    type Target = HostTab;

    fn deref(&self) -> &HostTab {
        &self.host
    }
}

impl<'a> Tab<'a> {
    pub(super) fn new(deployment: &'a Deployment) -> Self {
        Self {
            deployment,
            host: HostTab::new(),
            replica: Mutex::new(0),
        }
    }

    /// The same browser at another replica.
    pub(super) fn at_replica(&self, replica: usize) {
        *self.replica.lock().expect("not poisoned") = replica;
    }

    /// Opens a path.
    pub(super) async fn open(&self, path: &str) -> anyhow::Result<ShownPage> {
        self.send(Method::GET, path, None, &[]).await
    }

    /// Sends one of the console's own forms with these fields and the page's token.
    pub(super) async fn submit(
        &self,
        page: &ShownPage,
        action: &str,
        fields: &[(&str, &str)],
    ) -> anyhow::Result<ShownPage> {
        let csrf = page.csrf();
        let mut form = vec![("csrf", csrf.as_str())];
        form.extend_from_slice(fields);
        let headers = [("origin", ORIGIN), ("sec-fetch-site", "same-origin")];
        self.send(Method::POST, action, Some(&form), &headers).await
    }

    /// Logs `email` in on the way to `to`, and opens what the login leads to.
    pub(super) async fn log_in(&self, email: &str, to: &str) -> anyhow::Result<ShownPage> {
        let back = self.come_back(email, to).await?;
        let done = self.open(&back).await?;
        match done.header("location") {
            Some(location) => self.open(location).await,
            None => Ok(done),
        }
    }

    /// The way back from the issuer, where `email` has logged in.
    pub(super) async fn come_back(&self, email: &str, to: &str) -> anyhow::Result<String> {
        let to: String = form_urlencoded::byte_serialize(to.as_bytes()).collect();
        let begun = self.open(&format!("/console/login?to={to}")).await?;
        let start = begun
            .header("location")
            .with_context(|| format!("no way to the issuer: {begun:?}"))?;
        let arrived = |url: &url::Url| url.as_str().starts_with(ORIGIN);
        let back = Browser::new()?.log_in(start, email, arrived).await?;
        Ok(back.as_str().trim_start_matches(ORIGIN).to_owned())
    }

    /// Sends a request with the browser's cookies, and takes those of the answer.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        form: Option<&[(&str, &str)]>,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<ShownPage> {
        let mut request = self.host.request(method, &self.url(path), headers);
        if headers.iter().all(|(name, _)| *name != "host") {
            request = request.header("host", HOST);
        }
        if let Some(form) = form {
            request = request.form(form);
        }
        self.host.send(request).await
    }

    /// Opens a stream.
    pub(super) async fn begin(&self, path: &str) -> anyhow::Result<reqwest::Response> {
        let headers = [("host", HOST)];
        let request = self.host.request(Method::GET, &self.url(path), &headers);
        Ok(request.send().await?)
    }

    fn url(&self, path: &str) -> String {
        let replica = *self.replica.lock().expect("not poisoned");
        format!("{}{path}", self.deployment.console(replica))
    }
}
