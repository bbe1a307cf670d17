//! What the endpoint accepts, and in which words it refuses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokenward_harness::issuer::{Endpoint, Failure};

use super::{CLIENT, exchanged, form_of, log_in, unauthenticated};
use crate::deployment::{ADMIN, AGGREGATOR, Answer, FILTER, basic};
use crate::exchange::{Pair, pair};

const PATH: &str = "/exchange/remote/token";

fn outcome(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.text("error"))
}

#[tokio::test]
async fn it_answers_with_exactly_the_members_of_dex() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let answer = exchanged(&home, &log_in(&home).await?).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut members: Vec<&String> = answer
        .body
        .as_object()
        .into_iter()
        .flat_map(|body| body.keys())
        .collect();
    members.sort();
    assert_eq!(
        members,
        ["access_token", "expires_in", "issued_token_type", "token_type"]
    );
    assert_eq!(answer.text("token_type"), "bearer");
    assert_eq!(answer.text("issued_token_type"), super::ID_TOKEN);
    assert!(
        answer.body["expires_in"]
            .as_u64()
            .is_some_and(|left| (290..=300).contains(&left))
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(remote.counts().exchanges_presented, 1);
    Ok(())
}

#[tokio::test]
async fn each_way_to_authenticate_is_accepted_and_a_wrong_secret_in_none() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let token = log_in(&home).await?;
    let verbatim = format!("Basic {}", STANDARD.encode(format!("{}:{}", CLIENT.0, CLIENT.1)));
    let request = || unauthenticated(&home, 0, PATH, &form_of(&token));
    let in_form = |id: &str, secret: &str| {
        let mut form = form_of(&token);
        form.extend([("client_id", id.to_owned()), ("client_secret", secret.to_owned())]);
        unauthenticated(&home, 0, PATH, &form)
    };
    let accepted = [
        request().header("authorization", basic(CLIENT.0, CLIENT.1)),
        request().header("authorization", verbatim),
        in_form(CLIENT.0, CLIENT.1),
        request().header("authorization", basic("aggregator", AGGREGATOR)),
        request().bearer_auth(AGGREGATOR),
        in_form("aggregator", AGGREGATOR),
    ];
    for (number, request) in accepted.into_iter().enumerate() {
        assert_eq!(home.request(request).await?.status, 200, "{number}");
    }
    let refused = [
        request(),
        request().header("authorization", basic(CLIENT.0, "wrong")),
        request().header("authorization", basic("other", CLIENT.1)),
        request().header("authorization", basic("filter", FILTER)),
        request().bearer_auth(FILTER),
        request().header("authorization", "Basic !"),
        in_form(CLIENT.0, "wrong"),
        in_form("other", CLIENT.1),
        in_form("filter", FILTER),
        request()
            .header("authorization", basic(CLIENT.0, CLIENT.1))
            .header("authorization", basic(CLIENT.0, CLIENT.1)),
    ];
    for (number, request) in refused.into_iter().enumerate() {
        let answer = home.request(request).await?;
        assert_eq!(outcome(&answer), (401, "invalid_client"), "{number}: {answer:?}");
        assert_eq!(answer.text("error_description"), "Invalid client credentials.");
    }
    assert_eq!(remote.counts().exchanges_presented, 1);
    Ok(())
}

