//! The refresh storm: every user's token is stale at once, and each session is requested once, or at every replica.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::lanes::{Counts, LANES, Lane, Target};
use super::load::{Client, Done, Requests, Until, closed_loop};
use super::people::{CLIENT, Login};
use super::stage::{Measurement, PEOPLE, Stage};

/// Tokens that are presented for the first time, in each round.
const FIRST_SIGHTS: usize = 1_000;
/// Callers of a storm, at each replica.
const CALLERS: usize = 32;

impl Stage {
    /// The token of every user of the Valkey is stale; one replica is called for each.
    ///
    /// # Errors
    /// When there is not exactly one refresh for each session.
    pub(super) async fn storm(&self) -> anyhow::Result<(Vec<Login>, Measurement)> {
        let logins = self
            .of_valkey
            .log_in_long_ago(&self.dex, &self.replicas[0])
            .await?;
        let measurement = self.refreshed(Target::Valkey, &logins).await?;
        Ok((logins, measurement))
    }

    /// The same, with calls for every session to every replica at the same time.
    ///
    /// # Errors
    /// When there is not exactly one refresh for each session.
    pub(super) async fn storm_at_replicas(&self) -> anyhow::Result<Measurement> {
        let logins = self
            .of_valkey
            .log_in_long_ago(&self.dex, &self.replicas[0])
            .await?;
        self.refreshed(Target::Replicas, &logins).await
    }

    /// The same at the service with its own file.
    ///
    /// # Errors
    /// When there is not exactly one refresh for each session.
    pub(super) async fn storm_embedded(&self) -> anyhow::Result<(Vec<Login>, Measurement)> {
        let logins = self
            .of_embedded
            .log_in_long_ago(&self.dex, &self.embedded)
            .await?;
        let measurement = self.refreshed(Target::Embedded, &logins).await?;
        Ok((logins, measurement))
    }

    /// What the fake Dex can do without control: the same number of refreshes by as many callers.
    ///
    /// # Errors
    /// When Dex refuses one.
    pub(super) async fn refreshes_without_control(&self) -> anyhow::Result<Measurement> {
        let mut requests = Vec::with_capacity(PEOPLE);
        let basic = STANDARD.encode(format!("{}:{}", CLIENT.0, CLIENT.1));
        for email in self.strangers.emails() {
            let login = self.dex.log_in(email, CLIENT.0).await?;
            let form = format!("grant_type=refresh_token&refresh_token={}", login.refresh_token);
            let head = format!(
                "POST /dex/token HTTP/1.1\r\nhost: dex\r\nauthorization: Basic {basic}\r\n\
                 content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n",
                form.len()
            );
            requests.push((head + &form).into_bytes());
        }
        let address = self.dex.issuer().trim_start_matches("http://");
        let address: SocketAddr = address.split('/').next().context("an address")?.parse()?;
        let before = (self.dex.counts().refreshes_succeeded, self.moment()?);
        let clients = Client::at(&[address], CALLERS, &Arc::new(requests)).await?;
        let done = closed_loop(clients, Until::Sent(PEOPLE as u64)).await?;
        let used = before.1.until(self.moment()?);
        let refreshes = self.dex.counts().refreshes_succeeded - before.0;
        ensure!(refreshes == PEOPLE, "{refreshes} refreshes instead of {PEOPLE}");
        Ok(Measurement { done, used })
    }

    /// Tokens that control has never seen: every signature is verified.
    ///
    /// # Errors
    /// When one of them is not answered from the store.
    pub(super) async fn first_sights(&self, callers: usize) -> anyhow::Result<Measurement> {
        let mut requests = Vec::with_capacity(FIRST_SIGHTS);
        for (number, email) in (0..FIRST_SIGHTS).zip(self.of_valkey.emails().iter().cycle()) {
            let draft = self.dex.mint(email, CLIENT.0);
            let nonce = format!("{}-{number}", self.dex.clock().now_ms());
            requests.push(self.embedded.request(&draft.claim("nonce", nonce).token(), None));
        }
        let lane = Lane {
            target: Target::Valkey,
            ..LANES[0]
        };
        let clients = Client::at(&self.addresses(lane.target), callers, &Arc::new(requests)).await?;
        let (before, begun) = (self.counts(&lane).await?, self.moment()?);
        let done = closed_loop(clients, Until::Sent(FIRST_SIGHTS as u64)).await?;
        let used = begun.until(self.moment()?);
        lane.check(done.requests, self.counts(&lane).await?.since(before))?;
        Ok(Measurement { done, used })
    }

    async fn refreshed(&self, target: Target, logins: &[Login]) -> anyhow::Result<Measurement> {
        let lane = Lane { target, ..LANES[0] };
        let requests: Requests = self.embedded.requests(logins, true);
        let addresses = self.addresses(target);
        let (before, begun) = (self.counts(&lane).await?, self.moment()?);
        let mut at_each = Vec::new();
        for address in &addresses {
            let clients = Client::at(&[*address], CALLERS, &requests).await?;
            at_each.push(tokio::spawn(closed_loop(
                clients,
                Until::Sent(logins.len() as u64),
            )));
        }
        let mut done = Done::default();
        for at_one in at_each {
            done.join(at_one.await??);
        }
        let used = begun.until(self.moment()?);
        let counted = self.counts(&lane).await?.since(before);
        let expected = Counts {
            tokens: (logins.len() * addresses.len()) as u64,
            refused: 0,
            refreshes: logins.len() as u64,
            // Leases, intents and commits: how many depends on which replica is first.
            commands: counted.commands,
            recent: counted.recent,
        };
        ensure!(counted == expected, "storm: {counted:?} instead of {expected:?}");
        // Each session counts once, for any number of requests.
        done.requests = logins.len() as u64;
        Ok(Measurement { done, used })
    }
}
