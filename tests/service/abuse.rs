//! Bad input under load: hundreds of bad questions beside good ones, which are answered as if they were alone.

use std::time::Duration;

use serde_json::json;
use tokenward_harness::issuer::{DexConfig, DexUser};

use crate::deployment::{ADMIN, Answer, Deployment, FILTER, Plan, at_once, basic};

const ROUNDS: usize = 20;
/// One in ten seconds, however many unknown keys there are; the time of a test stands still.
const FETCHES: usize = 1;

/// A good form with another content type.
async fn of_another_type(deployment: &Deployment, form: &str) -> anyhow::Result<Answer> {
    let request = deployment
        .http
        .post(format!("{}/oauth2/token", deployment.urls[0]))
        .header("authorization", basic("filter", FILTER))
        .header("content-type", "application/json")
        .body(form.to_owned());
    deployment.request(request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_callers_are_served_beside_a_flood_of_bad_ones_that_costs_the_issuer_nothing()
-> anyhow::Result<()> {
    let other = "other@example.com";
    let dex = DexConfig::default()
        .id_token_lifetime(Duration::from_secs(300))
        .user(DexUser::new(other));
    let deployment = Deployment::start(Plan {
        dex,
        settings: json!({"stale_subject_grace": "1h"}),
        ..Plan::default()
    })
    .await?;
    let tokens = deployment.log_in("session-under-load").await?;
    let theirs = deployment.log_in_as("session-of-another", other).await?;
    deployment.advance(301);
    let fetched_before = deployment.dex.counts().key_fetches;
    let draft = deployment.dex.mint(ADMIN, "muster").expires_in_seconds(-10);
    let bad_tokens = [
        draft.clone().signed_by_a_stranger().token(),
        draft.clone().unsigned().token(),
        draft.clone().hs256_with_public_key().token(),
        draft.clone().without("exp").token(),
        draft.clone().claim("sub", "nobody").token(),
        draft
            .clone()
            .claim("iss", "https://elsewhere.example.com")
            .token(),
        draft.clone().unknown_key_id().token(),
        draft.clone().claim("aud", "kube").token(),
        draft.clone().expires_in_seconds(-3_700).token(),
        "x".repeat(40_000),
        "....".to_owned(),
    ];
    let (right, wrong) = (basic("filter", FILTER), basic("filter", "guessed"));
    let good_form = deployment.ask(&tokens.id_token).form();
    let mut questions = Vec::new();
    for token in &bad_tokens {
        questions.push((&right, deployment.ask(token).form()));
    }
    for form in [
        String::new(),
        "&".repeat(60_000),
        "%ff=%fe".repeat(1000),
        "x".repeat(96 * 1024 + 1),
        format!("{good_form}&audience=x"),
        deployment.ask(&tokens.id_token).server("nowhere").form(),
        deployment.ask(&tokens.id_token).session("unknown-session").form(),
        deployment
            .ask(&tokens.id_token)
            .session("session-of-another")
            .form(),
        deployment
            .ask(&theirs.id_token)
            .session("session-under-load")
            .form(),
    ] {
        questions.push((&right, form));
    }
    questions.push((&wrong, good_form.clone()));
    let ask = deployment.ask(&tokens.id_token).session("session-under-load");
    let (mut good, mut bad) = (0, 0);
    for round in 0..ROUNDS {
        let bad_ones = questions
            .iter()
            .map(|(caller, form)| deployment.post_form(0, caller, form));
        let good_ones = (0..5).map(|_| ask.send());
        let (refused, odd, served) = tokio::join!(
            at_once(bad_ones),
            of_another_type(&deployment, &good_form),
            at_once(good_ones)
        );
        assert_eq!(odd?.status, 415, "round {round}");
        for answer in refused {
            let answer = answer?;
            // The unknown key may be looked for, and only every ten seconds.
            let busy = answer.refusal() == (503, "issuer_unavailable");
            assert!(
                (400..500).contains(&answer.status) || busy,
                "round {round}: {answer:?}"
            );
            assert!(answer.token().is_empty());
            bad += 1;
        }
        for answer in served {
            let answer = answer?;
            assert_eq!(answer.status, 200, "round {round}: {answer:?}");
            good += 1;
        }
    }
    assert_eq!((good, bad), (ROUNDS * 5, ROUNDS * questions.len()));
    let counts = deployment.dex.counts();
    assert_eq!((counts.refreshes_presented, counts.refreshes_succeeded), (1, 1));
    let fetches = counts.key_fetches - fetched_before;
    assert_eq!(fetches, FETCHES, "for {ROUNDS} unknown ones");
    assert_eq!(
        deployment.status("session-under-load").await?.text("state"),
        "active"
    );
    Ok(())
}
