//! Every session is stale when control starts again, and all come at once: `cargo xtask bench storm` in little.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use secrecy::ExposeSecret as _;
use serde_json::json;
use tokenward_harness::issuer::{DexConfig, DexUser, Issuer, LoginTokens};
use tokenward_harness::parts::{Control, ControlConfig, RealDex, tools};
use tokenward_harness::world::CLIENT;
use tokenward_protocol::token_endpoint::{Reason, SubjectTokenType, TOKEN_PATH, TokenRequest};
use tokio::task::JoinSet;

const SESSIONS: usize = 120;
const TOKENS_LIVE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(90);

fn email(number: usize) -> String {
    format!("user-{number}@example.com")
}

fn session(number: usize) -> String {
    format!("session-{number}")
}

/// Asks until there is a token, and after each 503 not before its `Retry-After`. Returns how often it was refused.
async fn until_served(http: reqwest::Client, request: reqwest::Request) -> anyhow::Result<u32> {
    let mut refused = 0;
    loop {
        let request = request.try_clone().context("a body that can be sent again")?;
        let answer = http.execute(request).await?;
        match answer.status().as_u16() {
            200 => return Ok(refused),
            503 => refused += 1,
            status => anyhow::bail!("{status}: {}", answer.text().await?),
        }
        let wait = answer.headers().get("retry-after").context("no retry-after")?;
        tokio::time::sleep(Duration::from_secs(wait.to_str()?.parse()?)).await;
    }
}

fn token_request(
    http: &reqwest::Client,
    control: &Control,
    number: usize,
    login: &LoginTokens,
) -> anyhow::Result<reqwest::Request> {
    let form = TokenRequest {
        subject_token: login.id_token.as_str().into(),
        subject_token_type: SubjectTokenType::IdToken,
        server: "forward".to_owned(),
        session: Some(session(number).as_str().into()),
        reason: Reason::Stale,
    }
    .to_form();
    let request = http
        .post(format!("{}{TOKEN_PATH}", control.url()))
        .bearer_auth(control.config().filter_credential.expose_secret())
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    Ok(request.build()?)
}

async fn log_in(
    http: &reqwest::Client,
    dex: &RealDex,
    control: &Control,
) -> anyhow::Result<Vec<LoginTokens>> {
    let mut logins = Vec::new();
    for number in 0..SESSIONS {
        let login = dex.log_in(&email(number), CLIENT.0).await?;
        let answer = http
            .put(format!("{}/v1/sessions/{}", control.url(), session(number)))
            .bearer_auth(control.config().aggregator_credential.expose_secret())
            .json(&json!({
                "issuer": dex.issuer(), "client_id": CLIENT.0,
                "id_token": login.id_token, "refresh_token": login.refresh_token,
            }))
            .send()
            .await?;
        ensure!(answer.status().is_success(), "{}", answer.text().await?);
        logins.push(login);
    }
    Ok(logins)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_all_stale_sessions_are_served_with_one_refresh_each_at_a_real_dex()
-> anyhow::Result<()> {
    if tools::dex()?.is_none() {
        tokenward_harness::aloud!("left out: a storm: {}", tools::DEX_IS_MISSING);
        return Ok(());
    }
    let config = DexConfig::default().id_token_lifetime(TOKENS_LIVE);
    let config = (0..SESSIONS).fold(config, |config, number| config.user(DexUser::new(&email(number))));
    let dex = RealDex::start(config).await?;
    let mut settings = ControlConfig::default()
        .issuer(&dex, CLIENT.0, CLIENT.1)
        .forwarding_server("forward", &[CLIENT.0])
        .setting("margin", "2s");
    settings.issuers[0].more =
        json!({"limits": {"calls_per_second": 20, "burst": 20, "concurrent_calls": 8}});
    let mut control = Control::start(settings).await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let logins = log_in(&http, &dex, &control).await?;
    let is_over = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.as_secs() > dex.last_expiry_seconds().unsigned_abs()
    };
    while !is_over() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    control.kill()?;
    control.restart().await?;

    let mut sessions = JoinSet::new();
    for (number, login) in logins.iter().enumerate() {
        let request = token_request(&http, &control, number, login)?;
        sessions.spawn(tokio::time::timeout(
            PATIENCE,
            until_served(http.clone(), request),
        ));
    }
    let mut sessions_by_refusals: BTreeMap<u32, usize> = BTreeMap::new();
    while let Some(ended) = sessions.join_next().await {
        *sessions_by_refusals.entry(ended???).or_default() += 1;
    }
    // 20 at once and 60 within three seconds; the others got turns.
    let refused: usize = sessions_by_refusals
        .range(1..)
        .map(|(_, sessions)| sessions)
        .sum();
    assert!(refused > 0, "{sessions_by_refusals:?}");
    let counts = dex.counts();
    assert_eq!(
        (counts.refreshes_presented, counts.refreshes_succeeded),
        (SESSIONS, SESSIONS)
    );
    for number in 0..SESSIONS {
        assert_eq!(dex.counts_of(&email(number)).refreshes_presented, 1, "{number}");
    }
    Ok(())
}
