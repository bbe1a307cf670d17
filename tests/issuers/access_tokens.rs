//! Servers that want the login's access token, which Keycloak renews together with the ID token.

use serde_json::json;
use tokenward_harness::parts::keycloak::{Realm, RealmPlan};
use tokenward_tests::deployment::Plan;

use super::exchange::fifty_callers;
use super::stage::{ALICE, CLIENT, Stage, claim, plan, plan_of_realm};

/// The server that gets access tokens.
const SERVER: &str = "api";
/// What an audience mapper of the client puts into `aud`.
const AUDIENCE: &str = "https://api.example.com/mcp";

fn realm() -> RealmPlan {
    plan_of_realm().first_client(|client| client.audience_of_its_own(AUDIENCE))
}

async fn set(story: &str, on_valkey: bool) -> anyhow::Result<Option<Stage>> {
    let server = json!({"name": SERVER, "auth": {
        "type": "oauth", "forwardToken": true, "forward": "access_token", "requiredAudiences": [AUDIENCE],
    }});
    let plan = Plan {
        servers: vec![server],
        ..plan(if on_valkey { 2 } else { 1 }, on_valkey)
    };
    Stage::set_with(story, realm(), plan).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_callers_of_a_server_of_access_tokens_are_one_refresh_that_brings_both_tokens()
-> anyhow::Result<()> {
    for (on_valkey, is_registered) in [(false, true), (true, false)] {
        let Some(stage) = set("a server of access tokens", on_valkey).await? else {
            return Ok(());
        };
        let login = if is_registered {
            stage
                .log_in_with_access_token("s-1", ALICE, Realm::ONLINE)
                .await?
        } else {
            stage.log_in("s-1", ALICE, Realm::ONLINE).await?
        };
        let call = stage.call("s-1", &login);
        let access = fifty_callers(&stage, &call.clone().server(SERVER)).await?;
        assert_eq!(claim(&access, "typ")?, "Bearer");
        assert_eq!(claim(&access, "azp")?, CLIENT.0);
        assert_eq!(claim(&access, "sid")?, *login.session);
        // The same refresh has renewed the ID token.
        let id = stage.served(&call).await?;
        assert_eq!(claim(&id, "typ")?, "ID");
        assert_ne!(id, login.tokens.id_token);
        stage.assert_refreshes(1, 0).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_keycloak_has_ended_gets_no_access_token() -> anyhow::Result<()> {
    let Some(stage) = set("an access token of a login that has ended", false).await? else {
        return Ok(());
    };
    let login = stage
        .log_in_with_access_token("s-1", ALICE, Realm::ONLINE)
        .await?;
    stage.realm.delete_session(&login).await?;
    stage
        .until_a_login_is_needed(&stage.call("s-1", &login).server(SERVER))
        .await?;
    stage.assert_refreshes(0, 1).await
}
