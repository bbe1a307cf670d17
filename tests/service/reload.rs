//! A reload: all of a good configuration applies to new requests, nothing of a bad one, and nothing is lost.

use std::time::Duration;

use serde_json::{Value, json};
use tokenward_control::config::ConfigError;
use tokenward_control::serve::reload::{ReloadError, apply};
use tokenward_harness::issuer::Endpoint;
use tokenward_harness::parts::ControlConfig;

use crate::deployment::{AGGREGATOR, Deployment, Plan, at_once, basic};
use crate::exchange::{Pair, pair};

const PATIENCE: Duration = Duration::from_secs(20);

fn remote_server(document: &mut Value) -> &mut Value {
    &mut document["servers"][1]
}

#[tokio::test]
async fn new_credentials_servers_and_margins_apply_to_new_requests() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    let form = deployment.ask(&tokens.id_token).form();
    let old = basic("filter", crate::deployment::FILTER);
    assert_eq!(deployment.post_form(0, &old, &form).await?.status, 200);

    // A rotated secret: the same file name, other content.
    deployment.write_file("filter-credential", "rotated-credential")?;
    let config = deployment.changed(|document| {
        let second = json!({"name": "second", "auth": {"forwardToken": true}});
        if let Some(servers) = document["servers"].as_array_mut() {
            servers.push(second);
        }
        document["margin"] = json!("200s");
    })?;
    apply(deployment.service(0), config)?;

    let refused = deployment.post_form(0, &old, &form).await?;
    assert_eq!(refused.refusal(), (401, "caller_rejected"));
    let new = basic("filter", "rotated-credential");
    let second = form.replace("audience=kubernetes", "audience=second");
    assert_eq!(deployment.post_form(0, &new, &second).await?.status, 200);
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    // 101 seconds later the token of 300 seconds is inside the new margin, and far from the old one of 60.
    deployment.advance(101);
    let answer = deployment.post_form(0, &new, &form).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_ne!(answer.token(), tokens.id_token);
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}

#[tokio::test]
async fn an_exchanged_token_of_a_changed_server_is_not_used_any_more() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let tokens = home.log_in("s-1").await?;
    let ask = home.ask(&tokens.id_token).session("s-1").server("remote");
    let first = ask.send().await?;
    assert_eq!(first.status, 200, "{first:?}");

    let changed = home.changed(|document| {
        remote_server(document)["auth"]["requiredAudiences"] = json!(["exchanger", "api"]);
    })?;
    apply(home.service(0), changed)?;
    let second = ask.send().await?;
    assert_eq!(second.status, 200, "{second:?}");
    assert_ne!(first.token(), second.token());
    assert_eq!(remote.counts().exchanges_presented, 2);

    // A server that is not changed retains its tokens.
    let unchanged = home.changed(|document| document["margin"] = json!("61s"))?;
    apply(home.service(0), unchanged)?;
    assert_eq!(ask.send().await?.token(), first.token());
    assert_eq!(remote.counts().exchanges_presented, 2);
    Ok(())
}

#[tokio::test]
async fn a_refresh_under_way_finishes_under_the_old_configuration_and_is_the_only_one() -> anyhow::Result<()>
{
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment.dex.hold(Endpoint::Refresh);
    let ask = deployment.ask(&tokens.id_token).session("s-1");
    let reloads = async {
        tokio::time::timeout(PATIENCE, deployment.dex.wait_until_held(Endpoint::Refresh, 1)).await?;
        // The server is gone from the new configuration; a call from before still gets its token.
        let config = deployment.changed(|document| {
            document["servers"] = json!([{"name": "other", "auth": {"forwardToken": true}}]);
        })?;
        apply(deployment.service(0), config)?;
        let after = ask.clone().send().await?;
        deployment.dex.release(Endpoint::Refresh);
        let other = ask.clone().server("other").send().await?;
        anyhow::Ok((after, other))
    };
    let (before, reloads) = tokio::join!(ask.send(), reloads);
    let (after, other) = reloads?;
    let before = before?;
    assert_eq!(before.status, 200, "{before:?}");
    assert_eq!(after.refusal(), (400, "unknown_server"));
    assert_eq!((other.status, other.token()), (200, before.token()), "{other:?}");
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    assert!(deployment.service(0).drain(PATIENCE).await);
    Ok(())
}

