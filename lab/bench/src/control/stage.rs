//! Everything that runs while control is measured: a fake Dex, Valkey, three replicas on it, and one service on a file.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::lanes::{Counts, Lane, Target};
use super::load::{Client, Done, Requests};
use super::logins::with_authorization;
use super::people::{LIFETIME, Login, People, Service, configuration, start};
use super::raw::Raw;
use crate::machine::machine_busy_ns;
use tokenward_harness::issuer::{DexConfig, FakeDex};
use tokenward_harness::parts::{Control, ControlConfig, ControlStore, cpu_ns_with_ended_threads};

const REPLICAS: usize = 3;
/// People of each store: each token request of a lane is for the next of them.
pub(super) const PEOPLE: usize = 250;

/// All of it. It ends with this guard.
pub(super) struct Stage {
    pub(super) dex: FakeDex,
    pub(super) raw: Raw,
    /// Three on Valkey.
    pub(super) replicas: Vec<Service>,
    /// One on the same Valkey that reads it for each request.
    uncached: Service,
    /// One on its file.
    pub(super) embedded: Service,
    pub(super) of_valkey: People,
    pub(super) of_embedded: People,
    /// Known to the fake Dex alone.
    pub(super) strangers: People,
    /// Of the replicas.
    pub(super) config: ControlConfig,
    _controls: Vec<Control>,
}

/// What people present, for each store: tokens that control has newer ones of.
pub(super) struct Presented {
    pub(super) to_valkey: Vec<Login>,
    pub(super) to_embedded: Vec<Login>,
}

/// CPU time and wall time at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    at: Instant,
    machine_ns: u64,
    /// Of the control services.
    control_ns: u64,
    /// Of Valkey.
    valkey_ns: u64,
    /// Of this process: the callers, and the fake Dex.
    load_ns: u64,
}

/// What was used between two moments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    /// Share of the machine that others had.
    pub(super) foreign: f64,
    /// CPU of all control services, nanoseconds.
    pub(super) control_ns: u64,
    /// CPU of Valkey, nanoseconds.
    pub(super) valkey_ns: u64,
    /// CPU of the callers and the fake Dex, nanoseconds.
    pub(super) load_ns: u64,
}

impl Stage {
    /// Starts everything, without logins.
    ///
    /// # Errors
    /// When Valkey or the release build of control is missing.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let (of_valkey, of_embedded) = (People::new("a", PEOPLE), People::new("b", PEOPLE));
        let strangers = People::new("c", PEOPLE);
        let config = [&of_valkey, &of_embedded, &strangers]
            .into_iter()
            .fold(DexConfig::default(), |config, people| people.known_to(config));
        let dex = FakeDex::start(config.id_token_lifetime(LIFETIME)).await?;
        let raw = Raw::start().await?;
        let on_valkey = with_authorization(ControlConfig {
            store: on(&raw),
            ..configuration(&dex)?
        })?;
        let (mut controls, mut replicas) = (Vec::new(), Vec::new());
        for _ in 0..REPLICAS {
            let (control, service) = start(on_valkey.clone()).await?;
            controls.push(control);
            replicas.push(service);
        }
        let each_time = ControlConfig {
            store: uncached(&raw),
            ..on_valkey.clone()
        };
        let (control, uncached) = start(each_time).await?;
        controls.push(control);
        let (control, embedded) = start(configuration(&dex)?).await?;
        controls.push(control);
        Ok(Self {
            dex,
            raw,
            replicas,
            uncached,
            embedded,
            of_valkey,
            of_embedded,
            strangers,
            config: on_valkey,
            _controls: controls,
        })
    }

    /// Where a lane's requests go.
    pub(super) fn addresses(&self, target: Target) -> Vec<SocketAddr> {
        self.services(target)
            .iter()
            .map(|service| service.address)
            .collect()
    }

    fn services(&self, target: Target) -> &[Service] {
        match target {
            Target::Raw => &[],
            Target::Valkey => &self.replicas[..1],
            Target::Uncached => std::slice::from_ref(&self.uncached),
            Target::Embedded => std::slice::from_ref(&self.embedded),
            Target::Replicas => &self.replicas,
        }
    }

    /// A lane's callers, connected.
    pub(super) async fn clients(
        &self,
        lane: &Lane,
        requests: &Requests,
        callers: usize,
    ) -> anyhow::Result<Vec<Client>> {
        let callers = if lane.one_caller { 1 } else { callers };
        match lane.target {
            Target::Raw => Ok(self.raw.clients(callers)),
            target => Client::at(&self.addresses(target), callers, requests).await,
        }
    }

    /// A lane's requests.
    pub(super) fn requests(&self, lane: &Lane, presented: &Presented) -> Requests {
        let logins = match lane.target {
            Target::Embedded => &presented.to_embedded,
            _ => &presented.to_valkey,
        };
        // The credentials are the same everywhere.
        self.embedded.requests(logins, lane.with_session)
    }

    /// Counts for a lane, now.
    pub(super) async fn counts(&self, lane: &Lane) -> anyhow::Result<Counts> {
        let mut counts = Counts {
            refreshes: self.dex.counts().refreshes_presented as u64,
            commands: self.raw.commands().await?,
            ..Counts::default()
        };
        for service in self.services(lane.target) {
            let answered = service.answered().await?;
            counts.tokens += answered.tokens;
            counts.refused += answered.refused;
            counts.recent += answered.recent;
        }
        Ok(counts)
    }

    /// Now.
    pub(super) fn moment(&self) -> anyhow::Result<Moment> {
        let mut control_ns = 0;
        for service in self.replicas.iter().chain([&self.uncached, &self.embedded]) {
            control_ns += cpu_ns_with_ended_threads(service.pid)?;
        }
        Ok(Moment {
            at: Instant::now(),
            machine_ns: machine_busy_ns()?,
            control_ns,
            valkey_ns: self.raw.valkey.pid().map_or(Ok(0), cpu_ns_with_ended_threads)?,
            load_ns: cpu_ns_with_ended_threads(std::process::id())?,
        })
    }
}

/// The same for a control service that reads it for each request.
pub(super) fn uncached(raw: &Raw) -> ControlStore {
    ControlStore::UncachedValkey {
        url: raw.valkey.url(),
    }
}

/// The store of a control service on this Valkey.
pub(super) fn on(raw: &Raw) -> ControlStore {
    ControlStore::Valkey {
        url: raw.valkey.url(),
        password: None,
    }
}

impl Moment {
    /// What was used until `after`.
    pub(super) fn until(self, after: Self) -> Used {
        let machine_ns = after.machine_ns.saturating_sub(self.machine_ns);
        let control_ns = after.control_ns.saturating_sub(self.control_ns);
        let valkey_ns = after.valkey_ns.saturating_sub(self.valkey_ns);
        let load_ns = after.load_ns.saturating_sub(self.load_ns);
        let ours_ns = control_ns + valkey_ns + load_ns;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let elapsed: Duration = after.at - self.at;
        Used {
            foreign: machine_ns.saturating_sub(ours_ns) as f64 / (elapsed.as_nanos() as f64 * cores as f64),
            control_ns,
            valkey_ns,
            load_ns,
        }
    }
}

/// A measurement and what it used.
pub(super) struct Measurement {
    pub(super) done: Done,
    pub(super) used: Used,
}
