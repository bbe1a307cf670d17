//! Keycloak changes its signing key.

use tokenward_harness::parts::keycloak::Realm;

use super::stage::{ALICE, BOB, PATIENCE, Stage, key_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_signing_key_costs_no_login_and_no_answer() -> anyhow::Result<()> {
    let Some(stage) = Stage::set("a new signing key").await? else {
        return Ok(());
    };
    let alice = stage.log_in("s-1", ALICE, Realm::ONLINE).await?;
    let bob = stage.log_in("s-2", BOB, Realm::ONLINE).await?;
    let first = key_of(&alice.tokens.id_token)?;
    stage.realm.rotate_key().await?;
    // Presented with the old key, refreshed with the new one.
    let token = stage.served(&stage.call("s-1", &alice)).await?;
    let second = key_of(&token)?;
    assert_ne!(second, first);
    let fetched = stage.realm.counts().key_fetches;
    // The next tokens of that key cause no further fetch.
    let token = stage.served(&stage.call("s-2", &bob)).await?;
    assert_eq!(key_of(&token)?, second);
    assert_eq!(stage.realm.counts().key_fetches, fetched);
    stage.assert_refreshes(2, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_go_on_when_the_old_key_is_withdrawn() -> anyhow::Result<()> {
    let Some(stage) = Stage::set("a withdrawn signing key").await? else {
        return Ok(());
    };
    let alice = stage.log_in("s-1", ALICE, Realm::ONLINE).await?;
    let bob = stage.log_in("s-2", BOB, Realm::ONLINE).await?;
    stage.realm.rotate_key().await?;
    stage.realm.drop_old_keys().await?;
    // A login of the new key makes control fetch the keys: from then on it knows that the old one is withdrawn.
    let again = stage.log_in("s-3", ALICE, Realm::ONLINE).await?;
    assert_ne!(key_of(&again.tokens.id_token)?, key_of(&alice.tokens.id_token)?);
    // Tokens that were issued before still prove their sessions.
    for (session, login) in [("s-1", &alice), ("s-2", &bob), ("s-3", &again)] {
        let token = stage.served(&stage.call(session, login)).await?;
        assert_eq!(key_of(&token)?, key_of(&again.tokens.id_token)?, "{session}");
    }
    let fetched = stage
        .realm
        .wait_for_counts(|counts| counts.key_fetches >= 2, PATIENCE)
        .await?;
    assert!(fetched.key_fetches <= 3, "{fetched:?}");
    assert_eq!(
        stage.realm.counts().refreshes_succeeded,
        stage.realm.counts().refreshes_presented
    );
    Ok(())
}
