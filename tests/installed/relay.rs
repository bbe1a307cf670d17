//! The relay's route on a real Envoy Gateway, which publishes issuer and MCP servers on one Gateway.

use std::time::{Duration, Instant};

use anyhow::ensure;
use reqwest::header::AUTHORIZATION;
use serde_json::{Value, json};
use tokenward_harness::parts::EnvoyGateway;
use tokenward_harness::world::{ALICE, CLIENT, Installation, World};
use tokenward_protocol::token_endpoint::MARKER_HEADER;

/// Where the issuer is published: control resolves it too, as `doctor` does.
pub(crate) const HOST: &str = "localhost";
const PATH: &str = "/dex/token";
/// Envoy checks a cluster that is new a minute after its first check, then every two seconds, three times until it fails
/// over; and the machine is busy.
const FAILS_OVER_WITHIN: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A world whose control relays the home issuer's client, and the chart's values for it, without a route.
pub(crate) async fn relaying(story: &str) -> anyhow::Result<Option<(World, Installation)>> {
    let Some((mut world, installation)) = World::start_installable(story).await? else {
        return Ok(None);
    };
    let public = format!("http://{HOST}:{}{PATH}", installation.port());
    let issuer = json!({
        "issuer": world.home.issuer(), "client_id": CLIENT.0, "client_secret": {"file": "@issuer-0"},
        "token_endpoint": world.home.token_endpoint(), "relay": {"public_endpoint": public},
    });
    let config = world.control.config().clone().setting("issuers", json!([issuer]));
    world.control.terminate(Duration::from_secs(60)).await?;
    world.control.restart_with(config).await?;
    let installation = installation
        .issuer_at(HOST)?
        .value("/issuers/0/tokenEndpoint", world.home.token_endpoint())?
        .value("/issuers/0/relay", json!({"publicEndpoint": public}))?;
    Ok(Some((world, installation)))
}

/// The same with a route to control, and Envoy Gateway with both.
async fn relayed(story: &str, route: Value) -> anyhow::Result<Option<(World, Installation, EnvoyGateway)>> {
    let Some((world, installation)) = relaying(story).await? else {
        return Ok(None);
    };
    let installation = installation.value("/issuers/0/relay/route", route)?;
    let gateway = world.install(&installation).await?;
    Ok(Some((world, installation, gateway)))
}

/// What the public token endpoint answered.
#[derive(Debug)]
pub(crate) struct TokenAnswer {
    pub(crate) status: u16,
    /// Whether control answered, or passed the issuer's answer on.
    pub(crate) through_control: bool,
    pub(crate) body: Value,
}

/// Where the client's secret is in a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Secret {
    Header,
    Form,
}

/// A client of the issuer, at the gateway.
pub(crate) struct Client<'a> {
    /// `http://localhost:PORT`
    gateway: String,
    http: &'a reqwest::Client,
}

impl<'a> Client<'a> {
    pub(crate) fn of(installation: &Installation, http: &'a reqwest::Client) -> Self {
        let gateway = format!("http://{HOST}:{}", installation.port());
        Self { gateway, http }
    }

    pub(crate) async fn post(&self, secret: Secret, form: &[(&str, &str)]) -> anyhow::Result<TokenAnswer> {
        let request = self.http.post(format!("{}{PATH}", self.gateway));
        let request = match secret {
            Secret::Header => request.basic_auth(CLIENT.0, Some(CLIENT.1)).form(form),
            Secret::Form => {
                let client = [("client_id", CLIENT.0), ("client_secret", CLIENT.1)];
                request.form(&[&client, form].concat())
            }
        };
        let answer = request.send().await?;
        Ok(TokenAnswer {
            status: answer.status().as_u16(),
            through_control: answer.headers().contains_key(MARKER_HEADER),
            body: serde_json::from_slice(&answer.bytes().await?).unwrap_or_default(),
        })
    }

    pub(crate) async fn log_in(&self, secret: Secret, email: &str) -> anyhow::Result<TokenAnswer> {
        let form = [
            ("grant_type", "password"),
            ("username", email),
            ("password", "password"),
            ("scope", "openid profile email groups offline_access"),
        ];
        self.post(secret, &form).await
    }

