//! Real control services in front of a real strict issuer.

use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokenward_harness::parts::{
    Control, ControlConfig, ControlIssuer, ControlStore, OidcProvider, OidcState, OidcTokens, Valkey, tools,
};
use tokenward_protocol::token_endpoint::{Reason, TokenRequest};

use crate::deployment::basic;

/// With a margin of 24 seconds a token of forty is replaced as soon as somebody calls it stale, and its successor
/// is good for sixteen.
const TOKENS_LIVE: Duration = Duration::from_secs(40);
const MARGIN: &str = "24s";
/// The lease of one that was killed lasts three of these and ten seconds.
const ISSUER_TIMEOUT: &str = "6s";
/// So that a machine that stands still for some seconds changes no answer.
const CALLER_DEADLINE: &str = "20s";
const STORE_DEADLINE: &str = "5s";
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

pub(super) struct Stage {
    pub(super) issuer: OidcProvider,
    pub(super) replicas: Vec<Control>,
    pub(super) valkey: Option<Valkey>,
    http: reqwest::Client,
}

/// Status, refusal or empty, and the token or empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) refusal: String,
    pub(super) token: String,
}

impl Stage {
    /// `replicas` services on one Valkey, or one on its embedded store; `None`, said, where there is no strict issuer.
    pub(super) async fn set(story: &str, replicas: usize, on_valkey: bool) -> anyhow::Result<Option<Self>> {
        let Some(issuer) = OidcProvider::start(TOKENS_LIVE).await? else {
            tokenward_harness::aloud!("left out: {story}: {}", tools::OIDC_PROVIDER_IS_MISSING);
            return Ok(None);
        };
        let valkey = if on_valkey {
            Some(Valkey::start().await?)
        } else {
            None
        };
        let mut config = ControlConfig::default()
            .forwarding_server("local", &[])
            .setting("margin", MARGIN)
            .setting("issuer_timeout", ISSUER_TIMEOUT)
            .setting("caller_deadline", CALLER_DEADLINE);
        config.store_deadline = Some(STORE_DEADLINE.to_owned());
        let (client_id, client_secret) = OidcProvider::CLIENT;
        config.issuers.push(ControlIssuer {
            issuer: issuer.issuer().to_owned(),
            client_id: client_id.to_owned(),
            client_secret: client_secret.into(),
            policy: Some("strict".to_owned()),
        });
        if let Some(valkey) = &valkey {
            config.store = ControlStore::Valkey {
                url: valkey.url(),
                password: None,
            };
        }
        let mut stage = Self {
            issuer,
            replicas: Vec::new(),
            valkey,
            http: reqwest::Client::builder().no_proxy().build()?,
        };
        for _ in 0..replicas {
            stage.replicas.push(Control::start(config.clone()).await?);
        }
        Ok(Some(stage))
    }

    /// A login that is put under the session `account`.
    pub(super) async fn log_in(&self, account: &str) -> anyhow::Result<OidcTokens> {
        let tokens = self.issuer.log_in(account).await?;
        let control = &self.replicas[0];
        let answer = self
            .http
            .put(format!("{}/v1/sessions/{account}", control.url()))
            .bearer_auth(control.config().aggregator_credential.expose_secret())
            .json(&json!({
                "issuer": self.issuer.issuer(), "client_id": OidcProvider::CLIENT.0,
                "id_token": tokens.id_token, "refresh_token": tokens.refresh_token,
            }))
            .send()
            .await?;
        let status = answer.status();
        anyhow::ensure!(status.is_success(), "{status}: {}", answer.text().await?);
        Ok(tokens)
    }

