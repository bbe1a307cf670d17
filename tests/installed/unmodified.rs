//! An operator who has only YAML: the steps of `docs/install.md` for an unmodified aggregator, each with its check, on a real
//! Envoy Gateway.

use anyhow::Context as _;
use serde_json::{Value, json};
use tokenward_harness::world::{ALICE, Login, World};

use super::page::{blocks, console_command, document, run};

const REMOTE: &str = "remote-1";
/// A host that this machine resolves, in place of the page's.
const HOST: &str = "localhost";

fn yaml(text: &str) -> anyhow::Result<Value> {
    Ok(serde_saphyr::from_str(text)?)
}

/// The page's YAML block that has this top-level field.
fn page_block(path: &str, field: &str) -> anyhow::Result<Value> {
    for block in blocks(path, "yaml")? {
        let value = yaml(&block)?;
        if value.get(field).is_some() {
            return Ok(value);
        }
    }
    anyhow::bail!("no YAML block with {field} in {path}")
}

#[test]
fn the_pages_values_are_those_of_the_example() -> anyhow::Result<()> {
    let example = yaml(&document("envoy/gateway/values.yaml")?)?;
    for field in ["issuers", "exchangeEndpoint"] {
        let shown = page_block("docs/install.md", field)?;
        assert_eq!(shown[field], example[field], "{field}");
    }
    // The two fields of the resource lead to control's route, and name the issuer of the values.
    let changed = &page_block("docs/muster.md", "spec")?["spec"]["auth"]["tokenExchange"];
    let server = &example["servers"][1];
    let host = example["exchangeEndpoint"]["hostnames"][0]
        .as_str()
        .context("no host")?;
    let name = server["name"].as_str().context("no name")?;
    assert_eq!(
        *changed,
        json!({
            "dexTokenEndpoint": format!("https://{host}/exchange/{name}/token"),
            "expectedIssuer": server["auth"]["tokenExchange"]["expectedIssuer"],
        })
    );
    Ok(())
}

/// muster's own request.
async fn exchange(world: &World, gateway: &str, login: &Login) -> anyhow::Result<(u16, Value)> {
    let client = world.exchange_client(REMOTE).context("no exchange")?;
    let answer = reqwest::Client::builder()
        .no_proxy()
        .build()?
        .post(format!("{gateway}/exchange/{REMOTE}/token"))
        .basic_auth(&client.id, Some(&client.secret))
        .form(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("connector_id", "home"),
            ("scope", "openid profile email groups"),
            ("subject_token", &login.tokens.id_token),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
            (
                "requested_token_type",
                "urn:ietf:params:oauth:token-type:id_token",
            ),
        ])
        .send()
        .await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregator_that_exchanges_itself_does_so_at_control() -> anyhow::Result<()> {
    let Some((world, installation)) = World::start_installable("the exchange endpoint").await? else {
        return Ok(());
    };
    let installation = installation.value("/exchangeEndpoint", json!({"hostnames": [HOST]}))?;
    let _gateway = world.install(&installation).await?;
    let gateway = format!("http://{HOST}:{}", installation.port());

    let client = world.exchange_client(REMOTE).context("no exchange")?;
    let check = console_command(&["curl", "/exchange/"])?;
    let shown = check.split('"').nth(1).context("no credentials")?;
    let printed = |secret: &str| {
        run(
            &check,
            &[
                (shown, &format!("{}:{secret}", client.id)),
                (
                    "https://mcp.example.com/exchange/kubernetes-remote",
                    &format!("{gateway}/exchange/{REMOTE}"),
                ),
            ],
        )
    };
    let answer = printed(&client.secret)?;
    assert!(answer.contains("unsupported_grant_type"), "{answer}");
    let answer = printed("another")?;
    assert!(answer.contains("invalid_client"), "{answer}");

    let login = world.log_in_unregistered(ALICE).await?;
    for _ in 0..8 {
        let (status, answer) = exchange(&world, &gateway, &login).await?;
        assert_eq!(status, 200, "{answer}");
        assert!(answer["access_token"].is_string());
    }
    assert_eq!(world.tally().exchanges, 1);
    Ok(())
}
