//! What is counted, in gateways and at control.

use std::cell::Cell;
use std::collections::BTreeMap;

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident = $wire:literal;)*) => {
        /// Something that is counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Count { $($(#[$doc])* $name,)* }

        /// The names in reports, in the order of [`Count`].
        const NAMES: &[&str] = &[$($wire,)*];
    };
}

counts! {
    /// Requests at the gateways.
    Requests = "requests";
    /// Of these, listeners that connected.
    Listens = "listens";
    /// Requests whose own token was forwarded.
    Forwarded = "forwarded";
    /// Requests with a replacement from the worker's cache.
    ReplacedFromCache = "replaced_from_cache";
    /// Requests that waited for a replacement.
    Replaced = "replaced";
    /// Requests refused with 401.
    Refused401 = "refused_401";
    /// Requests refused with another status.
    Refused503 = "refused_503";
    /// Of all refused ones, those from the gate's memory.
    Gated = "gated";
    /// Requests that found no gateway.
    NoGateway = "no_gateway";
    /// Answers of servers that were no rejection.
    ServerAccepted = "server_accepted";
    /// 401 of servers to a token that had not expired.
    ServerRejected = "server_rejected";
    /// WARN lines of the filter.
    WarnFilter = "warn_filter";
    /// Of these, lines that state how many others were withheld.
    WarnWithheld = "warn_withheld";
    /// INFO lines of the filter.
    InfoFilter = "info_filter";
    /// Calls to control because the presented token is stale or must be exchanged.
    CallsStale = "calls_stale";
    /// Calls ahead of time.
    CallsNearExpiry = "calls_near_expiry";
    /// Calls because a server rejected a token.
    CallsRejected = "calls_rejected";
    /// Calls that the host ended because no answer came in time.
    CallsTimedOut = "calls_timed_out";
    /// Polls of control's state.
    Polls = "polls";
    /// Calls that control answered with a token.
    AnsweredToken = "answered_token";
    /// Calls that control refused.
    AnsweredRefused = "answered_refused";
    /// Of these, because no call to the issuer was possible.
    RefusedIssuer = "refused_issuer";
    /// Of these, as busy.
    RefusedBusy = "refused_busy";
    /// Of these, because the store was away.
    RefusedStore = "refused_store";
    /// Of these, because the login has ended.
    RefusedLogin = "refused_login";
    /// Calls to which no replica answered.
    AnsweredNot = "answered_not";
    /// Refresh tokens that the home issuer accepted.
    Refreshes = "refreshes";
    /// Of these, because a server had rejected a token.
    RefreshesOfRejected = "refreshes_of_rejected";
    /// Of these, presented again because the replica died that had presented them first.
    RefreshesAgain = "refreshes_again";
    /// Refresh tokens of logins that had ended at the issuer.
    RefreshesEnded = "refreshes_ended";
    /// Logins that ended because the replica died that had refreshed them, and the next try came after the reuse interval.
    LoginsLost = "logins_lost";
    /// Token exchanges at remote issuers.
    Exchanges = "exchanges";
    /// Refreshes and exchanges that the rate limit refused.
    HeldBackRate = "held_back_rate";
    /// Those that waited in vain for one of the concurrent calls.
    HeldBackQueue = "held_back_queue";
    /// Those that an open circuit refused.
    HeldBackCircuit = "held_back_circuit";
    /// Reads of the store.
    StoreReads = "store_reads";
    /// Writes of the store.
    StoreWrites = "store_writes";
    /// Leases taken, found held, confirmed and released.
    StoreLeases = "store_leases";
    /// WARN lines of control.
    WarnControl = "warn_control";
    /// New logins after one had ended.
    Logins = "logins";
    /// MCP clients that renewed their access token at control's authorization server.
    OwnRenewals = "own_renewals";
    /// Broken promise: a server got a token past its `exp`.
    BrokenPastExp = "broken_past_exp";
    /// Broken promise: a server got an access token of control's own authorization server.
    BrokenOwnToken = "broken_own_token";
    /// Broken promise: a server got a token of another server or user.
    BrokenOtherToken = "broken_other_token";
    /// Broken promise: two WARN lines of one pair at one Envoy within a minute.
    BrokenWarnedTwice = "broken_warned_twice";
    /// Broken promise: a refresh token was presented twice, although no replica had died in between.
    BrokenPresentedTwice = "broken_presented_twice";
    /// Broken promise: a login was refreshed although its token had long to live and no server had rejected it.
    BrokenRefreshedEarly = "broken_refreshed_early";
    /// Broken promise: a login was lost although no replica had died.
    BrokenLoginLost = "broken_login_lost";
}

/// Number of counts.
pub(crate) const COUNTS: usize = NAMES.len();

/// The first promise; all counts from here on must stay 0.
const FIRST_PROMISE: usize = Count::BrokenPastExp as usize;

/// Counts so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counts([u64; COUNTS]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; COUNTS])
    }
}

impl Counts {
    /// Adds those of `other`.
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            *sum += more;
        }
    }

    /// What came since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut since = self.clone();
        for (now, then) in since.0.iter_mut().zip(&before.0) {
            *now -= then;
        }
        since
    }

    /// One count.
    pub(crate) fn of(&self, count: Count) -> u64 {
        self.0[count as usize]
    }

    /// The promises of this run that broke, with how often.
    pub(crate) fn broken(&self) -> BTreeMap<String, u64> {
        let promises = NAMES.iter().zip(self.0).skip(FIRST_PROMISE);
        let broken = promises.filter(|(_, times)| *times > 0);
        broken.map(|(name, times)| ((*name).to_owned(), times)).collect()
    }

    /// All counts by name.
    pub(crate) fn by_name(&self) -> BTreeMap<String, u64> {
        let all = NAMES.iter().zip(self.0);
        all.map(|(name, times)| ((*name).to_owned(), times)).collect()
    }

    /// Those that are not 0, by name.
    pub(crate) fn that_happened(&self) -> BTreeMap<String, u64> {
        let mut counts = self.by_name();
        counts.retain(|_, times| *times > 0);
        counts
    }

    /// As numbers, for the digest of a run.
    pub(crate) fn numbers(&self) -> &[u64] {
        &self.0
    }
}

/// Counts by many parties of one thread.
#[derive(Debug)]
pub(crate) struct Tally([Cell<u64>; COUNTS]);

impl Default for Tally {
    fn default() -> Self {
        Self([const { Cell::new(0) }; COUNTS])
    }
}

impl Tally {
    /// Counts one.
    pub(crate) fn one(&self, count: Count) {
        self.many(count, 1);
    }

    /// Counts several.
    pub(crate) fn many(&self, count: Count, times: u64) {
        let cell = &self.0[count as usize];
        cell.set(cell.get() + times);
    }

    /// The counts so far.
    pub(crate) fn counts(&self) -> Counts {
        Counts(std::array::from_fn(|at| self.0[at].get()))
    }
}
