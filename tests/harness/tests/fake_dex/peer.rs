//! A client that calls the fake over HTTP and stores the answers as they came.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokenward_harness::issuer::{DexConfig, DexUser, FakeDex, LoginTokens};

pub(crate) const EMAIL: &str = "admin@example.com";
pub(crate) const MUSTER: (&str, &str) = ("muster", "s3cret");
pub(crate) const KUBE: (&str, &str) = ("kube", "k");
pub(crate) const ALL_SCOPES: &str = "openid profile email groups offline_access";
pub(crate) const CLAIMED: &str = r#"{"error":"invalid_request","error_description":"Refresh token is invalid or has already been claimed by another client."}"#;

/// The user of the transcripts.
pub(crate) fn user() -> DexUser {
    DexUser {
        user_id: "08a8684b-db88-4b73-90a9-3cd1661f5466".to_owned(),
        ..DexUser::new(EMAIL)
    }
}

/// The issuer of the transcripts: ID tokens of 10 seconds.
pub(crate) fn config() -> DexConfig {
    DexConfig {
        users: vec![user()],
        ..DexConfig::default()
    }
    .id_token_lifetime(Duration::from_secs(10))
}

pub(crate) async fn dex() -> FakeDex {
    started(config()).await
}

pub(crate) async fn dex_with_reuse(seconds: u64) -> FakeDex {
    started(config().reuse_interval(Duration::from_secs(seconds))).await
}

/// In a time that stands still but where a test advances it: some of its spans are a few seconds long.
async fn started(config: DexConfig) -> FakeDex {
    let dex = FakeDex::start(config).await.unwrap();
    dex.clock().stop();
    dex
}

pub(crate) async fn login(dex: &FakeDex) -> LoginTokens {
    dex.log_in(EMAIL, MUSTER.0).await.unwrap()
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> reqwest::Result<Self> {
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok(Self {
            status,
            headers,
            body: answer.text().await?,
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn text(&self, member: &str) -> String {
        self.json()[member]
            .as_str()
            .unwrap_or_else(|| panic!("no {member} in {}", self.body))
            .to_owned()
    }

    /// The members of the body in their order.
    pub(crate) fn members(&self) -> Vec<String> {
        members(&self.body)
    }

    /// Status, exact body, `application/json`, and no caching headers: what every error of Dex looks like.
    #[track_caller]
    pub(crate) fn assert_error(&self, status: u16, body: &str) {
        assert_eq!((self.status.as_u16(), self.body.as_str()), (status, body));
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("cache-control"), None);
        assert_eq!(self.header("www-authenticate"), None);
    }

    /// 200 with `no-store`: every answer with tokens has it.
    #[track_caller]
    pub(crate) fn assert_tokens(&self) {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(self.header("pragma"), Some("no-cache"));
    }
}

/// Names of the members of a flat JSON object, in their order.
pub(crate) fn members(object: &str) -> Vec<String> {
    let value: Value = serde_json::from_str(object).unwrap();
    let mut names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
    names.sort_by_key(|name| object.find(&format!("\"{name}\":")).unwrap());
    names
}

pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// A POST to the token endpoint with the client's credentials as Basic, form-encoded (RFC 6749 §2.3.1).
pub(crate) fn token_request(
    dex: &FakeDex,
    (id, secret): (&str, &str),
    form: &[(&str, &str)],
) -> reqwest::RequestBuilder {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let basic = STANDARD.encode(format!("{}:{}", encode(id), encode(secret)));
    http()
        .post(dex.token_endpoint())
        .header("authorization", format!("Basic {basic}"))
        .form(form)
}

pub(crate) async fn token(dex: &FakeDex, client: (&str, &str), form: &[(&str, &str)]) -> Answer {
    Answer::of(token_request(dex, client, form)).await.unwrap()
}

pub(crate) async fn refresh(dex: &FakeDex, refresh_token: &str) -> Answer {
    token(
        dex,
        MUSTER,
        &[("grant_type", "refresh_token"), ("refresh_token", refresh_token)],
    )
    .await
}

/// The payload of a token as it was signed.
pub(crate) fn payload(token: &str) -> String {
    part(token, 1)
}

pub(crate) fn claims(token: &str) -> Value {
    serde_json::from_str(&payload(token)).unwrap()
}

pub(crate) fn header(token: &str) -> String {
    part(token, 0)
}

fn part(token: &str, at: usize) -> String {
    String::from_utf8(URL_SAFE_NO_PAD.decode(token.split('.').nth(at).unwrap()).unwrap()).unwrap()
}
