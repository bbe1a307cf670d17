//! Clients that prove themselves by a key: a new assertion for each request, made out to what the issuer wants.

use serde_json::json;
use tokenward_harness::cloud_issuers::{CloudClientKey, CloudProduct};

use super::stage::{Stage, Variant};

/// Google has no clients with keys.
const WITH_KEYS: [Variant; 3] = [Variant::ENTRA, Variant::OKTA, Variant::AUTH0];

/// Entra finds a client's key by its certificate.
fn key(variant: Variant) -> anyhow::Result<CloudClientKey> {
    match variant.product {
        CloudProduct::Entra => CloudClientKey::with_certificate(),
        _ => CloudClientKey::generate(),
    }
}

async fn stage(variant: Variant, key: &CloudClientKey) -> anyhow::Result<Stage> {
    Stage::with(
        variant,
        |config| config.clients[0].key = Some(key.clone()),
        |plan, _| {
            plan.files = vec![("client-key".to_owned(), key.pem().into())];
            plan.issuer["client_secret"] = json!(null);
            plan.issuer["client_auth"] = json!("private_key_jwt");
            plan.issuer["client_key"] = json!({"file": "@client-key"});
        },
    )
    .await
}

#[tokio::test]
async fn a_client_with_a_key_refreshes_and_gives_its_token_back() -> anyhow::Result<()> {
    for variant in WITH_KEYS {
        let stage = stage(variant, &key(variant)?).await?;
        let mut presented = stage.log_in("s-1").await?.id_token;
        for _ in 0..3 {
            stage.expire();
            presented = stage.renewed("s-1", &presented).await?;
        }
        assert_eq!(stage.refreshes(), (3, 3, 0), "{variant:?}");
        assert_eq!(stage.control.end("s-1").await?.status, 204);
        stage.at_rest().await;
        let alive = usize::from(!variant.is_revoked_at_the_end());
        assert_eq!(stage.issuer.logins_alive(), alive, "{variant:?}");
    }
    Ok(())
}

/// The issuer takes the new key from one moment to the next, and control's file changes after that.
#[tokio::test]
async fn another_key_is_a_change_of_the_file_and_ends_no_login() -> anyhow::Result<()> {
    for variant in WITH_KEYS {
        let stage = stage(variant, &key(variant)?).await?;
        let login = stage.log_in("s-1").await?;
        let next = key(variant)?;
        stage.issuer.set_client_key("muster", &next);
        stage.expire();
        let ask = stage.ask("s-1", &login.id_token);
        let refused = ask.send().await?;
        assert_eq!(
            refused.refusal(),
            (500, "issuer_misconfigured"),
            "{variant:?}: {refused:?}"
        );
        stage.control.write_file("client-key", next.pem())?;
        let config = stage.control.changed(|_| {})?;
        let service = stage.control.service(0).service().succeeded_by(config)?;
        stage.control.service(0).replace(service);
        stage.pause();
        let answer = stage.settled(&ask).await?;
        assert_eq!(answer.status, 200, "{variant:?}: {answer:?}");
        assert_eq!(stage.issuer.counts().refreshes_succeeded, 1, "{variant:?}");
    }
    Ok(())
}
