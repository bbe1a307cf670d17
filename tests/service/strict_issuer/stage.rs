//! Real control services in front of a real strict issuer.

use std::time::{Duration, Instant};

use serde_json::json;
use tokenward_harness::parts::{OidcProvider, OidcState, OidcTokens, tools};

use crate::deployment::{Answer, Deployment, Plan, Processes};

/// With a margin of 24 seconds a token of forty is replaced as soon as a caller presents it as stale, and its successor
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
    pub(super) deployment: Deployment<Processes, ()>,
}

impl Stage {
    /// `replicas` services on one Valkey, or one on its embedded store; `None`, and a line that states why, where there is
    /// no strict issuer.
    pub(super) async fn set(story: &str, replicas: usize, on_valkey: bool) -> anyhow::Result<Option<Self>> {
        let Some(issuer) = OidcProvider::start(TOKENS_LIVE).await? else {
            tokenward_harness::aloud!("left out: {story}: {}", tools::OIDC_PROVIDER_IS_MISSING);
            return Ok(None);
        };
        let (client_id, client_secret) = OidcProvider::CLIENT;
        let plan = Plan {
            replicas,
            valkey: on_valkey,
            store_deadline: Some(STORE_DEADLINE),
            settings: json!({
                "margin": MARGIN, "issuer_timeout": ISSUER_TIMEOUT, "caller_deadline": CALLER_DEADLINE,
            }),
            client: (client_id.to_owned(), client_secret.to_owned()),
            policy: "strict",
            ..Plan::of_one_process()
        };
        let deployment = Deployment::start_processes_at(plan, issuer.issuer()).await?;
        Ok(Some(Self { issuer, deployment }))
    }

    /// A login that is registered as the session `account`.
    pub(super) async fn log_in(&self, account: &str) -> anyhow::Result<OidcTokens> {
        let tokens = self.issuer.log_in(account).await?;
        let put = self
            .deployment
            .put(account, &tokens.id_token, Some(&tokens.refresh_token));
        let answer = put.await?;
        anyhow::ensure!(matches!(answer.status, 200..300), "{answer:?}");
        Ok(tokens)
    }

    /// One call of the filter at one replica.
    pub(super) async fn ask(&self, replica: usize, token: &str) -> anyhow::Result<Answer> {
        let answer = self.deployment.ask(token).replica(replica).send().await?;
        let pauses = answer.header("retry-after").is_some();
        anyhow::ensure!(
            answer.status != 503 || pauses,
            "503 without Retry-After: {answer:?}"
        );
        Ok(answer)
    }

    /// A caller that disconnects as soon as the issuer has done the refresh and its answer is still on its way: the
    /// second of this issuer, for a login brings the first.
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

    /// Repeats the call until the answer is not 503.
    pub(super) async fn ask_until_settled(&self, replica: usize, token: &str) -> anyhow::Result<Answer> {
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

    /// Repeats the call until another token than `last` is served: while nothing may be presented, a good one still is.
    pub(super) async fn ask_until_renewed(&self, replica: usize, last: &str) -> anyhow::Result<Answer> {
        let limit = Instant::now() + PATIENCE;
        loop {
            let told = self.ask_until_settled(replica, last).await?;
            if told.status != 200 || told.token() != last {
                return Ok(told);
            }
            anyhow::ensure!(Instant::now() < limit, "still {told:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Repeats the call until the grant's last ID token is no longer good and a login is needed; from then on it stays so.
    pub(super) async fn ask_until_a_login_is_needed(&self, replica: usize, last: &str) -> anyhow::Result<()> {
        let limit = Instant::now() + PATIENCE;
        loop {
            let told = self.ask_until_settled(replica, last).await?;
            if told.status != 200 {
                break;
            }
            assert_eq!(told.token(), last, "nothing new can have come");
            anyhow::ensure!(Instant::now() < limit, "still {told:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for _ in 0..3 {
            let told = self.ask(replica, last).await?;
            assert_eq!(told.refusal(), (400, "needs_login"));
        }
        Ok(())
    }

    /// Valkey as it was at its last `SAVE`.
    pub(super) async fn restore_valkey(&mut self) -> anyhow::Result<()> {
        if let Some(valkey) = &mut self.deployment.replicas.valkey {
            valkey.kill()?;
            valkey.restart().await?;
        }
        for control in &mut self.deployment.replicas.controls {
            control.wait_until_ready(PATIENCE).await?;
        }
        Ok(())
    }

    pub(super) async fn save_valkey(&self) -> anyhow::Result<()> {
        if let Some(valkey) = &self.deployment.replicas.valkey {
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
