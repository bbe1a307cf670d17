//! Whose requests are more than passed: those of a configured client, with its secret, in a form that leaves no doubt.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokenward_harness::issuer::{DexClient, DexConfig};

use super::raw::{Play, answer};
use super::{counted, edge, relayed};
use crate::deployment::{ADMIN, Deployment, Plan, RelayAnswer, RelayCall, basic};
use crate::secrecy::Captured;
use crate::traffic::metrics;

const LOGIN: &str = "grant_type=password&scope=openid&username=u&password=p";

/// One change of a checked client's login that makes it any request.
type Change = fn(reqwest::RequestBuilder) -> reqwest::RequestBuilder;

/// What is sent: `Authorization`, a change of the request, the form.
fn doubtful() -> Vec<(&'static str, Option<String>, Change, String)> {
    let own = Some(basic("muster", "s3cret"));
    let unchanged: Change = |request| request;
    let login = LOGIN.to_owned();
    let with = |more: &str| format!("{LOGIN}&{more}");
    let long = with(&format!("x={}", "y".repeat(64 * 1024)));
    let many = with(&(0..64).map(|at| format!("p{at}=1&")).collect::<String>());
    vec![
        ("no client", None, unchanged, login.clone()),
        (
            "an unknown client",
            Some(basic("other", "s3cret")),
            unchanged,
            login.clone(),
        ),
        (
            "a wrong secret",
            Some(basic("muster", "wrong")),
            unchanged,
            login.clone(),
        ),
        (
            "an empty secret",
            Some(basic("muster", "")),
            unchanged,
            login.clone(),
        ),
        (
            "a bearer",
            Some("Bearer s3cret".to_owned()),
            unchanged,
            login.clone(),
        ),
        ("no base64", Some("Basic !".to_owned()), unchanged, login.clone()),
        (
            "a wrong secret in the form",
            None,
            unchanged,
            with("client_id=muster&client_secret=x"),
        ),
        (
            "a secret without an id",
            None,
            unchanged,
            with("client_secret=s3cret"),
        ),
        (
            "two methods",
            own.clone(),
            unchanged,
            with("client_id=muster&client_secret=s3cret"),
        ),
        (
            "another client in the form",
            own.clone(),
            unchanged,
            with("client_id=kube"),
        ),
        (
            "an assertion",
            own.clone(),
            unchanged,
            with("client_assertion=e30"),
        ),
        (
            "a repeated parameter",
            own.clone(),
            unchanged,
            with("scope=openid"),
        ),
        (
            "a repeated empty parameter",
            own.clone(),
            unchanged,
            with("a=&a="),
        ),
        ("a broken form", own.clone(), unchanged, with("a=%zz")),
        ("too many parameters", own.clone(), unchanged, many),
        ("a long body", own.clone(), unchanged, long),
        (
            "proof of possession",
            own.clone(),
            |request| request.header("dpop", "e30"),
            login.clone(),
        ),
        (
            "a content coding",
            own.clone(),
            |request| request.header("content-encoding", "gzip"),
            login.clone(),
        ),
        (
            "two content types",
            own.clone(),
            |request| request.header("content-type", "text/plain"),
            login.clone(),
        ),
        (
            "two credentials",
            own.clone(),
            |request| request.header("authorization", "Basic eDp5"),
            login.clone(),
        ),
        (
            "no login",
            own.clone(),
            unchanged,
            "grant_type=client_credentials".to_owned(),
        ),
        ("no grant type", own.clone(), unchanged, "a=b".to_owned()),
        (
            "no refresh token",
            own,
            unchanged,
            "grant_type=refresh_token".to_owned(),
        ),
    ]
}

