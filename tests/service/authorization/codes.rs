//! Authorization codes: one use, by its own client, with its verifier.

use super::client::{CLIENT, REDIRECT, VERIFIER, assert_well_formed};
use super::refresh::{families, logged_in};
use super::stage::RESOURCES;
use crate::deployment::at_once;

#[tokio::test]
async fn a_second_use_of_a_code_is_refused_and_ends_the_login_of_the_first() -> anyhow::Result<()> {
    let (deployment, client, login) = logged_in(2).await?;
    let token = client.redeem(0, &login.code).await?.refresh_token()?;
    deployment.advance(300);
    let second = client.redeem(1, &login.code).await?;
    assert_eq!(second.error(), (400, "invalid_grant"), "{second:?}");
    assert_well_formed(&second);
    let refreshed = client.refresh(0, &token).await?;
    assert_eq!(refreshed.error(), (400, "invalid_grant"), "{refreshed:?}");
    assert_eq!(deployment.status(&login.session).await?.status, 404);
    assert_eq!(families(&deployment).await?, 0);
    let metrics = deployment.service(1).service().metrics().exposition();
    let sample = r#"tokenward_authorization_requests_total{endpoint="token",outcome="code_reused"} 1"#;
    assert!(metrics.contains(sample), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn of_twenty_uses_at_once_at_most_one_gets_tokens_and_none_of_them_stay_good() -> anyhow::Result<()> {
    let (deployment, client, login) = logged_in(3).await?;
    let replies = at_once((0..20).map(|caller| client.redeem(caller % 3, &login.code))).await;
    let mut served = Vec::new();
    for reply in replies {
        let reply = reply?;
        match reply.status {
            200 => served.push(reply.refresh_token()?),
            _ => assert_eq!(reply.error(), (400, "invalid_grant"), "{reply:?}"),
        }
    }
    assert!(served.len() <= 1, "{} got tokens", served.len());
    for token in served {
        let refreshed = client.refresh(0, &token).await?;
        assert_eq!(refreshed.error(), (400, "invalid_grant"), "{refreshed:?}");
    }
    assert_eq!(deployment.status(&login.session).await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn what_does_not_prove_a_codes_bindings_is_refused_and_does_not_use_it_up() -> anyhow::Result<()> {
    let (deployment, client, login) = logged_in(1).await?;
    let own = [
        ("grant_type", "authorization_code"),
        ("code", login.code.as_str()),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
        ("client_id", CLIENT),
        ("resource", RESOURCES[0]),
    ];
    let other_verifier = "x".repeat(43);
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let replaced = |name: &str, value: Option<&'static str>| {
        let parameters = own.iter().copied();
        let form: Vec<(String, String)> = parameters
            .filter_map(|(parameter, old)| {
                let value = if parameter == name { value } else { Some(old) };
                Some((parameter.to_owned(), value?.to_owned()))
            })
            .collect();
        form
    };
    let cases = [
        (replaced("code_verifier", None), "invalid_request"),
        // A downgrade to `plain`: the challenge itself.
        (replaced("code_verifier", Some(challenge)), "invalid_grant"),
        (replaced("code_verifier", Some("short")), "invalid_request"),
        (replaced("redirect_uri", None), "invalid_request"),
        (
            replaced("redirect_uri", Some("http://127.0.0.1:33419/")),
            "invalid_grant",
        ),
        (
            replaced("redirect_uri", Some("http://localhost:33418/")),
            "invalid_grant",
        ),
        (
            replaced("client_id", Some("https://zed.dev/oauth/client-metadata.json")),
            "invalid_grant",
        ),
        (replaced("resource", Some(RESOURCES[1])), "invalid_target"),
        (replaced("code", Some("unknown")), "invalid_grant"),
    ];
    for (form, error) in &cases {
        let form: Vec<(&str, &str)> = form
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let reply = client.post(0, "/token", &form).await?;
        assert_eq!(reply.error(), (400, *error), "{form:?}");
        assert_well_formed(&reply);
    }
    let mut wrong = own.to_vec();
    wrong[3].1 = other_verifier.as_str();
    let reply = client.post(0, "/token", &wrong).await?;
    assert_eq!(reply.error(), (400, "invalid_grant"), "{reply:?}");
    // Its owner comes last.
    deployment.advance(59);
    let reply = client.post(0, "/token", &own).await?;
    assert_eq!(reply.status, 200, "{reply:?}");
    Ok(())
}

#[tokio::test]
async fn a_code_is_good_for_a_minute() -> anyhow::Result<()> {
    let (deployment, client, login) = logged_in(1).await?;
    deployment.advance(61);
    let late = client.redeem(0, &login.code).await?;
    assert_eq!(late.error(), (400, "invalid_grant"), "{late:?}");
    // Nothing was issued for it, so nothing ends.
    assert_eq!(deployment.status(&login.session).await?.status, 200);
    Ok(())
}
