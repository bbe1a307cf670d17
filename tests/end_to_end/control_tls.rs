//! TLS between the filter and control, on real Envoy: verified on both sides, renewed under load, and refused truthfully.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokenward_harness::parts::{Authority, ControlTls, Envoy, MountedSecret};
use tokenward_harness::world::{ALICE, LOCAL, World};
use tokio::sync::Barrier;

const PATIENCE: Duration = Duration::from_secs(20);
/// The name that Envoy verifies, and the address that the harness calls.
const NAMES: [&str; 2] = ["tokenward.mcp.svc.cluster.local", "127.0.0.1"];
const CLIENT: &str = "envoy.gateways.svc";

/// A world with TLS in front of control, and what its certificates are made of.
struct Secured {
    world: World,
    authority: Authority,
    secret: MountedSecret,
    tls: ControlTls,
}

impl Secured {
    /// `mutual`: control demands a certificate of [`CLIENT`] too.
    async fn start(mutual: bool) -> anyhow::Result<Self> {
        let authority = Authority::new("an authority")?;
        let pair = authority.pair(&NAMES)?;
        let ca = authority.pem();
        let files = [
            ("tls.crt", pair.certificate.as_str()),
            ("tls.key", &pair.key),
            ("ca.crt", &ca),
        ];
        let secret = MountedSecret::mount(&files)?;
        let mut listener = json!({
            "certificate": {"file": secret.path("tls.crt")},
            "key": {"file": secret.path("tls.key")},
            "names": NAMES,
        });
        if mutual {
            listener["client_ca"] = json!({"file": secret.path("ca.crt")});
            listener["client_names"] = json!([CLIENT]);
        }
        let tls = ControlTls {
            listener,
            authority: ca,
            name: NAMES[0].to_owned(),
            client: mutual.then(|| authority.pair(&[CLIENT])).transpose()?,
        };
        let world = World::builder()
            .control_setting("watch_interval", "100ms")
            .control_tls(tls.clone())
            .start()
            .await?;
        Ok(Self {
            world,
            authority,
            secret,
            tls,
        })
    }

    /// The world's Envoy with other TLS to control.
    async fn envoy_with(&self, tls: ControlTls) -> anyhow::Result<Envoy> {
        let mut config = self.world.envoy.config().clone();
        config.listener_port = 0;
        config.control_tls = Some(tls);
        Envoy::start(&config).await
    }
}

