//! What an administrator does with a realm.

use anyhow::{Context as _, ensure};
use http::Method;
use serde_json::{Value, json};

use super::realm::{Login, Realm};

/// Above that of the key which a realm begins with.
const FIRST_PRIORITY: usize = 200;
const KEY_PROVIDER: &str = "org.keycloak.keys.KeyProvider";

/// # Errors
/// Each method fails when Keycloak does not answer, or answers with an error.
impl Realm {
    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let path = format!("/{}{path}", self.name);
        Ok(self.server.admin(Method::GET, &path, None).await?.0)
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Option<String>> {
        let path = format!("/{}{path}", self.name);
        Ok(self.server.admin(method, &path, body).await?.1)
    }

    /// Ends one session of a login; an offline one where it is that.
    pub async fn delete_session(&self, login: &Login) -> anyhow::Result<()> {
        let sessions = self.sessions(&login.email).await?;
        let is_offline = !sessions.contains(&login.session);
        let path = format!("/sessions/{}?isOffline={is_offline}", login.session);
        self.send(Method::DELETE, &path, None).await.map(drop)
    }

    /// Ends all sessions of a user, but no offline one: "Sign out" of the user's page.
    pub async fn log_out(&self, email: &str) -> anyhow::Result<()> {
        let path = format!("/users/{}/logout", self.user_id(email).await?);
        self.send(Method::POST, &path, None).await.map(drop)
    }

    /// Ends a user's offline sessions at a client: "Revoke" on the user's page.
    pub async fn revoke_offline_access(&self, email: &str, client_id: &str) -> anyhow::Result<()> {
        let path = format!("/users/{}/consents/{client_id}", self.user_id(email).await?);
        self.send(Method::DELETE, &path, None).await.map(drop)
    }

    /// The `sid`s of a user's sessions, without offline ones.
    pub async fn sessions(&self, email: &str) -> anyhow::Result<Vec<String>> {
        let path = format!("/users/{}/sessions", self.user_id(email).await?);
        let sessions = self.get(&path).await?;
        let ids = sessions.as_array().into_iter().flatten();
        Ok(ids
            .filter_map(|session| session["id"].as_str().map(str::to_owned))
            .collect())
    }

    /// How many offline sessions a user has at the first client.
    pub async fn offline_sessions(&self, email: &str) -> anyhow::Result<usize> {
        let client = self.client_uuid(&self.first_client()?.id.clone()).await?;
        let path = format!("/users/{}/offline-sessions/{client}", self.user_id(email).await?);
        Ok(self.get(&path).await?.as_array().map_or(0, Vec::len))
    }

    /// Enables or disables a user.
    pub async fn set_user_enabled(&self, email: &str, enabled: bool) -> anyhow::Result<()> {
        let path = format!("/users/{}", self.user_id(email).await?);
        let mut user = self.get(&path).await?;
        user["enabled"] = json!(enabled);
        self.send(Method::PUT, &path, Some(&user)).await.map(drop)
    }

    /// Changes the representation of a client.
    pub async fn change_client(
        &self,
        client_id: &str,
        change: impl FnOnce(&mut Value),
    ) -> anyhow::Result<()> {
        let path = format!("/clients/{}", self.client_uuid(client_id).await?);
        let mut client = self.get(&path).await?;
        change(&mut client);
        self.send(Method::PUT, &path, Some(&client)).await.map(drop)
    }

    /// Removes the mappers of a client's own: its tokens have no further audiences.
    pub async fn drop_mappers(&self, client_id: &str) -> anyhow::Result<()> {
        let path = format!(
            "/clients/{}/protocol-mappers/models",
            self.client_uuid(client_id).await?
        );
        for mapper in self.get(&path).await?.as_array().into_iter().flatten() {
            let id = mapper["id"].as_str().context("a mapper without an id")?;
            self.send(Method::DELETE, &format!("{path}/{id}"), None).await?;
        }
        Ok(())
    }

    /// Keycloak posts logout tokens of the first client's sessions to `url` from now on.
    pub async fn post_logouts_to(&self, url: &str) -> anyhow::Result<()> {
        let client_id = self.first_client()?.id.clone();
        self.change_client(&client_id, |client| {
            let attributes = &mut client["attributes"];
            attributes["backchannel.logout.url"] = json!(url);
            attributes["backchannel.logout.session.required"] = json!("true");
        })
        .await
    }

    /// Changes the representation of the realm.
    pub async fn change(&self, change: impl FnOnce(&mut Value)) -> anyhow::Result<()> {
        let mut realm = self.get("").await?;
        change(&mut realm);
        self.send(Method::PUT, "", Some(&realm)).await.map(drop)
    }

    /// New tokens are signed with a new RSA key from now on; the one before stays in the key set.
    pub async fn rotate_key(&self) -> anyhow::Result<()> {
        let realm = self.get("").await?;
        let providers = self.rsa_providers().await?.len();
        let priority = (FIRST_PRIORITY + providers).to_string();
        let provider = json!({
            "name": format!("rsa-{priority}"), "providerId": "rsa-generated", "providerType": KEY_PROVIDER,
            "parentId": realm["id"],
            "config": {"priority": [priority], "enabled": ["true"], "active": ["true"], "algorithm": ["RS256"],
                       "keySize": ["2048"]},
        });
        self.send(Method::POST, "/components", Some(&provider))
            .await
            .map(drop)
    }

    /// Withdraws every RSA key but the newest.
    pub async fn drop_old_keys(&self) -> anyhow::Result<()> {
        let mut providers = self.rsa_providers().await?;
        providers.sort_by_key(|(priority, _)| *priority);
        providers.pop();
        ensure!(!providers.is_empty(), "there is one key only");
        for (_, id) in providers {
            self.send(Method::DELETE, &format!("/components/{id}"), None)
                .await?;
        }
        Ok(())
    }

    /// Priority and id of each.
    async fn rsa_providers(&self) -> anyhow::Result<Vec<(usize, String)>> {
        let all = self.get(&format!("/components?type={KEY_PROVIDER}")).await?;
        let all = all.as_array().into_iter().flatten();
        let signing = all.filter(|provider| provider["providerId"] == "rsa-generated");
        signing
            .map(|provider| {
                let priority = provider["config"]["priority"][0].as_str().unwrap_or("0");
                let id = provider["id"].as_str().context("a provider without an id")?;
                Ok((priority.parse()?, id.to_owned()))
            })
            .collect()
    }

    /// The `sub` of a user's tokens.
    pub async fn user_id(&self, email: &str) -> anyhow::Result<String> {
        let found = self.get(&format!("/users?exact=true&username={email}")).await?;
        let id = found[0]["id"].as_str();
        id.map(str::to_owned).with_context(|| format!("no user {email}"))
    }

    async fn client_uuid(&self, client_id: &str) -> anyhow::Result<String> {
        let found = self.get(&format!("/clients?clientId={client_id}")).await?;
        let id = found[0]["id"].as_str();
        id.map(str::to_owned)
            .with_context(|| format!("no client {client_id}"))
    }
}