#[tokio::test]
async fn of_any_other_request_nothing_is_read_learned_or_logged() -> anyhow::Result<()> {
    let tokens =
        br#"{"access_token":"a","token_type":"bearer","id_token":"e30.e30.e30","refresh_token":"r"}"#;
    let (deployment, issuer) = edge::before(answer("200 OK", &[], tokens)).await?;
    let (captured, _guard) = Captured::start(tracing::Level::DEBUG);
    deployment.store().set_off(true);
    let requests = doubtful();
    for (at, (what, authorization, change, form)) in requests.iter().enumerate() {
        let call = deployment
            .relayed(0, &[])
            .authorization(authorization.as_deref())
            .form(form.as_str());
        let answered = RelayAnswer::of(change(call.request())).await?;
        assert_eq!(
            (answered.status, answered.body.as_slice()),
            (200, &tokens[..]),
            "{what}"
        );
        assert_eq!(issuer.requests().len(), at + 1, "{what}");
        assert!(issuer.last().body == form.as_bytes(), "{what}");
    }
    // The store is off: control has not even tried to read it.
    assert_eq!(deployment.store().failures(), 0);
    let ours: Vec<String> = captured
        .text()
        .lines()
        .filter(|line| line.contains("tokenward"))
        .map(str::to_owned)
        .collect();
    assert_eq!(ours, Vec::<String>::new());
    drop(captured);
    let seen = metrics(&deployment).await?;
    assert_eq!(seen.count("tokenward_relay_logins_total", &[]), 0);
    assert_eq!(seen.count("tokenward_relay_refreshes_total", &[]), 0);
    let passed = counted(&deployment, "tokenward_relay_passed_total", "answered").await?;
    assert_eq!(passed, requests.len() as u64);
    Ok(())
}

/// Sends a login with the client authenticated in this way, and expects that it was learned as the `count`-th.
async fn learned(deployment: &Deployment, call: RelayCall, count: u64) -> anyhow::Result<()> {
    let answered = call.send().await?;
    assert_eq!(answered.status, 200, "{}", answered.json());
    assert_eq!(
        counted(deployment, "tokenward_relay_logins_total", "learned").await?,
        count
    );
    assert_eq!(
        counted(deployment, "tokenward_relay_passed_total", "login").await?,
        count
    );
    Ok(())
}

#[tokio::test]
async fn a_client_may_send_its_secret_encoded_verbatim_or_in_the_form() -> anyhow::Result<()> {
    const ODD: &str = "odd secret+/%=:";
    let config = DexConfig::default().client(DexClient::new("odd client", ODD));
    let deployment = Deployment::start(Plan {
        dex: config.id_token_lifetime(std::time::Duration::from_secs(300)),
        client: ("odd client".to_owned(), ODD.to_owned()),
        ..relayed()
    })
    .await?;
    let login = deployment.relayed_login(0, ADMIN);
    learned(&deployment, login.clone(), 1).await?;
    let id_beside_it = format!("{}&client_id=odd+client", login.form_text());
    learned(&deployment, login.clone().form(id_beside_it), 2).await?;
    let mut post = form_urlencoded::Serializer::new(login.form_text().to_owned());
    post.extend_pairs([("client_id", "odd client"), ("client_secret", ODD)]);
    learned(&deployment, login.authorization(None).form(post.finish()), 3).await?;
    // Dex decodes what was never encoded and refuses it; a request that control answers itself shows that it knows the client.
    let verbatim = format!("Basic {}", STANDARD.encode(format!("odd client:{ODD}")));
    let unknown = deployment.relayed_refresh(0, "unknown-refresh-token");
    unknown.authorization(Some(&verbatim)).send().await?;
    let seen = metrics(&deployment).await?;
    assert_eq!(seen.count("tokenward_relay_refreshes_total", &[]), 1);
    Ok(())
}

#[tokio::test]
async fn a_client_with_its_secret_is_a_known_caller_while_its_request_lasts() -> anyhow::Result<()> {
    let (deployment, issuer) = edge::before(Vec::new()).await?;
    issuer.play(Play::Held(answer("400 Bad Request", &[], b"{}")));
    let known = [("caller", "known")];
    let unknown = [("caller", "unknown")];
    let in_form = format!("{LOGIN}&client_id=muster&client_secret=s3cret");
    let calls = [
        (deployment.relayed(0, &[]).form(LOGIN), true),
        (deployment.relayed(0, &[]).authorization(None).form(in_form), true),
        (deployment.relayed(0, &[]).authorization(None).form(LOGIN), false),
    ];
    let mut held = Vec::new();
    for (at, (call, is_known)) in calls.into_iter().enumerate() {
        let before = metrics(&deployment).await?;
        held.push(tokio::spawn(async move { call.send().await }));
        issuer.wait_for(at + 1).await;
        let now = metrics(&deployment).await?;
        let more =
            |labels| now.sum("tokenward_intake_bytes", labels) > before.sum("tokenward_intake_bytes", labels);
        assert_eq!((more(&known), more(&unknown)), (is_known, !is_known), "{at}");
    }
    issuer.release();
    for answered in held {
        assert_eq!(answered.await??.status, 400);
    }
    Ok(())
}
