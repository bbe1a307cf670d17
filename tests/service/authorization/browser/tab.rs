//! A browser at the authorization server. Its host has a name that only the test knows how to reach.

use std::collections::BTreeMap;
use std::sync::Mutex;

use reqwest::Method;
use reqwest::header::HeaderMap;
use tokenward_harness::browser::Browser;
use tokenward_tests::openapi::assert_documented;

use super::super::stage::{HOST, ISSUER};
use crate::deployment::Deployment;

/// One browser.
pub(super) struct Tab<'a> {
    deployment: &'a Deployment,
    http: reqwest::Client,
    cookies: Mutex<BTreeMap<String, String>>,
    upstream: Browser,
}

/// What the browser got.
#[derive(Debug)]
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

    /// The sealed request in the consent page's form.
    pub(super) fn request(&self) -> String {
        let (_, rest) = self
            .body
            .split_once("name=\"request\" value=\"")
            .unwrap_or_else(|| panic!("no form: {} {}", self.status, self.body));
        rest.split('"').next().unwrap_or_default().to_owned()
    }

    /// Where the page's link leads.
    pub(super) fn link(&self) -> String {
        let (_, rest) = self
            .body
            .split_once("id=\"onward\" href=\"")
            .unwrap_or_else(|| panic!("no link: {} {}", self.status, self.body));
        unescaped(rest.split('"').next().unwrap_or_default())
    }

    /// Where the page leads by itself.
    pub(super) fn onward(&self) -> String {
        let (_, rest) = self
            .body
            .split_once("http-equiv=\"refresh\" content=\"0; url=")
            .unwrap_or_else(|| panic!("it leads nowhere: {} {}", self.status, self.body));
        unescaped(rest.split('"').next().unwrap_or_default())
    }

    /// What it sets of this cookie: value and attributes.
    pub(super) fn set_cookie(&self, name: &str) -> Option<String> {
        let lines = self.headers.get_all("set-cookie").iter();
        lines
            .filter_map(|line| line.to_str().ok())
            .find(|line| line.starts_with(name))
            .map(str::to_owned)
    }
}

fn unescaped(text: &str) -> String {
    text.replace("&#38;", "&")
        .replace("&#39;", "'")
        .replace("&#34;", "\"")
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
            upstream: Browser::new()?,
        })
    }

    /// Opens a path of the authorization server, as a link on another site does.
    pub(super) async fn open(&self, path: &str) -> anyhow::Result<Page> {
        self.send(Method::GET, path, None, &[("sec-fetch-site", "cross-site")])
            .await
    }

    /// Opens `/authorize`.
    pub(super) async fn authorize(&self, query: &str) -> anyhow::Result<Page> {
        self.open(&format!("/authorize?{query}")).await
    }

    /// Presses a button of the consent page.
    pub(super) async fn decide(&self, page: &Page, decision: &str) -> anyhow::Result<Page> {
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
        let onward = self.decide(&consent, "allow").await?;
        self.log_in(&onward.onward(), email).await
    }

    /// Sends a request with the browser's cookies, and takes those of the answer.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        form: Option<&[(&str, String)]>,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Page> {
        let url = format!("{}{path}", self.deployment.urls[0]);
        let mut request = self.http.request(method.clone(), url).header("host", HOST);
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
        let body = answer.text().await?;
        let content_type = headers.get("content-type").and_then(|value| value.to_str().ok());
        let path = path.split('?').next().unwrap_or_default();
        assert_documented(&method, path, status, content_type, body.as_bytes());
        Ok(Page {
            status,
            headers,
            body,
        })
    }

    /// The header with all its cookies.
    pub(super) fn cookie_header(&self) -> String {
        let cookies = self.cookies.lock().expect("not poisoned");
        let pairs: Vec<_> = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    /// The names of its cookies.
    pub(super) fn cookie_names(&self) -> Vec<String> {
        self.cookies
            .lock()
            .expect("not poisoned")
            .keys()
            .cloned()
            .collect()
    }

    /// Replaces the values of this browser's cookies whose names begin so by those of `other`.
    pub(super) fn steal_value(&self, prefix: &str, other: &Self) {
        let others = other.cookies.lock().expect("not poisoned");
        let value = others.iter().find(|(name, _)| name.starts_with(prefix));
        let value = value.map(|(_, value)| value.clone()).expect("a cookie to steal");
        for (name, own) in self.cookies.lock().expect("not poisoned").iter_mut() {
            if name.starts_with(prefix) {
                own.clone_from(&value);
            }
        }
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