async fn stale_tokens_are_replaced(mutual: bool) -> anyhow::Result<()> {
    let secured = Secured::start(mutual).await?;
    let world = &secured.world;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    for server in [LOCAL, "remote-1"] {
        let answer = world.call(server).login(&alice).send().await?;
        assert_eq!(answer.status, 200, "{server}: {answer:?}");
    }
    assert_eq!(world.home.counts().refreshes_presented, 1);
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_calls_control_over_tls() -> anyhow::Result<()> {
    stale_tokens_are_replaced(false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_calls_control_with_a_client_certificate() -> anyhow::Result<()> {
    stale_tokens_are_replaced(true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_trusts_another_authority_or_expects_another_name_refuses_and_the_cause_is_counted()
-> anyhow::Result<()> {
    let secured = Secured::start(false).await?;
    let alice = secured.world.log_in_an_hour_ago(ALICE).await?;
    let stranger = Authority::new("another authority")?.pem();
    // Envoy counts why it refused the certificate.
    let wrong = [
        (
            "envoy_cluster_ssl_fail_verify_error",
            ControlTls {
                authority: stranger,
                ..secured.tls.clone()
            },
        ),
        (
            "envoy_cluster_ssl_fail_verify_san",
            ControlTls {
                name: "control.elsewhere.svc".to_owned(),
                ..secured.tls.clone()
            },
        ),
    ];
    for (counter, tls) in wrong {
        let envoy = secured.envoy_with(tls).await?;
        let answer = secured
            .world
            .call(LOCAL)
            .login(&alice)
            .through(&envoy)
            .send()
            .await?;
        assert_eq!(
            (answer.status, answer.refusal().as_deref()),
            (503, Some("control_unreachable"))
        );
        let warning = envoy
            .wait_for_wasm_line(|line| line.message.contains("control_unreachable"), PATIENCE)
            .await?;
        assert_eq!(warning.level, "warning");
        assert!(
            warning
                .message
                .contains("the gateway cannot reach the token service"),
            "{warning:?}"
        );
        let stats = envoy.stats().await?;
        let of_control = [("envoy_cluster_name", "tokenward_control")];
        assert!(stats.count(counter, &of_control) >= 1, "{counter}");
    }
    assert_eq!(secured.world.upstream_requests(), 0);
    // Control states the cause from its side.
    let log = secured.world.control.log();
    let cause = |line: &str| {
        line.contains("a TLS handshake failed") && line.contains("does not accept this certificate")
    };
    log.wait_for_line(cause, PATIENCE).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_without_the_client_certificate_is_told_apart_from_one_that_cannot_connect()
-> anyhow::Result<()> {
    let secured = Secured::start(true).await?;
    let alice = secured.world.log_in_an_hour_ago(ALICE).await?;
    let envoy = secured
        .envoy_with(ControlTls {
            client: None,
            ..secured.tls.clone()
        })
        .await?;
    let answer = secured
        .world
        .call(LOCAL)
        .login(&alice)
        .through(&envoy)
        .send()
        .await?;
    assert_eq!(answer.refusal().as_deref(), Some("caller_rejected"));
    let log = secured.world.control.log();
    log.wait_for_line(|line| line.contains("tls.client_ca"), PATIENCE)
        .await?;
    assert_eq!(secured.world.upstream_requests(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_the_certificate_is_renewed_under_load() -> anyhow::Result<()> {
    let mut secured = Secured::start(false).await?;
    let alice = secured.world.log_in_an_hour_ago(ALICE).await?;
    let over = Arc::new(AtomicBool::new(false));
    // A login of an hour ago is made while the issuers' clocks are back by that hour: a token that they made for another
    // caller meanwhile would be stale.
    let answered = Arc::new(Barrier::new(5));
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let (over, answered) = (Arc::clone(&over), Arc::clone(&answered));
            // Each caller's token is unknown to Envoy's cache at first: exchanges and refreshes go to control.
            let server = if caller % 2 == 0 { LOCAL } else { "remote-1" };
            let call = secured.world.call(server).login(&alice);
            tokio::spawn(async move {
                let (mut requests, mut failed) = (0_usize, Vec::new());
                while !over.load(Ordering::SeqCst) {
                    let answer = call.clone().send().await;
                    requests += 1;
                    match answer {
                        Ok(answer) if answer.status == 200 => {}
                        Ok(answer) => {
                            failed.push(format!("{server}: {} {:?}", answer.status, answer.refusal()));
                        }
                        Err(error) => failed.push(format!("{server}: {error:#}")),
                    }
                    if requests == 1 {
                        answered.wait().await;
                    }
                }
                (requests, failed)
            })
        })
        .collect();
    answered.wait().await;
    let mut logins = 0;
    for _ in 0..3 {
        let log = secured.world.control.log();
        let mark = log.mark();
        let pair = secured.authority.pair(&NAMES)?;
        let ca = secured.authority.pem();
        let files = [
            ("tls.crt", pair.certificate.as_str()),
            ("tls.key", &pair.key),
            ("ca.crt", &ca),
        ];
        secured.secret.update(&files)?;
        log.wait_for_line_after(
            mark,
            |line| line.contains("the certificate was renewed"),
            PATIENCE,
        )
        .await?;
        // A token that no worker has seen needs a call to control, over the certificate of now.
        let again = secured.world.log_in_an_hour_ago("bob@example.com").await?;
        let answer = secured.world.call(LOCAL).login(&again).send().await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        logins += 1;
    }
    over.store(true, Ordering::SeqCst);
    let (mut requests, mut failed) = (0, Vec::new());
    for caller in callers {
        let (sent, lost) = caller.await?;
        requests += sent;
        failed.extend(lost);
    }
    assert!(requests > 20, "{requests}");
    assert_eq!(
        (failed.len(), logins),
        (0, 3),
        "first of those that failed: {:?}",
        failed.first()
    );
    Ok(())
}
