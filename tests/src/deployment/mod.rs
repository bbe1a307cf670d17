//! Control services of a test: replicas on one store, with an issuer beside them.
//!
//! A [`Plan`] states what there is. [`Deployment::start`] runs the replicas in this process, in the issuer's time, which
//! stands still but for [`Deployment::advance`]: for what is counted or timed exactly. [`Deployment::start_processes`] runs
//! the program itself, in real time: for signals, crashes, memory and log lines.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use tokenward_tests::deployment::{Deployment, Plan, email};
//! let deployment = Deployment::start(Plan::default()).await?;
//! let login = deployment.log_in("s-1").await?;
//! deployment.advance(301);
//! assert_eq!(deployment.ask(&login.id_token).session("s-1").send().await?.status, 200);
//!
//! let mut deployment = Deployment::start_processes(Plan::of_processes()).await?;
//! let alice = deployment.log_in_an_hour_ago(&email(0)).await?;
//! assert_eq!(deployment.ask_for(&alice).replica(1).send().await?.status, 200);
//! deployment.replicas.controls[1].kill()?;
//! assert_eq!(deployment.dex.counts().refreshes_presented, 1);
//! # Ok(()) }
//! ```

mod calls;
mod in_process;
mod log_watch;
mod plan;
mod processes;
mod relay_call;
mod switched_store;
mod token_call;

use std::task::Poll;

pub use calls::{Answer, basic};
pub use in_process::InProcess;
pub use log_watch::LogWatch;
pub use plan::{
    ADMIN, AGGREGATOR, FILTER, PUBLIC_ENDPOINT, Plan, STORE_DEADLINE, email, patient_valkey_config,
    valkey_config, with_users,
};
pub use processes::{Processes, Session};
pub use relay_call::{RelayAnswer, RelayCall};
pub use switched_store::SwitchedStore;
pub use token_call::{Ending, TokenCall};

use tokenward_harness::issuer::{FakeDex, LoginTokens};

/// Control services as `R` runs them, [`InProcess`] or as [`Processes`], and the issuer `I`, which is `()` where the test
/// holds it. Everything ends when this is dropped.
pub struct Deployment<R = InProcess, I = FakeDex> {
    /// The issuer.
    pub dex: I,
    /// `http://127.0.0.1:PORT` of each replica.
    pub urls: Vec<String>,
    /// The client of all calls.
    pub http: reqwest::Client,
    /// How the replicas run.
    pub replicas: R,
    /// The issuer's identifier.
    issuer: String,
    /// Id and secret of the issuer's client that logins are for.
    client: (String, String),
}

impl<R> Deployment<R> {
    /// Logs [`ADMIN`] in at Dex and registers the login as `session`.
    ///
    /// # Errors
    /// When Dex or control refuses.
    pub async fn log_in(&self, session: &str) -> anyhow::Result<LoginTokens> {
        self.log_in_as(session, ADMIN).await
    }

    /// Logs the user `email` in at Dex and registers the login as `session`.
    ///
    /// # Errors
    /// When Dex or control refuses.
    pub async fn log_in_as(&self, session: &str, email: &str) -> anyhow::Result<LoginTokens> {
        let tokens = self.dex.log_in(email, &self.client.0).await?;
        let put = self.put_login(session, &tokens).await?;
        anyhow::ensure!(put.status == 200 || put.status == 201, "PUT answered {put:?}");
        Ok(tokens)
    }
}

/// Polls all futures concurrently and returns their outputs in order.
pub async fn at_once<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pinned: Vec<_> = all.map(|future| Some(Box::pin(future))).collect();
    let mut results: Vec<Option<F::Output>> = pinned.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (slot, result) in pinned.iter_mut().zip(results.iter_mut()) {
            if let Some(future) = slot
                && let Poll::Ready(value) = future.as_mut().poll(context)
            {
                *result = Some(value);
                *slot = None;
            }
        }
        if pinned.iter().all(Option::is_none) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    results.into_iter().flatten().collect()
}
