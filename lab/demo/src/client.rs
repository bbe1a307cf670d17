//! The part of the story without an aggregator: an MCP client that knows a server's URL only.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

use super::Bound;
use super::report::control_calls;
use super::setting::DANA;
use super::telling::{A_FEW, Story, count_ok, exp_of};
use tokenward_harness::browser::Browser;
use tokenward_harness::issuer::{Issuer, fingerprint};
use tokenward_harness::mcp_login::{McpLogin, McpTokens, tokens};
use tokenward_harness::world::{Answer, LOCAL};

/// Processes of one program that share its stored login, as the windows of an editor do.
const PROCESSES: usize = 5;

/// A client that is logged in.
#[derive(Debug)]
pub(super) struct Client {
    login: McpLogin,
    tokens: McpTokens,
    /// When the ID token expires that the server sees in place of the access token, Unix seconds.
    served_until: u64,
}

/// What was counted when an idle client went on.
#[derive(Debug, Default)]
struct Renewal {
    refused: usize,
    renewed: usize,
    refresh_tokens: usize,
    passed: usize,
    refreshes: usize,
}

impl<I: Issuer> Story<'_, I> {
    /// The client, if it could log in: without the filter there is no challenge that names the authorization server.
    pub(super) async fn client_logs_in(&mut self) -> anyhow::Result<Option<Client>> {
        self.open(
            "An MCP client logs in by itself",
            "No aggregator: its 401 names the authorization server, where the user consents and logs in.",
        );
        let logins = self.world.home.counts_of(DANA).logins;
        let mut client = match self.log_in_client().await {
            Ok(client) => Some(client),
            Err(error) => {
                let text = format!("no login: {error:#}");
                self.screen.event("client → gateway", None, &text);
                None
            }
        };
        let logins = self.world.home.counts_of(DANA).logins - logins;
        self.promise("login of the user at the home issuer", Bound::Exactly(1), logins);
        let mut answers = Vec::new();
        if let Some(client) = &mut client {
            for _ in 0..A_FEW {
                answers.push(self.client_call(client).await?);
            }
            client.served_until = self.served_until(LOCAL)?;
            let status = answers.last().map(|answer| answer.status);
            let text = format!("{A_FEW} calls: the server sees dana's ID token instead of the client's");
            self.screen.event("client → gateway → local", status, &text);
        }
        let passed = count_ok(&answers);
        self.promise("calls answered by the server", Bound::Exactly(A_FEW), passed);
        self.ledger.close();
        Ok(client)
    }

    async fn log_in_client(&self) -> anyhow::Result<Client> {
        let login = McpLogin::register(&self.world.resource(LOCAL), "the demo's client").await?;
        let text = "the client finds the authorization server in the challenge, and registers";
        self.screen.event("client → gateway", Some(401), text);
        let tokens = login.log_in(&Browser::new()?, DANA).await?;
        let text = format!(
            "consents, logs in at the home issuer; the client has a token for {} s",
            tokens.expires_in
        );
        self.screen.event("dana's browser", None, &text);
        Ok(Client {
            login,
            tokens,
            served_until: 0,
        })
    }

    async fn client_call(&mut self, client: &Client) -> anyhow::Result<Answer> {
        let call = self.world.call(LOCAL).bearer(&client.tokens.access_token);
        let answer = call.send().await?;
        self.note_answers(std::slice::from_ref(&answer));
        Ok(answer)
    }

    /// All users have been idle past the expiry of their tokens, and this client too.
    pub(super) async fn client_refreshes(&mut self, client: &mut Option<Client>) -> anyhow::Result<()> {
        self.open(
            "Five processes of the client refresh at once",
            "They share one refresh token. Where it may be used once only, four of them lose the login.",
        );
        let counted = match client {
            Some(client) => self.idle_client(client).await?,
            None => Renewal::default(),
        };
        for (what, must_be, found) in [
            (
                "stale call answered 401, without a call to control",
                1,
                counted.refused,
            ),
            ("processes that keep the login", PROCESSES, counted.renewed),
            ("refresh token that they have now", 1, counted.refresh_tokens),
            ("call answered by the server afterwards", 1, counted.passed),
            (
                "refresh at the home issuer in all, for that call",
                1,
                counted.refreshes,
            ),
        ] {
            self.promise(what, Bound::Exactly(must_be), found);
        }
        self.ledger.close();
        Ok(())
    }

    async fn idle_client(&mut self, client: &mut Client) -> anyhow::Result<Renewal> {
        let refreshes = self.refreshes_of(DANA);
        let expired = exp_of(&client.tokens.access_token)?.max(client.served_until);
        self.await_expiry("the client is idle", expired).await;
        let calls = control_calls(self.world).await?;
        let stale = self.client_call(client).await?;
        let calls = control_calls(self.world).await? - calls;
        let text = "a stale access token opens nothing, and costs no call";
        self.screen.event("client → gateway", Some(stale.status), text);
        let renewed = parallel_refreshes(client).await?;
        let early = self.refreshes_of(DANA) - refreshes;
        let text = format!("{PROCESSES} requests with one refresh token, answered alike");
        self.screen.event("client → control", Some(200), &text);
        if let Some(tokens) = renewed.first() {
            client.tokens = tokens.clone();
        }
        let answer = self.client_call(client).await?;
        let text = "the new token works; the user's login was refreshed once for it";
        self.screen
            .event("client → gateway → local", Some(answer.status), text);
        let refresh_tokens: BTreeSet<_> = renewed
            .iter()
            .map(|tokens| fingerprint(&tokens.refresh_token))
            .collect();
        Ok(Renewal {
            refused: usize::from(stale.status == 401 && calls == 0),
            renewed: renewed.len(),
            refresh_tokens: refresh_tokens.len(),
            passed: count_ok(&[answer]),
            // One that came before the call would not have been for it.
            refreshes: self.refreshes_of(DANA) - refreshes + early,
        })
    }

    pub(super) async fn client_is_signed_out(&mut self, client: Option<&Client>) -> anyhow::Result<()> {
        self.open(
            "The user signs out",
            "One DELETE ends the user's session, and with it what every client of it holds.",
        );
        let (mut refused, mut logs_in) = (0, 0);
        if let Some(client) = client {
            self.world.end_session(&client.tokens.session()?).await?;
            let answer = client.login.refresh(&client.tokens.refresh_token).await?;
            refused = usize::from(answer.status == 400);
            // The one error on which every client starts a new login.
            logs_in = usize::from(answer.json()["error"] == "invalid_grant");
            let text = "invalid_grant: the client asks its user to log in again";
            self.screen.event("client → control", Some(answer.status), text);
        }
        self.promise("refresh refused", Bound::Exactly(1), refused);
        self.promise(
            "answer that makes a client log in again",
            Bound::Exactly(1),
            logs_in,
        );
        self.ledger.close();
        Ok(())
    }
}

/// The tokens of those requests that got some.
async fn parallel_refreshes(client: &Client) -> anyhow::Result<Vec<McpTokens>> {
    let mut under_way = JoinSet::new();
    for _ in 0..PROCESSES {
        let (login, refresh_token) = (client.login.clone(), client.tokens.refresh_token.clone());
        under_way.spawn(async move { login.refresh(&refresh_token).await });
    }
    let answers: Vec<Answer> = under_way.join_all().await.into_iter().collect::<Result<_, _>>()?;
    Ok(answers.iter().filter_map(|answer| tokens(answer).ok()).collect())
}
