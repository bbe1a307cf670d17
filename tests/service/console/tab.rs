//! A browser at the console. Its host has a name that only the test knows how to reach.

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::Context as _;
use reqwest::Method;
use reqwest::header::HeaderMap;
use tokenward_harness::browser::Browser;

use super::stage::ORIGIN;
use crate::deployment::Deployment;

/// One browser.
pub(super) struct Tab<'a> {
    deployment: &'a Deployment,
    http: reqwest::Client,
    pub(super) cookies: Mutex<BTreeMap<String, String>>,
    /// The replica that answers.
    pub(super) replica: Mutex<usize>,
}

/// What the browser got.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Page {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn location(&self) -> &str {
        self.header("location")
            .unwrap_or_else(|| panic!("no redirect: {self:?}"))
    }

    /// The value of an attribute that follows `before`.
    pub(super) fn value_after(&self, before: &str) -> String {
        let (_, rest) = self
            .body
            .split_once(before)
            .unwrap_or_else(|| panic!("no {before}: {} {}", self.status, self.body));
        rest.split('"').next().unwrap_or_default().replace("&#38;", "&")
    }

    /// The token of the page's forms.
    pub(super) fn csrf(&self) -> String {
        self.value_after("name=\"csrf\" value=\"")
    }

    /// Addresses of links that begin with `start`, each once, in order.
    pub(super) fn links(&self, start: &str) -> Vec<String> {
        let mut links: Vec<String> = Vec::new();
        for rest in self.body.split("href=\"").skip(1) {
            let link = rest.split('"').next().unwrap_or_default().replace("&#38;", "&");
            if link.starts_with(start) && !links.contains(&link) {
                links.push(link);
            }
        }
        links
    }
}

impl<'a> Tab<'a> {
    pub(super) fn new(deployment: &'a Deployment) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            deployment,
            http,
            cookies: Mutex::default(),
            replica: Mutex::new(0),
        })
    }

    /// The same browser at another replica.
    pub(super) fn at_replica(&self, replica: usize) {
        *self.replica.lock().expect("not poisoned") = replica;
    }

    /// Opens a path.
    pub(super) async fn open(&self, path: &str) -> anyhow::Result<Page> {
        self.send(Method::GET, path, None, &[]).await
    }

    /// Sends one of the console's own forms with these fields and the page's token.
    pub(super) async fn submit(
        &self,
        page: &Page,
        action: &str,
        fields: &[(&str, &str)],
    ) -> anyhow::Result<Page> {
        let csrf = page.csrf();
        let mut form = vec![("csrf", csrf.as_str())];
        form.extend_from_slice(fields);
        let headers = [("origin", ORIGIN), ("sec-fetch-site", "same-origin")];
        self.send(Method::POST, action, Some(&form), &headers).await
    }

    /// Logs `email` in on the way to `to`, and opens what the login leads to.
    pub(super) async fn log_in(&self, email: &str, to: &str) -> anyhow::Result<Page> {
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
    ) -> anyhow::Result<Page> {
        let replica = *self.replica.lock().expect("not poisoned");
        let url = format!("{}{path}", self.deployment.console(replica));
        let mut request = self.http.request(method, url);
        if headers.iter().all(|(name, _)| *name != "host") {
            request = request.header("host", ORIGIN.trim_start_matches("https://"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let cookies = self.cookie_header();
        if !cookies.is_empty() {
            request = request.header("cookie", cookies);
        }
        if let Some(form) = form {
            request = request.form(form);
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        self.take(&headers);
        Ok(Page {
            status,
            headers,
            body: answer.text().await?,
        })
    }

    /// Opens a stream.
    pub(super) async fn begin(&self, path: &str) -> anyhow::Result<reqwest::Response> {
        let replica = *self.replica.lock().expect("not poisoned");
        let request = self
            .http
            .get(format!("{}{path}", self.deployment.console(replica)))
            .header("host", ORIGIN.trim_start_matches("https://"))
            .header("cookie", self.cookie_header());
        Ok(request.send().await?)
    }

    fn cookie_header(&self) -> String {
        let cookies = self.cookies.lock().expect("not poisoned");
        let pairs: Vec<_> = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    pub(super) fn cookie_names(&self) -> Vec<String> {
        self.cookies
            .lock()
            .expect("not poisoned")
            .keys()
            .cloned()
            .collect()
    }

    fn take(&self, headers: &HeaderMap) {
        let mut cookies = self.cookies.lock().expect("not poisoned");
        for line in headers.get_all("set-cookie") {
            let line = line.to_str().expect("ASCII");
            let (pair, attributes) = line.split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a pair");
            // A browser refuses this prefix without these (RFC 6265bis §4.1.3.2).
            assert!(name.starts_with("__Host-"), "{line}");
            for attribute in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
                assert!(line.contains(attribute), "{attribute} in {line}");
            }
            assert!(!attributes.contains("Domain"), "{line}");
            if attributes.contains("Max-Age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}
