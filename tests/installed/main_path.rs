//! The main stories through a real Envoy Gateway with four workers, which loads the filter from control over HTTP.

use serde_json::{Value, json};
use tokenward_harness::parts::{EnvoyGateway, OciRegistry, tools};
use tokenward_harness::world::{ALICE, CLIENT, LOCAL, Login, World};

const REMOTE: &str = "remote-1";

async fn status(world: &World, gateway: &EnvoyGateway, server: &str, login: &Login) -> anyhow::Result<u16> {
    let call = world.call(server).at(&gateway.url()).login(login);
    Ok(call.send().await?.status)
}

/// The filter as Envoy was configured with it, wherever it stands.
fn filters(dump: &Value) -> Vec<&Value> {
    match dump {
        Value::Object(fields) if fields.get("root_id").is_some_and(|root| root == "tokenward") => vec![dump],
        Value::Object(fields) => fields.values().flat_map(filters).collect(),
        Value::Array(items) => items.iter().flat_map(filters).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_tokens_are_replaced_fresh_ones_pass_and_dead_logins_are_refused() -> anyhow::Result<()> {
    let Some((world, installation)) = World::start_installable("the main path").await? else {
        return Ok(());
    };
    let gateway = world.install(&installation).await?;

    let fresh = world.log_in("bob@example.com").await?;
    assert_eq!(status(&world, &gateway, LOCAL, &fresh).await?, 200);
    assert_eq!(world.tally().refreshes, 0, "a fresh token causes no call");

    let stale = world.log_in_an_hour_ago(ALICE).await?;
    let call = world.call(LOCAL).at(&gateway.url()).login(&stale);
    let answers = call.send_many(16).await?;
    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "{:?}",
        answers[0]
    );
    assert_eq!(status(&world, &gateway, REMOTE, &stale).await?, 200);
    let tally = world.tally();
    assert_eq!((tally.refreshes, tally.exchanges, tally.accepted), (1, 1, 18));
    assert_eq!((tally.rejected_expired, tally.rejected_other), (0, 0));

    let dead = world.log_in_an_hour_ago("carol@example.com").await?;
    assert!(world.home.revoke("carol@example.com", CLIENT.0));
    let before = world.upstream_requests();
    for _ in 0..4 {
        let answers = world
            .call(LOCAL)
            .at(&gateway.url())
            .login(&dead)
            .send_many(16)
            .await?;
        assert!(
            answers.iter().all(|answer| answer.status == 401),
            "{:?}",
            answers[0]
        );
    }
    assert_eq!(world.upstream_requests(), before);
    let warnings = gateway.warnings().await?;
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    let again = world.log_in_again(&dead).await?;
    assert_eq!(status(&world, &gateway, LOCAL, &again).await?, 200);
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}

/// Named metrics, FAIL_RELOAD, four workers, the module from Envoy Gateway's own server.
#[tokio::test(flavor = "multi_thread")]
async fn envoy_is_configured_as_the_resources_state() -> anyhow::Result<()> {
    let Some((world, installation)) = World::start_installable("the configuration of Envoy").await? else {
        return Ok(());
    };
    let gateway = world.install(&installation).await?;
    let alice = world.log_in(ALICE).await?;
    assert_eq!(status(&world, &gateway, LOCAL, &alice).await?, 200);

    let dump = gateway.config_dump("dynamic_listeners").await?;
    let filters = filters(&dump);
    assert_eq!(filters.len(), 1, "{dump:#}");
    let filter = filters[0];
    assert_eq!(filter["failure_policy"], "FAIL_RELOAD");
    assert_eq!(
        filter["vm_config"]["environment_variables"]["host_env_keys"][0],
        "TOKENWARD_FILTER_CREDENTIAL"
    );
    assert_eq!(
        filter["vm_config"]["code"]["remote"]["sha256"],
        world.module_digest().await?.as_str()
    );
    let routes = gateway.config_dump("dynamic_route_configs").await?.to_string();
    assert!(
        routes.contains(r#""timeout":"0s""#),
        "event streams have no deadline: {routes}"
    );
    let clusters = gateway.config_dump("dynamic_active_clusters").await?.to_string();
    assert!(
        clusters.contains(r#""max_connections":4294967295"#),
        "no request waits for a connection: {clusters}"
    );

    let stats = gateway.stats().await?;
    let labels = [("server", LOCAL), ("outcome", "forwarded")];
    assert_eq!(stats.count("tokenward_requests_total", &labels), 1);
    // One VM for each of four workers, and two more.
    assert_eq!(stats.sum("envoy_wasm_envoy_wasm_runtime_v8_active", &[]), 6.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_of_a_route_leads_to_control_as_well_and_the_policy_may_hold_the_servers()
-> anyhow::Result<()> {
    let Some((world, installation)) = World::start_installable("the cluster of a route").await? else {
        return Ok(());
    };
    let installation = installation
        .value("/gateway/controlCluster", "route")?
        .value("/gateway/failReload", false)?
        .value("/gateway/filter/serversFrom", "static")?
        .by_path()?;
    let gateway = world.install(&installation).await?;
    let stale = world.log_in_an_hour_ago(ALICE).await?;
    let answer = world.call(LOCAL).at(&gateway.url()).login(&stale).send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!((world.tally().refreshes, world.rejected_expired()), (1, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_module_may_come_out_of_an_image() -> anyhow::Result<()> {
    let Some((world, installation)) = World::start_installable("the module in an image").await? else {
        return Ok(());
    };
    let registry = OciRegistry::start(&tools::filter_module()?).await?;
    let installation = installation.value(
        "/gateway/filter",
        json!({
            "source": "image",
            "image": {"url": registry.reference(), "sha256": registry.digest()},
        }),
    )?;
    let gateway = world.install(&installation).await?;
    let stale = world.log_in_an_hour_ago(ALICE).await?;
    let answer = world.call(LOCAL).at(&gateway.url()).login(&stale).send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!((world.tally().refreshes, world.rejected_expired()), (1, 0));
    Ok(())
}
