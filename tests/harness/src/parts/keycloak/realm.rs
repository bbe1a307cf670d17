//! A realm behind a proxy that counts, whose name has the proxy's address.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::plan::{PASSWORD, RealmClient, RealmPlan};
use super::server::KeycloakServer;
use crate::issuer::{CountingProxy, IssuerClock, IssuerCounts, LoginTokens, Presentation, http_client};
use crate::parts::LoopbackSocket;
use crate::secrets;

static REALMS: AtomicUsize = AtomicUsize::new(1);

/// A realm of the shared Keycloak. The realm outlives its guard: the server's database ends with the process.
#[derive(Debug)]
pub struct Realm {
    pub(super) server: &'static KeycloakServer,
    pub(super) name: String,
    pub(super) plan: RealmPlan,
    pub(super) proxy: CountingProxy,
    pub(super) clock: IssuerClock,
    issuer: String,
}

/// A login, and its session at Keycloak.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user's email.
    pub email: String,
    /// The tokens.
    pub tokens: LoginTokens,
    /// `sid`.
    pub session: String,
    /// `sub`.
    pub subject: String,
}

impl Realm {
    /// The scope of a login that ends with the user's session.
    pub const ONLINE: &'static str = "openid";
    /// The scope of a login that outlives it.
    pub const OFFLINE: &'static str = "openid offline_access";

    /// Makes a realm; `None` where Keycloak is not on this machine.
    ///
    /// # Errors
    /// When Keycloak does not start or refuses the realm.
    pub async fn start(plan: RealmPlan) -> anyhow::Result<Option<Self>> {
        let Some(server) = KeycloakServer::shared().await? else {
            return Ok(None);
        };
        let name = format!("story-{}", REALMS.fetch_add(1, Ordering::SeqCst));
        let socket = LoopbackSocket::bind().await?;
        let front = format!("http://{}", socket.address());
        for client in &plan.clients {
            secrets::note(&client.secret);
        }
        let representation = plan.representation(&name, &front);
        server
            .admin(http::Method::POST, "", Some(&representation))
            .await?;
        Ok(Some(Self {
            issuer: format!("{front}/realms/{name}"),
            proxy: CountingProxy::serve(socket, server.address()),
            clock: IssuerClock::default(),
            server,
            name,
            plan,
        }))
    }

    /// `http://127.0.0.1:PORT/realms/NAME`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The issuer's token endpoint.
    pub fn token_endpoint(&self) -> String {
        format!("{}/protocol/openid-connect/token", self.issuer)
    }

    /// Where its proxy listens.
    pub fn proxy_address(&self) -> std::net::SocketAddr {
        self.proxy.address()
    }

    /// A user logs in at the first client, with a password.
    ///
    /// # Errors
    /// When Keycloak refuses.
    pub async fn log_in(&self, email: &str, scope: &str) -> anyhow::Result<Login> {
        let client = self.first_client()?;
        let form = [
            ("grant_type", "password"),
            ("client_id", &client.id),
            ("client_secret", &client.secret),
            ("username", email),
            ("password", PASSWORD),
            ("scope", scope),
        ];
        let answer = http_client()
            .post(self.token_endpoint())
            .form(&form)
            .send()
            .await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(
            status.is_success(),
            "Keycloak refused the login ({status}): {text}"
        );
        let tokens: LoginTokens = serde_json::from_str(&text)?;
        Login::of(email, tokens)
    }

    /// A refresh as a client of its own makes it, whatever comes of it: status and body.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn refresh(&self, refresh_token: &str) -> anyhow::Result<(u16, Value)> {
        let client = self.first_client()?;
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", &client.id),
            ("client_secret", &client.secret),
            ("refresh_token", refresh_token),
        ];
        let answer = http_client()
            .post(self.token_endpoint())
            .form(&form)
            .send()
            .await?;
        let status = answer.status().as_u16();
        let body: Value = answer.json().await?;
        for token in ["id_token", "access_token", "refresh_token"] {
            body[token].as_str().into_iter().for_each(secrets::note);
        }
        Ok((status, body))
    }

    /// Whether the refresh token of a login is unused and its session alive, by introspection (RFC 7662). Only with a hint does
    /// Keycloak look at the use of the token.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn is_alive(&self, login: &Login) -> anyhow::Result<bool> {
        let client = self.first_client()?;
        let form = [
            ("client_id", client.id.as_str()),
            ("client_secret", &client.secret),
            ("token", &login.tokens.refresh_token),
            ("token_type_hint", "refresh_token"),
        ];
        let endpoint = format!("{}/introspect", self.token_endpoint());
        let answer = http_client().post(endpoint).form(&form).send().await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        Ok(answer["active"] == true)
    }

    /// Requests so far.
    pub fn counts(&self) -> IssuerCounts {
        self.proxy.counts()
    }

    /// Requests so far of one user.
    pub fn counts_of(&self, email: &str) -> IssuerCounts {
        self.proxy.counts_of(email)
    }

    /// Every arrival of a refresh token so far, in order.
    pub fn presentations(&self) -> Vec<Presentation> {
        self.proxy.presentations()
    }

    /// Waits until the counts satisfy `predicate`.
    ///
    /// # Errors
    /// When they do not within `deadline`.
    pub async fn wait_for_counts(
        &self,
        predicate: impl Fn(&IssuerCounts) -> bool,
        deadline: Duration,
    ) -> anyhow::Result<IssuerCounts> {
        self.proxy.wait_for_counts(predicate, deadline).await
    }

    /// While down, connections close at once and nothing is answered.
    pub fn set_down(&self, down: bool) {
        self.proxy.set_down(down);
    }

    /// Answers to refreshes and exchanges come so much later from now on; the work is done at once.
    pub fn set_delay(&self, delay: Duration) {
        self.proxy.set_delay(delay);
    }

    /// The next `count` refreshes or exchanges are done, and their answers lost.
    pub fn lose_answers(&self, count: usize) {
        self.proxy.lose_answers(count);
    }

    /// The next `count` refreshes or exchanges are lost before Keycloak sees them, and not counted.
    pub fn lose_requests(&self, count: usize) {
        self.proxy.lose_requests(count);
    }

    /// The client of the logins.
    ///
    /// # Errors
    /// When the plan has none.
    pub fn first_client(&self) -> anyhow::Result<&RealmClient> {
        self.plan.clients.first().context("a realm without a client")
    }
}

impl Login {
    pub(super) fn of(email: &str, tokens: LoginTokens) -> anyhow::Result<Self> {
        for token in [&tokens.id_token, &tokens.access_token, &tokens.refresh_token] {
            secrets::note(token);
        }
        let claims = claims(&tokens.id_token)?;
        let text = |name: &str| {
            let value = claims[name].as_str();
            value.map(str::to_owned).with_context(|| format!("no {name}"))
        };
        Ok(Self {
            email: email.to_owned(),
            session: text("sid")?,
            subject: text("sub")?,
            tokens,
        })
    }
}

/// The claims of a token, unverified.
fn claims(token: &str) -> anyhow::Result<Value> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let payload = token.split('.').nth(1).context("no JWT")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?)
}