    /// One question of the filter at one replica.
    pub(super) async fn ask(&self, replica: usize, token: &str) -> anyhow::Result<Told> {
        let control = &self.replicas[replica];
        let form = TokenRequest {
            subject_token: token.into(),
            server: "local".to_owned(),
            session: None,
            reason: Reason::Stale,
        };
        let credential = control.config().filter_credential.expose_secret();
        let answer = self
            .http
            .post(format!("{}/oauth2/token", control.url()))
            .header("authorization", basic("filter", credential))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.to_form())
            .send()
            .await?;
        let status = answer.status().as_u16();
        let says_when = answer.headers().contains_key("retry-after");
        let body: Value = answer.json().await?;
        anyhow::ensure!(status != 503 || says_when, "503 without Retry-After: {body}");
        let text = |member: &str| body[member].as_str().unwrap_or_default().to_owned();
        Ok(Told {
            status,
            refusal: text("refusal"),
            token: text("access_token"),
        })
    }

    /// A caller that leaves as soon as the issuer has done the refresh, whose answer is still on its way: the second of
    /// this issuer, for a login brings the first.
    pub(super) async fn ask_and_leave_once_refreshed(
        &self,
        replica: usize,
        token: &str,
    ) -> anyhow::Result<()> {
        tokio::select! {
            biased;
            refreshed = self.issuer.wait_until_refreshed(2, PATIENCE) => refreshed.map(drop),
            told = self.ask(replica, token) => anyhow::bail!("the answer was not on its way any more: {told:?}"),
        }
    }

    /// Asks until the answer is not to come back later.
    pub(super) async fn ask_until_told(&self, replica: usize, token: &str) -> anyhow::Result<Told> {
        let limit = Instant::now() + PATIENCE;
        loop {
            let told = self.ask(replica, token).await?;
            if told.status != 503 {
                return Ok(told);
            }
            anyhow::ensure!(Instant::now() < limit, "still {told:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Asks until another token than `last` is served: while nothing may be presented, a good one still is.
    pub(super) async fn ask_until_renewed(&self, replica: usize, last: &str) -> anyhow::Result<Told> {
        let limit = Instant::now() + PATIENCE;
        loop {
            let told = self.ask_until_told(replica, last).await?;
            if told.status != 200 || told.token != last {
                return Ok(told);
            }
            anyhow::ensure!(Instant::now() < limit, "still {told:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Asks until the grant's last ID token is no longer good and a login is needed; from then on it stays so.
    pub(super) async fn ask_until_a_login_is_needed(&self, replica: usize, last: &str) -> anyhow::Result<()> {
        let limit = Instant::now() + PATIENCE;
        loop {
            let told = self.ask_until_told(replica, last).await?;
            if told.status != 200 {
                break;
            }
            assert_eq!(told.token, last, "nothing new can have come");
            anyhow::ensure!(Instant::now() < limit, "still {told:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for _ in 0..3 {
            let told = self.ask(replica, last).await?;
            assert_eq!((told.status, told.refusal.as_str()), (400, "needs_login"));
        }
        Ok(())
    }

    /// Valkey as it was when it was last told to `SAVE`.
    pub(super) async fn restore_valkey(&mut self) -> anyhow::Result<()> {
        if let Some(valkey) = &mut self.valkey {
            valkey.kill()?;
            valkey.restart().await?;
        }
        for replica in &mut self.replicas {
            replica.wait_until_ready(PATIENCE).await?;
        }
        Ok(())
    }

    pub(super) async fn save_valkey(&self) -> anyhow::Result<()> {
        if let Some(valkey) = &self.valkey {
            let reply = valkey.command(&["SAVE"]).await?;
            anyhow::ensure!(reply == "+OK\r\n", "SAVE: {reply}");
        }
        Ok(())
    }

    /// The one thing that must hold in every story: no refresh token came twice, and no grant was burnt.
    pub(super) async fn assert_nothing_is_burnt(&self, refreshed: usize) -> anyhow::Result<()> {
        let state = self.issuer.state().await?;
        let expected = OidcState {
            grants: state.grants,
            grants_alive: state.grants,
            // Each login brings its first ID token by a refresh.
            presented: state.grants + refreshed,
            presented_again: 0,
            refreshed: state.grants + refreshed,
            revoked: 0,
        };
        assert_eq!(state, expected, "{}", self.issuer.log().tail(5));
        Ok(())
    }
}
