//! The fake cloud issuers by themselves: what their documentation says, over HTTP.

use std::time::Duration;

use serde_json::Value;
use tokenward_harness::cloud_issuers::{CloudConfig, CloudIssuer, CloudProduct, Rotation, UserState};
use tokenward_harness::issuer::http_client;

const USER: &str = "ada@example.com";
const MUSTER: [(&str, &str); 2] = [("client_id", "muster"), ("client_secret", "s3cret")];
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ON_BEHALF_OF: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

struct Fake(CloudIssuer);

impl Fake {
    async fn of(config: CloudConfig) -> anyhow::Result<Self> {
        config.clock.stop();
        Ok(Self(CloudIssuer::start(config).await?))
    }

    async fn post(&self, url: &str, form: &[(&str, &str)]) -> anyhow::Result<(u16, Value)> {
        let fields: Vec<_> = MUSTER.iter().chain(form).collect();
        let answer = http_client().post(url).form(&fields).send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await.unwrap_or_default()))
    }

    async fn token(&self, form: &[(&str, &str)]) -> anyhow::Result<(u16, Value)> {
        self.post(&self.0.token_endpoint(), form).await
    }

    /// Status, and the refresh token of the answer or its `error`.
    async fn refresh(&self, refresh_token: &str) -> anyhow::Result<(u16, String)> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
        let (status, body) = self.token(&form).await?;
        let member = if status == 200 { "refresh_token" } else { "error" };
        Ok((status, body[member].as_str().unwrap_or_default().to_owned()))
    }

    fn advance(&self, seconds: u64) {
        self.0.clock().advance(Duration::from_secs(seconds));
    }
}

fn text<'a>(body: &'a Value, member: &str) -> &'a str {
    body[member].as_str().unwrap_or_default()
}

#[tokio::test]
async fn at_entra_every_refresh_token_of_a_login_stays_good() -> anyhow::Result<()> {
    let entra = Fake::of(CloudConfig::of(CloudProduct::Entra)).await?;
    let first = entra.0.log_in(USER).refresh_token;
    let (status, second) = entra.refresh(&first).await?;
    assert_eq!(status, 200);
    assert_ne!(second, first);
    for token in [&first, &second, &first] {
        assert_eq!(entra.refresh(token).await?.0, 200);
    }
    // Each use counts: ninety days without one end a token.
    entra.advance(90 * 24 * 3600 + 1);
    assert_eq!(entra.refresh(&second).await?, (400, "invalid_grant".to_owned()));
    Ok(())
}

