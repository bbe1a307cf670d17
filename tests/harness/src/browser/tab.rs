//! A browser at pages of control: it sends what a test says, and keeps the cookies that control sets.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use http::header::{COOKIE, SET_COOKIE};
use reqwest::Method;

use crate::issuer::http_client;

/// One browser at one host, whatever the address at which the host answers.
#[derive(Debug)]
pub struct HostTab {
    http: reqwest::Client,
    cookies: Mutex<BTreeMap<String, String>>,
}

/// What the browser got, and what a test looks for on the pages of control.
#[derive(Debug, Clone)]
pub struct ShownPage {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: String,
}

impl ShownPage {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Where the redirect leads.
    ///
    /// # Panics
    /// When it is no redirect.
    #[must_use]
    pub fn location(&self) -> &str {
        self.header("location")
            .unwrap_or_else(|| panic!("no redirect: {self:?}"))
    }

    /// The value of the attribute that follows `before`.
    ///
    /// # Panics
    /// When the page has no `before`.
    #[must_use]
    pub fn value_after(&self, before: &str) -> String {
        let (_, rest) = self
            .body
            .split_once(before)
            .unwrap_or_else(|| panic!("no {before}: {} {}", self.status, self.body));
        value_at_start(rest)
    }

    /// The sealed request in the consent page's form.
    ///
    /// # Panics
    /// When the page has no such form.
    #[must_use]
    pub fn request(&self) -> String {
        self.value_after("name=\"request\" value=\"")
    }

    /// The token of the console's forms.
    ///
    /// # Panics
    /// When the page has no such form.
    #[must_use]
    pub fn csrf(&self) -> String {
        self.value_after("name=\"csrf\" value=\"")
    }

    /// Where the page's link leads.
    ///
    /// # Panics
    /// When the page has no such link.
    #[must_use]
    pub fn link(&self) -> String {
        self.value_after("id=\"onward\" href=\"")
    }

    /// Where the page leads by itself.
    ///
    /// # Panics
    /// When it leads nowhere.
    #[must_use]
    pub fn onward(&self) -> String {
        self.value_after("http-equiv=\"refresh\" content=\"0; url=")
    }

    /// Addresses of links that begin with `start`, each once, in order.
    #[must_use]
    pub fn links(&self, start: &str) -> Vec<String> {
        let mut links: Vec<String> = Vec::new();
        for link in self.body.split("href=\"").skip(1).map(value_at_start) {
            if link.starts_with(start) && !links.contains(&link) {
                links.push(link);
            }
        }
        links
    }

    /// What the answer sets of this cookie: value and attributes.
    #[must_use]
    pub fn set_cookie(&self, name: &str) -> Option<String> {
        let lines = self.headers.get_all(SET_COOKIE).iter();
        lines
            .filter_map(|line| line.to_str().ok())
            .find(|line| line.starts_with(name))
            .map(str::to_owned)
    }
}

fn value_at_start(rest: &str) -> String {
    rest.split('"')
        .next()
        .unwrap_or_default()
        .replace("&#38;", "&")
        .replace("&#39;", "'")
        .replace("&#34;", "\"")
}

impl HostTab {
    /// One without cookies. It does not follow redirects.
    #[must_use]
    pub fn new() -> Self {
        Self {
            http: http_client(),
            cookies: Mutex::default(),
        }
    }

    /// A request of this browser, with its cookies and these headers.
    pub fn request(&self, method: Method, url: &str, headers: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let mut request = self.http.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match self.cookie_header() {
            cookies if cookies.is_empty() => request,
            cookies => request.header(COOKIE, cookies),
        }
    }

    /// Sends a request, and takes the cookies of the answer.
    ///
    /// # Errors
    /// When there is no answer.
    ///
    /// # Panics
    /// When a cookie is set without what its prefix `__Host-` demands, or without `HttpOnly` and `SameSite=Lax`.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<ShownPage> {
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        self.take(&headers);
        Ok(ShownPage {
            status,
            headers,
            body: answer.text().await?,
        })
    }

    fn cookies(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The header with all its cookies; empty without any.
    pub fn cookie_header(&self) -> String {
        let cookies = self.cookies();
        let pairs: Vec<_> = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    /// The names of its cookies.
    pub fn cookie_names(&self) -> Vec<String> {
        self.cookies().keys().cloned().collect()
    }

    /// Replaces all its cookies by a copy of the other's.
    pub fn copy_cookies(&self, other: &Self) {
        let copy = other.cookies().clone();
        *self.cookies() = copy;
    }

    /// Replaces the values of its cookies whose names begin so by that of `other`.
    ///
    /// # Panics
    /// When `other` has none.
    pub fn steal_value(&self, prefix: &str, other: &Self) {
        let value = other
            .cookies()
            .iter()
            .find(|(name, _)| name.starts_with(prefix))
            .map(|(_, value)| value.clone())
            .expect("a cookie to steal");
        for (name, own) in self.cookies().iter_mut() {
            if name.starts_with(prefix) {
                own.clone_from(&value);
            }
        }
    }

    fn take(&self, headers: &HeaderMap) {
        let mut cookies = self.cookies();
        for line in headers.get_all(SET_COOKIE) {
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

impl Default for HostTab {
    fn default() -> Self {
        Self::new()
    }
}
