//! Which replica writes to the resources: the holder of a Lease (`coordination.k8s.io`).
//!
//! A lease of another holder counts as over when it has not changed for its duration by this process's own clock, as other
//! holders' clocks may be wrong.

/// How long a lease holds after it was renewed.
pub const LEASE_SECONDS: i32 = 15;
/// How often a replica looks, and the leader renews.
pub const LOOK_INTERVAL_MS: u64 = 5_000;

/// Names the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A Lease, as far as it is read and written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRecord {
    /// `metadata.resourceVersion` at which it is replaced; `None`: it is created.
    pub resource_version: Option<String>,
    /// `holderIdentity`; `None`: it was given up.
    pub holder: Option<String>,
    /// `leaseTransitions`.
    pub transitions: i32,
}

/// What to do about the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write this, and lead if it succeeds.
    Write(LeaseRecord),
    /// Another replica leads.
    Follow,
}

/// One replica's view of the Lease.
#[derive(Debug)]
pub struct Election {
    me: String,
    /// The foreign lease that was seen last: its resource version, and since when.
    seen: Option<(Option<String>, u64)>,
    leads_until_ms: u64,
}

impl Election {
    /// The view of the replica `me`.
    #[must_use]
    pub fn new(me: String) -> Self {
        Self {
            me,
            seen: None,
            leads_until_ms: 0,
        }
    }

    /// What to do, when `lease` is what the API server has at `now_ms` of a clock that never steps back.
    pub fn next(&mut self, lease: Option<&LeaseRecord>, now_ms: u64) -> Step {
        let Some(lease) = lease else {
            return Step::Write(self.record(None, 0));
        };
        if lease.holder.as_ref() == Some(&self.me) {
            return Step::Write(self.record(lease.resource_version.clone(), lease.transitions));
        }
        let since = match &self.seen {
            Some((version, since)) if *version == lease.resource_version => *since,
            _ => {
                self.seen = Some((lease.resource_version.clone(), now_ms));
                now_ms
            }
        };
        let is_over = now_ms.saturating_sub(since) >= lifetime_ms();
        if lease.holder.is_none() || is_over {
            let transitions = lease.transitions.saturating_add(1);
            return Step::Write(self.record(lease.resource_version.clone(), transitions));
        }
        Step::Follow
    }

    /// A lease was written that was decided at `now_ms`.
    pub fn written(&mut self, now_ms: u64) {
        self.seen = None;
        self.leads_until_ms = now_ms.saturating_add(lifetime_ms());
    }

    /// The lease is another's.
    pub fn lost(&mut self) {
        self.leads_until_ms = 0;
    }

    /// Whether this replica leads at `now_ms`. It stops before another one can take over.
    #[must_use]
    pub const fn leads(&self, now_ms: u64) -> bool {
        now_ms < self.leads_until_ms
    }

    fn record(&self, resource_version: Option<String>, transitions: i32) -> LeaseRecord {
        LeaseRecord {
            resource_version,
            holder: Some(self.me.clone()),
            transitions,
        }
    }
}

fn lifetime_ms() -> u64 {
    u64::from(LEASE_SECONDS.unsigned_abs()) * 1000
}