    /// Logs in until it is answered 200 by the one or the other; every answer before is 503.
    async fn log_in_until(&self, through_control: bool) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        loop {
            let answer = self.log_in(Secret::Header, ALICE).await?;
            if answer.status == 200 && answer.through_control == through_control {
                return Ok(begun.elapsed());
            }
            ensure!([200, 503].contains(&answer.status), "{answer:?}");
            ensure!(begun.elapsed() < FAILS_OVER_WITHIN, "still {answer:?}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Both are found by name, as in a cluster.
#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_answers_while_control_is_away_and_control_again_afterwards() -> anyhow::Result<()> {
    let Some((mut world, installation)) = relaying("failover").await? else {
        return Ok(());
    };
    let own = world.home.token_endpoint().replace("127.0.0.1", HOST);
    let installation = installation
        .value("/issuers/0/tokenEndpoint", own)?
        .value("/issuers/0/relay/route", json!({"failover": true}))?
        .value("/gateway/control/host", HOST)?;
    let _gateway = world.install(&installation).await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let client = Client::of(&installation, &http);
    let begun = client.log_in_until(true).await?;
    assert_eq!(world.home.counts().logins, 1, "after {begun:?}");

    world.control.kill()?;
    let away = client.log_in_until(false).await?;
    for _ in 0..8 {
        let answer = client.log_in(Secret::Header, ALICE).await?;
        assert_eq!(
            (answer.status, answer.through_control),
            (200, false),
            "{answer:?}"
        );
    }

    world.control.restart().await?;
    let back = client.log_in_until(true).await?;
    let logins = world.home.counts().logins;
    for _ in 0..8 {
        let answer = client.log_in(Secret::Header, ALICE).await?;
        assert_eq!((answer.status, answer.through_control), (200, true), "{answer:?}");
    }
    assert_eq!(world.home.counts().logins, logins + 8);
    println!("the issuer answered {away:?} after control's death, control {back:?} after its return");
    Ok(())
}

/// Without failover a client waits; it is never answered by the issuer, whose newest refresh token control may hold.
#[tokio::test(flavor = "multi_thread")]
async fn without_failover_a_dead_control_is_503_and_no_refresh_goes_around_it() -> anyhow::Result<()> {
    let Some((mut world, installation, _gateway)) = relayed("no failover", json!({})).await? else {
        return Ok(());
    };
    let http = reqwest::Client::builder().no_proxy().build()?;
    let client = Client::of(&installation, &http);
    assert_eq!(client.log_in(Secret::Form, ALICE).await?.status, 200);
    world.control.kill()?;
    let before = world.home.counts();
    for _ in 0..8 {
        let form = [("grant_type", "refresh_token"), ("refresh_token", "made-up")];
        let answer = client.post(Secret::Header, &form).await?;
        assert_eq!(
            (answer.status, answer.through_control),
            (503, false),
            "{answer:?}"
        );
    }
    assert_eq!(world.home.counts(), before);
    world.control.restart().await?;
    client.log_in_until(true).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrowed_route_leads_one_clients_basic_requests_to_control() -> anyhow::Result<()> {
    let Some((world, installation, _gateway)) =
        relayed("a narrowed route", json!({"onlyThisClient": true})).await?
    else {
        return Ok(());
    };
    let http = reqwest::Client::builder().no_proxy().build()?;
    let client = Client::of(&installation, &http);
    let by_header = client.log_in(Secret::Header, ALICE).await?;
    assert_eq!((by_header.status, by_header.through_control), (200, true));
    let by_form = client.log_in(Secret::Form, ALICE).await?;
    assert_eq!((by_form.status, by_form.through_control), (200, false));
    let other = http
        .post(format!("{}{PATH}", client.gateway))
        .basic_auth(format!("{}-2", CLIENT.0), Some(CLIENT.1))
        .form(&[("grant_type", "refresh_token")])
        .send()
        .await?;
    assert!(!other.headers().contains_key(MARKER_HEADER), "{other:?}");
    assert_eq!(world.home.counts().logins, 2);
    Ok(())
}

/// Everything but the token endpoint stays the issuer's, and the filter asks for no token there.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_exact_path_is_controls() -> anyhow::Result<()> {
    let Some((_world, installation, gateway)) = relayed("the exact path", json!({})).await? else {
        return Ok(());
    };
    let http = reqwest::Client::builder().no_proxy().build()?;
    let ask = |method: reqwest::Method, path: &str| {
        http.request(method, format!("http://{HOST}:{}{path}", installation.port()))
    };
    let keys = ask(reqwest::Method::GET, "/dex/keys").send().await?;
    assert!(!keys.headers().contains_key(MARKER_HEADER));
    let keys: Value = serde_json::from_slice(&keys.error_for_status()?.bytes().await?)?;
    ensure!(keys["keys"].is_array(), "{keys}");
    for path in ["/dex/token", "/dex//token"] {
        let answer = ask(reqwest::Method::OPTIONS, path).send().await?;
        assert!(answer.headers().contains_key(MARKER_HEADER), "{path}: {answer:?}");
    }
    for path in ["/dex/token/introspect", "/dex/token/"] {
        let answer = ask(reqwest::Method::POST, path)
            .header(AUTHORIZATION, "Basic bXVzdGVyOnMzY3JldA==")
            .send()
            .await?;
        assert!(
            !answer.headers().contains_key(MARKER_HEADER),
            "{path}: {answer:?}"
        );
    }
    // The Gateway's other host, 127.0.0.1.
    let elsewhere = http.post(format!("{}{PATH}", gateway.url())).send().await?;
    assert!(!elsewhere.headers().contains_key(MARKER_HEADER), "another host");
    Ok(())
}
