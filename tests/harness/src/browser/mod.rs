//! A browser without a screen: it follows redirects with its cookies, logs users in on an issuer's pages, and calls what
//! it is logged in at.

mod code;
mod jar;
mod page;
mod tab;

pub use code::{Code, CodeLogin};
pub use tab::{HostTab, ShownPage};

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, bail, ensure};
use http::header::{COOKIE, LOCATION};
use url::Url;

use crate::issuer::http_client;
use crate::world::Answer;
use jar::Jar;
use page::Form;

/// Redirects and pages of one login: more is a loop.
const MOST_STEPS: usize = 30;

/// One user's browser. Its requests may run side by side, as those of a page do.
#[derive(Debug)]
pub struct Browser {
    http: reqwest::Client,
    jar: Mutex<Jar>,
}

impl Browser {
    /// One without cookies.
    ///
    /// # Errors
    /// When no HTTP client can be built.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            http: http_client(),
            jar: Mutex::default(),
        })
    }

    fn jar(&self) -> MutexGuard<'_, Jar> {
        self.jar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many cookies the program at this address has set.
    ///
    /// # Errors
    /// When it is no address.
    pub fn cookies_of(&self, url: &str) -> anyhow::Result<usize> {
        Ok(self.jar().count(&Url::parse(url)?))
    }

    /// Opens `start`, follows redirects, and logs in as `email` on the pages that come, with the first button of each,
    /// until one leads to an address that `arrived` accepts. Returns that address; it is not opened.
    ///
    /// # Errors
    /// When something else comes: a page without a form, an error, too many redirects.
    pub async fn log_in(
        &self,
        start: &str,
        email: &str,
        arrived: impl Fn(&Url) -> bool,
    ) -> anyhow::Result<Url> {
        self.walk(start, email, None, arrived).await
    }

    /// [`Browser::log_in`] with the button of this value on each page that has it: `deny`, where a user is asked for
    /// consent.
    ///
    /// # Errors
    /// As [`Browser::log_in`].
    pub async fn decide(
        &self,
        start: &str,
        email: &str,
        decision: &str,
        arrived: impl Fn(&Url) -> bool,
    ) -> anyhow::Result<Url> {
        self.walk(start, email, Some(decision), arrived).await
    }

    async fn walk(
        &self,
        start: &str,
        email: &str,
        decision: Option<&str>,
        arrived: impl Fn(&Url) -> bool,
    ) -> anyhow::Result<Url> {
        let mut url = Url::parse(start)?;
        let mut form = None;
        for _ in 0..MOST_STEPS {
            let answer = self.open(&url, form.take()).await?;
            let shown = format!("{} {}", answer.status, url.path());
            if let Some(location) = answer.header(LOCATION.as_str()) {
                url = url.join(location).with_context(|| shown.clone())?;
                if arrived(&url) {
                    return Ok(url);
                }
                continue;
            }
            ensure!(answer.status == 200, "{shown}: {}", answer.body);
            let Some(page) = Form::first(&answer.body) else {
                let Some(onward) = page::onward(&answer.body) else {
                    bail!("{shown} is no page to log in on: {}", answer.body)
                };
                url = url.join(&onward).with_context(|| shown.clone())?;
                if arrived(&url) {
                    return Ok(url);
                }
                continue;
            };
            let button = decision.filter(|decision| page.has_button(decision));
            let page = page.filled_in_by(email).press(button).context("no such button")?;
            url = url.join(&page.action)?;
            form = Some(page.fields);
        }
        bail!("still not logged in at {} after {MOST_STEPS} steps", url.path())
    }

    async fn open(&self, url: &Url, form: Option<Vec<(String, String)>>) -> anyhow::Result<Answer> {
        let request = match form {
            Some(fields) => self.http.post(url.clone()).form(&fields),
            None => self.http.get(url.clone()),
        };
        self.send(request).await
    }

    /// Sends a request with the cookies of its address, and takes those of the answer. A redirect is an answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
        let (http, request) = request.build_split();
        let mut request = request?;
        if let Some(cookies) = self.jar().header(request.url()) {
            request.headers_mut().insert(COOKIE, cookies.parse()?);
        }
        let url = request.url().clone();
        let response = http.execute(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        self.jar().take(&url, &headers);
        Ok(Answer {
            status: status.as_u16(),
            headers,
            body: response.text().await?,
        })
    }
}
