//! The users: logins at the fake Dex, registered at control as the aggregator does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use secrecy::ExposeSecret as _;
use serde_json::json;
use tokenward_protocol::token_endpoint::{Reason, SubjectTokenType, TOKEN_PATH, TokenRequest};
use tokio::task::JoinSet;

use super::load::Requests;
use tokenward_harness::issuer::{DexConfig, DexUser, FakeDex, LoginTokens, http_client};
use tokenward_harness::parts::ControlConfig;

/// The client that logs people in, and its secret.
pub(super) const CLIENT: (&str, &str) = ("muster", "s3cret");
/// The server for which tokens are requested.
pub(super) const SERVER: &str = "forward";
/// How long an ID token lives: longer than a benchmark and what counts as near its end.
pub(super) const LIFETIME: Duration = Duration::from_secs(2 * 3600);
/// A login so long ago is stale.
const LONG_AGO: Duration = Duration::from_secs(3 * 3600);

/// People of one control service, or of replicas with one store.
#[derive(Debug, Clone)]
pub(super) struct People {
    emails: Vec<String>,
    prefix: &'static str,
}

/// A login of one of them.
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) tokens: LoginTokens,
    session: String,
}

impl People {
    /// So many users, with names that begin with `prefix`.
    pub(super) fn new(prefix: &'static str, count: usize) -> Self {
        let emails = (0..count).map(|number| format!("{prefix}-{number}@example.com"));
        Self {
            emails: emails.collect(),
            prefix,
        }
    }

    /// Their names.
    pub(super) fn emails(&self) -> &[String] {
        &self.emails
    }

    /// Lets a Dex know them, with ten groups each.
    pub(super) fn known_to(&self, config: DexConfig) -> DexConfig {
        self.emails.iter().fold(config, |config, email| {
            config.user(DexUser::new(email).with_many_groups())
        })
    }

    /// Every user logged in long ago: the ID tokens are stale, the refresh tokens good. Control gets every login.
    ///
    /// # Errors
    /// When Dex or control refuses.
    pub(super) async fn log_in_long_ago(
        &self,
        dex: &FakeDex,
        control: &Service,
    ) -> anyhow::Result<Vec<Login>> {
        let session = |number| format!("2c1a4a0e-7b2f-4c52-9a77-{}{number:011x}", self.prefix);
        // A login that is older than what was refreshed since would change nothing. All at once: each end waits a moment.
        let mut ends = JoinSet::new();
        for number in 0..self.emails.len() {
            let (control, session) = (control.clone(), session(number));
            ends.spawn(async move { control.end(session).await });
        }
        while let Some(ended) = ends.join_next().await {
            ended??;
        }
        let mut logins = Vec::with_capacity(self.emails.len());
        for (number, email) in self.emails.iter().enumerate() {
            dex.clock().rewind(LONG_AGO);
            let tokens = dex.log_in(email, CLIENT.0).await;
            dex.clock().advance(LONG_AGO);
            let login = Login {
                tokens: tokens?,
                session: session(number),
            };
            control.put(dex, &login).await?;
            logins.push(login);
        }
        Ok(logins)
    }
}

/// What a control service has counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    /// Tokens handed out.
    pub(super) tokens: u64,
    /// Requests for tokens that were refused.
    pub(super) refused: u64,
    /// Records that were used as they had been read a moment ago.
    pub(super) recent: u64,
}

/// A control service, as its callers see it.
#[derive(Debug, Clone)]
pub(super) struct Service {
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// Its process.
    pub(super) pid: u32,
    /// The filter's and the aggregator's credentials.
    pub(super) credentials: (String, String),
}

impl Service {
    async fn put(&self, dex: &FakeDex, login: &Login) -> anyhow::Result<()> {
        let answer = http_client()
            .put(format!("http://{}/v1/sessions/{}", self.address, login.session))
            .bearer_auth(&self.credentials.1)
            .json(&json!({
                "issuer": dex.issuer(), "client_id": CLIENT.0,
                "id_token": login.tokens.id_token, "refresh_token": login.tokens.refresh_token,
            }))
            .send()
            .await?;
        ensure!(answer.status().is_success(), "control: {}", answer.text().await?);
        Ok(())
    }

    async fn end(&self, session: String) -> anyhow::Result<()> {
        let answer = http_client()
            .delete(format!("http://{}/v1/sessions/{session}", self.address))
            .bearer_auth(&self.credentials.1)
            .send()
            .await?;
        ensure!(answer.status().is_success(), "control: {}", answer.text().await?);
        Ok(())
    }

    /// One request for the token of a subject, named by `session` where there is one.
    pub(super) fn request(&self, subject_token: &str, session: Option<&str>) -> Vec<u8> {
        let form = TokenRequest {
            subject_token: subject_token.into(),
            subject_token_type: SubjectTokenType::IdToken,
            server: SERVER.to_owned(),
            session: session.map(Into::into),
            reason: Reason::Stale,
        }
        .to_form();
        format!(
            "POST {TOKEN_PATH} HTTP/1.1\r\nhost: control\r\nauthorization: Bearer {}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
            self.credentials.0,
            form.len()
        )
        .into_bytes()
    }

    /// One request for each login.
    pub(super) fn requests(&self, logins: &[Login], with_session: bool) -> Requests {
        let requests = logins.iter().map(|login| {
            let session = with_session.then_some(login.session.as_str());
            self.request(&login.tokens.id_token, session)
        });
        Arc::new(requests.collect())
    }

    /// What it has counted so far.
    pub(super) async fn answered(&self) -> anyhow::Result<Answered> {
        let answer = http_client()
            .get(format!("http://{}/metrics", self.address))
            .send()
            .await?;
        let metrics = tokenward_harness::parts::Metrics::read(&answer.error_for_status()?.text().await?);
        let name = "tokenward_token_requests_total";
        let tokens = metrics.count(name, &[("outcome", "token")]);
        Ok(Answered {
            tokens,
            refused: metrics.count(name, &[]) - tokens,
            recent: metrics.count("tokenward_store_recent_reads_total", &[]),
        })
    }
}

/// The configuration of every control service here, but for its store.
pub(super) fn configuration(dex: &FakeDex) -> anyhow::Result<ControlConfig> {
    Ok(ControlConfig {
        program: Some(tokenward_harness::parts::tools::tokenward_release()?),
        ..ControlConfig::default()
            .issuer(dex, CLIENT.0, CLIENT.1)
            .forwarding_server(SERVER, &[CLIENT.0])
    })
}

/// Starts it.
pub(super) async fn start(
    config: ControlConfig,
) -> anyhow::Result<(tokenward_harness::parts::Control, Service)> {
    let credentials = (
        config.filter_credential.expose_secret().to_owned(),
        config.aggregator_credential.expose_secret().to_owned(),
    );
    let mut control = tokenward_harness::parts::Control::start(config)
        .await
        .context("the control service")?;
    let service = Service {
        address: control.address(),
        pid: control.process()?.pid(),
        credentials,
    };
    Ok((control, service))
}
