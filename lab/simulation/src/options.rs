//! What is simulated: how large, with which traffic, and what happens when.

use serde::Serialize;

/// Unix time at which every run begins, in milliseconds.
pub(crate) const START_MS: u64 = 1_800_000_000_000;
/// Zones; gateways and replicas are spread over them by turns.
pub(crate) const ZONES: u32 = 3;

/// The limits of calls to one issuer, in each replica of control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct IssuerLimits {
    /// Sustained calls per second.
    pub per_second: u32,
    /// Calls that can start at once after a pause.
    pub burst: u32,
    /// Concurrent calls.
    pub concurrent: u32,
}

impl Default for IssuerLimits {
    /// Those of the product, unless configured.
    fn default() -> Self {
        Self {
            per_second: 100,
            burst: 200,
            concurrent: 32,
        }
    }
}

/// What happens in a run besides its traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Incident {
    /// At the beginning every token is stale, and all sessions return within two minutes.
    IdleNight,
    /// After a third of the run all replicas of control restart, and every listener loses its stream.
    Restart,
    /// After 7 of 12 parts the home issuer signs with a new key, which one server in five learns only within five minutes.
    Rotation,
    /// After three quarters a third of gateways and replicas is away for a twelfth of the run, and the store for 15 seconds.
    Outage,
}

/// A run. The same options give the same run.
#[derive(Debug, Clone, Serialize)]
pub struct Options {
    /// Seed of all chance.
    pub seed: u64,
    /// Threads that simulate gateways. They change nothing but the time that a run takes.
    #[serde(skip)]
    pub threads: usize,
    /// Envoys.
    pub envoys: u32,
    /// Workers of each Envoy.
    pub workers_per_envoy: u32,
    /// Sessions, each of another user.
    pub sessions: u32,
    /// MCP servers.
    pub servers: u16,
    /// Length of the run.
    pub minutes: u32,
    /// Replicas of control.
    pub replicas: u32,
    /// Limits of calls to the home issuer and to each remote one.
    pub limits: IssuerLimits,
    /// Refreshes that the home issuer carries out in a second.
    pub issuer_per_second: u32,
    /// Life of an issuer's token, seconds.
    pub token_life_seconds: u32,
    /// Servers that one session uses.
    pub servers_per_session: u32,
    /// Envoys over which the load balancer spreads the requests of one session.
    pub envoys_per_session: u32,
    /// Connections of one session to each of these, each to some worker.
    pub connections_per_session: u32,
    /// Share of the sessions that make requests at one time, besides their listeners.
    pub active_share: f64,
    /// Mean time between two requests of an active session, seconds.
    pub think_seconds: u32,
    /// Mean life of a listener's stream, seconds.
    pub listener_seconds: u32,
    /// Share of the servers that get exchanged tokens.
    pub exchange_share: f64,
    /// Share of the sessions whose client logged in at control's own authorization server.
    pub own_share: f64,
    /// Share of the sessions whose login has ended at the issuer.
    pub ended_share: f64,
    /// Incidents.
    pub incidents: Vec<Incident>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            threads: 2,
            envoys: 2_500,
            workers_per_envoy: 4,
            sessions: 1_000_000,
            servers: 50,
            minutes: 60,
            replicas: 6,
            limits: IssuerLimits::default(),
            issuer_per_second: 2_000,
            token_life_seconds: 1_800,
            servers_per_session: 3,
            envoys_per_session: 1,
            connections_per_session: 1,
            active_share: 0.3,
            think_seconds: 20,
            listener_seconds: 900,
            exchange_share: 0.2,
            own_share: 0.1,
            ended_share: 0.001,
            incidents: vec![
                Incident::IdleNight,
                Incident::Restart,
                Incident::Rotation,
                Incident::Outage,
            ],
        }
    }
}

impl Options {
    /// The end of the run, Unix ms.
    pub(crate) fn end_ms(&self) -> u64 {
        START_MS + u64::from(self.minutes) * 60_000
    }

    /// This many of 12 parts of the run, Unix ms.
    fn part_ms(&self, of_twelve: u64) -> u64 {
        START_MS + u64::from(self.minutes) * 5_000 * of_twelve
    }

    fn has(&self, incident: Incident) -> bool {
        self.incidents.contains(&incident)
    }

    /// Whether every token is stale at the beginning.
    pub(crate) fn begins_stale(&self) -> bool {
        self.has(Incident::IdleNight)
    }

    /// When all replicas restart.
    pub(crate) fn restart_ms(&self) -> Option<u64> {
        self.has(Incident::Restart).then(|| self.part_ms(4))
    }

    /// When the home issuer begins to sign with a new key.
    pub(crate) fn rotation_ms(&self) -> Option<u64> {
        self.has(Incident::Rotation).then(|| self.part_ms(7))
    }

    /// From when until when a zone is away.
    pub(crate) fn outage_ms(&self) -> Option<(u64, u64)> {
        self.has(Incident::Outage)
            .then(|| (self.part_ms(9), self.part_ms(10)))
    }

    /// Whether a server gets exchanged tokens: spread evenly over all servers.
    pub(crate) fn is_exchanging(&self, server: u16) -> bool {
        let before = f64::from(server) * self.exchange_share;
        let after = f64::from(server + 1) * self.exchange_share;
        after.floor() > before.floor()
    }

    /// Groups of gateways and sessions that have nothing to do with each other but control.
    pub(crate) fn shards(&self) -> u32 {
        (self.envoys / (2 * ZONES)).clamp(1, 8)
    }
}
