//! No token, secret or session id in any log line, metric or answer that is not the token's own.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use tokenward_harness::issuer::{Endpoint, Failure};
use tokenward_protocol::token_endpoint::Reason;
use tracing_subscriber::fmt::MakeWriter;

use crate::deployment::{ADMIN, AGGREGATOR, Deployment, FILTER, Plan};

/// Everything that was logged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// Captures what this thread logs at `level` or above, until the guard is dropped. A test's deployment runs on its thread.
    pub(crate) fn start(level: tracing::Level) -> (Self, tracing::subscriber::DefaultGuard) {
        let captured = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(captured.clone())
            .with_ansi(false)
            .finish();
        (captured, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn nothing_secret_is_logged_counted_or_answered() -> anyhow::Result<()> {
    let (captured, _guard) = Captured::start(tracing::Level::TRACE);

    let session = "session-id-that-is-secret";
    let deployment = Deployment::start(Plan::default()).await?;
    let first = deployment.log_in(session).await?;
    deployment.advance(301);
    let ask = deployment.ask(&first.id_token).session(session);
    let mut answers = Vec::new();
    for failure in [
        Failure::internal_error(),
        Failure::OtherSubject,
        Failure::NoIdToken,
        Failure::Garbage,
    ] {
        deployment.dex.fail_next(Endpoint::Refresh, 1, &failure);
        answers.push(ask.send().await?);
        deployment.advance(61);
    }
    let relogged = deployment.log_in(session).await?;
    let served = ask.send().await?;
    deployment.advance(31);
    let replaced = ask.clone().reason(Reason::Rejected).send().await?;
    assert_eq!((served.status, replaced.status), (200, 200));
    deployment.store().set_off(true);
    answers.push(ask.send().await?);
    deployment.store().set_off(false);
    assert!(deployment.dex.revoke(ADMIN, "muster"));
    deployment.advance(301);
    answers.push(ask.send().await?);
    answers.push(
        deployment
            .ask("garbage-token")
            .session("other-secret-session")
            .send()
            .await?,
    );
    answers.push(
        deployment
            .post_form(0, "Bearer wrong-credential", &ask.form())
            .await?,
    );
    answers.push(
        deployment
            .put(session, &relogged.id_token, Some("another-refresh-token"))
            .await?,
    );
    answers.push(deployment.status(session).await?);
    deployment.end(session).await?;
    let metrics = deployment
        .http
        .get(format!("{}/metrics", deployment.urls[0]))
        .send()
        .await?
        .text()
        .await?;

    let log = captured.text();
    assert!(
        log.contains("ALARM") && log.contains("no token"),
        "the story was not captured"
    );
    let mut secrets = vec![
        session,
        FILTER,
        AGGREGATOR,
        "s3cret",
        "other-secret-session",
        "another-refresh-token",
    ];
    for login in [&first, &relogged] {
        secrets.extend([login.id_token.as_str(), &login.refresh_token]);
        secrets.extend(login.id_token.split('.').skip(1));
    }
    secrets.extend([served.token(), replaced.token()]);
    for secret in secrets {
        assert!(!log.contains(secret), "a log line holds {secret:?}");
        assert!(!metrics.contains(secret), "a metric holds {secret:?}");
        for answer in &answers {
            assert!(
                !answer.body.to_string().contains(secret),
                "an answer holds {secret:?}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_storm_of_one_pair_is_one_warning_and_its_end_one_line() -> anyhow::Result<()> {
    let captured = Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_writer(captured.clone())
        .with_ansi(false)
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment
        .dex
        .fail_always(Endpoint::Refresh, Failure::internal_error());
    for _ in 0..59 {
        assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 503);
    }
    let warnings = || {
        captured
            .text()
            .lines()
            .filter(|line| line.contains("WARN") && line.contains("no token"))
            .count()
    };
    assert_eq!(warnings(), 1);
    deployment.advance(61);
    assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 503);
    assert_eq!(warnings(), 2);
    deployment.dex.heal(Endpoint::Refresh);
    deployment.advance(61);
    assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
    assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
    let recoveries = captured
        .text()
        .lines()
        .filter(|line| line.contains("tokens are available again"))
        .count();
    assert_eq!(recoveries, 1);
    Ok(())
}
