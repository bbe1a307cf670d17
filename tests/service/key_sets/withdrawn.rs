//! A key that its issuer has withdrawn proves what was issued before, and one that an operator rejects proves nothing.

use serde_json::json;
use tokenward_control::app::key_ring;
use tokenward_control::store::{Expected, Store as _};
use tokenward_control::upstream::issuer::keys::record_of;
use tokenward_harness::issuer::{Endpoint, LoginTokens};

use super::stage::{Stage, issuers_own};
use crate::deployment::{ADMIN, Deployment, Plan};

/// A stage in which the issuer has withdrawn the key of `login`, which a thief has.
struct Withdrawn {
    stage: Stage,
    login: LoginTokens,
    thief: tokenward_harness::issuer::TokenDraft,
    kid: String,
}

impl Withdrawn {
    async fn set() -> anyhow::Result<Self> {
        let stage = Box::pin(Stage::set(Plan::default())).await?;
        let control = &stage.control;
        let login = control.log_in("s-1").await?;
        let thief = control.dex.mint(ADMIN, "muster");
        let set = issuers_own(control).await?;
        let kid = set["keys"][0]["kid"].as_str().unwrap_or_default().to_owned();
        control.dex.rotate_keys();
        control.dex.forget_previous_keys();
        stage.keys.publish(issuers_own(control).await?, &[]);
        control.advance(60);
        // The first login by the new key makes control look for it, and notice the withdrawal.
        let put = control
            .put_login("s-2", &control.dex.log_in(ADMIN, "muster").await?)
            .await?;
        assert_eq!(put.status, 201, "{put:?}");
        Ok(Self {
            stage,
            login,
            thief,
            kid,
        })
    }

    fn now_seconds(&self) -> i64 {
        self.stage.control.dex.clock().now_ms() / 1000
    }

    /// A token by the withdrawn key.
    fn stolen(&self, issued_in_seconds: i64, expires_in_seconds: i64) -> String {
        let now = self.now_seconds();
        let token = self.thief.clone().claim("iat", now + issued_in_seconds);
        token.claim("exp", now + expires_in_seconds).token()
    }

    async fn asked(&self, token: &str) -> anyhow::Result<(u16, String)> {
        let answer = self.stage.control.ask(token).session("s-1").send().await?;
        Ok((answer.status, answer.text("refusal").to_owned()))
    }
}

fn rejected() -> (u16, String) {
    (400, "subject_rejected".to_owned())
}

