//! Keycloak as the remote of another realm, which it trusts as an identity provider: a JWT authorization grant (RFC 7523), and
//! token exchange (RFC 8693) with a token of that provider. Both take the login's access token.

use serde_json::json;
use tokenward_harness::parts::keycloak::{Realm, RealmClient};

use super::exchange::{exchange_server, fifty_callers, plan_with, until_another};
use super::stage::{ALICE, Stage, claim, plan_of_realm};

const REQUESTER: (&str, &str) = ("requester", "requester-secret");
const AUDIENCE: &str = "mcp-server";
/// The name of the home realm at the remote one.
const ALIAS: &str = "home";
const BY_GRANT: &str = "by-grant";
const BY_EXCHANGE: &str = "by-exchange";
/// Of exchanged tokens: three seconds more than the margin.
const LIFE: &str = "8";

struct Realms {
    stage: Stage,
    remote: Realm,
}

async fn set(story: &str) -> anyhow::Result<Option<Realms>> {
    let requester = RealmClient::new(REQUESTER.0, REQUESTER.1)
        .exchanges()
        .attribute("oauth2.jwt.authorization.grant.enabled", "true")
        .attribute("oauth2.jwt.authorization.grant.idp", ALIAS)
        .attribute("access.token.lifespan", LIFE)
        .audience_client(AUDIENCE);
    let remote = plan_of_realm()
        .client(requester)
        .client(RealmClient::new(AUDIENCE, "not-used-by-any-story"));
    let Some(remote) = super::stage::realm(story, remote).await? else {
        return Ok(None);
    };
    // An assertion may have no other audience than the remote realm.
    let home = plan_of_realm()
        .first_client(|client| client.audience_of_its_own(remote.issuer()).without_full_scope());
    let Some(home) = super::stage::realm(story, home).await? else {
        return Ok(None);
    };
    remote.trust(&home.as_home().await?, ALIAS).await?;
    let endpoint = remote.token_endpoint();
    let by_exchange = json!({"parameters": {"subject_issuer": ALIAS}});
    let servers = vec![
        exchange_server(BY_GRANT, &endpoint, AUDIENCE, &json!({"grant": "jwt-bearer"})),
        exchange_server(BY_EXCHANGE, &endpoint, AUDIENCE, &by_exchange),
    ];
    let stage = Stage::of(home, plan_with(servers, false)).await?;
    Ok(Some(Realms { stage, remote }))
}

async fn is_exchanged_and_renewed(server: &str) -> anyhow::Result<()> {
    let Some(Realms { stage, remote }) = set(&format!("an exchange between realms, {server}")).await? else {
        return Ok(());
    };
    let login = stage
        .log_in_with_access_token("s-1", ALICE, Realm::ONLINE)
        .await?;
    let call = stage.call("s-1", &login).server(server);
    let first = fifty_callers(&stage, &call).await?;
    assert_eq!(claim(&first, "iss")?, remote.issuer());
    assert_eq!(claim(&first, "azp")?, REQUESTER.0);
    assert_eq!(
        claim(&first, "sub")?,
        remote.user_id(ALICE).await?,
        "the remote's own user"
    );
    assert_eq!(remote.counts().exchanges_succeeded, 1);
    stage.assert_refreshes(1, 0).await?;
    let second = until_another(&stage, &call, &first).await?;
    assert_eq!(claim(&second, "sub")?, claim(&first, "sub")?);
    let counts = remote.counts();
    assert_eq!((counts.exchanges_presented, counts.exchanges_succeeded), (2, 2));
    stage.assert_refreshes(1, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jwt_authorization_grant_at_another_realm_is_done_once_and_renewed_once() -> anyhow::Result<()> {
    is_exchanged_and_renewed(BY_GRANT).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_at_another_realm_is_done_once_and_renewed_once() -> anyhow::Result<()> {
    is_exchanged_and_renewed(BY_EXCHANGE).await
}
