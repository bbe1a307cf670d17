//! Answers with JWT access tokens: verified, and served as what they are.

use serde_json::json;
use tokenward_harness::issuer::TokenDraft;

use super::stage::{ACCESS_TOKEN, CLIENT, ID_TOKEN, LIFE_SECONDS, Pair, Remote};
use crate::deployment::{ADMIN, at_once};

/// A token of the remote issuer, to be signed.
type Draft = fn(&Remote) -> TokenDraft;

#[tokio::test]
async fn fifty_callers_share_one_exchange_for_an_access_token_and_its_renewal() -> anyhow::Result<()> {
    let pair = Pair::start(json!({})).await?;
    let ask = pair.logged_in().await?;
    for round in 1..=2 {
        let token = pair.remote.access_token().claim("jti", round).token();
        pair.remote.gives(&token, ACCESS_TOKEN);
        let asks: Vec<_> = (0..50).map(|_| ask.clone()).collect();
        for answer in at_once(asks.iter().map(|ask| ask.send())).await {
            let answer = answer?;
            assert_eq!((answer.status, answer.token()), (200, token.as_str()), "{round}");
            assert_eq!(answer.text("issued_token_type"), ACCESS_TOKEN);
        }
        assert_eq!(pair.remote.exchanges(), round);
        pair.home.advance(LIFE_SECONDS + 1);
    }
    Ok(())
}

/// One exchange that is answered with `token`.
async fn refusal_of(token: impl Fn(&Remote) -> TokenDraft) -> anyhow::Result<(u16, String, String)> {
    let pair = Pair::start(json!({})).await?;
    pair.remote.gives(&token(&pair.remote).token(), ACCESS_TOKEN);
    let answer = pair.logged_in().await?.send().await?;
    let (status, refusal) = answer.refusal();
    Ok((
        status,
        refusal.to_owned(),
        answer.text("error_description").to_owned(),
    ))
}

