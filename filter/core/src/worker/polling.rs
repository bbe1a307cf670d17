//! In step with control: one worker polls it and stores what it learns in shared data, from which all workers take it.

use secrecy::ExposeSecret;
use tokenward_protocol::filter_state::{FilterState, STATE_PATH, ServerList};
use tokenward_protocol::refusal::Refusal;

use super::control_response::ControlResponse;
use super::state::{TICK_MS, USER_AGENT, Worker};
use crate::host::{CallId, ControlCall, Host};
use crate::identity::{PairKey, SessionSource};
use crate::log::{Level, Refusals};
use crate::mcp_method::McpMethod;
use crate::metric::{Event, Metric, NO_SERVER};
use crate::state::documents::{self, Head, SERVERS_KEY, SIGN_OUTS_KEY};
use crate::state::frame::{open, seal};
use crate::state::{Learned, POLL_TIMEOUT_MS, PollOutcome, SignOuts, UnderWay, lease};

/// Ticks between two looks at shared data.
const LOOK_TICKS: u64 = 5;
/// A failure is logged from this many in a row: a replica of control that restarts is none.
const FAILURES_LOGGED: u8 = 3;

impl<H: Host> Worker<H> {
    /// At a tick: takes what another worker has learned, and polls control when it is this worker's turn.
    pub(super) fn keep_in_step(&mut self) {
        let Some(mut learned) = self.learned.take() else {
            return;
        };
        if self.state_missing || self.ticks >= learned.look_at_tick {
            self.take_shared(&mut learned);
        }
        self.poll(&mut learned);
        self.learned = Some(learned);
    }

    /// Whether `call` is the poll under way.
    pub(super) fn is_poll(&self, call: CallId) -> bool {
        let under_way = self.learned.as_ref().and_then(|learned| learned.under_way);
        under_way.is_some_and(|under_way| under_way.call == call)
    }

    /// Takes the answer to the poll under way.
    pub(super) fn on_poll_response(&mut self, response: &ControlResponse) {
        let Some(mut learned) = self.learned.take() else {
            return;
        };
        learned.under_way = None;
        let outcome = match FilterState::decode(&response.body) {
            _ if response.status != 200 || !response.marked => PollOutcome::Unanswered,
            Ok(state) => self.take_answer(&mut learned, &state),
            Err(_) => PollOutcome::Unusable,
        };
        self.end_poll(&mut learned, outcome, response.status);
        self.learned = Some(learned);
    }

    fn poll(&mut self, learned: &mut Learned) {
        if let Some(under_way) = learned.under_way {
            if self.ticks >= under_way.deadline_tick {
                learned.under_way = None;
                self.end_poll(learned, PollOutcome::Unanswered, 0);
            }
            return;
        }
        if self.ticks < learned.poll_at_tick {
            return;
        }
        learned.poll_at_tick = self.ticks.saturating_add(LOOK_TICKS);
        let (host, hold_ms) = (&self.context.host, learned.hold_ms());
        let Some(failures) = lease::claim(host, &learned.owner, hold_ms, host.now_ms()) else {
            return;
        };
        learned.failures = failures;
        self.take_shared(learned);
        match self.start_poll(learned) {
            Some(call) => {
                let ticks = POLL_TIMEOUT_MS.div_ceil(TICK_MS).saturating_add(2);
                learned.under_way = Some(UnderWay {
                    call,
                    deadline_tick: self.ticks.saturating_add(ticks),
                });
            }
            None => self.end_poll(learned, PollOutcome::Unanswered, 0),
        }
    }

    fn start_poll(&self, learned: &Learned) -> Option<CallId> {
        let (after, servers) = (learned.after(), learned.servers_after());
        let path = format!("{STATE_PATH}?after={after}&servers={servers}");
        let control = &self.config.control;
        let call = ControlCall {
            cluster: &control.cluster,
            headers: vec![
                (":method", "GET"),
                (":path", &path),
                (":authority", &control.authority),
                ("authorization", control.authorization.expose_secret()),
                ("user-agent", USER_AGENT),
            ],
            body: &[],
            timeout: std::time::Duration::from_millis(POLL_TIMEOUT_MS),
        };
        self.context.host.call_control(&call).ok()
    }

    /// Stores an answer in shared data, and puts it in force.
    fn take_answer(&mut self, learned: &mut Learned, state: &FilterState<'_>) -> PollOutcome {
        if learned.follows(state.version) {
            self.take_sign_outs(learned, state);
        }
        let outcome = state
            .servers
            .map_or(PollOutcome::Taken, |list| self.take_servers(learned, list));
        let head = Head {
            servers_version: learned.servers_version,
            revision: learned.sign_outs.revision(),
        };
        if learned.head != head {
            learned.head = head.raise(&self.context.host);
        }
        self.state_missing = !learned.is_complete();
        if state.has_more {
            learned.poll_at_tick = self.ticks;
        }
        outcome
    }