#[tokio::test]
async fn a_form_that_dex_would_refuse_is_refused_in_its_words() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let token = log_in(&home).await?;
    let access_token = "urn:ietf:params:oauth:token-type:access_token";
    let cases = [
        ("grant_type", Some("refresh_token"), "unsupported_grant_type", ""),
        ("grant_type", None, "unsupported_grant_type", ""),
        (
            "subject_token_type",
            Some(access_token),
            "request_not_supported",
            "Invalid subject_token_type.",
        ),
        (
            "subject_token_type",
            None,
            "request_not_supported",
            "Invalid subject_token_type.",
        ),
        (
            "requested_token_type",
            Some(access_token),
            "request_not_supported",
            "Invalid requested_token_type.",
        ),
        (
            "requested_token_type",
            None,
            "request_not_supported",
            "Invalid requested_token_type.",
        ),
        ("subject_token", None, "invalid_request", "Missing subject_token"),
        (
            "connector_id",
            Some("other"),
            "invalid_request",
            "Requested connector does not exist.",
        ),
        (
            "connector_id",
            None,
            "invalid_request",
            "Requested connector does not exist.",
        ),
        (
            "scope",
            Some("openid audience:server:client_id:aloof"),
            "invalid_scope",
            "",
        ),
    ];
    for (name, value, error, description) in cases {
        let mut form = form_of(&token);
        form.retain(|(parameter, _)| *parameter != name);
        form.extend(value.map(|value| (name, value.to_owned())));
        let request = unauthenticated(&home, 0, PATH, &form);
        let answer = home
            .request(request.header("authorization", basic(CLIENT.0, CLIENT.1)))
            .await?;
        assert_eq!(outcome(&answer), (400, error), "{name} {value:?}");
        assert!(
            answer.text("error_description").contains(description),
            "{answer:?}"
        );
    }
    for name in [
        "grant_type",
        "subject_token",
        "connector_id",
        "scope",
        "client_id",
    ] {
        let mut form = form_of(&token);
        form.extend([(name, "openid".to_owned()), (name, "openid".to_owned())]);
        let request = unauthenticated(&home, 0, PATH, &form);
        let answer = home
            .request(request.header("authorization", basic(CLIENT.0, CLIENT.1)))
            .await?;
        assert_eq!(outcome(&answer), (400, "invalid_request"), "{name} twice");
    }
    assert_eq!(remote.counts().exchanges_presented, 0);
    Ok(())
}

#[tokio::test]
async fn fewer_scopes_and_parameters_that_dex_ignores_are_accepted() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let token = log_in(&home).await?;
    for scope in [None, Some("openid"), Some("openid groups")] {
        let mut form = form_of(&token);
        form.retain(|(parameter, _)| *parameter != "scope");
        form.extend(scope.map(|scope| ("scope", scope.to_owned())));
        form.extend([
            ("audience", "anything".to_owned()),
            ("resource", "anything".to_owned()),
        ]);
        let request = unauthenticated(&home, 0, PATH, &form);
        let answer = home
            .request(request.header("authorization", basic(CLIENT.0, CLIENT.1)))
            .await?;
        assert_eq!(answer.status, 200, "{scope:?}: {answer:?}");
    }
    assert_eq!(remote.counts().exchanges_presented, 1);
    Ok(())
}

#[tokio::test]
async fn a_subject_that_is_not_accepted_is_access_denied_with_the_cause() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let mint = |audience| home.dex.mint(ADMIN, audience);
    let given = exchanged(&home, &log_in(&home).await?).await?;
    let cases = [
        (
            mint("muster").expires_in_seconds(-5).token(),
            "present a fresh token",
        ),
        (mint("muster").signed_by_a_stranger().token(), "does not prove"),
        (mint("another").token(), "no configured client"),
        (remote.mint(ADMIN, "exchanger").token(), "no such issuer"),
        (given.token().to_owned(), "no such issuer"),
        ("garbage".to_owned(), "not a JWT"),
    ];
    for (token, cause) in cases {
        let answer = exchanged(&home, &token).await?;
        assert_eq!(outcome(&answer), (401, "access_denied"), "{cause}: {answer:?}");
        assert!(
            answer.text("error_description").contains(cause),
            "{cause}: {answer:?}"
        );
    }
    assert_eq!(remote.counts().exchanges_presented, 1);
    Ok(())
}