#[tokio::test]
async fn access_tokens_in_the_shape_of_every_product_are_served() -> anyhow::Result<()> {
    let shapes: [Draft; 5] = [
        |remote| remote.access_token(),
        // Keycloak.
        |remote| {
            remote
                .access_token()
                .without("client_id")
                .header("typ", "JWT")
                .claim("typ", "Bearer")
                .claim("azp", CLIENT)
        },
        // Okta.
        |remote| {
            remote
                .access_token()
                .without("client_id")
                .header("typ", "JWT")
                .claim("cid", CLIENT)
        },
        // Entra.
        |remote| {
            remote
                .access_token()
                .without("client_id")
                .header("typ", "JWT")
                .claim("appid", CLIENT)
        },
        // Several audiences, and no client.
        |remote| {
            remote
                .access_token()
                .without("client_id")
                .audiences(&["account", "api"])
        },
    ];
    for (shape, draft) in shapes.into_iter().enumerate() {
        assert_eq!(
            refusal_of(draft).await?,
            (200, String::new(), String::new()),
            "{shape}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_token_that_does_not_fit_is_not_served_and_the_cause_is_named() -> anyhow::Result<()> {
    let rows: [(Draft, &str, &str); 10] = [
        (
            |remote| remote.access_token().claim("typ", "ID"),
            "exchange_misconfigured",
            "another kind of token",
        ),
        (
            |remote| remote.access_token().claim("client_id", "portal"),
            "exchange_misconfigured",
            "issued to the client",
        ),
        (
            |remote| remote.access_token().claim("cnf", json!({"jkt": "x"})),
            "exchange_misconfigured",
            "bound to a key",
        ),
        (
            |remote| remote.access_token().claim("aud", "other"),
            "exchange_misconfigured",
            "required audience 'api'",
        ),
        (
            |remote| remote.access_token().claim("iss", "https://other.example.com"),
            "exchange_misconfigured",
            "set expectedIssuer",
        ),
        (
            |remote| remote.access_token().claim("nbf", 4_102_444_800_u64),
            "exchange_misconfigured",
            "too far ahead",
        ),
        (
            |remote| remote.access_token().without("sub"),
            "exchange_misconfigured",
            "set verify: introspection",
        ),
        (
            |remote| remote.access_token().without("aud"),
            "exchange_misconfigured",
            "set verify: introspection",
        ),
        (
            |remote| remote.access_token().expires_in_seconds(50),
            "exchange_misconfigured",
            "lives no longer than margin",
        ),
        (
            |remote| remote.access_token().signed_by_a_stranger(),
            "substitution",
            "check expectedIssuer and jwksUri",
        ),
    ];
    for (draft, refusal, cause) in rows {
        let (status, refused, description) = refusal_of(draft).await?;
        assert_eq!((status, refused.as_str()), (500, refusal), "{description}");
        assert!(description.contains(cause), "{cause}: {description}");
    }
    Ok(())
}

#[tokio::test]
async fn another_type_than_requested_is_not_served() -> anyhow::Result<()> {
    let pair = Pair::start(json!({})).await?;
    pair.remote.gives(&pair.remote.access_token().token(), ID_TOKEN);
    let answer = pair.logged_in().await?.send().await?;
    assert_eq!(answer.refusal(), (500, "exchange_misconfigured"));
    assert!(
        answer
            .text("error_description")
            .contains("set requestedTokenType"),
        "{answer:?}"
    );
    Ok(())
}

#[tokio::test]
async fn the_subject_of_access_tokens_is_pinned_for_the_login() -> anyhow::Result<()> {
    let pair = Pair::start(json!({})).await?;
    let ask = pair.logged_in().await?;
    pair.remote
        .gives(&pair.remote.access_token().token(), ACCESS_TOKEN);
    assert_eq!(ask.send().await?.status, 200);
    pair.home.advance(LIFE_SECONDS + 1);
    pair.remote.gives(
        &pair.remote.access_token().claim("sub", "another").token(),
        ACCESS_TOKEN,
    );
    assert_eq!(ask.send().await?.refusal(), (500, "substitution"));
    Ok(())
}

/// The user must act at the remote issuer, and another login at home would be for nothing.
#[tokio::test]
async fn an_interaction_at_the_remote_issuer_is_said_and_sends_no_user_to_log_in() -> anyhow::Result<()> {
    let pair = Pair::start(json!({})).await?;
    let ask = pair.logged_in().await?;
    let description = "AADSTS50076: Due to a configuration change, you must use multi-factor authentication";
    pair.remote.answers(
        400,
        json!({"error": "interaction_required", "error_description": description}),
    );
    for _ in 0..2 {
        let answer = ask.send().await?;
        assert_eq!(answer.refusal(), (503, "exchange_unavailable"));
        assert!(
            answer
                .text("error_description")
                .contains("requires the user to act there"),
            "{answer:?}"
        );
    }
    assert_eq!(
        pair.remote.exchanges(),
        1,
        "the second caller waits for the first one's retry"
    );
    assert_eq!(pair.home.status("s-1").await?.text("state"), "active");
    // The user has acted.
    pair.remote
        .gives(&pair.remote.access_token().token(), ACCESS_TOKEN);
    pair.home.advance(61);
    assert_eq!(ask.send().await?.status, 200);
    Ok(())
}

/// An aggregator that exchanges by itself learns what it gets.
#[tokio::test]
async fn the_exchange_endpoint_names_the_type_that_it_gives() -> anyhow::Result<()> {
    let pair = Pair::start(json!({})).await?;
    let token = pair.remote.access_token().token();
    pair.remote.gives(&token, ACCESS_TOKEN);
    let home_token = pair.home.dex.log_in(ADMIN, "muster").await?.id_token;
    for (requested, status) in [(Some(ACCESS_TOKEN), 200), (None, 200), (Some(ID_TOKEN), 400)] {
        let mut form = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", home_token.as_str()),
            ("subject_token_type", ID_TOKEN),
            ("client_id", CLIENT),
            ("client_secret", "ex+change/secret%="),
        ];
        form.extend(requested.map(|requested| ("requested_token_type", requested)));
        let request = pair
            .home
            .http
            .post(format!("{}/exchange/remote/token", pair.home.urls[0]))
            .form(&form);
        let answer = pair.home.request(request).await?;
        assert_eq!(answer.status, status, "{requested:?}: {answer:?}");
        if status == 200 {
            assert_eq!(
                (answer.token(), answer.text("issued_token_type")),
                (token.as_str(), ACCESS_TOKEN)
            );
        }
    }
    assert_eq!(pair.remote.exchanges(), 1);
    // At the gateway it stands for the user that it was given for.
    let answer = pair.home.ask(&token).server("remote").send().await?;
    assert_eq!(answer.refusal(), (503, "not_registered"), "{answer:?}");
    pair.home.log_in("s-1").await?;
    assert_eq!(
        pair.home.ask(&token).server("remote").send().await?.token(),
        token
    );
    Ok(())
}
