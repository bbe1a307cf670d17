//! Keys of an issuer that is slow after a restart, or publishes new ones without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokenward_control::app::Service;
use tokenward_control::clock::HandClock;
use tokenward_control::serve::reload::apply;
use tokenward_control::store::{Expected, Store as _};
use tokenward_control::upstream::issuer::discovery::Discovery;
use tokenward_control::upstream::issuer::keys::{IssuerKeys, KeyAge, record_of};
use tokenward_harness::issuer::Endpoint;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{Reason, SubjectTokenType, TokenRequest};

use super::discovery::context;
use crate::deployment::{ADMIN, Deployment, Plan, at_once};

#[tokio::test]
async fn a_restart_beside_an_issuer_that_hangs_serves_what_is_fresh_at_once() -> anyhow::Result<()> {
    let settings = json!({"caller_deadline": "2s"});
    let mut deployment = Deployment::start(Plan {
        settings,
        ..Plan::default()
    })
    .await?;
    let tokens = deployment.log_in("s-1").await?;
    let restarted = deployment.add_replica().await?;
    deployment.dex.hold(Endpoint::Keys);
    deployment.dex.hold(Endpoint::Discovery);
    let answer = deployment.ask(&tokens.id_token).replica(restarted).send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.token(), tokens.id_token);
    deployment.dex.release(Endpoint::Keys);
    deployment.dex.release(Endpoint::Discovery);
    Ok(())
}

/// A hundred new RSA keys, each time.
fn new_keys(round: u64) -> Value {
    let key = |number: u64| {
        let mut modulus = [0xA5_u8; 256];
        modulus[1..9].copy_from_slice(&(round * 100 + number).to_be_bytes());
        let n = URL_SAFE_NO_PAD.encode(modulus);
        json!({"kty": "RSA", "alg": "RS256", "use": "sig", "e": "AQAB", "n": n, "kid": format!("{round}-{number}")})
    };
    json!({"keys": (0..100).map(key).collect::<Vec<_>>()})
}

#[tokio::test]
async fn an_issuer_that_makes_up_new_keys_for_ever_takes_no_more_room_than_so_much() -> anyhow::Result<()> {
    let rounds = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&rounds);
    let keys = move || async move { Json(new_keys(counted.fetch_add(1, Ordering::SeqCst))) };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let uri = format!("http://{}/keys", listener.local_addr()?);
    let serving =
        tokio::spawn(
            async move { axum::serve(listener, axum::Router::new().route("/keys", get(keys))).await },
        );
    let deployment = Deployment::start(Plan::default()).await?;
    let made_up = deployment.changed(|document| document["issuers"][0]["jwks_uri"] = json!(uri))?;
    apply(deployment.service(0), made_up)?;
    let mut sizes = Vec::new();
    for round in 1..=12 {
        let stranger = deployment.dex.mint(ADMIN, "muster").unknown_key_id().token();
        let answer = deployment.ask(&stranger).send().await?;
        assert_eq!(answer.refusal(), (503, "issuer_unavailable"), "{answer:?}");
        assert_eq!(rounds.load(Ordering::SeqCst), round);
        let record = deployment
            .store()
            .read(&record_of(deployment.dex.issuer()))
            .await?;
        sizes.push(record.map_or(0, |entry| entry.value.len()));
        deployment.advance(11);
    }
    assert!(sizes[0] > 0, "nothing was remembered");
    // As many past keys as a week of an issuer that rotates every hour.
    assert!(sizes[11] <= sizes[0] * 4, "{sizes:?}");
    serving.abort();
    Ok(())
}

/// A service that knows a login, where no fetch of keys is too early; and a token by an unknown key.
async fn beside_a_stranger(caller_deadline: &str) -> anyhow::Result<(Deployment, String)> {
    let deployment = Deployment::start(Plan {
        settings: json!({"caller_deadline": caller_deadline}),
        ..Plan::default()
    })
    .await?;
    deployment.log_in("s-1").await?;
    deployment.advance(11);
    let stranger = deployment.dex.mint(ADMIN, "muster").unknown_key_id().token();
    Ok((deployment, stranger))
}

async fn asked(service: Arc<Service>, token: String) -> Option<Refusal> {
    let request = TokenRequest {
        subject_token: token.into(),
        subject_token_type: SubjectTokenType::IdToken,
        server: "kubernetes".to_owned(),
        session: None,
        reason: Reason::Stale,
    };
    service.token(request).await.err().map(|refused| refused.refusal)
}