#[tokio::test]
async fn what_passes_is_503_with_the_time_and_what_an_operator_must_fix_is_500() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let token = log_in(&home).await?;
    remote.fail_next(Endpoint::Exchange, 1, &Failure::answer(503, "{}"));
    for _ in 0..2 {
        let answer = exchanged(&home, &token).await?;
        assert_eq!(outcome(&answer), (503, "temporarily_unavailable"));
        assert!(answer.retry_after().is_some());
    }
    home.advance(31);
    remote.fail_next(
        Endpoint::Exchange,
        1,
        &Failure::answer(401, r#"{"error":"invalid_client"}"#),
    );
    let answer = exchanged(&home, &token).await?;
    assert_eq!(outcome(&answer), (500, "server_error"), "{answer:?}");
    assert_eq!(remote.counts().exchanges_presented, 2);
    home.store().set_off(true);
    let answer = exchanged(&home, &token).await?;
    assert_eq!(
        (answer.status, answer.text("refusal")),
        (503, "store_unavailable")
    );
    Ok(())
}

#[tokio::test]
async fn a_name_without_an_exchange_is_told_to_the_aggregator_alone() -> anyhow::Result<()> {
    let Pair { remote: _, home } = pair(1, |_| {}).await?;
    let token = log_in(&home).await?;
    for name in ["kubernetes", "nowhere", "a%2Fb", "%ff"] {
        let path = format!("/exchange/{name}/token");
        let request = || unauthenticated(&home, 0, &path, &form_of(&token));
        let foreign = request().header("authorization", basic(CLIENT.0, CLIENT.1));
        assert_eq!(
            outcome(&home.request(foreign).await?),
            (401, "invalid_client"),
            "{name}"
        );
        let answer = home.request(request().bearer_auth(AGGREGATOR)).await?;
        assert_eq!(answer.refusal(), (404, "unknown_server"), "{name}");
        assert!(answer.text("error_description").contains("remote"), "{answer:?}");
    }
    Ok(())
}

/// Callers without a credential share an eighth of the memory; the exchange's client is none of them.
#[tokio::test]
async fn a_request_counts_as_one_of_a_known_caller_once_its_secret_is_checked() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let token = log_in(&home).await?;
    let mut form = form_of(&token);
    let in_header = unauthenticated(&home, 0, PATH, &form).header("authorization", basic(CLIENT.0, CLIENT.1));
    form.extend([
        ("client_id", CLIENT.0.to_owned()),
        ("client_secret", CLIENT.1.to_owned()),
    ]);
    let in_form = unauthenticated(&home, 0, PATH, &form);
    for request in [in_header, in_form] {
        remote.hold(Endpoint::Exchange);
        let (answer, bytes) = tokio::join!(home.request(request), async {
            remote.wait_until_held(Endpoint::Exchange, 1).await;
            let metrics = home.http.get(format!("{}/metrics", home.urls[0])).send().await;
            remote.release(Endpoint::Exchange);
            metrics?.text().await
        });
        assert_eq!(answer?.status, 200);
        let bytes = bytes?;
        assert!(
            bytes.contains("tokenward_intake_bytes{caller=\"unknown\"} 0\n"),
            "{bytes}"
        );
        assert!(
            !bytes.contains("tokenward_intake_bytes{caller=\"known\"} 0\n"),
            "{bytes}"
        );
        home.advance(301);
        home.log_in("s-1").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_too_large_or_no_form_is_refused() -> anyhow::Result<()> {
    let Pair { remote: _, home } = pair(1, |_| {}).await?;
    let request = |content_type: &str, body: String| {
        home.http
            .post(format!("{}{PATH}", home.urls[0]))
            .header("authorization", basic(CLIENT.0, CLIENT.1))
            .header("content-type", content_type.to_owned())
            .body(body)
    };
    let form = "application/x-www-form-urlencoded";
    let large = request(form, format!("subject_token={}", "a".repeat(97 * 1024)));
    assert_eq!(home.request(large).await?.status, 413);
    let json = request("application/json", "{}".to_owned());
    assert_eq!(home.request(json).await?.status, 415);
    let broken = request(form, "subject_token=%zz".to_owned());
    assert_eq!(outcome(&home.request(broken).await?), (400, "invalid_request"));
    Ok(())
}
