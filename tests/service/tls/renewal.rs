//! Renewed certificates: used for new connections without a restart, and never a broken one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use tokenward_harness::parts::{Authority, Valid};

use super::stage::{NAMES, PATIENCE, Stage, files, line};

#[tokio::test]
async fn a_renewed_certificate_is_used_for_new_connections_and_no_request_fails() -> anyhow::Result<()> {
    let mut stage = Stage::start(json!({}), &[]).await?;
    let (requests, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let over = Arc::new(AtomicBool::new(false));
    let client = stage.client(&stage.authority, None)?;
    let url = format!("{}/readyz", stage.control.url());
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (client, url, over) = (client.clone(), url.clone(), Arc::clone(&over));
            let (requests, failed) = (Arc::clone(&requests), Arc::clone(&failed));
            tokio::spawn(async move {
                while !over.load(Ordering::SeqCst) {
                    let answer = client.get(&url).send().await;
                    requests.fetch_add(1, Ordering::SeqCst);
                    if !answer.is_ok_and(|answer| answer.status() == 200) {
                        failed.fetch_add(1, Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();
    for round in 1..=5 {
        let mark = stage.log().mark();
        let pair = stage.authority.pair(&NAMES)?;
        stage.secret.update(&files(&pair))?;
        let renewed = |line: &str| line.contains("the certificate was renewed");
        stage.log().wait_for_line_after(mark, renewed, PATIENCE).await?;
        let metrics = stage.control.metrics().await?;
        let outcome =
            |outcome| metrics.count("tokenward_certificate_renewals_total", &[("outcome", outcome)]);
        assert_eq!((outcome("applied"), outcome("rejected")), (round, 0));
    }
    over.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await?;
    }
    assert!(requests.load(Ordering::SeqCst) > 50, "{requests:?}");
    assert_eq!(failed.load(Ordering::SeqCst), 0);
    Ok(())
}

#[tokio::test]
async fn new_connections_get_the_new_certificate_and_open_ones_stay() -> anyhow::Result<()> {
    let mut stage = Stage::start(json!({}), &[]).await?;
    let other = Authority::new("the next authority")?;
    let (before, after) = (stage.client(&stage.authority, None)?, stage.client(&other, None)?);
    assert_eq!(stage.status(&before, "/livez").await, Some(200));
    assert_eq!(stage.status(&after, "/livez").await, None);
    let pair = other.pair(&NAMES)?;
    stage.secret.update(&files(&pair))?;
    line(&stage.log(), &["the certificate was renewed"]).await?;
    assert_eq!(stage.status(&before, "/livez").await, None);
    assert_eq!(stage.status(&after, "/livez").await, Some(200));
    Ok(())
}

#[tokio::test]
async fn a_broken_pair_keeps_the_old_one_in_force_and_is_named() -> anyhow::Result<()> {
    let mut stage = Stage::start(json!({}), &[]).await?;
    let client = stage.client(&stage.authority, None)?;
    let good = stage.authority.pair(&NAMES)?;
    let other = stage.authority.pair(&NAMES)?;
    let expired = stage.authority.pair_valid(&NAMES, Valid::Before)?;
    let early = stage.authority.pair_valid(&NAMES, Valid::Later)?;
    let cases = [
        (
            [
                ("tls.crt", good.certificate.as_str()),
                ("tls.key", other.key.as_str()),
            ],
            "does not belong to the certificate",
        ),
        (
            [("tls.crt", "no certificate"), ("tls.key", &good.key)],
            "contains no certificate in PEM",
        ),
        (
            [("tls.crt", &good.certificate), ("tls.key", "no key")],
            "contains no private key in PEM",
        ),
        (files(&expired), "has expired"),
        (files(&early), "is not valid yet"),
    ];
    for (number, (files, problem)) in (1..).zip(cases) {
        stage.secret.update(&files)?;
        let said = line(&stage.log(), &["the certificate was not renewed", problem]).await?;
        assert!(said.contains("ERROR"), "{said}");
        assert_eq!(stage.status(&client, "/livez").await, Some(200), "{problem}");
        let metrics = stage.control.metrics().await?;
        let rejected = [("outcome", "rejected")];
        assert_eq!(
            metrics.count("tokenward_certificate_renewals_total", &rejected),
            number
        );
        assert_eq!(metrics.count("tokenward_config_reloads_total", &rejected), number);
    }
    stage.secret.update(&files(&good))?;
    line(&stage.log(), &["the certificate was renewed"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_fault_elsewhere_in_the_configuration_does_not_delay_a_renewal() -> anyhow::Result<()> {
    let mut stage = Stage::start(json!({}), &[]).await?;
    let broken = stage.control.config().clone().setting("margin", "soon");
    stage.control.rewrite(broken)?;
    line(
        &stage.log(),
        &["the configuration was not reloaded", "margin: bad duration"],
    )
    .await?;
    let pair = stage.authority.pair(&NAMES)?;
    stage.secret.update(&files(&pair))?;
    line(&stage.log(), &["the certificate was renewed"]).await?;
    // The configuration is still bad, and the metric of the last reload must not say otherwise.
    let metrics = stage.control.metrics().await?;
    let count = |outcome| metrics.count("tokenward_config_reloads_total", &[("outcome", outcome)]);
    assert_eq!((count("applied"), count("rejected")), (0, 2));
    Ok(())
}

#[tokio::test]
async fn a_process_with_an_expired_certificate_says_so_and_takes_the_renewed_one() -> anyhow::Result<()> {
    let mut stage = Stage::launch(Valid::Before, json!({}), &[]).await?;
    let said = line(&stage.log(), &["the certificate has expired"]).await?;
    assert!(said.contains("ERROR") && said.contains("renew it"), "{said}");
    let pair = stage.authority.pair(&NAMES)?;
    stage.secret.update(&files(&pair))?;
    line(&stage.log(), &["the certificate was renewed"]).await?;
    stage.control.wait_until_listening().await?;
    stage.control.wait_until_ready(PATIENCE).await?;
    Ok(())
}