#[tokio::test]
async fn reuse_after_the_overlap_ends_the_login_and_no_other() -> anyhow::Result<()> {
    for (product, status) in [(CloudProduct::Okta, 400), (CloudProduct::Auth0, 403)] {
        let overlap = Duration::from_secs(60);
        let fake = Fake::of(CloudConfig::of(product).rotation(Rotation::Replaced { overlap })).await?;
        let (first, other) = (
            fake.0.log_in(USER).refresh_token,
            fake.0.log_in(USER).refresh_token,
        );
        let (_, second) = fake.refresh(&first).await?;
        fake.advance(59);
        let (again, third) = fake.refresh(&first).await?;
        assert_eq!(again, 200, "{product:?}");
        assert_ne!(second, third);
        // Once a later one was used, the first is no longer the one before.
        assert_eq!(fake.refresh(&third).await?.0, 200);
        let dead = (status, "invalid_grant".to_owned());
        assert_eq!(fake.refresh(&first).await?, dead, "{product:?}");
        assert_eq!(fake.refresh(&second).await?, dead, "{product:?}");
        assert_eq!(fake.0.logins_alive(), 1, "{product:?}");
        let (_, next) = fake.refresh(&other).await?;
        fake.advance(61);
        assert_eq!(fake.refresh(&other).await?, dead, "{product:?}");
        assert_eq!(fake.refresh(&next).await?, dead, "{product:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_revocation_ends_what_the_product_says() -> anyhow::Result<()> {
    for (product, path, alive) in [
        (CloudProduct::Okta, "/oauth2/default/v1/revoke", 1),
        (CloudProduct::Auth0, "/oauth/revoke", 1),
        (CloudProduct::Google, "/revoke", 0),
    ] {
        let fake = Fake::of(CloudConfig::of(product)).await?;
        let token = fake.0.log_in(USER).refresh_token;
        fake.0.log_in(USER);
        let url = format!("http://{}{path}", fake.0.address());
        assert_eq!(fake.post(&url, &[("token", &token)]).await?.0, 200, "{product:?}");
        assert_eq!(fake.0.logins_alive(), alive, "{product:?}");
        // Google alone reports one that is dead already.
        let again = fake.post(&url, &[("token", &token)]).await?.0;
        let expected = if product == CloudProduct::Google { 400 } else { 200 };
        assert_eq!(again, expected, "{product:?}");
    }
    Ok(())
}

#[tokio::test]
async fn okta_introspects_a_refresh_token_until_it_is_used() -> anyhow::Result<()> {
    let okta = Fake::of(CloudConfig::of(CloudProduct::Okta)).await?;
    let url = format!("http://{}/oauth2/default/v1/introspect", okta.0.address());
    let first = okta.0.log_in(USER).refresh_token;
    let active = async |token: &str| -> anyhow::Result<Value> {
        Ok(okta.post(&url, &[("token", token)]).await?.1["active"].clone())
    };
    assert_eq!(active(&first).await?, true);
    let (_, second) = okta.refresh(&first).await?;
    assert_eq!(active(&first).await?, false);
    assert_eq!(active(&second).await?, true);
    // Looking at a token is no use of it.
    assert_eq!(okta.0.logins_alive(), 1);
    Ok(())
}

#[tokio::test]
async fn entra_exchanges_an_access_token_for_its_client_and_names_what_is_wrong_with_another()
-> anyhow::Result<()> {
    let entra = Fake::of(CloudConfig::of(CloudProduct::Entra)).await?;
    let login = entra.0.log_in(USER);
    let exchange = async |assertion: &str, scope: &str| {
        let form = [
            ("grant_type", ON_BEHALF_OF),
            ("assertion", assertion),
            ("scope", scope),
            ("requested_token_use", "on_behalf_of"),
        ];
        entra.token(&form).await
    };
    let scope = "api://reports/.default";
    let (status, body) = exchange(&login.access_token, scope).await?;
    assert_eq!(status, 200, "{body}");
    assert!(body["issued_token_type"].is_null() && body["id_token"].is_null());
    let refused = async |assertion: &str, scope: &str| -> anyhow::Result<String> {
        let (_, body) = exchange(assertion, scope).await?;
        Ok(format!("{} {}", text(&body, "error"), body["error_codes"][0]))
    };
    assert_eq!(refused(&login.id_token, scope).await?, "invalid_grant 500131");
    assert_eq!(refused("e30.e30.AAAA", scope).await?, "invalid_grant 50013");
    assert_eq!(
        refused(&login.access_token, "api://none/.default").await?,
        "invalid_scope 70011"
    );
    assert_eq!(refused(&login.access_token, "").await?, "invalid_request 900144");
    entra.0.set_user(USER, UserState::ConsentWithdrawn);
    assert_eq!(refused(&login.access_token, scope).await?, "invalid_grant 65001");
    entra.0.set_user(USER, UserState::MustInteract);
    let (_, body) = exchange(&login.access_token, scope).await?;
    assert_eq!(text(&body, "error"), "interaction_required");
    assert!(text(&body, "claims").contains("access_token"));
    entra.advance(3601);
    assert_eq!(refused(&login.access_token, scope).await?, "invalid_grant 500133");
    assert_eq!(entra.0.counts().exchanges_succeeded, 1);
    Ok(())
}

#[tokio::test]
async fn okta_and_auth0_exchange_an_access_token_of_their_own() -> anyhow::Result<()> {
    for (product, subject_type, scope, id_token_is_refused) in [
        (
            CloudProduct::Okta,
            "urn:ietf:params:oauth:token-type:access_token",
            "reports:read",
            true,
        ),
        (CloudProduct::Auth0, "urn:example:login", "read:reports", false),
    ] {
        let fake = Fake::of(CloudConfig::of(product)).await?;
        let login = fake.0.log_in(USER);
        let exchange = async |subject: &str, subject_type: &str, audience: &str| {
            let form = [
                ("grant_type", TOKEN_EXCHANGE),
                ("subject_token", subject),
                ("subject_token_type", subject_type),
                ("audience", audience),
                ("scope", scope),
            ];
            anyhow::Ok(fake.token(&form).await?.0)
        };
        let audience = fake.0.api_audience();
        let access_token = &login.access_token;
        assert_eq!(
            exchange(access_token, subject_type, audience).await?,
            200,
            "{product:?}"
        );
        let by_id_token = exchange(&login.id_token, subject_type, audience).await?;
        assert_eq!(by_id_token != 200, id_token_is_refused, "{product:?}");
        assert_ne!(
            exchange(access_token, "urn:ietf:params:oauth:token-type:jwt", audience).await?,
            200
        );
        assert_ne!(exchange(access_token, subject_type, "api://none").await?, 200);
        fake.advance(3601);
        assert_ne!(exchange(access_token, subject_type, audience).await?, 200);
    }
    Ok(())
}

#[tokio::test]
async fn google_keeps_one_refresh_token_and_a_hundred_logins() -> anyhow::Result<()> {
    let google = Fake::of(CloudConfig::of(CloudProduct::Google)).await?;
    let first = google.0.log_in(USER).refresh_token;
    assert_eq!(google.refresh(&first).await?, (200, String::new()));
    assert_eq!(google.refresh(&first).await?, (200, String::new()));
    for _ in 0..99 {
        google.0.log_in(USER);
    }
    assert_eq!(google.refresh(&first).await?.0, 200);
    google.0.log_in(USER);
    assert_eq!(google.refresh(&first).await?, (400, "invalid_grant".to_owned()));
    assert_eq!(google.0.logins_alive(), 100);
    Ok(())
}
