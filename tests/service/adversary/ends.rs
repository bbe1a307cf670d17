//! The end that a user wants comes, whatever client disconnects and whatever fails on the way.

use std::time::{Duration, Instant};

use serde_json::json;
use tokenward_control::serve::serve_until;
use tokenward_harness::issuer::Endpoint;
use tokenward_harness::secrets;
use tokio::io::AsyncWriteExt as _;

use crate::deployment::{ADMIN, AGGREGATOR, Answer, Deployment, Plan, basic};

const PATIENCE: Duration = Duration::from_secs(20);

fn logout_request(deployment: &Deployment, id: &str) -> reqwest::RequestBuilder {
    let event = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    let draft = deployment.dex.mint(ADMIN, "muster").claim("jti", id);
    let token = draft.claim("events", event).token();
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("logout_token", &token)
        .finish();
    deployment
        .http
        .post(format!("{}/v1/backchannel-logout", deployment.urls[0]))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
}

async fn send(deployment: &Deployment, request: &reqwest::RequestBuilder) -> anyhow::Result<Answer> {
    let request = request.try_clone();
    deployment
        .request(request.expect("a body that can be sent again"))
        .await
}

#[tokio::test]
async fn a_logout_that_the_store_cut_short_is_done_when_the_issuer_sends_it_again() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    deployment.log_in("s-1").await?;
    let request = logout_request(&deployment, "one");
    deployment.store().set_broken(Some("members"));
    assert_eq!(
        send(&deployment, &request).await?.refusal(),
        (503, "store_unavailable")
    );
    deployment.store().set_broken(Some("read"));
    assert_eq!(
        send(&deployment, &request).await?.refusal(),
        (503, "store_unavailable")
    );
    deployment.store().set_broken(None);
    assert_eq!(send(&deployment, &request).await?.status, 200);
    assert_eq!(deployment.status("s-1").await?.status, 404);
    // Now it is used up.
    deployment.log_in("s-2").await?;
    assert_eq!(send(&deployment, &request).await?.refusal(), (400, "bad_request"));
    assert_eq!(deployment.status("s-2").await?.status, 200);
    Ok(())
}

/// Sends `request`, disconnects once the store holds it up, and lets the store go on when the connection is gone.
async fn leave(deployment: &Deployment, request: reqwest::RequestBuilder) {
    // A connection of its own: a pooled one would stay open.
    let alone = reqwest::Client::builder().no_proxy().build().expect("a client");
    let (_, request) = request.build_split();
    deployment.store().hold(true);
    let sent = tokio::spawn(async move { alone.execute(request.expect("a request")).await });
    deployment.store().wait_for_held(1).await;
    let metrics = deployment.service(0).service().metrics().clone();
    let others = metrics.connections.get() - 1;
    sent.abort();
    let limit = Instant::now() + PATIENCE;
    while metrics.connections.get() > others {
        assert!(Instant::now() < limit, "the connection was never given up");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    deployment.store().hold(false);
    // As an orderly end of the process does.
    assert!(deployment.service(0).drain(PATIENCE).await);
}

#[tokio::test]
async fn a_logout_goes_on_when_the_issuer_leaves_before_the_answer() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    deployment.log_in("s-1").await?;
    leave(&deployment, logout_request(&deployment, "one")).await;
    assert_eq!(deployment.status("s-1").await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn a_sign_out_everywhere_goes_on_when_the_aggregator_leaves_before_the_answer() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    deployment.log_in("s-1").await?;
    let body = json!({"issuer": deployment.dex.issuer(), "subject": deployment.dex.subject(ADMIN)});
    let request = deployment
        .http
        .post(format!("{}/v1/sign-out", deployment.urls[0]))
        .header("authorization", basic("aggregator", AGGREGATOR))
        .json(&body);
    leave(&deployment, request).await;
    assert_eq!(deployment.status("s-1").await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn a_put_and_an_end_go_on_when_the_aggregator_leaves_before_the_answer() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.dex.log_in(ADMIN, "muster").await?;
    // Its keys are known by now: only the store holds the next one up.
    deployment.log_in("s-0").await?;
    secrets::note("s-9");
    let url = format!("{}/v1/sessions/s-9", deployment.urls[0]);
    let body = json!({"issuer": deployment.dex.issuer(), "client_id": "muster", "id_token": tokens.id_token});
    let put = deployment.http.put(&url).bearer_auth(AGGREGATOR).json(&body);
    leave(&deployment, put).await;
    assert_eq!(deployment.status("s-9").await?.status, 200);
    deployment.store().forget_held();
    leave(&deployment, deployment.http.delete(&url).bearer_auth(AGGREGATOR)).await;
    assert_eq!(deployment.status("s-9").await?.status, 404);
    assert_eq!(deployment.status("s-0").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_session_id_that_is_no_text_is_refused_in_the_same_shape_as_everything_else() -> anyhow::Result<()>
{
    let deployment = Deployment::start(Plan::default()).await?;
    let url = format!("{}/v1/sessions/%FF", deployment.urls[0]);
    let with = |request: reqwest::RequestBuilder| request.bearer_auth(AGGREGATOR);
    for request in [
        with(deployment.http.get(&url)),
        with(deployment.http.delete(&url)),
        with(deployment.http.put(&url)).json(&json!({})),
    ] {
        let answer = deployment.request(request).await?;
        assert_eq!(answer.refusal(), (400, "bad_request"), "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    // A caller without a credential learns nothing of what is wrong.
    let answer = deployment.request(deployment.http.get(&url)).await?;
    assert_eq!(answer.refusal(), (401, "caller_rejected"));
    Ok(())
}

/// One deadline for both: an orchestrator has one, and kills after it.
#[tokio::test]
async fn connections_and_refreshes_that_do_not_end_hold_up_the_end_together_for_as_long_as_one()
-> anyhow::Result<()> {
    const LONGEST: Duration = Duration::from_secs(4);
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment.dex.hold(Endpoint::Refresh);
    let current = deployment.service(0).clone();
    let connections = current.service().metrics().connections.clone();
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    // A request that does not come whole.
    let mut unfinished = tokio::net::TcpStream::connect(socket.local_addr()?).await?;
    unfinished.write_all(b"PUT /v1/sessions/s-2 HTTP/1.1\r\n").await?;
    let refreshing = deployment.ask(&tokens.id_token);
    let asked = async {
        let _ = refreshing.send().await;
    };
    let ended = async {
        deployment.dex.wait_until_held(Endpoint::Refresh, 1).await;
        let before = connections.get();
        let accepted = async {
            while connections.get() == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let began = Instant::now();
        let stop = async { tokio::time::timeout(PATIENCE, accepted).await.unwrap() };
        serve_until(socket, &current, stop, || LONGEST).await;
        began.elapsed()
    };
    let took = tokio::select! {
        took = ended => took,
        () = async { asked.await; std::future::pending().await } => Duration::MAX,
    };
    // One after the other they would take twice as long.
    assert!(took >= LONGEST && took < LONGEST * 2, "{took:?}");
    deployment.dex.release(Endpoint::Refresh);
    drop(unfinished);
    Ok(())
}
