//! Logins whose clients refresh through the relay: the access token is the one in the response that a client gets.

use serde_json::json;

use super::stage::{FILES, OPAQUE_LIFE, access_token, plan, presented, record_bytes};
use crate::deployment::{ADMIN, Deployment, Plan};

async fn relayed(is_opaque: bool) -> anyhow::Result<Deployment> {
    Deployment::start(Plan {
        relay: Some(json!({})),
        ..plan(is_opaque)
    })
    .await
}

#[tokio::test]
async fn the_server_gets_the_access_token_of_the_clients_newest_response() -> anyhow::Result<()> {
    for is_opaque in [false, true] {
        let deployment = relayed(is_opaque).await?;
        let login = deployment.relayed_login(0, ADMIN).send().await?;
        let ask = deployment.ask(&login.text("id_token")).server(FILES);
        assert_eq!(access_token(&ask.send().await?), login.text("access_token"));
        assert_eq!(presented(&deployment), 0);
        deployment.advance(200);
        let refreshed = deployment
            .relayed_refresh(0, &login.text("refresh_token"))
            .send()
            .await?;
        assert_eq!(presented(&deployment), 1);
        let served = ask.send().await?;
        assert_eq!(access_token(&served), refreshed.text("access_token"));
        assert_eq!(served.body["expires_in"], json!(OPAQUE_LIFE));
        assert_eq!(presented(&deployment), 1);
        // A server's need refreshes the login for the client too.
        deployment.advance(300);
        let newest = access_token(&ask.send().await?);
        assert_eq!(presented(&deployment), 2);
        let repeated = deployment
            .relayed_refresh(0, &refreshed.text("refresh_token"))
            .send()
            .await?;
        assert_eq!(repeated.text("access_token"), newest);
        assert_eq!(presented(&deployment), 2);
        // It is stored once.
        let tokens = ["id_token", "access_token", "refresh_token"].map(|name| repeated.text(name).len());
        let stored = record_bytes(&deployment).await?;
        assert!(
            stored < tokens.iter().sum::<usize>() + 700,
            "{stored} bytes for {tokens:?}"
        );
    }
    Ok(())
}
