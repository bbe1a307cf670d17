//! `tokenward doctor --gateway` learns from requests, and from Envoy, whether the filter stands before the servers.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::json;
use tokenward_harness::parts::{DoctorRun, Envoy, EnvoyConfig, EnvoyRoute, ports, tools};
use tokenward_harness::world::{LOCAL, World};

/// Servers are found by annotations, each is a resource of the gateway, and nothing else passes.
async fn world() -> anyhow::Result<World> {
    World::builder()
        .annotated()
        .resources_at(ports::free_port()?)
        .control_setting("filter_module", json!({"path": tools::filter_module()?}))
        .filter_setting("unmatched", "refuse")
        .filter_setting("unprotected", json!([{"path_prefix": "/.well-known"}]))
        .start()
        .await
}

/// The doctor, with control's configuration, at the server's URL of this Envoy and at its admin interface.
fn doctor(world: &World, envoy: &Envoy) -> anyhow::Result<DoctorRun> {
    let config = world.control.config_file().display().to_string();
    let url = format!("{}/{LOCAL}/mcp", envoy.url());
    let admin = envoy.admin_url();
    let control = world.control.url();
    let arguments = [
        "--config",
        &config,
        "--control",
        &control,
        "--gateway",
        &url,
        "--envoy-admin",
        &admin,
    ];
    DoctorRun::of(&arguments, "")
}

/// Another Envoy beside the world's, on a port of its own.
async fn beside(world: &World, change: impl FnOnce(&mut EnvoyConfig)) -> anyhow::Result<Envoy> {
    let mut config = world.envoy.config().clone();
    config.listener_port = 0;
    change(&mut config);
    Envoy::start(&config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_stands_before_its_servers_is_found_and_its_credential_tried() -> anyhow::Result<()> {
    let world = world().await?;
    let run = doctor(&world, &world.envoy)?;
    assert_eq!(run.names("fail"), [""; 0], "{}", run.printed);
    assert!(run.succeeded, "{}", run.printed);
    let filter = run.check(&format!("{LOCAL}/mcp: filter"))?;
    assert_eq!(filter.outcome, "ok");
    assert!(
        filter.finding.contains(&format!("of server {LOCAL}")),
        "{filter:?}"
    );
    let stale = run.check("a stale token")?;
    assert_eq!(stale.outcome, "ok");
    assert!(stale.finding.contains("credential is good"), "{stale:?}");
    assert_eq!(run.check("metadata")?.outcome, "ok", "{}", run.printed);
    assert_eq!(run.check("envoy: module loaded")?.outcome, "ok");
    assert_eq!(run.check("envoy: routes")?.outcome, "ok");
    let digest = world.module_digest().await?;
    assert!(
        run.check("/: filter module")?.finding.contains(&digest),
        "{}",
        run.printed
    );
    // What was not named is listed, not taken for good.
    assert_eq!(
        run.names("skipped"),
        ["gateway: other servers", "policies"],
        "{}",
        run.printed
    );
    assert_eq!(world.upstream_requests(), 0, "no server is reached");
    assert_eq!(world.home.counts().refreshes_succeeded, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_filter_a_wrong_credential_and_a_route_without_annotation_have_a_cure_each()
-> anyhow::Result<()> {
    let world = world().await?;

    let bare = beside(&world, |config| config.filter = None).await?;
    let run = doctor(&world, &bare)?;
    assert!(!run.succeeded);
    let filter = run.check(&format!("{LOCAL}/mcp: filter"))?;
    assert_eq!(filter.outcome, "fail");
    assert!(
        filter.finding.contains("without a refusal of the filter"),
        "{filter:?}"
    );
    assert!(filter.hint.contains("Conflicted"), "{filter:?}");
    assert_eq!(run.check("a stale token")?.outcome, "fail");
    assert!(
        run.check("envoy: filter")?
            .finding
            .contains("no listener in service has the filter")
    );

    let stranger = beside(&world, |config| {
        if let Some(filter) = &mut config.filter {
            filter.credential = Some("of-another-release".to_owned());
        }
    })
    .await?;
    let run = doctor(&world, &stranger)?;
    assert_eq!(run.names("fail").len(), 1, "{}", run.printed);
    let stale = run.check("a stale token")?;
    assert!(stale.finding.contains("caller_rejected"), "{stale:?}");
    assert!(stale.hint.contains("restart Envoy's pods"), "{stale:?}");

    let unannotated = beside(&world, |config| {
        let server = world.server(LOCAL).address();
        config.routes = vec![EnvoyRoute::new(&format!("/{LOCAL}"), server)];
    })
    .await?;
    let run = doctor(&world, &unannotated)?;
    let filter = run.check(&format!("{LOCAL}/mcp: filter"))?;
    assert_eq!(filter.outcome, "fail");
    assert!(filter.finding.contains("404 unmatched"), "{filter:?}");
    assert!(
        filter.hint.contains("gateway.envoyproxy.io/tokenward-server"),
        "{filter:?}"
    );
    let routes = run.check("envoy: routes")?;
    assert_eq!(routes.outcome, "warn");
    assert!(routes.finding.contains(LOCAL), "{routes:?}");

    // No process listens there.
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free_port()?));
    let away = beside(&world, |config| config.control = Some(nowhere)).await?;
    let run = doctor(&world, &away)?;
    let stale = run.check("a stale token")?;
    assert_eq!(stale.outcome, "fail");
    assert!(stale.finding.contains("control_unreachable"), "{stale:?}");
    Ok(())
}

/// The gateway is configured with one module, control serves another.
#[tokio::test(flavor = "multi_thread")]
async fn another_digest_than_the_served_one_is_a_failure_with_both() -> anyhow::Result<()> {
    let world = world().await?;
    let digest = world.module_digest().await?;
    let fetched = beside(&world, |config| config.module_from_control = Some(digest.clone())).await?;
    let run = doctor(&world, &fetched)?;
    let module = run.check("envoy: filter module")?;
    assert_eq!(module.outcome, "ok", "{}", run.printed);
    assert!(module.finding.contains(&digest), "{module:?}");

    let pinned = "0".repeat(64);
    let control = world.control.url();
    let admin = fetched.admin_url();
    let run = DoctorRun::of(
        &[
            "--control",
            &control,
            "--filter-sha256",
            &pinned,
            "--envoy-admin",
            &admin,
        ],
        "",
    )?;
    assert!(!run.succeeded);
    for name in ["/: filter module", "envoy: filter module"] {
        let module = run.check(name)?;
        assert_eq!(module.outcome, "fail", "{}", run.printed);
        assert!(
            module.finding.contains(&digest) && module.finding.contains(&pinned),
            "{module:?}"
        );
        assert!(module.hint.contains("gateway.filter.sha256"), "{module:?}");
    }
    Ok(())
}
