//! A key that is not known yet is no forgery: no answer demands a login, no token counts as substituted.

use serde_json::json;
use tokenward_protocol::token_endpoint::Reason;

use super::stage::{Stage, issuers_own};
use crate::deployment::{ADMIN, Plan};

fn retry_after(answer: &crate::deployment::Answer) -> u64 {
    let seconds = answer.header("retry-after").and_then(|text| text.parse().ok());
    seconds.unwrap_or_else(|| panic!("no Retry-After: {answer:?}"))
}

#[tokio::test]
async fn a_refresh_whose_key_a_cache_holds_back_waits_for_the_cache_and_presents_nothing_meanwhile()
-> anyhow::Result<()> {
    let Stage { control, keys } = &Stage::set(Plan::default()).await?;
    let tokens = control.log_in("s-1").await?;
    let old = issuers_own(control).await?;
    keys.publish(old, &[("cache-control", "public, max-age=45"), ("age", "11")]);
    control.dex.rotate_keys();
    control.advance(301);
    let ask = control.ask(&tokens.id_token).session("s-1");
    let answer = ask.send().await?;
    assert_eq!(answer.refusal(), (503, "issuer_unavailable"), "{answer:?}");
    assert!(answer.text("error_description").contains("yet"), "{answer:?}");
    assert_eq!(retry_after(&answer), 34);
    assert_eq!(keys.asked().as_deref(), Some("no-cache"));
    let rotated = control.dex.counts().refreshes_presented;
    assert_eq!(rotated, 1);
    for _ in 0..3 {
        control.advance(10);
        assert_eq!(ask.send().await?.refusal(), (503, "issuer_unavailable"));
    }
    assert_eq!(control.dex.counts().refreshes_presented, rotated);
    // The refresh token that came with it was stored: once the cache is over the next refresh succeeds.
    keys.publish(issuers_own(control).await?, &[]);
    control.advance(5);
    assert_eq!(ask.send().await?.status, 200);
    assert_eq!(control.dex.counts().refreshes_presented, rotated + 1);
    Ok(())
}

#[tokio::test]
async fn while_the_stored_token_is_fresh_it_is_served_although_the_new_ones_key_is_not_known_yet()
-> anyhow::Result<()> {
    let Stage { control, keys } = &Stage::set(Plan::default()).await?;
    let tokens = control.log_in("s-1").await?;
    control.dex.rotate_keys();
    control.advance(200);
    let ask = control
        .ask(&tokens.id_token)
        .session("s-1")
        .reason(Reason::NearExpiry);
    let answer = ask.send().await?;
    assert_eq!((answer.status, answer.token()), (200, tokens.id_token.as_str()));
    assert_eq!(control.dex.counts().refreshes_presented, 1);
    keys.publish(issuers_own(control).await?, &[]);
    control.advance(11);
    let answer = ask.send().await?;
    assert_ne!(answer.token(), tokens.id_token);
    assert_eq!(control.dex.counts().refreshes_presented, 2);
    Ok(())
}

#[tokio::test]
async fn a_refresh_whose_key_stays_unknown_becomes_an_operators_matter_and_never_an_alarm()
-> anyhow::Result<()> {
    let Stage { control, .. } = &Stage::set(Plan::default()).await?;
    let tokens = control.log_in("s-1").await?;
    control.dex.rotate_keys();
    control.advance(301);
    let ask = control.ask(&tokens.id_token).session("s-1");
    let mut refusals = Vec::new();
    for _ in 0..20 {
        let answer = ask.send().await?;
        let refusal = answer.text("refusal").to_owned();
        if refusals.last() != Some(&refusal) {
            refusals.push(refusal);
        }
        control.advance(15);
    }
    assert_eq!(refusals, ["issuer_unavailable", "issuer_misconfigured"]);
    Ok(())
}

#[tokio::test]
async fn a_login_whose_key_is_not_published_yet_is_put_again_within_seconds_of_its_publication()
-> anyhow::Result<()> {
    let Stage { control, keys } = &Stage::set(Plan::default()).await?;
    control.log_in("s-1").await?;
    control.advance(11);
    control.dex.rotate_keys();
    // Callers with made-up keys use up the look at the keys that they have together.
    for _ in 0..20 {
        let stranger = control.dex.mint(ADMIN, "muster").unknown_key_id().token();
        let answer = control.ask(&stranger).send().await?;
        assert_eq!(answer.refusal(), (503, "issuer_unavailable"));
        assert!(retry_after(&answer) <= 10, "{answer:?}");
    }
    assert_eq!(keys.fetches(), 2);
    let login = control.dex.log_in(ADMIN, "muster").await?;
    control.advance(2);
    let put = control.put_login("s-2", &login).await?;
    assert_eq!(put.refusal(), (503, "issuer_unavailable"), "{put:?}");
    assert!(retry_after(&put) <= 2, "{put:?}");
    keys.publish(issuers_own(control).await?, &[]);
    control.advance(2);
    let put = control.put_login("s-2", &login).await?;
    assert_eq!(put.status, 201, "{put:?}");
    assert_eq!(keys.fetches(), 4);
    Ok(())
}

#[tokio::test]
async fn an_empty_key_set_retires_no_key_and_makes_no_login_wrong() -> anyhow::Result<()> {
    let Stage { control, keys } = &Stage::set(Plan::default()).await?;
    let tokens = control.log_in("s-1").await?;
    control.dex.rotate_keys();
    for document in [json!({"keys": []}), json!({"keys": [{}, null]})] {
        keys.publish(document, &[]);
        control.advance(11);
        let login = control.dex.log_in(ADMIN, "muster").await?;
        let put = control.put_login("s-2", &login).await?;
        assert_eq!(put.refusal(), (503, "issuer_unavailable"), "{put:?}");
        assert!(
            put.text("error_description").contains("key set is empty"),
            "{put:?}"
        );
        // A present key is present still: it was not withdrawn.
        let answer = control.put_login("s-1", &tokens).await?;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_token_whose_key_stays_unknown_is_refused_for_good_after_two_minutes_and_costs_one_look_in_ten_seconds()
-> anyhow::Result<()> {
    let Stage { control, keys } = &Stage::set(Plan::default()).await?;
    control.log_in("s-1").await?;
    let stranger = control.dex.mint(ADMIN, "muster").unknown_key_id();
    let ahead = stranger
        .clone()
        .claim("iat", control.dex.clock().now_ms() / 1000 + 31_536_000);
    let (stranger, ahead) = (stranger.token(), ahead.token());
    assert_eq!(
        control.ask(&ahead).send().await?.refusal(),
        (400, "wrong_token_type")
    );
    let before = keys.fetches();
    for round in 0..12 {
        control.advance(10);
        let answer = control.ask(&stranger).send().await?;
        let put = control.put("s-2", &stranger, None).await?;
        let expected = if round < 11 {
            (503, "issuer_unavailable")
        } else {
            (400, "subject_rejected")
        };
        assert_eq!(
            (answer.refusal(), put.refusal()),
            (expected, expected),
            "{round}: {answer:?}"
        );
    }
    assert_eq!(keys.fetches() - before, 12);
    Ok(())
}
