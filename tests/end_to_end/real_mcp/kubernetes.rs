//! kubernetes-mcp-server, which verifies Dex's tokens by itself: one takes the home issuer's, one the remote issuer's only.

use serde_json::json;
use tokenward_harness::issuer::{FakeDex, Issuer};
use tokenward_harness::parts::{McpProgram, McpSdk, RealDex, tools};
use tokenward_harness::world::{ALICE, CLIENT, LOCAL, World};

use super::{
    PATIENCE, REMOTE, assert_noticed_nothing, call, first, idle, is_installed, short_lived, start, tools_step,
};

#[tokio::test(flavor = "multi_thread")]
async fn kubernetes_servers_that_verify_tokens_see_good_ones_only() -> anyhow::Result<()> {
    if !is_installed("kubernetes-mcp-server") {
        return Ok(());
    }
    see_good_tokens_only::<FakeDex>().await
}

#[tokio::test(flavor = "multi_thread")]
async fn kubernetes_servers_that_verify_tokens_of_a_real_dex_see_good_ones_only() -> anyhow::Result<()> {
    if !is_installed("kubernetes-mcp-server on a real Dex") {
        return Ok(());
    }
    if tools::dex()?.is_none() {
        tokenward_harness::aloud!(
            "left out: kubernetes-mcp-server on a real Dex: {}",
            tools::DEX_IS_MISSING
        );
        return Ok(());
    }
    see_good_tokens_only::<RealDex>().await
}

async fn see_good_tokens_only<I: Issuer>() -> anyhow::Result<()> {
    let mut world: World<I> = Box::pin(short_lived().start_on()).await?;
    let exchanged = world.exchange_client(REMOTE).expect("a client").id.clone();
    let Some(home) = McpProgram::kubernetes(&world.home, CLIENT.0).await? else {
        tokenward_harness::aloud!("left out: there is no kubernetes-mcp-server for this machine");
        return Ok(());
    };
    let remote = McpProgram::kubernetes(&world.remote, &exchanged)
        .await?
        .expect("as above");
    world
        .put_behind(&[(LOCAL, home.address()), (REMOTE, remote.address())])
        .await?;
    let alice = world.log_in(ALICE).await?;
    let url = format!("http://{}/mcp", remote.address());
    let direct = reqwest::Client::builder().no_proxy().build()?.get(url);
    let refused = direct.bearer_auth(&alice.tokens.id_token).send().await?;
    assert_eq!(refused.status(), 401, "it takes the remote issuer's tokens only");

    let contexts = || call("configuration_view", &json!({"minified": false}));
    let steps = [
        tools_step(),
        contexts(),
        idle(),
        contexts(),
        idle(),
        tools_step(),
        contexts(),
    ];
    let mut clients = Vec::new();
    for sdk in McpSdk::ALL {
        for server in [LOCAL, REMOTE] {
            clients.push(start(&world, sdk, server, &alice, &steps)?);
        }
    }
    for client in &clients {
        let said = client.ended(PATIENCE).await?;
        assert_noticed_nothing(client, &said);
        assert!(first(&said, "tools")["count"].as_u64() > Some(5), "{said:?}");
    }
    let stats = world.envoy.stats().await?;
    for server in [LOCAL, REMOTE] {
        let cluster = format!("mcp_{server}");
        let answered = |code| {
            let labels = [
                ("envoy_cluster_name", cluster.as_str()),
                ("envoy_response_code", code),
            ];
            stats.count("envoy_cluster_upstream_rq", &labels)
        };
        assert!(answered("200") >= 12, "{server}: {}", answered("200"));
        assert_eq!((answered("401"), answered("403")), (0, 0), "{server}");
    }
    assert!(world.home.counts().refreshes_succeeded >= 2);
    assert!(world.remote.counts().exchanges_succeeded >= 2);
    assert_eq!(world.tally().warnings, 0, "{:#?}", world.envoy.wasm_lines());
    Ok(())
}
