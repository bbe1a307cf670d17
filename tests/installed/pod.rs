//! The Deployment's container, run as rendered: from the image's files alone, as nobody, on a read-only root.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokenward_harness::parts::{Pod, Secrets, Valkey, ports};
use tokenward_harness::world::{ALICE, CLIENT, Installation, LOCAL, Login, World};

/// What an administrator has put into the namespace, by the names in the chart's values.
fn secrets(world: &World) -> Secrets {
    let config = world.control.config();
    let text = |secret: &SecretString| secret.expose_secret().to_owned();
    let one = |key: &str, content: String| BTreeMap::from([(key.to_owned(), content)]);
    let remote = world.exchange_client("remote-1").expect("an exchanging server");
    Secrets::from([
        (
            "tokenward-credentials".to_owned(),
            BTreeMap::from([
                ("filter".to_owned(), text(&config.filter_credential)),
                ("aggregator".to_owned(), text(&config.aggregator_credential)),
            ]),
        ),
        (
            "tokenward-sealing".to_owned(),
            one("k1", text(&config.sealing_key.1)),
        ),
        ("home".to_owned(), one("secret", CLIENT.1.to_owned())),
        ("remote".to_owned(), one("client-secret", remote.secret.clone())),
    ])
}

fn http() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

async fn register(world: &World, pod: &Pod, login: &Login) -> anyhow::Result<u16> {
    let credential = world.control.config().aggregator_credential.expose_secret();
    let answer = http()?
        .put(format!("{}/v1/sessions/{}", pod.url(), login.session))
        .bearer_auth(credential)
        .json(&json!({
            "issuer": world.home.issuer(), "client_id": CLIENT.0,
            "id_token": login.tokens.id_token, "refresh_token": login.tokens.refresh_token,
        }))
        .send()
        .await?;
    Ok(answer.status().as_u16())
}

async fn ask(world: &World, pod: &Pod, login: &Login) -> anyhow::Result<(u16, Value)> {
    let answer = http()?
        .post(format!("{}/oauth2/token", pod.url()))
        .bearer_auth(world.control.config().filter_credential.expose_secret())
        .form(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", &login.tokens.id_token),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
            (
                "requested_token_type",
                "urn:ietf:params:oauth:token-type:id_token",
            ),
            ("audience", LOCAL),
        ])
        .send()
        .await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

/// A pod's life: it becomes ready, serves module and tokens, and ends in order. Returns what it wrote to its volumes.
async fn a_life(world: &World, installation: &Installation, user: &str) -> anyhow::Result<Vec<String>> {
    let address: SocketAddr = format!("127.0.0.1:{}", ports::free_port()?).parse()?;
    let installation = installation
        .clone()
        .value("/service/port", address.port())?
        .value("/controlSettings", json!({"listen": address}))?;
    let mut pod = Pod::start(&installation.render()?, &secrets(world), address)?;
    pod.wait_for_probe("startupProbe").await?;
    pod.wait_for_probe("readinessProbe").await?;
    pod.wait_for_probe("livenessProbe").await?;

    assert_eq!(pod.status("NoNewPrivs")?, "1");
    if Pod::runs_as_nobody() {
        assert_eq!(pod.status("Uid")?, "65532\t65532\t65532\t65532");
        assert_eq!(pod.status("Gid")?, "65532\t65532\t65532\t65532");
        assert_eq!(pod.status("CapEff")?, "0000000000000000");
    }
    let digest = http()?
        .get(format!("{}/filter/tokenward.wasm.sha256", pod.url()))
        .send()
        .await?;
    assert!(digest.text().await?.starts_with(&world.module_digest().await?));

    let before = world.home.counts().refreshes_presented;
    let login = world.log_in_unregistered_an_hour_ago(user).await?;
    assert!(matches!(register(world, &pod, &login).await?, 200..=204));
    let (status, answer) = ask(world, &pod, &login).await?;
    assert_eq!(status, 200, "{}", answer["error_description"]);
    assert_eq!(world.home.counts().refreshes_presented, before + 1);
    assert_eq!(ask(world, &pod, &login).await?.0, 200);
    assert_eq!(world.home.counts().refreshes_presented, before + 1, "kept");

    let written = pod.written()?;
    pod.terminate().await?;
    Ok(written)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_container_needs_only_the_images_files_and_what_the_deployment_mounts() -> anyhow::Result<()> {
    let Some((world, installation)) = World::start_installable("the pod").await? else {
        return Ok(());
    };
    if !Pod::can_run() {
        tokenward_harness::aloud!("not shown: the pod: this machine lets no test make a mount namespace");
        return Ok(());
    }
    // Of its own, and over TCP: the container sees no socket file of this machine.
    let valkey = Valkey::start_on_a_port(&[]).await?;
    let on_valkey = installation
        .clone()
        .value("/store", json!({"valkey": {"url": valkey.url()}}))?;
    assert_eq!(
        a_life(&world, &on_valkey, ALICE).await?,
        [""; 0],
        "nothing is written"
    );
    let on_a_volume = installation
        .value(
            "/store",
            json!({"valkey": {"enabled": false}, "embedded": {"enabled": true}}),
        )?
        .value("/replicaCount", 1)?;
    assert_eq!(
        a_life(&world, &on_a_volume, "bob@example.com").await?,
        ["store.redb"]
    );
    Ok(())
}
