//! The browser's way through a login: consent, the upstream issuer, and back to the client.

mod attacks;
mod consent_page;
mod faults;
mod login;
mod remembered;
mod requests;
mod tab;

use reqwest::Method;
use serde_json::{Value, json};
use tokenward_control::store::Store as _;
use tokenward_harness::browser::ShownPage;
use url::Url;

use self::tab::Tab;
use super::stage::{HOST, ISSUER, RESOURCES, plan};
use crate::deployment::{ADMIN, Deployment};

/// Where the client takes its answers.
const REDIRECT: &str = "https://client.example/callback";
/// `code_verifier` and its challenge: RFC 7636, Appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A deployment with a client that has registered itself.
struct Stage {
    deployment: Deployment,
    client_id: String,
}

impl Stage {
    async fn start(more: &Value) -> anyhow::Result<Self> {
        Self::with_client(
            more,
            &json!({"client_name": "Inspector", "redirect_uris": [REDIRECT]}),
        )
        .await
    }

    async fn with_client(more: &Value, client: &Value) -> anyhow::Result<Self> {
        let mut plan = plan(more)?;
        for client in &mut plan.dex.clients {
            client.redirect_uris.push(format!("{ISSUER}/authorize/callback"));
        }
        let deployment = Deployment::start(plan).await?;
        let client_id = register(&deployment, client).await?;
        Ok(Self {
            deployment,
            client_id,
        })
    }

    fn tab(&self) -> anyhow::Result<Tab<'_>> {
        Tab::new(&self.deployment)
    }

    /// The query of a request that is accepted, with `changes`: a parameter replaced, or left out.
    fn query(&self, changes: &[(&str, Option<&str>)]) -> String {
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", REDIRECT),
            ("state", "state of the client"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("resource", RESOURCES[0]),
            ("scope", "mcp offline_access"),
        ];
        for (name, value) in changes {
            pairs.retain(|(other, _)| other != name);
            pairs.extend(value.map(|value| (*name, value)));
        }
        encoded(&pairs)
    }

    /// Records in the store of this kind.
    async fn stored(&self, kind: &str) -> anyhow::Result<usize> {
        let (mut count, mut next) = (0, None);
        loop {
            let page = self.deployment.store().list(kind, next.as_ref(), 100).await?;
            count += page.keys.len();
            match page.next {
                Some(cursor) => next = Some(cursor),
                None => return Ok(count),
            }
        }
    }

    /// Sessions that were registered since the start.
    fn sessions_created(&self) -> usize {
        let exposition = self.deployment.service(0).service().metrics().exposition();
        let line = exposition
            .lines()
            .find(|line| line.starts_with("tokenward_session_changes_total{change=\"created\"}"));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or(0)
    }
}

fn encoded(pairs: &[(&str, &str)]) -> String {
    let mut url = Url::parse("http://query/").expect("a URL");
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}

async fn register(deployment: &Deployment, client: &Value) -> anyhow::Result<String> {
    let url = format!("{}/register", deployment.urls[0]);
    let answer = deployment
        .http
        .request(Method::POST, url)
        .header("host", HOST)
        .json(client)
        .send()
        .await?;
    anyhow::ensure!(answer.status() == 201, "{answer:?}");
    let body: Value = answer.json().await?;
    Ok(body["client_id"].as_str().unwrap_or_default().to_owned())
}

/// The parameters of a redirect, in their order.
fn parameters(location: &str) -> Vec<(String, String)> {
    let url = Url::parse(location).expect("a URL");
    url.query_pairs()
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

/// The one value of a parameter.
fn parameter(location: &str, name: &str) -> String {
    let all = parameters(location);
    let mut named = all.iter().filter(|(own, _)| own == name);
    match (named.next(), named.next()) {
        (Some((_, value)), None) => value.clone(),
        other => panic!("{name} in {location}: {other:?}"),
    }
}

/// An error page: its status, and no way to anywhere.
fn assert_problem(page: &ShownPage, status: u16, code: &str) {
    assert_eq!(page.status, status, "{}", page.body);
    assert_eq!(page.header("location"), None);
    assert!(
        page.body.contains(&format!("· {code} ·")),
        "{code}: {}",
        page.body
    );
}
