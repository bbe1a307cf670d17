//! Idle past expiry, and fifty callers at once: one refresh.

use std::collections::HashSet;

use tokenward_harness::parts::keycloak::Realm;
use tokenward_tests::deployment::at_once;

use super::stage::{BOB, Stage, claim, plan, plan_of_realm};

const CALLERS: usize = 50;
const ROUNDS: usize = 3;

fn email(round: usize) -> String {
    format!("user-{round}@example.com")
}

/// Each round begins with a user's login whose tokens have expired, and refreshes it once.
async fn callers_of(replicas: usize, on_valkey: bool) -> anyhow::Result<()> {
    let realm = (1..=ROUNDS).fold(plan_of_realm(), |plan, round| plan.user(&email(round)));
    let story = format!("fifty callers of {replicas} replicas");
    let Some(stage) = Stage::set_with(&story, realm, plan(replicas, on_valkey)).await? else {
        return Ok(());
    };
    for round in 1..=ROUNDS {
        let session = format!("round-{round}");
        let login = stage.log_in(&session, &email(round), Realm::ONLINE).await?;
        let call = stage.call(&session, &login);
        let asking = (0..CALLERS).map(|caller| {
            let call = call.clone().replica(caller % replicas);
            async move { call.send().await }
        });
        let mut tokens = HashSet::new();
        for answer in at_once(asking).await {
            let answer = answer?;
            assert_eq!(answer.status, 200, "round {round}: {answer:?}");
            tokens.insert(answer.token().to_owned());
        }
        let tokens: Vec<_> = tokens.into_iter().collect();
        assert_eq!(tokens.len(), 1, "round {round}");
        assert_ne!(tokens[0], login.tokens.id_token);
        assert_eq!(claim(&tokens[0], "sid")?, *login.session, "round {round}");
        stage.assert_refreshes(round, 0).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_callers_idle_past_expiry_are_one_refresh_at_keycloak() -> anyhow::Result<()> {
    callers_of(1, false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_callers_of_two_replicas_on_valkey_are_one_refresh_at_keycloak() -> anyhow::Result<()> {
    callers_of(2, true).await
}

/// What was measured of Keycloak, by a client that does what control never does: the second presentation ends the login, also
/// for the token that the first one brought. Other logins of the user live.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_is_presented_twice_ends_its_login_at_keycloak() -> anyhow::Result<()> {
    let Some(realm) = super::stage::realm("reuse", plan_of_realm()).await? else {
        return Ok(());
    };
    let (first, other) = (
        realm.log_in(BOB, Realm::ONLINE).await?,
        realm.log_in(BOB, Realm::ONLINE).await?,
    );
    let (status, refreshed) = realm.refresh(&first.tokens.refresh_token).await?;
    assert_eq!(status, 200, "{refreshed}");
    let newest = refreshed["refresh_token"].as_str().unwrap_or_default().to_owned();
    for (token, description) in [
        (
            &first.tokens.refresh_token,
            "Maximum allowed refresh token reuse exceeded",
        ),
        (&newest, "Session doesn't have required client"),
    ] {
        let (status, refused) = realm.refresh(token).await?;
        assert_eq!((status, &refused["error"]), (400, &"invalid_grant".into()));
        assert_eq!(refused["error_description"], description);
    }
    assert_eq!(realm.refresh(&other.tokens.refresh_token).await?.0, 200);
    Ok(())
}
