//! What a Dex answers only after some time, or to many at once: the same assertions on the fake one and on a real one, in
//! real time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};
use tokenward_harness::issuer::{DexConfig, DexConnector, FakeDex, Issuer};
use tokenward_harness::parts::{RealDex, tools};
use tokenward_harness::world::{ALICE, CLIENT};

const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const CLAIMED: &str = "Refresh token is invalid or has already been claimed by another client.";
/// A Dex looks every 30 s whether its key is old.
const KEY_ROTATES_WITHIN: Duration = Duration::from_secs(120);
/// The reuse interval that Dex's own example configuration has.
const REUSE: Duration = Duration::from_secs(3);
/// Logins in each of which something is tried within [`REUSE`]: a machine that stands still may miss some.
const TRIES: usize = 6;

/// Whether there is a real Dex; says so when there is none.
fn is_built(story: &str) -> anyhow::Result<bool> {
    let built = tools::dex()?.is_some();
    if !built {
        tokenward_harness::aloud!("left out: {story} on a real Dex: {}", tools::DEX_IS_MISSING);
    }
    Ok(built)
}

fn http() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

async fn answer(request: reqwest::RequestBuilder) -> anyhow::Result<(u16, Value)> {
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    Ok((status, answer.json().await?))
}

fn refresh_request(dex: &impl Issuer, token: &str) -> anyhow::Result<reqwest::RequestBuilder> {
    let (client_id, client_secret) = CLIENT;
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", client_id),
        ("client_secret", client_secret),
        ("refresh_token", token),
    ];
    Ok(http()?.post(dex.token_endpoint()).form(&form))
}

async fn refresh(dex: &impl Issuer, token: &str) -> anyhow::Result<(u16, Value)> {
    answer(refresh_request(dex, token)?).await
}

/// An exchange of a home ID token at a remote Dex whose connector to the home one is called `home`.
async fn exchange(remote: &impl Issuer, subject: &str) -> anyhow::Result<(u16, Value)> {
    let form = [
        ("grant_type", EXCHANGE),
        ("client_id", "kube"),
        ("client_secret", "k"),
        ("connector_id", "home"),
        ("subject_token", subject),
        ("subject_token_type", ID_TOKEN),
        ("requested_token_type", ID_TOKEN),
        ("scope", "openid"),
    ];
    answer(http()?.post(remote.token_endpoint()).form(&form)).await
}

async fn user_info(dex: &impl Issuer, token: &str) -> anyhow::Result<u16> {
    let request = http()?.get(format!("{}/userinfo", dex.issuer()));
    Ok(request.bearer_auth(token).send().await?.status().as_u16())
}

fn claimed() -> (u16, Value) {
    (
        400,
        json!({"error": "invalid_request", "error_description": CLAIMED}),
    )
}

/// The answers to twenty presentations of one token at once.
async fn twenty_at_once(dex: &impl Issuer, token: &str) -> anyhow::Result<Vec<(u16, Value)>> {
    let mut under_way = tokio::task::JoinSet::new();
    for _ in 0..20 {
        under_way.spawn(answer(refresh_request(dex, token)?));
    }
    under_way.join_all().await.into_iter().collect()
}

async fn twenty_refreshes<I: Issuer>() -> anyhow::Result<()> {
    let dex = I::start(DexConfig::default()).await?;
    let token = dex.log_in(ALICE, CLIENT.0).await?.refresh_token;
    let answers = twenty_at_once(&dex, &token).await?;
    let refused: Vec<_> = answers.iter().filter(|answer| **answer == claimed()).collect();
    assert_eq!(refused.len(), 19, "{}: {answers:?}", I::KIND);
    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 1);

    let reuse = Duration::from_secs(60);
    let dex = I::start(DexConfig::default().reuse_interval(reuse)).await?;
    let token = dex.log_in(ALICE, CLIENT.0).await?.refresh_token;
    let answers = twenty_at_once(&dex, &token).await?;
    assert_eq!(
        one_new_token_for_all::<I>(&answers).as_deref(),
        Some(&*token),
        "as yet"
    );
    twenty_refreshes_within_three_seconds::<I>().await
}