    fn take_sign_outs(&mut self, learned: &mut Learned, state: &FilterState<'_>) {
        let known = &learned.sign_outs;
        let is_news = !state.sign_outs.is_empty()
            || state.version != known.position()
            || !(state.has_more || known.is_whole());
        let next = is_news.then(|| known.with(&state.sign_outs, state.version, !state.has_more));
        // Shared data may have lost what this worker knows.
        let is_lost = learned.head.revision < known.revision();
        let stored = next.as_ref().or(is_lost.then_some(known));
        let is_stored = stored.is_some_and(|stored| {
            let host = &self.context.host;
            documents::write(host, SIGN_OUTS_KEY, stored.document(), stored.revision())
        });
        // Another worker that was faster has stored what this one will find.
        if let Some(next) = next.filter(|_| is_stored) {
            self.put_sign_outs(learned, next);
        }
    }

    fn take_servers(&mut self, learned: &mut Learned, list: ServerList<'_>) -> PollOutcome {
        if list.version < learned.servers_version {
            return PollOutcome::Taken;
        }
        if list.version > learned.servers_version {
            if let Err(fault) = self.put_servers(learned, list.json) {
                learned.refused_version = list.version;
                let version = list.version;
                let text =
                    format!("servers refused version={version}: {fault}; the servers before stay in force");
                self.warn_of_state(Refusal::FilterMisconfigured, text);
                return PollOutcome::ServersRefused;
            }
            learned.servers_version = list.version;
            let servers = self.config.table.servers.len();
            let text = format!("servers learned version={} servers={servers}", list.version);
            self.context.write(Level::Info, text);
        }
        let document = seal(list.version, &[list.json]);
        documents::write(&self.context.host, SERVERS_KEY, &document, list.version);
        PollOutcome::Taken
    }

    /// Takes what another worker has stored in shared data.
    pub(super) fn take_shared(&mut self, learned: &mut Learned) {
        learned.look_at_tick = self.ticks.saturating_add(LOOK_TICKS);
        let head = Head::read(&self.context.host);
        if head == learned.head {
            return;
        }
        learned.head = head;
        let is_damaged =
            !(self.take_shared_servers(learned, head) && self.take_shared_sign_outs(learned, head));
        if is_damaged {
            Head::reset(&self.context.host);
            learned.head = Head::default();
        }
        self.state_missing = !learned.is_complete();
    }

    /// False when they cannot be read.
    fn take_shared_servers(&mut self, learned: &mut Learned, head: Head) -> bool {
        if head.servers_version <= learned.servers_version || head.servers_version <= learned.refused_version
        {
            return true;
        }
        let document = documents::read_servers(&self.context.host);
        let Some((version, json)) = document.as_deref().and_then(open) else {
            return false;
        };
        match self.put_servers(learned, json) {
            Ok(()) => learned.servers_version = version,
            // Another module's VM takes a list that this one does not.
            Err(_) => learned.refused_version = version,
        }
        true
    }

    /// False when they cannot be read.
    fn take_shared_sign_outs(&mut self, learned: &mut Learned, head: Head) -> bool {
        if head.revision <= learned.sign_outs.revision() {
            return true;
        }
        let Some(sign_outs) = documents::read_sign_outs(&self.context.host) else {
            return false;
        };
        self.put_sign_outs(learned, sign_outs);
        true
    }

    fn put_sign_outs(&mut self, learned: &mut Learned, sign_outs: SignOuts) {
        learned.sign_outs = sign_outs;
        self.renew_checks();
    }

    /// Ends a poll: counts it, and decides when and by which worker the next one is made.
    fn end_poll(&mut self, learned: &mut Learned, outcome: PollOutcome, status: u16) {
        let (host, before) = (&self.context.host, learned.failures);
        host.count(&Metric {
            server: NO_SERVER,
            event: Event::StatePoll(outcome),
        });
        let has_failed = matches!(outcome, PollOutcome::Unanswered | PollOutcome::Unusable);
        learned.failures = if has_failed { before.saturating_add(1) } else { 0 };
        if learned.failures != before {
            lease::note_poll(host, &learned.owner, learned.failures, host.now_ms());
        }
        if has_failed {
            learned.poll_at_tick = self.ticks.saturating_add(LOOK_TICKS);
            if learned.failures >= FAILURES_LOGGED {
                let text = format!(
                    "state not learned status={status} failures={}: servers and sign-outs stay as last learned",
                    learned.failures
                );
                self.warn_of_state(Refusal::StateMissing, text);
            }
            return;
        }
        if before >= FAILURES_LOGGED {
            let text = format!("state learned again failures={before}");
            self.context.write(Level::Info, text);
        }
        // An answer that left entries out is followed by the next poll at once.
        if learned.poll_at_tick > self.ticks {
            let ticks = learned.settings.poll_every_ms.div_ceil(TICK_MS);
            learned.poll_at_tick = self.ticks.saturating_add(ticks);
        }
    }

    /// Logs a fault of the state: one WARN for the whole Envoy in the time between two WARN lines of a pair.
    fn warn_of_state(&mut self, fault: Refusal, text: String) {
        let pair = PairKey::new("-", SessionSource::Overload(fault));
        let line = self.context.note(&pair, Refusals::one(fault, McpMethod::NONE));
        self.context.write(line.level, text);
    }
}
