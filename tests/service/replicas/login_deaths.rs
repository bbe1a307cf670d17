//! A process that dies at each step of a code's redemption or of a refresh at our authorization server, and what its heir
//! answers the same client.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::task::JoinSet;

use crate::authorization::client::{Client, Login, Reply, log_in};
use crate::authorization::stage;
use crate::deployment::{Deployment, Plan, email, with_users};

const DEADLINE: Duration = Duration::from_secs(90);

/// What the client sends when the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Code,
    RefreshToken,
}

/// What becomes of the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// The same request again gets tokens.
    Served,
    /// The code is used up and its answer lost: the user logs in again.
    Over,
}

use Expected::{Over, Served};
use Sent::{Code, RefreshToken};

const STEPS: [(Sent, &str, Expected); 8] = [
    (Code, "before:family_created", Served),
    (Code, "after:family_created", Served),
    (Code, "before:code_used", Served),
    // A code is good for one use, and a client that lost its answer looks like a second user of it.
    (Code, "after:code_used", Over),
    (RefreshToken, "before:login_answer", Served),
    (RefreshToken, "after:login_answer", Served),
    (RefreshToken, "before:family_rotated", Served),
    (RefreshToken, "after:family_rotated", Served),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_at_any_step_of_a_refresh_costs_no_login() -> anyhow::Result<()> {
    let plan = stage::plan(&serde_json::json!({}))?;
    let of_processes = Plan::of_processes();
    let deployment = Deployment::start_processes(Plan {
        replicas: 1,
        dex: with_users(of_processes.dex, STEPS.len()),
        store_deadline: Some("2s"),
        settings: plan.settings,
        servers: plan.servers,
        secrets: plan.secrets,
        ..of_processes
    })
    .await?;
    let (service, store) = deployment.service_beside().await?;
    let heir = Client::of(&deployment);
    let mut stories = JoinSet::new();
    for (user, (sent, step, expected)) in STEPS.into_iter().enumerate() {
        let login = log_in(&deployment, &service, &email(user)).await?;
        let presented = match sent {
            Code => login.code.clone(),
            RefreshToken => heir.redeem(0, &login.code).await?.refresh_token()?,
        };
        let mut doomed = deployment.doomed(step).await?;
        let heir = heir.clone();
        let story = Story {
            sent,
            login,
            presented,
        };
        stories.spawn(async move {
            let victim = heir.at(&doomed.url());
            story.send_until_dead(&victim).await.context(step)?;
            doomed.process()?.wait_for_exit(DEADLINE).await?;
            let said = format!("failpoint {step}");
            doomed.log().wait_for_line(|line| line == said, DEADLINE).await?;
            story.inherited(&heir, expected).await.context(step)?;
            anyhow::Ok((step, story))
        });
    }
    let mut over = 0;
    while let Some(told) = stories.join_next().await {
        let (step, story) = told??;
        let status = deployment.status(&story.login.session).await?.status;
        let is_over = STEPS
            .iter()
            .any(|(_, name, expected)| *name == step && *expected == Over);
        assert_eq!(status, if is_over { 404 } else { 200 }, "{step}");
        over += usize::from(is_over);
    }
    let families = store.list("login_family", None, 1000).await?.keys.len();
    assert_eq!((families, over), (STEPS.len() - 1, 1));
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    Ok(())
}

struct Story {
    sent: Sent,
    login: Login,
    presented: String,
}

impl Story {
    async fn send(&self, to: &Client) -> anyhow::Result<Reply> {
        match self.sent {
            Code => to.redeem(0, &self.presented).await,
            RefreshToken => to.refresh(0, &self.presented).await,
        }
    }

    /// Repeats the request until there is no answer: on a machine that stands still the store is late before the step.
    async fn send_until_dead(&self, victim: &Client) -> anyhow::Result<()> {
        let limit = Instant::now() + DEADLINE;
        while let Ok(reply) = self.send(victim).await {
            ensure!(
                reply.status == 503 && Instant::now() < limit,
                "it answers: {reply:?}"
            );
        }
        Ok(())
    }

    /// The same request at the heir, and the tokens that it gives.
    async fn inherited(&self, heir: &Client, expected: Expected) -> anyhow::Result<()> {
        let limit = Instant::now() + DEADLINE;
        let mut reply = self.send(heir).await?;
        while reply.status == 503 && Instant::now() < limit {
            reply = self.send(heir).await?;
        }
        if expected == Over {
            ensure!(reply.error() == (400, "invalid_grant"), "{reply:?}");
            return Ok(());
        }
        // One family: what it gives is the next generation, which gives the one after it.
        let next = reply.refresh_token()?;
        ensure!(next != self.presented);
        heir.refresh(0, &next).await?.refresh_token()?;
        Ok(())
    }
}
