//! What cannot be verified or read is an operator's matter, reported with its cause: no alarm, no new login.

use anyhow::Context as _;
use serde_json::{Value, json};
use tokenward_control::doctor::{CheckOutcome, examine};
use tokenward_protocol::jwt::MAX_TOKEN_BYTES;

use super::stage::{Stage, issuers_own};
use crate::deployment::{ADMIN, Answer, Plan};
use crate::exchange::{Pair, pair};

/// Groups that make a token about this many bytes long.
fn groups(bytes: usize) -> Vec<String> {
    const BYTES_EACH: usize = 32;
    (0..bytes * 3 / 4 / (BYTES_EACH + 3))
        .map(|number| format!("{number:0BYTES_EACH$}"))
        .collect()
}

fn of_cause(answer: &Answer, cause: &str) {
    assert!(
        answer.text("error_description").contains(cause),
        "{cause}: {answer:?}"
    );
}

/// The issuer's set, with its keys changed.
async fn changed(stage: &Stage, change: impl Fn(&mut Value)) -> anyhow::Result<Value> {
    let mut set = issuers_own(&stage.control).await?;
    for key in set["keys"].as_array_mut().into_iter().flatten() {
        change(key);
    }
    Ok(set)
}

#[tokio::test]
async fn a_key_that_is_not_used_is_named_with_the_reason_and_is_no_forgery() -> anyhow::Result<()> {
    let stage = Stage::set(Plan::default()).await?;
    let control = &stage.control;
    let tokens = control.log_in("s-1").await?;
    control.dex.rotate_keys();
    let unsupported = changed(&stage, |key| {
        *key = json!({"kty": "OKP", "crv": "Ed448", "x": "AA", "kid": key["kid"]});
    });
    stage.keys.publish(unsupported.await?, &[]);
    control.advance(301);
    let answer = control.ask(&tokens.id_token).session("s-1").send().await?;
    assert_eq!(answer.refusal(), (500, "issuer_misconfigured"), "{answer:?}");
    of_cause(&answer, "curve Ed448 is not supported");
    assert_eq!(control.dex.counts().refreshes_presented, 1);
    let login = control.dex.log_in(ADMIN, "muster").await?;
    let put = control.put_login("s-2", &login).await?;
    assert_eq!(put.refusal(), (400, "algorithm_unsupported"), "{put:?}");
    of_cause(&put, "curve Ed448 is not supported");
    Ok(())
}

#[tokio::test]
async fn the_doctor_names_the_keys_and_warns_of_those_that_are_left_out() -> anyhow::Result<()> {
    let stage = Stage::set(Plan::default()).await?;
    let own = issuers_own(&stage.control).await?;
    let kid = own["keys"][0]["kid"].as_str().unwrap_or_default();
    let left_out = json!({"kty": "OKP", "crv": "Ed448", "x": "AA"});
    let encryption = json!({"kty": "RSA", "use": "enc"});
    for (more, outcome, says) in [
        (
            json!([encryption]),
            CheckOutcome::Ok,
            format!("1 usable (kid {kid}, thumbprint "),
        ),
        (
            json!([left_out]),
            CheckOutcome::Warn,
            "; 1 left out: curve Ed448 is not supported".to_owned(),
        ),
    ] {
        let mut set = own.clone();
        let keys = set["keys"].as_array_mut().context("an array")?;
        keys.extend(more.as_array().into_iter().flatten().cloned());
        stage.keys.publish(set, &[]);
        let elsewhere = json!({"embedded": {"path": "@other.redb"}});
        let config = stage.changed(|document| document["store"] = elsewhere)?;
        let report = examine(&config).await;
        let keys = report
            .checks
            .iter()
            .find(|check| check.name.contains("(muster): keys"));
        let keys = keys.context("a check of the keys")?;
        assert_eq!(keys.outcome, outcome, "{report}");
        assert!(keys.finding.contains(&says), "{says}: {report}");
    }
    Ok(())
}

