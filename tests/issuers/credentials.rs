//! How control authenticates at Keycloak besides a secret in the header: with a private key, also while it is rotated; and what a
//! sign-out sends there.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokenward_harness::parts::keycloak::Realm;
use tokenward_harness::parts::{Authority, tools, write_file};
use tokenward_tests::deployment::Plan;

use super::stage::{ALICE, BOB, CLIENT, Stage, claim, plan, plan_of_realm};

/// The files with the client's private keys.
const KEY: &str = "client-key";
const NEXT_KEY: &str = "client-key-next";

fn key() -> anyhow::Result<String> {
    Ok(Authority::new("not used")?.pair(&["client"])?.key)
}

/// The public keys that `tokenward client-keys` prints for the configuration in `file`.
async fn public_keys(file: &Path) -> anyhow::Result<Value> {
    let mut command = tokio::process::Command::new(tools::tokenward()?);
    let output = command
        .arg("client-keys")
        .arg("--config")
        .arg(file)
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Keycloak accepts the client by these keys only.
async fn register(realm: &Realm, keys: &Value) -> anyhow::Result<()> {
    realm
        .change_client(CLIENT.0, |client| {
            client["clientAuthenticatorType"] = json!("client-jwt");
            client["attributes"]["use.jwks.string"] = json!("true");
            client["attributes"]["jwks.string"] = json!(keys.to_string());
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_a_private_key_refreshes_introspects_revokes_and_rotates_its_key() -> anyhow::Result<()>
{
    let with_key = Plan {
        issuer: json!({"policy": null, "client_secret": null, "client_key": {"file": format!("@{KEY}")}}),
        secrets: vec![(KEY.to_owned(), key()?), (NEXT_KEY.to_owned(), key()?)],
        ..plan(1, false)
    };
    let Some(mut stage) = Stage::set_with("a private key", plan_of_realm(), with_key).await? else {
        return Ok(());
    };
    // The users log in by the secret, which Keycloak takes no more afterwards.
    let alice = stage.log_in("s-1", ALICE, Realm::ONLINE).await?;
    let bob = stage.log_in("s-2", BOB, Realm::ONLINE).await?;
    let file = stage.deployment.replicas.controls[0].config_file();
    let first = public_keys(&file).await?;
    register(&stage.realm, &first).await?;
    // Introspected, because the first request was lost, and then refreshed.
    stage.realm.lose_requests(1);
    stage.served(&stage.call("s-1", &alice)).await?;
    assert!(stage.realm.counts().introspections >= 1);
    stage.assert_refreshes(1, 0).await?;

    // The next key is registered beside the first, and then replaces it here.
    let next = keys_after_the_rotation(&file).await?;
    let both = [&first, &next].map(|keys| keys["keys"][0].clone());
    register(&stage.realm, &json!({"keys": both})).await?;
    let control = &mut stage.deployment.replicas.controls[0];
    let mut config = control.config().clone();
    let (_, key_of_next) = config
        .files
        .iter()
        .find(|(name, _)| name == NEXT_KEY)
        .context("no key")?
        .clone();
    for (name, content) in &mut config.files {
        if name == KEY {
            content.clone_from(&key_of_next);
        }
    }
    control.restart_with(config).await?;
    register(&stage.realm, &next).await?;
    stage.served(&stage.call("s-2", &bob)).await?;
    stage.assert_refreshes(2, 0).await?;
    assert_eq!(stage.deployment.end("s-2").await?.status, 204);
    stage.wait_for_sessions(BOB, &[]).await?;
    assert_eq!(stage.realm.counts().revocations, 1);
    Ok(())
}

/// The public keys of the same configuration with the next key in place of the first.
async fn keys_after_the_rotation(file: &Path) -> anyhow::Result<Value> {
    let folder = TempDir::with_prefix("tokenward-rotation-")?;
    let text = std::fs::read_to_string(file)?;
    let rotated = text.replace(&format!("/{KEY}\""), &format!("/{NEXT_KEY}\""));
    ensure!(rotated != text, "the key is not in the configuration");
    public_keys(&write_file(&folder, "tokenward.yaml", rotated)?).await
}

/// `sign_out: end_session` logs the user out of Keycloak itself, which then posts a logout token to control as to every client.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_by_end_session_ends_that_session_at_keycloak_and_no_other() -> anyhow::Result<()> {
    let by_end_session = Plan {
        issuer: json!({"policy": null, "sign_out": "end_session"}),
        ..plan(1, false)
    };
    let Some(stage) = Stage::set_with("end_session", plan_of_realm(), by_end_session).await? else {
        return Ok(());
    };
    let url = format!("{}/v1/backchannel-logout", stage.deployment.urls[0]);
    stage.realm.post_logouts_to(&url).await?;
    stage.log_in("s-1", ALICE, Realm::ONLINE).await?;
    let bob = stage.log_in("s-2", BOB, Realm::ONLINE).await?;
    assert_eq!(stage.deployment.end("s-1").await?.status, 204);
    stage.wait_for_sessions(ALICE, &[]).await?;
    stage.wait_for_sessions(BOB, &[&bob.session]).await?;
    assert_eq!(
        stage.realm.events("LOGOUT").await?.len(),
        1,
        "by Keycloak's own events"
    );
    assert_eq!(stage.realm.counts().revocations, 0);
    let token = stage.served(&stage.call("s-2", &bob)).await?;
    assert_eq!(claim(&token, "sid")?, *bob.session);
    // She comes back at once.
    let again = stage.log_in("s-1", ALICE, Realm::ONLINE).await?;
    stage.served(&stage.call("s-1", &again)).await?;
    stage.assert_refreshes(2, 0).await
}
