use tokenward_harness::world::{ALICE, LOCAL, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_token_is_forwarded_unchanged_and_causes_no_call() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let alice = world.log_in(ALICE).await?;
    for _ in 0..20 {
        let answer = world.call(LOCAL).login(&alice).send().await?;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let seen = world.server(LOCAL).seen();
    let presented = tokenward_harness::issuer::fingerprint(&alice.tokens.id_token);
    assert_eq!(seen.len(), 20);
    assert!(
        seen.iter().all(|token| token.fingerprint == presented),
        "byte for byte"
    );
    assert_eq!(world.home.counts().refreshes_presented, 0);
    assert_eq!(world.envoy.wasm_lines(), []);
    let stats = world.envoy.stats().await?;
    let labels = [("server", LOCAL), ("outcome", "forwarded")];
    assert_eq!(stats.count("tokenward_requests_total", &labels), 20);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_no_server_passes_untouched_and_is_counted() -> anyhow::Result<()> {
    let world = World::builder()
        .filter_setting(
            "servers",
            serde_json::json!([{
                "name": "elsewhere", "host": "elsewhere.example.com",
                "auth": {"kind": "forward", "issuer": "https://dex.example.com"},
            }]),
        )
        .start()
        .await?;
    let answer = world.call(LOCAL).bearer("not a token").send().await?;
    assert_eq!(answer.status, 401);
    assert_eq!(
        world.server(LOCAL).counts().rejected_other,
        1,
        "the server itself answered"
    );
    let stats = world.envoy.stats().await?;
    let labels = [("server", "-"), ("outcome", "passed")];
    assert_eq!(stats.count("tokenward_requests_total", &labels), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_found_by_its_routes_annotation() -> anyhow::Result<()> {
    let world = World::builder().annotated().start().await?;
    let alice = world.log_in(ALICE).await?;
    assert_eq!(world.call(LOCAL).login(&alice).send().await?.status, 200);
    assert_eq!(
        world.call(LOCAL).send().await?.refusal().as_deref(),
        Some("missing_bearer")
    );
    assert_eq!(world.call("remote-1").login(&alice).send().await?.status, 200);
    assert_eq!(world.remote.counts().exchanges_succeeded, 1);
    Ok(())
}
