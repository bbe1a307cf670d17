//! Servers that want the login's access token: a JWT for their API, or at Google an opaque one.

use serde_json::json;
use tokenward_harness::cloud_issuers::CloudProduct;

use super::stage::{Stage, Variant, server};
use crate::deployment::at_once;

const SERVER: &str = "api";

at_each_issuer!(
    a_server_gets_the_access_token_and_its_renewals_from_the_same_refreshes,
    fifty_callers_of_both_kinds_of_server_bring_one_refresh,
);

async fn stage(variant: Variant) -> anyhow::Result<Stage> {
    let auth = json!({"type": "oauth", "forwardToken": true, "forward": "access_token"});
    Stage::with(
        variant,
        |_| {},
        |plan, _| plan.servers = vec![server(SERVER, &auth)],
    )
    .await
}

async fn a_server_gets_the_access_token_and_its_renewals_from_the_same_refreshes(
    variant: Variant,
) -> anyhow::Result<()> {
    let stage = stage(variant).await?;
    let login = stage.log_in_with_access_token("s-1").await?;
    let mut presented = login.id_token;
    let first = stage.ask("s-1", &presented).server(SERVER).send().await?;
    assert_eq!(
        (first.status, first.token()),
        (200, &*login.access_token),
        "{first:?}"
    );
    let mut last = first.token().to_owned();
    for round in 1..=3 {
        stage.expire();
        let answer = stage.ask("s-1", &presented).server(SERVER).send().await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_ne!(answer.token(), last);
        last = answer.token().to_owned();
        if variant.product == CloudProduct::Google {
            assert!(last.starts_with("ya29."), "opaque");
            assert!(answer.body["expires_in"].is_u64(), "{answer:?}");
        }
        // The other server's ID token came with it.
        presented = stage.renewed("s-1", &presented).await?;
        assert_eq!(stage.issuer.counts().refreshes_presented, round);
    }
    Ok(())
}

async fn fifty_callers_of_both_kinds_of_server_bring_one_refresh(variant: Variant) -> anyhow::Result<()> {
    let stage = stage(variant).await?;
    let login = stage.log_in_with_access_token("s-1").await?;
    stage.expire();
    let forwarding = stage.ask("s-1", &login.id_token);
    let of_api = forwarding.clone().server(SERVER);
    let calls = (0..50).map(|at| {
        if at % 2 == 0 {
            forwarding.send()
        } else {
            of_api.send()
        }
    });
    for answer in at_once(calls).await {
        let answer = answer?;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(stage.refreshes(), (1, 1, 0));
    Ok(())
}
