//! Whose documents are accepted: by host, as a pinned copy, through a proxy.

use serde_json::json;
use tokenward_control::authorization::client::{AuthenticationMethod, ClientOfLogin, PresentedClient};
use tokenward_control::authorization::refusal::{AuthorizationRefusal, AuthorizationRefused};

use super::server::DocumentServer;
use super::stage::{Names, Stage, source};
use crate::authorization::stage::plan;
use crate::deployment::{Deployment, Plan};

const PINNED: &str = "https://client.example/client.json";

#[tokio::test]
async fn a_host_that_is_not_listed_is_not_even_resolved() -> anyhow::Result<()> {
    let names = Names::new(&[
        ("evil.example", &[&["127.0.0.1"]]),
        ("sub.client.example", &[&["127.0.0.1"]]),
    ]);
    for hosts in [json!(["client.example"]), json!("known"), json!("pinned")] {
        let stage = Stage::new(json!({"hosts": hosts}), names.clone()).await?;
        for host in ["evil.example", "sub.client.example"] {
            let refused = stage.find(&format!("https://{host}/client.json")).await;
            assert_eq!(
                refused,
                Err(AuthorizationRefusal::ClientNotAllowed),
                "{hosts} {host}"
            );
            assert_eq!(names.look_ups(host), 0);
        }
        assert_eq!(stage.counted("host"), 2);
    }
    Ok(())
}

#[tokio::test]
async fn a_pinned_copy_is_never_fetched() -> anyhow::Result<()> {
    let names = Names::new(&[("client.example", &[&["127.0.0.1"]])]);
    let document =
        json!({"client_id": PINNED, "client_name": "Pinned", "redirect_uris": ["http://localhost/cb"]});
    let more = json!({"clients": {"metadata_documents": {
        "hosts": "pinned", "pinned": [{"client_id": PINNED, "file": "@pinned"}],
    }}});
    let plan = Plan {
        files: vec![("pinned".to_owned(), document.to_string().into_bytes())],
        ..plan(&more)?
    };
    let stage = Stage::of(Deployment::start(plan).await?, names.clone())?;
    assert_eq!(stage.find(PINNED).await.expect("pinned").name, "Pinned");
    assert_eq!(
        (names.look_ups("client.example"), stage.counted("pinned")),
        (0, 1)
    );
    let other = stage.find("https://client.example/other.json").await;
    assert_eq!(other, Err(AuthorizationRefusal::ClientNotAllowed));
    Ok(())
}

#[tokio::test]
async fn an_egress_proxy_gets_the_request_and_resolves_the_name() -> anyhow::Result<()> {
    let proxy = DocumentServer::start().await?;
    let names = Names::new(&[("documents.localhost", &[&["127.0.0.1"]])]);
    let through = json!({"hosts": "any", "allow_private_addresses": true, "egress_proxy": proxy.url("/")});
    let stage = Stage::new(through, names.clone()).await?;
    let id = "http://documents.localhost:1/client.json";
    let mut document = proxy.document();
    document["client_id"] = json!(id);
    proxy.serve(&document);
    assert_eq!(stage.find(id).await.expect("found").name, "A client");
    assert_eq!((proxy.requests(), names.look_ups("documents.localhost")), (1, 0));
    Ok(())
}

#[tokio::test]
async fn a_public_client_at_the_token_endpoint_needs_no_fetch_but_an_accepted_host() -> anyhow::Result<()> {
    let server = DocumentServer::start().await?;
    let stage = Stage::local().await?;
    let check = async |login: &str, presented: PresentedClient| {
        let login = ClientOfLogin {
            id: login.to_owned(),
            authentication: AuthenticationMethod::None,
        };
        let checked = stage.clients.authenticate(&login, &presented, source(1)).await;
        checked.map_err(|error| AuthorizationRefused::from(error).refusal)
    };
    let id = server.client_id();
    let of = |id: &str| PresentedClient {
        client_id: Some(id.to_owned()),
        ..PresentedClient::default()
    };
    assert_eq!(check(&id, of(&id)).await, Ok(()));
    let rejected = Err(AuthorizationRefusal::ClientRejected);
    assert_eq!(check(&id, of(&server.url("/other.json"))).await, rejected);
    assert_eq!(check(&id, PresentedClient::default()).await, rejected);
    let with_secret = PresentedClient {
        secret: true,
        ..of(&id)
    };
    assert_eq!(check(&id, with_secret).await, rejected);
    let with_assertion = PresentedClient {
        assertion: Some("a.b.c".to_owned().into()),
        ..of(&id)
    };
    assert_eq!(check(&id, with_assertion).await, rejected);

    // The operator has taken its host off the list since.
    let elsewhere = "https://removed.example/client.json";
    assert_eq!(
        check(elsewhere, of(elsewhere)).await,
        Err(AuthorizationRefusal::ClientNotAllowed)
    );
    for unknown in ["removed", "twc1.AAAA"] {
        assert_eq!(
            check(unknown, of(unknown)).await,
            Err(AuthorizationRefusal::UnknownClient),
            "{unknown}"
        );
    }
    assert_eq!(server.requests(), 0);
    Ok(())
}
