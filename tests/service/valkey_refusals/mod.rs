//! A real Valkey that answers, and does not do what control needs: it lacks memory, replicas or a primary, or its ACL
//! does not let control's user. The log, `/readyz` and the doctor state why, and no restart is needed afterwards.

mod acl;
mod doctor;
mod readiness;
mod topologies;

use std::sync::Arc;

use secrecy::SecretString;
use serde_json::json;
use tokenward_control::store::valkey::{ValkeyConfig, ValkeyStore};
use tokenward_harness::parts::Valkey;
use tokenward_harness::secrets;

use crate::deployment::{Deployment, Plan, patient_valkey_config};

const USER: &str = "tokenward";
const PASSWORD: &str = "a-password-of-valkeys-user";

/// A Valkey on a port, with a user [`USER`] under the ACL `rules`.
async fn with_user(rules: &[&str]) -> anyhow::Result<Valkey> {
    let valkey = Valkey::start_on_a_port(&[]).await?;
    set_user(&valkey, rules).await?;
    Ok(valkey)
}

async fn set_user(valkey: &Valkey, rules: &[&str]) -> anyhow::Result<()> {
    secrets::note(PASSWORD);
    let password = format!(">{PASSWORD}");
    let user = ["ACL", "SETUSER", USER, "reset", "on", &password];
    expect_ok(valkey, &[&user[..], rules].concat()).await
}

async fn expect_ok(valkey: &Valkey, words: &[&str]) -> anyhow::Result<()> {
    let reply = valkey.command(words).await?;
    anyhow::ensure!(reply == "+OK\r\n", "{words:?}: {reply}");
    Ok(())
}

/// Control's way to `valkey`, as [`USER`].
fn as_user(config: ValkeyConfig) -> ValkeyConfig {
    ValkeyConfig {
        username: Some(USER.to_owned()),
        password: Some(SecretString::from(PASSWORD)),
        ..config
    }
}

/// A deployment on `valkey`, as [`USER`].
async fn on(valkey: &Valkey) -> anyhow::Result<Deployment> {
    on_config(as_user(patient_valkey_config(valkey.url()))).await
}

async fn on_config(config: ValkeyConfig) -> anyhow::Result<Deployment> {
    let store = ValkeyStore::open(config)?;
    let _ = store.connected().await;
    // The readiness of a busy machine's Valkey is not what these tests are about.
    let patience = json!({"store": {"embedded": {"path": "@unused.redb"}, "deadline": "20s"}});
    Deployment::start(Plan {
        engine: Some(Arc::new(store)),
        settings: patience,
        ..Plan::default()
    })
    .await
}
