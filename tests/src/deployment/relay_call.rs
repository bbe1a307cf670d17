//! Requests of an issuer's client that the gateway routes to control: the issuer's public token endpoint, at a replica.

use reqwest::header::HeaderMap;
use serde_json::Value;
use tokenward_harness::secrets;
use url::Url;

use super::Deployment;
use super::calls::basic;
use super::plan::PUBLIC_ENDPOINT;

/// A request to [`PUBLIC_ENDPOINT`]. It may be sent any number of times, from any task.
#[derive(Debug, Clone)]
pub struct RelayCall {
    http: reqwest::Client,
    url: String,
    authorization: Option<String>,
    form: String,
}

/// What comes back, whole.
#[derive(Debug, Clone)]
pub struct RelayAnswer {
    /// HTTP status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl RelayAnswer {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A text member of the body; empty where there is none.
    pub fn text(&self, member: &str) -> String {
        self.json()[member].as_str().unwrap_or_default().to_owned()
    }

    /// A header, where it is there and readable.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl<R, I> Deployment<R, I> {
    /// A token request with these parameters at a replica's relay, as the deployment's own client (`client_secret_basic`).
    pub fn relayed(&self, replica: usize, parameters: &[(&str, &str)]) -> RelayCall {
        let (id, secret) = &self.client;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(parameters);
        RelayCall {
            http: self.http.clone(),
            url: self.relay_url(replica),
            authorization: Some(basic(id, secret)),
            form: form.finish(),
        }
    }

    /// A refresh with `token` at a replica's relay, as [`Deployment::relayed`].
    pub fn relayed_refresh(&self, replica: usize, token: &str) -> RelayCall {
        secrets::note(token);
        self.relayed(
            replica,
            &[("grant_type", "refresh_token"), ("refresh_token", token)],
        )
    }

    /// A login of `email` (`password`) at a replica's relay, as [`Deployment::relayed`].
    pub fn relayed_login(&self, replica: usize, email: &str) -> RelayCall {
        let parameters = [
            ("grant_type", "password"),
            ("scope", "openid profile email groups offline_access"),
            ("username", email),
            ("password", "password"),
        ];
        self.relayed(replica, &parameters)
    }

    /// Where a replica takes requests for [`PUBLIC_ENDPOINT`], whose host they must name.
    pub fn relay_url(&self, replica: usize) -> String {
        format!("{}{}", self.urls[replica], public_endpoint().path())
    }
}

fn public_endpoint() -> Url {
    PUBLIC_ENDPOINT.parse().expect("a URL")
}

/// The value of `Host` in requests to [`PUBLIC_ENDPOINT`].
pub(super) fn public_host() -> String {
    public_endpoint().host_str().expect("a host").to_owned()
}

impl RelayCall {
    /// With another `Authorization`, or none.
    #[must_use]
    pub fn authorization(self, authorization: Option<&str>) -> Self {
        let authorization = authorization.map(str::to_owned);
        Self {
            authorization,
            ..self
        }
    }

    /// At a control service that is none of the replicas.
    #[must_use]
    pub fn at(self, url: &str) -> Self {
        let url = format!("{url}{}", public_endpoint().path());
        Self { url, ..self }
    }

    /// With another form.
    #[must_use]
    pub fn form(self, form: impl Into<String>) -> Self {
        let form = form.into();
        Self { form, ..self }
    }

    /// The form.
    pub fn form_text(&self) -> &str {
        &self.form
    }

    /// The request, for further changes.
    pub fn request(&self) -> reqwest::RequestBuilder {
        let mut request = self
            .http
            .post(&self.url)
            .header("host", public_host())
            .header("content-type", "application/x-www-form-urlencoded");
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        request.body(self.form.clone())
    }

    /// Sends it once.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(&self) -> anyhow::Result<RelayAnswer> {
        RelayAnswer::of(self.request()).await
    }
}

impl RelayAnswer {
    /// Sends a request that the test has made.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn of(request: reqwest::RequestBuilder) -> anyhow::Result<Self> {
        let response = request.send().await?;
        Ok(Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await?.to_vec(),
        })
    }
}