#[tokio::test]
async fn a_withdrawn_key_proves_what_was_issued_before_and_nothing_later_or_longer() -> anyhow::Result<()> {
    let withdrawn = Withdrawn::set().await?;
    let control = &withdrawn.stage.control;
    control.advance(300);
    assert_eq!(withdrawn.asked(&withdrawn.login.id_token).await?.0, 200);
    // Issued when its key was withdrawn: not at once forged, because the key may be published again.
    let later = withdrawn.stolen(-100, -1);
    let at_first = withdrawn.asked(&later).await?;
    assert_eq!(at_first, (503, "issuer_unavailable".to_owned()));
    control.advance(121);
    assert_eq!(withdrawn.asked(&later).await?, rejected());
    for (what, token) in [
        ("issued before, good for a day", withdrawn.stolen(-600, 86_400)),
        ("issued before, not expired yet", withdrawn.stolen(-500, 300)),
        ("issued after", withdrawn.stolen(-300, 300)),
        (
            "without iat, not expired",
            withdrawn
                .thief
                .clone()
                .without("iat")
                .claim("exp", withdrawn.now_seconds() + 300)
                .token(),
        ),
    ] {
        assert_eq!(withdrawn.asked(&token).await?, rejected(), "{what}");
        let put = control.put("s-3", &token, Some("refresh")).await?;
        assert_eq!(put.refusal(), (400, "subject_rejected"), "{what}");
    }
    // A token from the future is none, whatever its key.
    let ahead = withdrawn.stolen(31_536_000, 31_536_300);
    assert_eq!(
        withdrawn.asked(&ahead).await?,
        (400, "wrong_token_type".to_owned())
    );
    assert_eq!(withdrawn.asked(&withdrawn.login.id_token).await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn what_a_withdrawn_key_proves_is_the_same_after_a_restart() -> anyhow::Result<()> {
    let mut withdrawn = Withdrawn::set().await?;
    // Dex's key set may be cached for ten minutes, and so long another replica of it may sign with a withdrawn key.
    withdrawn.stage.control.advance(1200);
    let stolen = withdrawn.stolen(-60, -1);
    let (login, control) = (withdrawn.login, &mut withdrawn.stage.control);
    let restarted = control.add_replica().await?;
    let honest = control.ask(&login.id_token).session("s-1").replica(restarted);
    assert_eq!(honest.send().await?.status, 200);
    let stolen = control
        .ask(&stolen)
        .session("s-1")
        .replica(restarted)
        .send()
        .await?;
    assert_ne!(stolen.status, 200, "{stolen:?}");
    Ok(())
}

/// As versions before wrote it: the issuer's own members, in their own order.
#[tokio::test]
async fn keys_that_an_older_version_remembered_prove_after_the_update() -> anyhow::Result<()> {
    let mut control = Deployment::start(Plan::default()).await?;
    let tokens = control.log_in("s-1").await?;
    let set = issuers_own(&control).await?;
    let now_ms = control.dex.clock().now_ms();
    let mut of_before = set["keys"][0].clone();
    of_before["x5t#S256"] = json!("x");
    let unreadable = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"});
    let record = json!([
        {"jwk": unreadable, "retired_at_ms": null},
        {"jwk": of_before, "retired_at_ms": now_ms + 301_000},
    ]);
    let key = record_of(control.dex.issuer());
    let ring = key_ring(&control.changed(|_| ())?.sealing)?;
    let sealed = ring.seal(key.as_str(), record.to_string().as_bytes())?;
    control.store().write(&key, Expected::Any, &sealed, None).await?;
    control.dex.rotate_keys();
    control.dex.forget_previous_keys();
    control.advance(302);
    control.dex.hold(Endpoint::Keys);
    let updated = control.add_replica().await?;
    let ask = control.ask(&tokens.id_token).session("s-1").replica(updated);
    let stranger = control.dex.mint(ADMIN, "muster").unknown_key_id().token();
    let proven = async {
        control.dex.wait_until_held(Endpoint::Keys, 1).await;
        control.dex.release(Endpoint::Keys);
    };
    let (answer, ()) = tokio::join!(ask.send(), proven);
    assert_eq!(answer?.status, 200);
    let stranger = control.ask(&stranger).replica(updated).send().await?;
    assert_eq!(stranger.refusal(), (503, "issuer_unavailable"));
    Ok(())
}

#[tokio::test]
async fn a_rejected_key_proves_nothing_from_the_reload_on_whether_it_is_withdrawn_or_published()
-> anyhow::Result<()> {
    let withdrawn = Withdrawn::set().await?;
    let stage = &withdrawn.stage;
    let old = &withdrawn.login.id_token;
    stage.control.advance(300);
    // Proven once, so that the proof is remembered.
    assert_eq!(withdrawn.asked(old).await?.0, 200);
    stage.configure(|issuer| issuer["rejected_keys"] = json!([withdrawn.kid]))?;
    assert_eq!(withdrawn.asked(old).await?, rejected());
    let refused = stage.control.put_login("s-1", &withdrawn.login).await?;
    assert_eq!(refused.refusal(), (400, "subject_rejected"));
    assert!(
        refused.text("error_description").contains("rejected_keys"),
        "{refused:?}"
    );
    stage.configure(|_| ())?;
    assert_eq!(withdrawn.asked(old).await?.0, 200);

    // By its thumbprint, while the issuer publishes it.
    let published = issuers_own(&stage.control).await?;
    let set = tokenward_control::upstream::issuer::key_set::KeySet::read(published.to_string().as_bytes())?;
    let thumbprint = set.keys[0].thumbprint();
    let login = stage.control.dex.log_in(ADMIN, "muster").await?;
    assert_eq!(stage.control.put_login("s-4", &login).await?.status, 201);
    stage.configure(|issuer| issuer["rejected_keys"] = json!([thumbprint]))?;
    let refused = stage.control.put_login("s-4", &login).await?;
    assert_eq!(refused.refusal(), (400, "subject_rejected"), "{refused:?}");
    assert_eq!(withdrawn.asked(old).await?.0, 200, "another key is not rejected");
    Ok(())
}
