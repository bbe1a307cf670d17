//! `GET /filter/state`: authentication, faults of a request, and an outage of the store.

use crate::deployment::{ADMIN, AGGREGATOR, Answer, Deployment, FILTER, Plan, basic};

use super::ask;

async fn asked(deployment: &Deployment, query: &str, caller: Option<&str>) -> anyhow::Result<Answer> {
    let url = format!("{}/filter/state{query}", deployment.urls[0]);
    let mut request = deployment.http.get(url);
    if let Some(caller) = caller {
        request = request.header("authorization", caller);
    }
    deployment.request(request).await
}

#[tokio::test]
async fn only_the_filters_credential_learns_anything() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    for caller in [
        None,
        Some(format!("Bearer {AGGREGATOR}")),
        Some("Bearer x".to_owned()),
    ] {
        let answer = asked(&deployment, "?after=0", caller.as_deref()).await?;
        assert_eq!(answer.refusal(), (401, "caller_rejected"), "{caller:?}");
    }
    for caller in [format!("Bearer {FILTER}"), basic("filter", FILTER)] {
        let answer = asked(&deployment, "?after=0&servers=0", Some(&caller)).await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    Ok(())
}

#[tokio::test]
async fn a_position_that_no_log_can_have_and_a_query_that_cannot_be_read_are_refused() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let caller = format!("Bearer {FILTER}");
    for query in [
        "?after=18446744073709551615",
        "?after=-1",
        "?after=",
        "?after=1&after=1",
        "?servers=x",
        "?after=18446744073709551616",
    ] {
        let answer = asked(&deployment, query, Some(&caller)).await?;
        assert_eq!(answer.refusal(), (400, "bad_request"), "{query}");
    }
    assert_eq!(asked(&deployment, "", Some(&caller)).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn while_the_store_is_away_the_answer_is_503_and_then_nothing_is_missing() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let before = ask(&deployment, 0, 0, 0).await?;
    deployment.store().set_off(true);
    let caller = format!("Bearer {FILTER}");
    let query = format!("?after={}", before.version);
    let url = format!("{}/filter/state{query}", deployment.urls[0]);
    // What was read half a second ago stands until then.
    let refused = loop {
        let answer = deployment.http.get(&url).bearer_auth(FILTER).send().await?;
        if answer.status() != 200 {
            break asked(&deployment, &query, Some(&caller)).await?;
        }
    };
    assert_eq!(refused.refusal(), (503, "store_unavailable"));
    assert!(refused.retry_after().is_some());
    let subject = deployment.dex.subject(ADMIN);
    assert_eq!(deployment.sign_out(&subject).await?.status, 503);
    deployment.store().set_off(false);
    assert_eq!(deployment.sign_out(&subject).await?.status, 200);
    assert_eq!(ask(&deployment, 0, before.version, 0).await?.sign_outs.len(), 1);
    Ok(())
}
