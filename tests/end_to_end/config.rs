use serde_json::json;
use tokenward_harness::world::{ALICE, LOCAL, World};

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_configuration_refuses_with_503_and_says_once_which_field() -> anyhow::Result<()> {
    for (name, value, field) in [
        ("margn", json!("60s"), "margn"),
        ("margin", json!("a minute"), "margin"),
        (
            "servers",
            json!([{"name": "x", "auth": {"kind": "magic"}}]),
            "servers[0].auth.kind",
        ),
        (
            "servers",
            json!([{"auth": {"kind": "forward", "issuer": "i"}}]),
            "servers[0].name",
        ),
        (
            "control",
            json!({"cluster": "c", "credential": {"env": "NOT_THERE"}}),
            "control.credential.env",
        ),
    ] {
        let world = World::builder()
            .workers(4)
            .filter_setting(name, value)
            .start()
            .await?;
        let alice = world.log_in(ALICE).await?;
        for answer in world.call(LOCAL).login(&alice).send_many(16).await? {
            assert_eq!(
                (answer.status, answer.refusal().as_deref()),
                (503, Some("filter_misconfigured"))
            );
            assert!(answer.body.contains("filter misconfigured"), "{}", answer.body);
            assert!(answer.header("retry-after").is_some());
        }
        assert_eq!(world.upstream_requests(), 0);
        world.tally_when(|tally| tally.warnings >= 1).await?;
        let lines = world.envoy.wasm_lines();
        let warnings: Vec<_> = lines.iter().filter(|line| line.level == "warning").collect();
        assert_eq!(warnings.len(), 1, "{warnings:#?}");
        assert!(
            warnings[0].message.contains(&format!("field {field}: ")),
            "{}",
            warnings[0].message
        );
    }
    Ok(())
}
