//! The audit log: one line for each event.

use std::path::Path;

use serde_json::json;
use tokenward_control::serve::Reloader;
use tokenward_control::serve::reload::apply;
use tokenward_harness::issuer::{Endpoint, Failure};

use super::{audited, kinds};
use crate::deployment::{ADMIN, AGGREGATOR, FILTER};

#[tokio::test]
async fn each_event_of_a_login_is_one_line() -> anyhow::Result<()> {
    let (deployment, file) = audited().await?;
    let tokens = deployment.log_in("s-1").await?;
    // The same login again is no other login.
    deployment
        .put("s-1", &tokens.id_token, Some(&tokens.refresh_token))
        .await?;
    let ask = deployment.ask(&tokens.id_token).session("s-1");
    assert_eq!(ask.send().await?.status, 200);
    assert_eq!(kinds(&file.lines(&deployment).await?), ["login"]);

    deployment.advance(301);
    deployment
        .dex
        .fail_next(Endpoint::Refresh, 1, &Failure::internal_error());
    for _ in 0..10 {
        assert_eq!(ask.send().await?.status, 503);
    }
    deployment.advance(61);
    for _ in 0..10 {
        assert_eq!(ask.send().await?.status, 200);
    }
    deployment.end("s-1").await?;
    deployment.end("s-1").await?;
    let lines = file.lines(&deployment).await?;
    assert_eq!(
        kinds(&lines),
        [
            "login",
            "refresh_failed",
            "refusal_began",
            "refusal_ended",
            "sign_out"
        ]
    );
    let (login, failed, began, ended) = (&lines[0], &lines[1], &lines[2], &lines[3]);
    for line in &lines {
        assert_eq!((&line["target"], &line["schema"]), (&json!("audit"), &json!(1)));
        assert_eq!(line["user"]["email"], json!(ADMIN), "{line}");
        assert_eq!(line["user"]["verified"], json!(true), "{line}");
        assert_eq!(line["grant"], login["grant"], "{line}");
    }
    assert_eq!(
        (&login["via"], &lines[4]["via"]),
        (&json!("aggregator"), &json!("aggregator"))
    );
    assert_eq!(failed["outcome"], json!("issuer_unavailable"));
    assert_eq!(
        (&began["outcome"], &began["server"]),
        (&json!("issuer_unavailable"), &json!("kubernetes"))
    );
    assert!(began["remedy"].is_string(), "{began}");
    assert_eq!((&ended["count"], &ended["pair"]), (&json!(9), &began["pair"]));
    for line in [began, ended, &lines[4]] {
        assert_eq!(line["session"], login["session"], "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn sign_outs_reloads_and_withdrawn_keys_are_one_line_each() -> anyhow::Result<()> {
    let (deployment, file) = audited().await?;
    for session in ["s-1", "s-2"] {
        deployment.log_in(session).await?;
    }
    let subject = file.lines(&deployment).await?[0]["user"]["subject"].clone();
    let form = json!({"issuer": deployment.dex.issuer(), "subject": subject});
    let request = deployment
        .http
        .post(format!("{}/v1/sign-out", deployment.urls[0]))
        .bearer_auth(AGGREGATOR)
        .json(&form);
    assert_eq!(deployment.request(request).await?.status, 200);
    deployment.dex.rotate_keys();
    deployment.dex.forget_previous_keys();
    deployment.advance(61);
    deployment.log_in("s-3").await?;
    // A reload of a file that is not there, and one that replaces the sealing key.
    let file_of_none = Path::new("no/such/file.yaml");
    let mut reloader = Reloader::of(deployment.service(0).clone(), file_of_none).await;
    reloader.reload("a test").await;
    assert_eq!(file.lines(&deployment).await?.len(), 6);
    let rekeyed = deployment.changed(|document| document["sealing"]["current"]["id"] = json!("k2"))?;
    apply(deployment.service(0), rekeyed)?;
    let lines = file.lines(&deployment).await?;
    assert_eq!(
        kinds(&lines),
        [
            "login",
            "login",
            "sign_out",
            "key_dropped",
            "login",
            "reload",
            "key_dropped"
        ]
    );
    assert_eq!(
        (&lines[2]["count"], &lines[2]["user"]["subject"]),
        (&json!(2), &subject)
    );
    assert_eq!(lines[3]["outcome"], json!("signing_key_withdrawn"));
    assert_eq!(lines[5]["outcome"], json!("rejected"));
    assert_eq!(lines[6]["outcome"], json!("sealing_key_removed"));
    Ok(())
}

#[tokio::test]
async fn nothing_secret_is_in_the_audit_log_or_in_the_history() -> anyhow::Result<()> {
    let session = "a-session-handle-that-is-secret";
    let (deployment, file) = audited().await?;
    let tokens = deployment.log_in(session).await?;
    let ask = deployment.ask(&tokens.id_token).session(session);
    deployment.advance(301);
    for failure in [Failure::internal_error(), Failure::OtherSubject] {
        deployment.dex.fail_next(Endpoint::Refresh, 1, &failure);
        ask.send().await?;
        deployment.advance(61);
    }
    deployment.log_in(session).await?;
    let served = ask.send().await?;
    assert_eq!(served.status, 200, "{served:?}");
    deployment
        .ask("garbage-token")
        .session("another-secret-handle")
        .send()
        .await?;
    deployment
        .post_form(0, "Bearer wrong-credential", &ask.form())
        .await?;
    deployment.end(session).await?;
    let lines = file.lines(&deployment).await?;
    assert!(lines.len() >= 6, "the story was not recorded: {lines:#?}");
    let service = deployment.service(0).service();
    let history = format!("{:?}", service.history().before(None, 1000).await?);
    let pair = lines
        .iter()
        .find_map(|line| line["pair"].as_str())
        .unwrap_or_default();
    let pairs = format!("{:?}", service.history().pair(pair).await?);
    assert!(pairs.contains("Refused") || pairs.contains("Token"), "{pairs}");
    let mut secrets = vec![
        session,
        FILTER,
        AGGREGATOR,
        "s3cret",
        "wrong-credential",
        "garbage-token",
        "another-secret-handle",
        tokens.id_token.as_str(),
        &tokens.refresh_token,
        served.token(),
    ];
    secrets.extend(tokens.id_token.split('.').skip(1));
    let text = file.text()?;
    for secret in secrets {
        for (place, text) in [("audit log", &text), ("history", &history), ("pairs", &pairs)] {
            assert!(!text.contains(secret), "{place} holds {secret:?}");
        }
    }
    Ok(())
}
