//! Two logins of one user: each session has its own, and the end of one leaves the other.

use serde_json::json;
use tokenward_harness::issuer::LoginTokens;

use super::stage::{Stage, USER, Variant};

at_each_issuer!(
    each_device_renews_by_its_own_login,
    a_device_that_signs_out_leaves_the_other,
    a_sign_out_everywhere_ends_both,
);

struct Devices {
    stage: Stage,
    laptop: LoginTokens,
    phone: LoginTokens,
}

async fn devices(variant: Variant) -> anyhow::Result<Devices> {
    let stage = Stage::set(variant).await?;
    let laptop = stage.log_in("laptop").await?;
    let phone = stage.log_in("phone").await?;
    Ok(Devices { stage, laptop, phone })
}

async fn each_device_renews_by_its_own_login(variant: Variant) -> anyhow::Result<()> {
    let Devices { stage, laptop, phone } = devices(variant).await?;
    let (mut on_laptop, mut on_phone) = (laptop.id_token, phone.id_token);
    for _ in 0..3 {
        stage.expire();
        on_laptop = stage.renewed("laptop", &on_laptop).await?;
        on_phone = stage.renewed("phone", &on_phone).await?;
        assert_ne!(on_laptop, on_phone);
    }
    let again = if variant.rotates() { 0 } else { 4 };
    assert_eq!(stage.refreshes(), (6, 6, again));
    assert_eq!(stage.issuer.logins_alive(), 2);
    Ok(())
}

async fn a_device_that_signs_out_leaves_the_other(variant: Variant) -> anyhow::Result<()> {
    let Devices { stage, laptop, phone } = devices(variant).await?;
    stage.expire();
    let on_laptop = stage.renewed("laptop", &laptop.id_token).await?;
    let on_phone = stage.renewed("phone", &phone.id_token).await?;
    assert_eq!(stage.control.end("laptop").await?.status, 204);
    stage.at_rest().await;
    let (revoked, alive) = if variant.is_revoked_at_the_end() {
        (1, 1)
    } else {
        (0, 2)
    };
    assert_eq!(stage.issuer.revoked().len(), revoked);
    assert_eq!(stage.issuer.logins_alive(), alive);
    stage.expire();
    let ended = stage.ask("laptop", &on_laptop).send().await?;
    assert_eq!(ended.status, 400, "{ended:?}");
    stage.renewed("phone", &on_phone).await?;
    assert_eq!(stage.issuer.counts().refreshes_presented, 3);
    Ok(())
}

async fn a_sign_out_everywhere_ends_both(variant: Variant) -> anyhow::Result<()> {
    let Devices { stage, laptop, phone } = devices(variant).await?;
    let answer = stage.control.sign_out(&stage.issuer.subject(USER)).await?;
    assert_eq!(answer.body, json!({"sessions": 2}));
    stage.at_rest().await;
    let revoked = if variant.is_revoked_at_the_end() { 2 } else { 0 };
    assert_eq!(stage.issuer.revoked().len(), revoked);
    stage.expire();
    for (session, token) in [("laptop", &laptop.id_token), ("phone", &phone.id_token)] {
        let answer = stage.ask(session, token).send().await?;
        assert_eq!(answer.status, 400, "{session}: {answer:?}");
    }
    assert_eq!(stage.issuer.counts().refreshes_presented, 0);
    Ok(())
}
