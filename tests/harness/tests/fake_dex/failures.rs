use std::time::Duration;

use serde_json::json;
use tokenward_harness::issuer::{Endpoint, Failure};

use super::peer::{
    Answer, CLAIMED, EMAIL, MUSTER, claims, dex, dex_with_reuse, login, refresh, token_request,
};

fn refresh_form(refresh_token: &str) -> [(&str, &str); 2] {
    [("grant_type", "refresh_token"), ("refresh_token", refresh_token)]
}

#[tokio::test]
async fn planned_answers_come_first_and_cost_no_token() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    dex.fail_next(Endpoint::Refresh, 1, &Failure::internal_error());
    dex.fail_next(Endpoint::Refresh, 1, &Failure::too_many_requests(7));
    refresh(&dex, &tokens.refresh_token)
        .await
        .assert_error(500, r#"{"error":"invalid_request"}"#);
    let limited = refresh(&dex, &tokens.refresh_token).await;
    assert_eq!(
        (limited.status.as_u16(), limited.header("retry-after")),
        (429, Some("7"))
    );
    refresh(&dex, &tokens.refresh_token).await.assert_tokens();
    assert_eq!(dex.counts().refreshes_presented, 3);
}

#[tokio::test]
async fn a_connection_closed_before_the_answer_costs_no_token() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    dex.fail_next(Endpoint::Refresh, 1, &Failure::CloseBeforeAnswer);
    let lost = Answer::of(token_request(&dex, MUSTER, &refresh_form(&tokens.refresh_token))).await;
    assert!(lost.is_err());
    refresh(&dex, &tokens.refresh_token).await.assert_tokens();
}

#[tokio::test]
async fn a_lost_answer_is_recovered_inside_the_reuse_interval_only() {
    for (waited_ms, recovered) in [(1000, true), (3200, false)] {
        let dex = dex_with_reuse(3).await;
        let tokens = login(&dex).await;
        dex.clock().advance(Duration::from_millis(3200));
        dex.fail_next(Endpoint::Refresh, 1, &Failure::CloseAfterCommit);
        let lost = Answer::of(token_request(&dex, MUSTER, &refresh_form(&tokens.refresh_token))).await;
        assert!(lost.is_err());
        assert_eq!(dex.counts().refreshes_succeeded, 1);
        dex.clock().advance(Duration::from_millis(waited_ms));
        let retry = refresh(&dex, &tokens.refresh_token).await;
        if recovered {
            assert_ne!(retry.text("refresh_token"), tokens.refresh_token);
        } else {
            retry.assert_error(400, CLAIMED);
        }
    }
}

#[tokio::test]
async fn a_hanging_endpoint_never_answers() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    dex.fail_next(Endpoint::Refresh, 1, &Failure::Hang);
    let request = token_request(&dex, MUSTER, &refresh_form(&tokens.refresh_token));
    // Long enough for the request to come on a busy machine, or the failure would be the next one's.
    let hung = Answer::of(request.timeout(Duration::from_secs(3))).await;
    assert!(hung.unwrap_err().is_timeout());
    assert_eq!(dex.counts().refreshes_presented, 1);
    refresh(&dex, &tokens.refresh_token).await.assert_tokens();
}

#[tokio::test]
async fn a_refresh_that_was_begun_is_carried_through_without_its_client() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    dex.hold(Endpoint::Refresh);
    let client = tokio::spawn(Answer::of(token_request(
        &dex,
        MUSTER,
        &refresh_form(&tokens.refresh_token),
    )));
    dex.wait_until_held(Endpoint::Refresh, 1).await;
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    dex.release(Endpoint::Refresh);
    dex.wait_for_counts(|counts| counts.refreshes_succeeded == 1, Duration::from_secs(10))
        .await
        .unwrap();
    refresh(&dex, &tokens.refresh_token)
        .await
        .assert_error(400, CLAIMED);
    assert_eq!(dex.counts().refreshes_succeeded, 1);
}

#[tokio::test]
async fn an_answer_without_a_refresh_token_leaves_the_old_one_good() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    dex.fail_next(Endpoint::Refresh, 1, &Failure::DropRefreshToken);
    let answer = refresh(&dex, &tokens.refresh_token).await;
    assert_eq!(
        answer.members(),
        ["access_token", "token_type", "expires_in", "id_token"]
    );
    refresh(&dex, &tokens.refresh_token).await.assert_tokens();
}

#[tokio::test]
async fn falsified_tokens_differ_in_the_one_claim() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    let good = claims(&tokens.id_token);
    let mut refresh_token = tokens.refresh_token;
    for (failure, claim) in [
        (Failure::OtherSubject, "sub"),
        (Failure::OtherIssuer, "iss"),
        (Failure::OtherAudience, "aud"),
    ] {
        dex.fail_next(Endpoint::Refresh, 1, &failure);
        let answer = refresh(&dex, &refresh_token).await;
        let bad = claims(&answer.text("id_token"));
        for name in ["sub", "iss", "aud"] {
            assert_eq!(bad[name] == good[name], name != claim, "{name} under {failure:?}");
        }
        refresh_token = answer.text("refresh_token");
    }
}

#[tokio::test]
async fn an_answer_may_lack_the_id_token_or_be_no_json() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    dex.fail_next(Endpoint::Refresh, 1, &Failure::NoIdToken);
    let answer = refresh(&dex, &tokens.refresh_token).await;
    assert_eq!(
        answer.members(),
        ["access_token", "token_type", "expires_in", "refresh_token"]
    );
    dex.fail_next(Endpoint::Refresh, 1, &Failure::Garbage);
    let garbage = refresh(&dex, &answer.text("refresh_token")).await;
    assert_eq!(garbage.status.as_u16(), 200);
    assert!(serde_json::from_str::<serde_json::Value>(&garbage.body).is_err());
    assert_eq!(dex.counts().refreshes_succeeded, 2);
}

#[tokio::test]
async fn while_down_nothing_is_answered_and_nothing_is_forgotten() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    dex.set_down(true);
    let request = token_request(&dex, MUSTER, &refresh_form(&tokens.refresh_token));
    assert!(Answer::of(request).await.is_err());
    assert_eq!(dex.counts().refreshes_presented, 0);
    dex.set_down(false);
    refresh(&dex, &tokens.refresh_token).await.assert_tokens();
}

#[tokio::test]
async fn lost_storage_means_another_key_and_dead_refresh_tokens() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    dex.lose_storage();
    refresh(&dex, &tokens.refresh_token)
        .await
        .assert_error(400, CLAIMED);
    let url = format!("{}/userinfo", dex.issuer());
    let answer = Answer::of(super::peer::http().get(url).bearer_auth(&tokens.id_token))
        .await
        .unwrap();
    assert_eq!(answer.status.as_u16(), 403);
}

#[tokio::test]
async fn presentations_record_which_client_presented_which_token_how_often() {
    let dex = dex().await;
    let first = login(&dex).await.refresh_token;
    let second = refresh(&dex, &first).await.text("refresh_token");
    refresh(&dex, &second).await.assert_tokens();
    let fingerprints: Vec<String> = dex
        .presentations()
        .into_iter()
        .map(|presentation| presentation.fingerprint)
        .collect();
    let expected = [&first, &second].map(|token| tokenward_harness::issuer::fingerprint(token));
    assert_eq!(fingerprints, expected);
    assert_eq!(dex.presentations()[0].user.as_deref(), Some(EMAIL));
    assert_eq!(json!(dex.counts_of(EMAIL).refreshes_presented), 2);
}