#[tokio::test]
async fn a_key_for_another_algorithm_is_an_operators_matter_and_a_wrong_signature_an_alarm()
-> anyhow::Result<()> {
    for (change, refusal) in [
        (json!({"alg": "PS256"}), "issuer_misconfigured"),
        (json!({"e": "Aw"}), "substitution"),
    ] {
        let stage = Stage::set(Plan::default()).await?;
        let control = &stage.control;
        let tokens = control.log_in("s-1").await?;
        control.dex.rotate_keys();
        let set = changed(&stage, |key| {
            for (name, value) in change.as_object().into_iter().flatten() {
                key[name] = value.clone();
            }
        });
        stage.keys.publish(set.await?, &[]);
        control.advance(301);
        let answer = control.ask(&tokens.id_token).session("s-1").send().await?;
        assert_eq!(answer.refusal(), (500, refusal), "{change}: {answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_token_as_large_as_a_gateway_lets_through_is_put_and_served_and_a_larger_one_refused_by_its_size()
-> anyhow::Result<()> {
    let Stage { control, .. } = &Stage::set(Plan::default()).await?;
    let large = control
        .dex
        .mint(ADMIN, "muster")
        .claim("groups", groups(MAX_TOKEN_BYTES - 1500));
    let token = large.token();
    assert!(
        (MAX_TOKEN_BYTES - 3000..=MAX_TOKEN_BYTES).contains(&token.len()),
        "{}",
        token.len()
    );
    let put = control.put("s-1", &token, Some(&"r".repeat(8192))).await?;
    assert_eq!(put.status, 201, "{put:?}");
    let answer = control.ask(&token).session("s-1").send().await?;
    assert_eq!((answer.status, answer.token()), (200, token.as_str()));

    let larger = control
        .dex
        .mint(ADMIN, "muster")
        .claim("groups", groups(MAX_TOKEN_BYTES + 4000));
    let token = larger.token();
    let put = control.put("s-1", &token, None).await?;
    let answer = control.ask(&token).send().await?;
    for refused in [put, answer] {
        assert_eq!(refused.refusal(), (400, "token_too_large"), "{refused:?}");
        of_cause(&refused, &format!("{} bytes", token.len()));
        of_cause(&refused, "61440 bytes");
    }
    Ok(())
}

#[tokio::test]
async fn a_refreshed_token_that_is_too_large_is_an_operators_matter_and_its_refresh_token_is_stored()
-> anyhow::Result<()> {
    let Stage { control, .. } = &Stage::set(Plan::default()).await?;
    let tokens = control.log_in("s-1").await?;
    let many = groups(MAX_TOKEN_BYTES + 4000);
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    control.dex.set_groups(ADMIN, &many);
    control.advance(301);
    let ask = control.ask(&tokens.id_token).session("s-1");
    let answer = ask.send().await?;
    assert_eq!(answer.refusal(), (500, "issuer_misconfigured"), "{answer:?}");
    of_cause(&answer, "longer than 61440 bytes");
    control.dex.set_groups(ADMIN, &["few"]);
    control.advance(31);
    assert_eq!(ask.send().await?.status, 200);
    assert_eq!(control.dex.counts().refreshes_presented, 2);
    Ok(())
}

#[tokio::test]
async fn an_exchanged_token_whose_key_is_not_known_yet_is_waited_for() -> anyhow::Result<()> {
    let stale_keys = |remote: &tokenward_harness::issuer::FakeDex| {
        let http = reqwest::Client::new();
        let uri = remote.jwks_uri();
        async move { anyhow::Ok(http.get(uri).send().await?.text().await?) }
    };
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let tokens = home.log_in("s-1").await?;
    let old = stale_keys(&remote).await?;
    remote.rotate_keys();
    let cached = tokenward_harness::issuer::Failure::answer(200, &old);
    remote.fail_always(tokenward_harness::issuer::Endpoint::Keys, cached);
    let ask = home.ask(&tokens.id_token).session("s-1").server("remote");
    let answer = ask.send().await?;
    assert_eq!(answer.refusal(), (503, "exchange_unavailable"), "{answer:?}");
    of_cause(&answer, "yet");
    remote.heal(tokenward_harness::issuer::Endpoint::Keys);
    home.advance(11);
    assert_eq!(ask.send().await?.status, 200);
    assert_eq!(remote.counts().exchanges_presented, 2);
    Ok(())
}