/// The refresh token that each of these answers has.
fn one_new_token_for_all<I: Issuer>(answers: &[(u16, Value)]) -> Option<String> {
    assert_eq!(
        answers.iter().filter(|(status, _)| *status == 200).count(),
        20,
        "{}: {answers:?}",
        I::KIND
    );
    let tokens: BTreeSet<_> = answers
        .iter()
        .map(|(_, body)| body["refresh_token"].as_str())
        .collect();
    assert_eq!(tokens.len(), 1, "{}: one new token for all", I::KIND);
    tokens.first().copied().flatten().map(str::to_owned)
}

async fn twenty_refreshes_within_three_seconds<I: Issuer>() -> anyhow::Result<()> {
    let dex = I::start(DexConfig::default().reuse_interval(REUSE)).await?;
    for _ in 0..TRIES {
        let token = log_in_before_the_interval(&dex).await?;
        let begun = Instant::now();
        let answers = twenty_at_once(&dex, &token).await?;
        if begun.elapsed() < REUSE {
            let new = one_new_token_for_all::<I>(&answers);
            assert_ne!(new, Some(token), "{}: rotated, once", I::KIND);
            return Ok(());
        }
    }
    left_out::<I>("twenty refreshes");
    Ok(())
}

/// The refresh token of a new login whose own interval is over: inside it the same token comes back, not rotated.
async fn log_in_before_the_interval<I: Issuer>(dex: &I) -> anyhow::Result<String> {
    let token = dex.log_in(ALICE, CLIENT.0).await?.refresh_token;
    tokio::time::sleep(REUSE + Duration::from_secs(1)).await;
    Ok(token)
}