#[tokio::test]
async fn callers_that_do_not_wait_for_hanging_keys_leave_nothing_behind() -> anyhow::Result<()> {
    let (deployment, stranger) = beside_a_stranger("1s").await?;
    let service = deployment.service(0).service();
    let before = deployment.dex.counts().key_fetches;
    deployment.dex.hold(Endpoint::Keys);
    let ask = || asked(Arc::clone(&service), stranger.clone());
    assert_eq!(ask().await, Some(Refusal::Busy));
    let tasks = tokio::runtime::Handle::current().metrics();
    let alive = tasks.num_alive_tasks();
    let answers = at_once((0..50).map(|_| ask())).await;
    assert_eq!(answers, [Some(Refusal::Busy); 50]);
    let left = tasks.num_alive_tasks().saturating_sub(alive);
    assert!(left < 10, "{left} tasks are left");
    deployment.dex.release(Endpoint::Keys);
    ask().await;
    assert_eq!(deployment.dex.counts().key_fetches, before + 1);
    Ok(())
}

/// One caller starts a fetch, another joins it; what both are answered, after the fetch took so long.
async fn joined(deployment: &Deployment, token: &str, took_seconds: u64) -> [Option<Refusal>; 2] {
    let service = deployment.service(0).service();
    let ask = || asked(Arc::clone(&service), token.to_owned());
    deployment.dex.hold(Endpoint::Keys);
    let first = tokio::spawn(ask());
    deployment.dex.wait_until_held(Endpoint::Keys, 1).await;
    let second = tokio::spawn(ask());
    // In one thread: until it waits.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!second.is_finished());
    deployment.advance(took_seconds);
    deployment.dex.release(Endpoint::Keys);
    [first.await.unwrap(), second.await.unwrap()]
}

#[tokio::test]
async fn a_fetch_of_keys_that_was_under_way_already_is_no_last_word_on_a_key() -> anyhow::Result<()> {
    let (deployment, stranger) = beside_a_stranger("20s").await?;
    let before = deployment.dex.counts().key_fetches;
    let heard = joined(&deployment, &stranger, 2).await;
    assert_eq!(heard, [Some(Refusal::IssuerUnavailable); 2]);
    assert_eq!(deployment.dex.counts().key_fetches, before + 1);
    // A look so long after the token was issued that no cache can be behind is the last word.
    deployment.advance(661);
    let answer = deployment.ask(&stranger).send().await?;
    assert_eq!(answer.refusal(), (400, "subject_rejected"));
    assert_eq!(deployment.dex.counts().key_fetches, before + 2);
    Ok(())
}

#[tokio::test]
async fn a_caller_that_joined_a_long_fetch_of_keys_has_another_made() -> anyhow::Result<()> {
    let (deployment, stranger) = beside_a_stranger("20s").await?;
    let before = deployment.dex.counts().key_fetches;
    let heard = joined(&deployment, &stranger, 11).await;
    assert_eq!(heard, [Some(Refusal::IssuerUnavailable); 2]);
    assert_eq!(deployment.dex.counts().key_fetches, before + 2);
    Ok(())
}

/// Many at once, on many threads. It does not place the race in which a fetch ends between a caller's look at the keys and
/// its wish for newer ones: that one is rarer than these rounds, and showed in `muster::tokens` on real Envoy.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_caller_that_comes_as_a_first_fetch_ends_has_its_keys() -> anyhow::Result<()> {
    const ROUNDS: usize = 100;
    const CALLERS: usize = 16;
    let deployment = Deployment::start(Plan::default()).await?;
    let dex = &deployment.dex;
    let token = dex.mint("admin@example.com", "muster").token();
    let now_ms = u64::try_from(dex.clock().now_ms())?;
    let context = context(&deployment, &Arc::new(HandClock::at(now_ms)))?;
    for round in 0..ROUNDS {
        let discovery = Arc::new(Discovery::new(dex.issuer().to_owned(), None, None));
        let keys = Arc::new(IssuerKeys::new(
            dex.issuer().to_owned(),
            discovery,
            context.clone(),
        ));
        let store = &context.store;
        store.delete(&record_of(dex.issuer()), Expected::Any).await?;
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..CALLERS {
            let (keys, token) = (Arc::clone(&keys), token.clone());
            callers.spawn(async move { keys.verify(&token, KeyAge::Present).await.map(drop) });
        }
        for proven in callers.join_all().await {
            assert_eq!(proven, Ok(()), "round {round}");
        }
    }
    Ok(())
}
