//! Logins through control's own authorization server: the request is as each issuer wants it, so that there is a refresh
//! token, and where control is configured for that an access token that names an API.

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokenward_harness::browser::HostTab;
use tokenward_harness::cloud_issuers::CloudProduct;
use tokenward_harness::issuer::{Endpoint, http_client};

use super::stage::{Stage, Variant};
use crate::authorization::client::Client;
use crate::authorization::stage::{HOST, plan};

at_each_issuer!(
    a_login_brings_a_refresh_token_and_is_renewed,
    a_second_login_of_the_user_brings_one_too,
);

const ISSUER: &str = "https://mcp.example.com";
const RESOURCE: &str = "https://mcp.example.com/kubernetes";
const REDIRECT: &str = "https://client.example/callback";
/// RFC 7636, Appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A program that has logged in.
struct Program {
    client: Client,
    access_token: String,
    refresh_token: String,
}

async fn stage(variant: Variant) -> anyhow::Result<Stage> {
    let authorization = match variant.product {
        CloudProduct::Auth0 => json!({"login": {"parameters": {"audience": "https://mcp.example.com"}}}),
        _ => json!({}),
    };
    let own = plan(&authorization)?;
    let callback = format!("{ISSUER}/authorize/callback");
    Stage::with(
        variant,
        |config| config.clients[0].redirect_uris = vec![callback],
        |plan, _| {
            plan.settings = own.settings;
            plan.servers = own.servers;
            plan.secrets = own.secrets;
        },
    )
    .await
}

/// The way of a browser: consent, the issuer, which knows its user, and back to the program with a code.
async fn log_in(stage: &Stage) -> anyhow::Result<Program> {
    let control = &stage.control.urls[0];
    let mut client = Client::of(&stage.control);
    let registration = json!({"client_name": "Inspector", "redirect_uris": [REDIRECT]});
    let registered = client.request(Method::POST, "/register").json(&registration);
    client.id = client.send(registered).await?.text("client_id").to_owned();
    let tab = HostTab::new();
    let open = |path: &str| {
        let headers = [("sec-fetch-site", "cross-site")];
        tab.request(Method::GET, &format!("{control}{path}"), &headers)
            .header("host", HOST)
    };
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("response_type", "code"),
            ("client_id", &client.id),
            ("redirect_uri", REDIRECT),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("resource", RESOURCE),
            ("scope", "mcp offline_access"),
        ])
        .finish();
    let consent = tab.send(open(&format!("/authorize?{query}"))).await?;
    let form = [("request", consent.request()), ("decision", "allow".to_owned())];
    let headers = [("sec-fetch-site", "same-origin"), ("origin", "null")];
    let decided = tab
        .request(Method::POST, &format!("{control}/authorize/consent"), &headers)
        .header("host", HOST)
        .form(&form);
    let onward = tab.send(decided).await?.onward();
    let at_issuer = http_client().get(onward).send().await?;
    let back = at_issuer
        .headers()
        .get("location")
        .context("the issuer refuses")?
        .to_str()?;
    let back = back.strip_prefix(ISSUER).context("back to another place")?;
    let done = tab.send(open(back)).await?;
    anyhow::ensure!(done.status == 303, "{}: {}", done.status, done.body);
    let code = parameter(done.location(), "code")?;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT),
        ("client_id", &client.id),
        ("code_verifier", VERIFIER),
        ("resource", RESOURCE),
    ];
    let reply = client.post(0, "/token", &form).await?;
    Ok(Program {
        access_token: reply.text("access_token").to_owned(),
        refresh_token: reply.refresh_token()?,
        client,
    })
}

fn parameter(location: &str, name: &str) -> anyhow::Result<String> {
    let url = url::Url::parse(location)?;
    let value = url.query_pairs().find(|(own, _)| own == name);
    Ok(value.context("no such parameter")?.1.into_owned())
}

/// The token that a server gets for the program's access token.
async fn served(stage: &Stage, access_token: &str) -> anyhow::Result<Value> {
    let ask = stage.control.ask(access_token).access_token().server("first");
    let answer = ask.send().await?;
    anyhow::ensure!(answer.status == 200, "{answer:?}");
    Ok(answer.body["access_token"].clone())
}

/// The token that a server gets when all earlier tokens are over.
async fn renewed(stage: &Stage, program: &Program) -> anyhow::Result<Value> {
    let reply = program.client.refresh(0, &program.refresh_token).await?;
    anyhow::ensure!(reply.status == 200, "{reply:?}");
    served(stage, reply.text("access_token")).await
}

async fn a_login_brings_a_refresh_token_and_is_renewed(variant: Variant) -> anyhow::Result<()> {
    let stage = stage(variant).await?;
    let program = log_in(&stage).await?;
    let counts = stage.issuer.counts();
    assert_eq!((counts.authorizations, counts.logins), (1, 1));
    let first = served(&stage, &program.access_token).await?;
    stage.expire();
    assert_ne!(renewed(&stage, &program).await?, first);
    assert_eq!(stage.refreshes(), (1, 1, 0));
    Ok(())
}

/// Google gives a refresh token again only with the user's consent.
async fn a_second_login_of_the_user_brings_one_too(variant: Variant) -> anyhow::Result<()> {
    let stage = stage(variant).await?;
    let first = log_in(&stage).await?;
    let second = log_in(&stage).await?;
    stage.expire();
    assert_ne!(renewed(&stage, &first).await?, renewed(&stage, &second).await?);
    assert_eq!(stage.refreshes(), (2, 2, 0));
    assert_eq!(stage.issuer.logins_alive(), 2);
    Ok(())
}

/// A login at the issuer that fails once is no login here.
#[tokio::test]
async fn a_code_that_the_issuer_does_not_take_makes_no_login() -> anyhow::Result<()> {
    for variant in [Variant::ENTRA, Variant::OKTA, Variant::AUTH0, Variant::GOOGLE] {
        let stage = stage(variant).await?;
        let failure = variant.product.passing_failures().remove(0);
        stage.issuer.fail_next(Endpoint::Login, 1, &failure);
        assert!(log_in(&stage).await.is_err(), "{variant:?}");
        assert_eq!(stage.issuer.counts().logins, 0, "{variant:?}");
        log_in(&stage).await?;
        assert_eq!(stage.issuer.counts().logins, 1, "{variant:?}");
    }
    Ok(())
}
