//! The swap: an access token of ours at the token endpoint, for a token that the server's own issuer signed.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tokenward_control::authorization::access_token::{AccessTokenClaims, SigningKeys, generate};
use tokenward_control::config::SigningKeysConfig;
use tokenward_control::serve::reload::apply;
use tokenward_harness::issuer::DexUser;
use tokenward_protocol::token_endpoint::Reason;

use super::stage::{ISSUER, RESOURCES, plan};
use crate::deployment::{ADMIN, Deployment, Plan, basic};
use crate::exchange::{Pair, pair_of};

const BOB: &str = "bob@example.com";
const SID: &str = "00112233445566778899aabbccddeeff";

/// Signs as control does, with any claims.
struct Signer {
    keys: SigningKeys,
    claims: AccessTokenClaims,
}

impl Signer {
    /// With the current key of `plan`, for the first server and the session [`SID`], good for an hour from now on.
    fn of(pem: &str, deployment: &Deployment) -> anyhow::Result<Self> {
        let now_seconds = u64::try_from(deployment.clock().now_ms())? / 1000;
        let config = SigningKeysConfig {
            current: SecretString::from(pem),
            next: None,
        };
        Ok(Self {
            keys: SigningKeys::from_config(&config)?,
            claims: AccessTokenClaims {
                issuer: ISSUER.to_owned(),
                subject: deployment.dex.subject(ADMIN),
                audience: RESOURCES[0].to_owned(),
                client_id: "https://vscode.dev/oauth/client-metadata.json".to_owned(),
                scope: "mcp".to_owned(),
                issued_at_seconds: now_seconds,
                expires_at_seconds: now_seconds + 3600,
                id: "1".to_owned(),
                session: SID.into(),
            },
        })
    }

    fn token(&self) -> String {
        self.keys.sign(&self.claims).expose_secret().to_owned()
    }

    fn token_with(&self, change: impl FnOnce(&mut AccessTokenClaims)) -> String {
        let mut claims = self.claims.clone();
        change(&mut claims);
        self.keys.sign(&claims).expose_secret().to_owned()
    }
}

struct Stage {
    deployment: Deployment,
    signer: Signer,
}

/// One login, in the session [`SID`].
async fn stage() -> anyhow::Result<Stage> {
    let mut plan = plan(&json!({}))?;
    plan.dex = plan.dex.user(DexUser::new(BOB));
    let pem = plan.secrets[0].1.clone();
    let deployment = Deployment::start(plan).await?;
    deployment.log_in(SID).await?;
    let signer = Signer::of(&pem, &deployment)?;
    Ok(Stage { deployment, signer })
}

#[tokio::test]
async fn it_is_swapped_for_the_logins_own_token_with_one_refresh_for_all_of_its_tokens() -> anyhow::Result<()>
{
    let Stage { deployment, signer } = stage().await?;
    let fresh = deployment
        .ask(&signer.token())
        .access_token()
        .server("first")
        .send()
        .await?;
    assert_eq!(fresh.status, 200, "{fresh:?}");
    assert_eq!(
        fresh.text("issued_token_type"),
        "urn:ietf:params:oauth:token-type:id_token"
    );
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    deployment.advance(3000);
    for number in 0..3 {
        let token = signer.token_with(|claims| claims.id = format!("{number}"));
        let answer = deployment
            .ask(&token)
            .access_token()
            .server("first")
            .send()
            .await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_ne!(answer.token(), fresh.token());
        let now_seconds = deployment.clock().now_ms() / 1000;
        // As long as the login's token lives: the caller judges the presented one by itself for each request.
        assert_eq!(answer.body["expires_at"], json!(now_seconds + 300));
    }
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}

