//! A process that dies at each step of a refresh, and what its heir makes of the login at each issuer.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;
use tokenward_harness::cloud_issuers::{CloudConfig, CloudIssuer, CloudProduct};
use tokenward_harness::issuer::LoginTokens;
use tokio::task::JoinSet;

use super::stage::Variant;
use crate::deployment::{Deployment, Ending, Plan, Processes, TokenCall, email};

const DEADLINE: Duration = Duration::from_secs(90);
/// Longer than a token lives.
const TWO_HOURS: Duration = Duration::from_secs(2 * 3600);

/// How a login ends, and how often its refresh tokens are presented until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Served(usize),
    NeedsLogin(usize),
}

use Expected::{NeedsLogin, Served};

/// Where it dies; what follows where a token may come twice, where it may not but the issuer can be asked whether it came
/// (introspection), and where neither holds.
const STEPS: [(&str, Expected, Expected, Expected); 10] = [
    ("after:lease", Served(1), Served(1), Served(1)),
    ("before:announce", Served(1), Served(1), Served(1)),
    // From here on no replica can know whether anything was presented.
    ("after:announce", Served(1), Served(1), NeedsLogin(0)),
    ("before:present", Served(1), Served(1), NeedsLogin(0)),
    ("after:present", Served(2), NeedsLogin(1), NeedsLogin(1)),
    (
        "before:store_refresh_token",
        Served(2),
        NeedsLogin(1),
        NeedsLogin(1),
    ),
    // The new refresh token is stored, the ID token is not.
    ("after:store_refresh_token", Served(2), Served(2), Served(2)),
    ("before:store_id_token", Served(2), Served(2), Served(2)),
    ("after:store_id_token", Served(1), Served(1), Served(1)),
    ("before:release", Served(1), Served(1), Served(1)),
];

struct Login {
    user: String,
    session: String,
    tokens: LoginTokens,
}

struct Stage {
    issuer: CloudIssuer,
    control: Deployment<Processes, ()>,
}

async fn stage(variant: Variant, issuer: serde_json::Value) -> anyhow::Result<Stage> {
    let fake = CloudIssuer::start(CloudConfig::of(variant.product)).await?;
    let plan = Plan {
        replicas: 1,
        issuer,
        // Longer than a busy machine takes for anything that is answered at all. The lease outlasts an issuer's answer and
        // two of the store, so that its successor knows that no other process has the answer.
        store_deadline: Some("2s"),
        settings: json!({"issuer_timeout": "5s", "lease": "10s"}),
        ..Plan::of_processes()
    };
    let control = Deployment::start_processes_at(plan, fake.issuer()).await?;
    Ok(Stage {
        issuer: fake,
        control,
    })
}

impl Stage {
    /// A registered login of two hours ago.
    async fn log_in(&self, user: &str, session: String) -> anyhow::Result<Login> {
        self.issuer.clock().rewind(TWO_HOURS);
        let tokens = self.issuer.log_in(user);
        self.issuer.clock().advance(TWO_HOURS);
        let limit = Instant::now() + DEADLINE;
        loop {
            let put = self.control.put_login(&session, &tokens).await?;
            // On a machine that stands still the store is late; an aggregator sends the same request again.
            if put.status != 503 || Instant::now() > limit {
                ensure!(matches!(put.status, 200 | 201), "PUT answered {put:?}");
                let user = user.to_owned();
                return Ok(Login {
                    user,
                    session,
                    tokens,
                });
            }
        }
    }

    fn ask(&self, login: &Login) -> TokenCall {
        self.control.ask(&login.tokens.id_token).session(&login.session)
    }
}

async fn dies_at_each_step(variant: Variant, expected: impl Fn(usize) -> Expected) -> anyhow::Result<()> {
    let dialect = json!({"dialect": variant.product.name(), "policy": null});
    let stage = stage(variant, dialect).await?;
    let mut logins = Vec::new();
    for (at, (step, ..)) in STEPS.iter().enumerate() {
        // A refresh token that stays the same is not stored again.
        if variant.product != CloudProduct::Google || !step.ends_with("store_refresh_token") {
            logins.push((at, stage.log_in(&email(at), format!("s-{at}")).await?));
        }
    }
    let mut stories = JoinSet::new();
    for (nth, (at, login)) in logins.iter().enumerate() {
        let at = *at;
        let mut doomed = stage.control.doomed(STEPS[at].0).await?;
        let heir = stage.ask(login);
        let call = heir.clone().at(doomed.url());
        stories.spawn(async move {
            send_until_dead(&call).await.with_context(|| STEPS[at].0)?;
            doomed.process()?.wait_for_exit(DEADLINE).await?;
            anyhow::Ok((nth, heir.send_until_settled(DEADLINE).await?))
        });
    }
    while let Some(story) = stories.join_next().await {
        let (nth, ending) = story??;
        let (at, login) = &logins[nth];
        let at = *at;
        let presented = stage.issuer.counts_of(&login.user).refreshes_presented;
        let ended = match ending {
            Ending::Served(_) => Served(presented),
            Ending::NeedsLogin(_) => NeedsLogin(presented),
        };
        assert_eq!(ended, expected(at), "{:?}, {}", variant.product, STEPS[at].0);
    }
    Ok(())
}

/// Repeats the call until there is no answer: on a machine that stands still the store is late before the step is reached.
async fn send_until_dead(call: &TokenCall) -> anyhow::Result<()> {
    let limit = Instant::now() + DEADLINE;
    while let Ok(answer) = call.send().await {
        ensure!(
            answer.status == 503 && Instant::now() < limit,
            "it answers: {answer:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn at_entra_no_step_costs_a_login() -> anyhow::Result<()> {
    dies_at_each_step(Variant::ENTRA, |at| STEPS[at].1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn at_google_no_step_costs_a_login() -> anyhow::Result<()> {
    dies_at_each_step(Variant::GOOGLE, |at| STEPS[at].1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn at_okta_only_an_answer_that_died_with_the_process_costs_its_login() -> anyhow::Result<()> {
    dies_at_each_step(Variant::OKTA, |at| STEPS[at].2).await
}

/// Auth0 has no introspection; docs/issuers.md recommends an overlap and a tolerant policy for that.
#[tokio::test(flavor = "multi_thread")]
async fn at_auth0_without_an_overlap_no_step_makes_a_token_be_presented_twice() -> anyhow::Result<()> {
    dies_at_each_step(Variant::AUTH0, |at| STEPS[at].3).await
}

/// Without `dialect`: the discovery document shows the kind, and the kind that each login has its own refresh token.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_finds_by_the_discovery_document_that_each_login_has_its_own_refresh_token()
-> anyhow::Result<()> {
    for variant in [Variant::ENTRA, Variant::OKTA, Variant::AUTH0] {
        let stage = stage(variant, json!({"policy": null})).await?;
        for session in ["laptop", "phone"] {
            let login = stage.log_in(&email(0), session.to_owned()).await?;
            let answer = stage.ask(&login).send_until_settled(DEADLINE).await?;
            assert!(matches!(answer, Ending::Served(_)), "{variant:?}: {answer:?}");
        }
        let log = stage.control.replicas.controls[0].log();
        let dialect = format!("\"dialect\":\"{}\"", variant.product.name());
        log.wait_for_line(|line| line.contains(&dialect), DEADLINE)
            .await?;
        let counts = stage.issuer.counts();
        assert_eq!(
            (counts.refreshes_presented, counts.refreshes_succeeded),
            (2, 2),
            "{variant:?}"
        );
    }
    Ok(())
}