fn left_out<I: Issuer>(what: &str) {
    tokenward_harness::aloud!(
        "left out: {what} within {REUSE:?} at a {}: this machine took longer, {TRIES} times",
        I::KIND
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_parallel_refreshes_are_one_rotation_with_reuse_and_without() -> anyhow::Result<()> {
    twenty_refreshes::<FakeDex>().await?;
    if is_built("twenty parallel refreshes")? {
        twenty_refreshes::<RealDex>().await?;
    }
    Ok(())
}

/// With `reuseInterval` 3 s: within it the used token is answered with its successor, after it never again.
async fn reuse_of_three_seconds<I: Issuer>() -> anyhow::Result<()> {
    let dex = I::start(DexConfig::default().reuse_interval(REUSE)).await?;
    for number in 1.. {
        let first = log_in_before_the_interval(&dex).await?;
        let begun = Instant::now();
        let second = refresh(&dex, &first).await?.1["refresh_token"].clone();
        let again = refresh(&dex, &first).await?;
        let in_time = begun.elapsed() < REUSE;
        if !in_time && number < TRIES {
            continue;
        }
        if in_time {
            assert_eq!(again.0, 200, "{}: {again:?}", I::KIND);
            assert_eq!(again.1["refresh_token"], second, "{}", I::KIND);
        } else {
            left_out::<I>("the second use of a token");
        }
        tokio::time::sleep(REUSE + Duration::from_secs(1)).await;
        assert_eq!(refresh(&dex, &first).await?, claimed(), "{}", I::KIND);
        let successor = second.as_str().unwrap_or_default();
        assert_eq!(refresh(&dex, successor).await?.0, 200, "{}: it lives on", I::KIND);
        break;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_refresh_token_is_good_for_the_three_seconds_of_the_reuse_interval() -> anyhow::Result<()> {
    reuse_of_three_seconds::<FakeDex>().await?;
    if is_built("a reuse interval of 3 s")? {
        reuse_of_three_seconds::<RealDex>().await?;
    }
    Ok(())
}

/// `validIfNotUsedFor` and `absoluteLifetime`.
async fn refresh_tokens_past_their_time<I: Issuer>() -> anyhow::Result<()> {
    let (second, never) = (Duration::from_secs(1), Duration::ZERO);
    for (unused, absolute) in [(second, never), (never, second)] {
        let mut config = DexConfig::default();
        config.refresh_tokens.valid_if_not_used_for = unused;
        config.refresh_tokens.absolute_lifetime = absolute;
        let dex = I::start(config).await?;
        let token = dex.log_in(ALICE, CLIENT.0).await?.refresh_token;
        tokio::time::sleep(second * 2).await;
        let expired = json!({"error": "invalid_request", "error_description": "Refresh token expired."});
        assert_eq!(refresh(&dex, &token).await?, (400, expired), "{}", I::KIND);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_past_its_time_is_400_expired() -> anyhow::Result<()> {
    refresh_tokens_past_their_time::<FakeDex>().await?;
    if is_built("refresh tokens past their time")? {
        refresh_tokens_past_their_time::<RealDex>().await?;
    }
    Ok(())
}

async fn expired_id_tokens<I: Issuer>() -> anyhow::Result<()> {
    let home = I::start(DexConfig::default().id_token_lifetime(Duration::from_secs(2))).await?;
    let remote = I::start(DexConfig::default().connector(DexConnector::oidc("home", home.issuer()))).await?;
    let token = home.log_in(ALICE, CLIENT.0).await?.id_token;
    while home.clock().now_seconds() <= home.last_expiry_seconds() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(user_info(&home, &token).await?, 403, "{}", I::KIND);
    let denied = json!({"error": "access_denied"});
    assert_eq!(exchange(&remote, &token).await?, (401, denied), "{}", I::KIND);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_id_token_is_403_at_userinfo_and_401_at_the_exchange() -> anyhow::Result<()> {
    expired_id_tokens::<FakeDex>().await?;
    if is_built("expired ID tokens")? {
        expired_id_tokens::<RealDex>().await?;
    }
    Ok(())
}

/// The key that signed a token.
fn kid(token: &str) -> anyhow::Result<String> {
    use base64::Engine as _;
    let head = token.split('.').next().unwrap_or_default();
    let head = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(head)?;
    let head: Value = serde_json::from_slice(&head)?;
    Ok(head["kid"].as_str().unwrap_or_default().to_owned())
}

async fn key_rotation<I: Issuer>(rotate: impl Fn(&I)) -> anyhow::Result<()> {
    let config = DexConfig {
        signing_keys: Duration::from_secs(1),
        ..DexConfig::default()
    };
    let home = I::start(config).await?;
    let remote = I::start(DexConfig::default().connector(DexConnector::oidc("home", home.issuer()))).await?;
    let old = home.log_in(ALICE, CLIENT.0).await?.id_token;
    assert_eq!(exchange(&remote, &old).await?.0, 200, "{}", I::KIND);
    rotate(&home);
    let limit = Instant::now() + KEY_ROTATES_WITHIN;
    let new = loop {
        let token = home.log_in(ALICE, CLIENT.0).await?.id_token;
        if kid(&token)? != kid(&old)? {
            break token;
        }
        ensure!(Instant::now() < limit, "{}: the key stays", I::KIND);
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let keys: Value = http()?.get(home.jwks_uri()).send().await?.json().await?;
    let published: Vec<_> = keys["keys"].as_array().into_iter().flatten().collect();
    for token in [&old, &new] {
        let kid = kid(token)?;
        assert!(
            published.iter().any(|key| key["kid"] == kid.as_str()),
            "{}: {keys}",
            I::KIND
        );
        assert_eq!(user_info(&home, token).await?, 200, "{}", I::KIND);
        let (status, body) = exchange(&remote, token).await?;
        assert_eq!(status, 200, "{}: the new key is fetched: {body}", I::KIND);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_key_rotation_tokens_of_the_old_key_and_of_the_new_one_are_good() -> anyhow::Result<()> {
    key_rotation::<FakeDex>(FakeDex::rotate_keys).await?;
    if is_built("key rotation")? {
        key_rotation::<RealDex>(|_| {}).await?;
    }
    Ok(())
}