#[tokio::test]
async fn what_is_no_good_token_of_this_server_and_session_opens_nothing() -> anyhow::Result<()> {
    let Stage { deployment, signer } = stage().await?;
    let bob = deployment.dex.subject(BOB);
    let forger = Signer {
        keys: Signer::of(generate()?.expose_secret(), &deployment)?.keys,
        claims: signer.claims.clone(),
    };
    let good = signer.token();
    let (input, signature) = good.rsplit_once('.').unwrap_or_default();
    // Another first character: the last one has bits that only a canonical encoding leaves zero.
    let (first, rest) = signature.split_at(1);
    let altered = format!("{input}.{}{rest}", if first == "A" { "B" } else { "A" });
    let elsewhere = signer.token_with(|claims| claims.audience = RESOURCES[1].to_owned());
    let cases = [
        (forger.token(), "subject_rejected"),
        (altered, "subject_rejected"),
        (elsewhere, "wrong_audience"),
        (
            signer.token_with(|claims| claims.subject = bob),
            "subject_rejected",
        ),
        (
            signer.token_with(|claims| claims.session = "ff".into()),
            "unknown_session",
        ),
        (
            signer.token_with(|claims| claims.issuer = "https://other.example.com".to_owned()),
            "wrong_token_type",
        ),
        (
            signer.token_with(|claims| claims.expires_at_seconds = claims.issued_at_seconds),
            "token_expired",
        ),
        ("no token".to_owned(), "malformed_bearer"),
    ];
    for (token, refusal) in &cases {
        for reason in [Reason::Stale, Reason::NearExpiry, Reason::Rejected] {
            let call = deployment
                .ask(token)
                .access_token()
                .server("first")
                .reason(reason);
            assert_eq!(call.send().await?.refusal(), (400, *refusal), "{token}");
        }
    }
    // The server `kubernetes` is no resource.
    let answer = deployment.ask(&good).access_token().send().await?;
    assert_eq!(answer.refusal(), (400, "wrong_audience"));
    // A handle beside the token's own session.
    let call = || deployment.ask(&good).access_token().server("first");
    assert_eq!(
        call().session("other").send().await?.refusal(),
        (400, "subject_rejected")
    );
    assert_eq!(call().session(SID).send().await?.status, 200);
    let counts = deployment.dex.counts();
    assert_eq!((counts.refreshes_presented, counts.exchanges_presented), (0, 0));
    let metrics = deployment.http.get(format!("{}/metrics", deployment.urls[0]));
    let metrics = metrics.send().await?.text().await?;
    for (refusal, count) in [
        ("wrong_token_type", 3),
        ("token_expired", 3),
        ("unknown_session", 3),
    ] {
        let line = format!("server=\"first\",outcome=\"{refusal}\"}} {count}");
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
    Ok(())
}

#[tokio::test]
async fn neither_kind_of_token_is_taken_in_the_others_place() -> anyhow::Result<()> {
    let Stage { deployment, signer } = stage().await?;
    let login = deployment.dex.log_in(ADMIN, "muster").await?;
    let own = signer.token();
    let own_as_id_token = deployment.ask(&own).server("first");
    assert_eq!(own_as_id_token.send().await?.refusal(), (400, "wrong_token_type"));
    let with_session = deployment.ask(&own).server("first").session(SID);
    assert_eq!(with_session.send().await?.refusal(), (400, "wrong_token_type"));
    for token in [&login.id_token, &login.access_token] {
        let call = deployment.ask(token).server("first").access_token();
        assert_eq!(call.send().await?.refusal(), (400, "wrong_token_type"));
    }
    // Nor does it register a login.
    let put = deployment.put("s-2", &own, Some(&login.refresh_token)).await?;
    assert_eq!(put.status, 400, "{put:?}");
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    Ok(())
}

#[tokio::test]
async fn without_an_authorization_server_there_is_no_access_token() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    deployment.log_in(SID).await?;
    let signer = Signer::of(generate()?.expose_secret(), &deployment)?;
    let call = deployment.ask(&signer.token()).access_token();
    assert_eq!(call.send().await?.refusal(), (400, "wrong_token_type"));
    Ok(())
}

#[tokio::test]
async fn it_ends_with_its_session_whatever_ends_that() -> anyhow::Result<()> {
    let Stage { deployment, signer } = stage().await?;
    let call = || deployment.ask(&signer.token()).access_token().server("first");
    assert_eq!(call().send().await?.status, 200);
    assert_eq!(deployment.end(SID).await?.status, 204);
    assert_eq!(call().send().await?.refusal(), (400, "unknown_session"));
    deployment.log_in(SID).await?;
    assert_eq!(call().send().await?.status, 200);
    deployment.sign_out(&deployment.dex.subject(ADMIN)).await?;
    assert_eq!(call().send().await?.refusal(), (400, "unknown_session"));
    deployment.advance(2);
    deployment.log_in(SID).await?;
    assert_eq!(call().send().await?.status, 200);
    // The issuer ends the login: nothing is noticed until its token is stale.
    assert!(deployment.dex.revoke(ADMIN, "muster"));
    deployment.advance(301);
    assert_eq!(call().send().await?.refusal(), (400, "needs_login"));
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}

#[tokio::test]
async fn a_key_that_is_current_or_next_verifies_and_a_removed_one_does_not() -> anyhow::Result<()> {
    let Stage { deployment, signer } = stage().await?;
    let call = || deployment.ask(&signer.token()).access_token().server("first");
    let with_keys = |keys: serde_json::Value| {
        let changed = deployment.changed(|document| document["authorization"]["signing_keys"] = keys)?;
        apply(deployment.service(0), changed)?;
        anyhow::Ok(())
    };
    with_keys(json!({"current": {"file": "@signing-2"}, "next": {"file": "@signing-1"}}))?;
    assert_eq!(call().send().await?.status, 200);
    with_keys(json!({"current": {"file": "@signing-2"}}))?;
    assert_eq!(call().send().await?.refusal(), (400, "subject_rejected"));
    Ok(())
}

#[tokio::test]
async fn at_an_exchange_server_the_logins_token_is_exchanged_and_never_the_access_token() -> anyhow::Result<()>
{
    let plan = plan(&json!({}))?;
    let pem = plan.secrets[0].1.clone();
    let resource = "https://mcp.example.com/remote";
    let Pair { remote, home } = pair_of(plan, Some(resource), |_| {}).await?;
    home.log_in(SID).await?;
    let signer = Signer::of(&pem, &home)?;
    let token = signer.token_with(|claims| claims.audience = resource.to_owned());
    let call = || home.ask(&token).access_token().server("remote");
    for _ in 0..3 {
        assert_eq!(call().send().await?.status, 200);
    }
    assert_eq!(remote.counts().exchanges_presented, 1);
    // Without its session it is not a proof of the user, as an ID token would be.
    home.end(SID).await?;
    for reason in [Reason::Stale, Reason::NearExpiry, Reason::Rejected] {
        assert_eq!(
            call().reason(reason).send().await?.refusal(),
            (400, "unknown_session")
        );
    }
    assert_eq!(remote.counts().exchanges_presented, 1);
    let given = home
        .http
        .post(format!("{}/exchange/remote/token", home.urls[0]))
        .header("authorization", basic("exchanger", "ex+change/secret%="))
        .form(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", token.as_str()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
            ("connector_id", "home"),
            (
                "requested_token_type",
                "urn:ietf:params:oauth:token-type:id_token",
            ),
        ]);
    let given = home.request(given).await?;
    assert_eq!(given.refusal(), (401, "wrong_token_type"));
    assert_eq!(remote.counts().exchanges_presented, 1);
    Ok(())
}