#[tokio::test]
async fn what_needs_a_restart_or_is_wrong_changes_nothing() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    let cases = [
        (json!({"listen": "127.0.0.1:1"}), "listen"),
        (json!({"store": {"embedded": {"path": "/elsewhere"}}}), "store"),
        (
            json!({"listen": "127.0.0.1:1", "store": {"valkey": {"url": "redis://127.0.0.1:1"}}}),
            "listen and store",
        ),
    ];
    for (change, named) in cases {
        let config = deployment.changed(|document| {
            if let (Some(document), Some(change)) = (document.as_object_mut(), change.as_object()) {
                document.extend(change.clone());
            }
            document["servers"] = json!([{"name": "other", "auth": {"forwardToken": true}}]);
        })?;
        let refused = apply(deployment.service(0), config).expect_err("it needs a restart");
        assert!(
            matches!(&refused, ReloadError::RestartNeeded(fields) if fields == named),
            "{refused}"
        );
        assert_eq!(
            refused.to_string(),
            format!("restart needed: {named} cannot change while running")
        );
        assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
    }
    let wrong = deployment.changed(|document| document["margin"] = json!("soon"));
    let error = wrong.expect_err("it is wrong");
    assert!(matches!(
        error.downcast_ref::<ConfigError>(),
        Some(ConfigError::Invalid(_))
    ));
    Ok(())
}

#[tokio::test]
async fn callers_see_no_failure_while_the_configuration_is_reloaded_again_and_again() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    let reloads = async {
        for round in 0..20 {
            let config =
                deployment.changed(|document| document["margin"] = json!(format!("{}s", 60 + round)))?;
            apply(deployment.service(0), config)?;
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    let asks: Vec<_> = (0..200).map(|_| deployment.ask(&tokens.id_token)).collect();
    let (reloaded, answers) = tokio::join!(reloads, at_once(asks.iter().map(|ask| ask.send())));
    reloaded?;
    assert_eq!(answers.len(), 200);
    for answer in answers {
        assert_eq!(answer?.status, 200);
    }
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    Ok(())
}

/// The real process, its signal, its log lines and its metric.
#[tokio::test]
async fn sighup_applies_a_good_file_and_retains_the_old_one_on_a_bad_or_fixed_one() -> anyhow::Result<()> {
    const ROTATED: &str = "another-aggregator-secret";
    let plan = Plan {
        settings: json!({"listen": "127.0.0.1:0", "watch_interval": "9m"}),
        ..Plan::of_one_process()
    };
    let mut deployment = Deployment::start_processes(plan).await?;
    let control = &mut deployment.replicas.controls[0];
    let status = |credential: &str| {
        let request = reqwest::Client::new()
            .get(format!("{}/v1/sessions/none", control.url()))
            .bearer_auth(credential);
        async move { anyhow::Ok(request.send().await?.status().as_u16()) }
    };
    let (old, new) = (status(AGGREGATOR), status(ROTATED));
    assert_eq!((old.await?, new.await?), (404, 401));
    let (old, new) = (status(AGGREGATOR), status(ROTATED));

    let rotated = ControlConfig {
        aggregator_credential: ROTATED.into(),
        ..control.config().clone()
    };
    control.rewrite(rotated.clone())?;
    let mark = control.log().mark();
    control.hang_up()?;
    let line = |text: &'static str| move |line: &str| line.contains(text);
    let log = control.log();
    log.wait_for_line_after(mark, line("the configuration was reloaded"), PATIENCE)
        .await?;
    assert_eq!((old.await?, new.await?), (401, 404));
    let metrics = control.metrics().await?;
    assert_eq!(metrics.count("tokenward_config_last_reload_successful", &[]), 1);

    let mark = log.mark();
    control.rewrite(
        rotated
            .clone()
            .setting("margin", "soon")
            .setting("caller_deadline", "0s"),
    )?;
    control.hang_up()?;
    let said = log
        .wait_for_line_after(mark, line("was not reloaded"), PATIENCE)
        .await?;
    let said: Value = serde_json::from_str(&said)?;
    assert_eq!(said["level"], "ERROR");
    assert!(said["line"].is_u64() && said["column"].is_u64(), "{said}");
    let problems = said["problems"].as_str().unwrap_or_default();
    assert!(
        problems.contains("margin: bad duration") && problems.contains("caller_deadline must not be zero"),
        "{said}"
    );

    let mark = log.mark();
    control.rewrite(rotated.setting("listen", "127.0.0.1:1"))?;
    control.hang_up()?;
    let said = log
        .wait_for_line_after(mark, line("was not reloaded"), PATIENCE)
        .await?;
    assert!(
        said.contains("ERROR") && said.contains("restart needed: listen"),
        "{said}"
    );
    assert_eq!(
        log.lines_after(mark).len(),
        1,
        "one line says it: {:?}",
        log.lines_after(mark)
    );

    let metrics = control.metrics().await?;
    for outcome in ["applied", "rejected", "restart_needed"] {
        assert_eq!(
            metrics.count("tokenward_config_reloads_total", &[("outcome", outcome)]),
            1,
            "{outcome}"
        );
    }
    assert_eq!(metrics.count("tokenward_config_last_reload_successful", &[]), 0);
    Ok(())
}
