//! Control's exchange endpoint beside the token endpoint of a real Dex: the same request, the same answer. Left out, with a
//! line on the terminal, where Dex is not built.

use serde_json::Value;
use tokenward_harness::issuer::Issuer as _;
use tokenward_harness::parts::{RealDex, tools};
use tokenward_harness::world::{ALICE, CONNECTOR, World};

const REMOTE: &str = "remote-1";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
/// What is left out of a form.
const LEFT_OUT: Option<&str> = None;

type Form = Vec<(&'static str, String)>;

/// Status, `error`, `error_description` and the names of all members but control's own.
#[derive(Debug, PartialEq, Eq)]
struct Shape {
    status: u16,
    error: Value,
    description: Value,
    members: Vec<String>,
}

async fn post(url: &str, client: (&str, &str), form: &Form) -> anyhow::Result<(Shape, Value)> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let response = http
        .post(url)
        .basic_auth(client.0, Some(client.1))
        .form(form)
        .send()
        .await?;
    let status = response.status().as_u16();
    let body: Value = response.json().await?;
    let members = body.as_object().into_iter().flat_map(|body| body.keys());
    let shape = Shape {
        status,
        error: body["error"].clone(),
        description: body["error_description"].clone(),
        members: members.filter(|name| *name != "refusal").cloned().collect(),
    };
    Ok((shape, body))
}

fn form_of(token: &str) -> Form {
    vec![
        ("grant_type", GRANT_TYPE.to_owned()),
        ("subject_token", token.to_owned()),
        ("subject_token_type", ID_TOKEN.to_owned()),
        ("connector_id", CONNECTOR.to_owned()),
        ("scope", "openid profile email groups".to_owned()),
        ("requested_token_type", ID_TOKEN.to_owned()),
    ]
}

fn changed(form: &Form, name: &'static str, value: Option<&str>) -> Form {
    let mut form = form.clone();
    form.retain(|(parameter, _)| *parameter != name);
    form.extend(value.map(|value| (name, value.to_owned())));
    form
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exchange_endpoint_answers_as_a_real_dex_answers() -> anyhow::Result<()> {
    if tools::dex()?.is_none() {
        tokenward_harness::aloud!("left out: the exchange endpoint: {}", tools::DEX_IS_MISSING);
        return Ok(());
    }
    let world: World<RealDex> = World::builder().start_on().await?;
    let token = world.log_in_unregistered(ALICE).await?.tokens.id_token;
    let client = world
        .exchange_client(REMOTE)
        .map(|client| (client.id.clone(), client.secret.clone()));
    let (id, secret) = client.unwrap_or_default();
    let (good, right) = (form_of(&token), (id.as_str(), secret.as_str()));
    let own = format!("{}/exchange/{REMOTE}/token", world.control.url());
    let dex = world.remote.token_endpoint();

    let (ours, body) = post(&own, right, &good).await?;
    let (theirs, _) = post(&dex, right, &good).await?;
    assert_eq!(ours, theirs);
    assert_eq!((body["token_type"].as_str(), ours.status), (Some("bearer"), 200));

    let access_token = Some("urn:ietf:params:oauth:token-type:access_token");
    let unknown = Some("urn:example:unknown");
    // Dex has no description for the first and the last: control adds the cause.
    let rows = [
        (
            "an unknown grant",
            changed(&good, "grant_type", unknown),
            right,
            false,
        ),
        (
            "an unknown subject",
            changed(&good, "subject_token_type", unknown),
            right,
            true,
        ),
        (
            "no kind of subject",
            changed(&good, "subject_token_type", LEFT_OUT),
            right,
            true,
        ),
        (
            "no subject",
            changed(&good, "subject_token", LEFT_OUT),
            right,
            true,
        ),
        (
            "another connector",
            changed(&good, "connector_id", Some("nowhere")),
            right,
            true,
        ),
        (
            "no connector",
            changed(&good, "connector_id", LEFT_OUT),
            right,
            true,
        ),
        (
            "an unknown token",
            changed(&good, "requested_token_type", unknown),
            right,
            true,
        ),
        ("a wrong secret", good.clone(), (right.0, "wrong"), true),
        ("an unknown client", good.clone(), ("unknown", right.1), true),
        (
            "garbage",
            changed(&good, "subject_token", Some("garbage")),
            right,
            false,
        ),
        (
            "a forged token",
            changed(&good, "subject_token", Some(&format!("{token}x"))),
            right,
            false,
        ),
    ];
    for (what, form, client, is_same_text) in rows {
        let ((mut ours, _), (mut theirs, _)) =
            (post(&own, client, &form).await?, post(&dex, client, &form).await?);
        assert!(
            ours.status >= 400 && ours.description.is_string(),
            "{what}: {ours:?}"
        );
        if !is_same_text {
            for shape in [&mut ours, &mut theirs] {
                shape.description = Value::Null;
                shape.members.clear();
            }
        }
        assert_eq!(ours, theirs, "{what}");
    }
    // What Dex would do and control does not: it issues no access token.
    let form = changed(&good, "requested_token_type", access_token);
    assert_eq!(post(&dex, right, &form).await?.0.status, 200);
    assert_eq!(post(&own, right, &form).await?.0.error, "request_not_supported");
    // The filter gets the token that the endpoint has given.
    let before = world.remote.counts().exchanges_presented;
    let answer = world.call(REMOTE).bearer(&token).send().await?;
    assert_eq!(
        (answer.status, world.rejected_expired()),
        (200, 0),
        "{}",
        answer.body
    );
    assert_eq!(world.remote.counts().exchanges_presented, before);
    assert_eq!(world.home.counts().refreshes_presented, 0);
    Ok(())
}
