//! Tokens that an issuer signed for another client or for another use, through the gateway.

use serde_json::json;
use tokenward_harness::world::{ALICE, CLIENT, LOCAL, World};

/// An expired access token of another client, and a logout token, do not become the user's fresh ID token.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_users_own_id_token_is_replaced_by_a_fresh_one() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    let draft = || world.home.mint(ALICE, CLIENT.0).expires_in_seconds(-60);
    let event = "http://schemas.openid.net/event/backchannel-logout";
    let strange = [
        (
            "another client's access token",
            draft().claim("azp", "lowpriv").claim("typ", "Bearer"),
        ),
        ("an RFC 9068 access token", draft().header("typ", "at+jwt")),
        (
            "a logout token",
            draft()
                .header("typ", "logout+jwt")
                .claim("events", json!({event: {}})),
        ),
    ];
    for (what, draft) in strange {
        let token = draft.token();
        for _ in 0..3 {
            let call = world.call(LOCAL).bearer(&token);
            let session = alice.session.as_bytes();
            let answer = call.header("x-tokenward-session", session).send().await?;
            assert_eq!(
                (answer.status, answer.refusal().as_deref()),
                (401, Some("wrong_token_type")),
                "{what}: {}",
                answer.body
            );
            assert!(!answer.body.contains("log in again"), "{what}: {}", answer.body);
        }
    }
    assert_eq!(world.upstream_requests(), 0);
    assert_eq!(world.home.counts().refreshes_presented, 0);
    assert_eq!(world.call(LOCAL).login(&alice).send().await?.status, 200);
    assert_eq!(world.home.counts().refreshes_presented, 1);
    Ok(())
}

/// Users whose logins are not registered: a stale token needs a fresh one, and a new login is not asked for. A fresh one
/// is forwarded or exchanged.
#[tokio::test(flavor = "multi_thread")]
async fn an_unregistered_user_is_not_sent_to_log_in_again() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let alice = world.log_in_unregistered(ALICE).await?;
    let fresh = &alice.tokens.id_token;
    for server in [LOCAL, "remote-1"] {
        assert_eq!(
            world.call(server).bearer(fresh).send().await?.status,
            200,
            "{server}"
        );
    }
    let stale = world.home.mint(ALICE, CLIENT.0).expires_in_seconds(-60).token();
    for server in [LOCAL, "remote-1"] {
        let answer = world.call(server).bearer(&stale).send().await?;
        let refusal = answer.refusal().unwrap_or_default();
        assert_eq!(
            (answer.status, refusal.as_str()),
            (401, "token_expired"),
            "{server}: {}",
            answer.body
        );
        assert!(!answer.body.contains("log in again"), "{}", answer.body);
        assert_eq!(answer.header("retry-after"), None);
    }
    assert_eq!(world.upstream_requests(), 2);
    Ok(())
}
