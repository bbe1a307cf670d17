//! What the tests begin with: an API server with the kinds that Tokenward's resources are of.

use tokenward_harness::parts::cluster::{ApiServer, Named, wait_until_established};

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_the_chart_and_of_servers_is_served() -> anyhow::Result<()> {
    let client = ApiServer::shared().await?.client()?;
    for name in [
        "gateways.gateway.networking.k8s.io",
        "backendtlspolicies.gateway.networking.k8s.io",
        "envoyextensionpolicies.gateway.envoyproxy.io",
        "envoypatchpolicies.gateway.envoyproxy.io",
        "podmonitors.monitoring.coreos.com",
        "prometheusrules.monitoring.coreos.com",
        "servicemonitors.monitoring.coreos.com",
        "mcpservers.muster.giantswarm.io",
        "mcpservers.toolhive.stacklok.dev",
        "mcpremoteproxies.toolhive.stacklok.dev",
        "remotemcpservers.kagent.dev",
    ] {
        wait_until_established(&client, name).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_rights_may_do_nothing_and_a_service_account_is_itself() -> anyhow::Result<()> {
    let client = ApiServer::shared().await?.client()?;
    client.create_namespace("served").await?;
    let secret = Named {
        api: "v1",
        kind: "Secret",
        namespace: "served",
        name: "any",
    };
    let refused = client
        .acting_as("stranger")
        .get(secret)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.starts_with("403: "), "{refused}");
    assert_eq!(client.get(secret).await?, None);
    let account = serde_json::json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot", "namespace": "served"},
    });
    client.apply(&account).await?;
    let token = client.service_account_token("served", "robot").await?;
    let robot = ApiServer::shared().await?.client_of(&token)?;
    let refused = robot.get(secret).await.unwrap_err().to_string();
    assert!(
        refused.contains("system:serviceaccount:served:robot"),
        "{refused}"
    );
    Ok(())
}
