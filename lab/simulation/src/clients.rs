//! The clients: which session makes which request and when, and what it does with a refusal.
//!
//! Each session belongs to one user and uses a few servers. At each of them a listener holds a stream, reconnects when the
//! stream ends, and after a refusal once a second. While a session is active it also makes requests, with pauses in between.

use crate::options::{Incident, Options, START_MS};
use crate::population::{first_token, is_own, server_at};
use crate::random::{Random, mix_two, scaled};
use crate::token::{Kind, Stamp, session_of};

/// Length of a step of the simulation: the filter's tick.
pub(crate) const STEP_MS: u64 = 100;
/// A listener's wait after a refusal, as at muster.
const LISTENER_RETRY_MS: u64 = 1_000;
/// Mean length of a time in which a session makes requests.
const ACTIVE_MS: u64 = 600_000;
/// Mean time until a user whose login has ended logs in again.
const LOGIN_MS: u64 = 600_000;
/// A client waits no longer than this, whatever `Retry-After` states.
const LONGEST_RETRY_MS: u64 = 60_000;
/// After an idle night all sessions return within this time.
const MORNING_MS: u64 = 120_000;
/// No request comes before the gateways have learned their servers.
const WARM_UP_MS: u64 = 3_000;
/// Life of an access token of control's own authorization server, as by default.
const OWN_LIFE_SECONDS: u32 = 3_600;

/// Something that a session does at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// A request at one of its servers.
    Call,
    /// The listener at this place connects.
    Listen(u8),
    /// The user logs in again.
    Login,
}

/// An action of a session, packed: there are millions of them in the queue.
#[derive(Debug, Clone, Copy)]
struct Due(u32);

impl Due {
    fn new(session: u32, action: Action, turn: u8) -> Self {
        let code = match action {
            Action::Call => 0,
            Action::Login => 1,
            Action::Listen(place) => 2 + u32::from(place),
        };
        Self((session << 10) | (code << 6) | u32::from(turn & 63))
    }

    fn parts(self) -> (u32, Action, u8) {
        let action = match (self.0 >> 6) & 15 {
            0 => Action::Call,
            1 => Action::Login,
            place => Action::Listen((place - 2) as u8),
        };
        (self.0 >> 10, action, (self.0 & 63) as u8)
    }
}

/// One session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    pub(crate) user: u32,
    /// The token that it presents.
    number: u32,
    exp_seconds: u32,
    key: u8,
    pub(crate) is_own: bool,
    waits_for_login: bool,
    /// Until when it makes requests, in steps from the beginning.
    active_until: u32,
}

/// Where a listener's stream is, and which of its timers counts.
#[derive(Debug, Clone, Copy, Default)]
struct Listener {
    /// The Envoy within the shard, from 1; 0 for none.
    envoy: u16,
    turn: u8,
}

/// The sessions of one shard.
pub(crate) struct Clients {
    options: Options,
    random: Random,
    sessions: Vec<Session>,
    listeners: Vec<Listener>,
    /// What is due in each step.
    due: Vec<Vec<Due>>,
    places: usize,
}

impl Clients {
    /// The sessions `users` (global numbers).
    pub(crate) fn new(options: &Options, users: std::ops::Range<u32>, stream: u64) -> Self {
        let places = options.servers_per_session as usize;
        let steps = (u64::from(options.minutes) * 60_000 / STEP_MS) as usize;
        let count = users.len();
        let mut clients = Self {
            options: options.clone(),
            random: Random::new(options.seed, stream),
            sessions: Vec::with_capacity(count),
            listeners: vec![Listener::default(); count * places],
            due: vec![Vec::new(); steps],
            places,
        };
        for (session, user) in (0..).zip(users) {
            clients.add(session, user);
        }
        clients
    }

    fn add(&mut self, session: u32, user: u32) {
        let first = first_token(&self.options, user);
        let is_own = is_own(&self.options, user);
        let own_exp = (START_MS / 1000) as u32 + self.random.below(u64::from(OWN_LIFE_SECONDS)) as u32 + 60;
        self.sessions.push(Session {
            user,
            number: first.number,
            exp_seconds: if is_own { own_exp } else { first.exp_seconds },
            key: 0,
            is_own,
            waits_for_login: false,
            active_until: 0,
        });
        let is_night = self.options.incidents.contains(&Incident::IdleNight);
        let listener_ms = u64::from(self.options.listener_seconds) * 1000;
        for place in 0..self.places {
            let in_ms = match is_night {
                true => self.random.below(MORNING_MS),
                false => self.random.below(listener_ms),
            };
            self.listen_in(session, place as u8, in_ms, START_MS + WARM_UP_MS);
        }
        let is_active = self.random.chance(self.options.active_share);
        let in_ms = if is_active {
            self.activate(session, START_MS);
            self.think_ms() + if is_night { MORNING_MS / 2 } else { 0 }
        } else {
            self.idle_ms()
        };
        self.push(START_MS + WARM_UP_MS + in_ms, Due::new(session, Action::Call, 0));
    }

    fn think_ms(&mut self) -> u64 {
        self.random.wait_ms(u64::from(self.options.think_seconds) * 1000)
    }

    fn idle_ms(&mut self) -> u64 {
        let share = self.options.active_share.clamp(0.001, 1.0);
        let mean = ACTIVE_MS as f64 * (1.0 - share) / share;
        self.random.wait_ms(mean as u64)
    }

    fn activate(&mut self, session: u32, now_ms: u64) {
        let until = step_of(now_ms + self.random.wait_ms(ACTIVE_MS));
        self.sessions[session as usize].active_until = u32::try_from(until).unwrap_or(u32::MAX);
    }

    fn push(&mut self, at_ms: u64, due: Due) {
        if let Some(step) = self.due.get_mut(step_of(at_ms)) {
            step.push(due);
        }
    }

    fn listen_in(&mut self, session: u32, place: u8, in_ms: u64, now_ms: u64) {
        let at = self.listener_at(session, place);
        let listener = &mut self.listeners[at];
        listener.turn = listener.turn.wrapping_add(1) & 63;
        let due = Due::new(session, Action::Listen(place), listener.turn);
        self.push(now_ms + in_ms.max(1), due);
    }

    fn listener_at(&self, session: u32, place: u8) -> usize {
        session as usize * self.places + usize::from(place)
    }

    /// Takes what is due in the step that begins at `now_ms`.
    pub(crate) fn take_due(&mut self, now_ms: u64) -> Vec<(u32, Action)> {
        let due = self
            .due
            .get_mut(step_of(now_ms))
            .map(std::mem::take)
            .unwrap_or_default();
        let mut actions = Vec::with_capacity(due.len());
        for due in due {
            let (session, action, turn) = due.parts();
            let is_current = match action {
                Action::Listen(place) => self.listeners[self.listener_at(session, place)].turn == turn,
                Action::Call | Action::Login => true,
            };
            if is_current {
                actions.push((session, action));
            }
        }
        actions
    }

    /// One session.
    pub(crate) fn session(&self, session: u32) -> &Session {
        &self.sessions[session as usize]
    }

    /// The server at one of a session's places.
    pub(crate) fn server_at(&self, session: u32, place: u8) -> u16 {
        let user = u64::from(self.sessions[session as usize].user);
        server_at(&self.options, user, place)
    }

    /// One of the session's places, by chance.
    pub(crate) fn any_place(&mut self) -> u8 {
        self.random.below(self.places as u64) as u8
    }

    /// Where a request goes: the Envoy by the load balancer, among those that are `up`, and the worker, by the session's
    /// connection to that Envoy.
    pub(crate) fn gateway(&mut self, session: u32, up: &[bool], workers: u32) -> Option<(u16, u8)> {
        let user = u64::from(self.sessions[session as usize].user);
        let chosen = self.random.below(u64::from(self.options.envoys_per_session));
        let connection = self.random.below(u64::from(self.options.connections_per_session));
        let mut chance = mix_two(mix_two(self.options.seed, user), chosen);
        for _ in 0..64 {
            let envoy = scaled(chance, up.len() as u64) as usize;
            if up[envoy] {
                let worker = mix_two(chance, 7 + connection) % u64::from(workers);
                return Some((envoy as u16, worker as u8));
            }
            chance = mix_two(chance, 1);
        }
        None
    }

    /// The token that a session presents at a server, and its life.
    pub(crate) fn presented(&self, session: u32, server: u16) -> (Stamp, u32) {
        let known = &self.sessions[session as usize];
        let kind = if known.is_own { Kind::Own } else { Kind::Home };
        let stamp = Stamp {
            kind,
            user: known.user,
            number: known.number,
            exp_seconds: known.exp_seconds,
            key: known.key,
            server: if known.is_own { server } else { 0 },
        };
        let life = match known.is_own {
            true => OWN_LIFE_SECONDS,
            false => self.options.token_life_seconds,
        };
        (stamp, life)
    }

    /// The handle that the session's client sends, if it is an aggregator.
    pub(crate) fn handle(&self, session: u32) -> Option<String> {
        let known = &self.sessions[session as usize];
        (!known.is_own).then(|| session_of(known.user))
    }

    /// A listener's stream is open at this Envoy of the shard.
    pub(crate) fn listens_at(&mut self, session: u32, place: u8, envoy: u16) {
        let at = self.listener_at(session, place);
        self.listeners[at].envoy = envoy + 1;
    }

    /// A request of a session was served.
    pub(crate) fn on_served(&mut self, session: u32, listener: Option<u8>, now_ms: u64) {
        match listener {
            Some(place) => {
                let in_ms = self
                    .random
                    .wait_ms(u64::from(self.options.listener_seconds) * 1000);
                self.listen_in(session, place, in_ms, now_ms);
            }
            None => self.call_later(session, now_ms),
        }
    }

    fn call_later(&mut self, session: u32, now_ms: u64) {
        let is_active = step_of(now_ms) < self.sessions[session as usize].active_until as usize;
        let in_ms = if is_active {
            self.think_ms()
        } else {
            self.idle_ms()
        };
        if !is_active {
            self.activate(session, now_ms + in_ms);
        }
        self.push(now_ms + in_ms.max(1), Due::new(session, Action::Call, 0));
    }

    /// A request of a session was refused.
    pub(crate) fn on_refused(
        &mut self,
        session: u32,
        listener: Option<u8>,
        retry_after: Option<u32>,
        now_ms: u64,
    ) {
        match listener {
            Some(place) => {
                let at = self.listener_at(session, place);
                self.listeners[at].envoy = 0;
                self.listen_in(session, place, LISTENER_RETRY_MS, now_ms);
            }
            None => {
                let in_ms = u64::from(retry_after.unwrap_or(1)).max(1) * 1000;
                let at_ms = now_ms + in_ms.min(LONGEST_RETRY_MS);
                self.push(at_ms, Due::new(session, Action::Call, 0));
            }
        }
    }

    /// A session learns that its user has to log in: whether its client can renew its token by itself.
    pub(crate) fn on_unauthorized(&mut self, session: u32, now_ms: u64) -> bool {
        let exp_ms = u64::from(self.sessions[session as usize].exp_seconds) * 1000;
        let known = &mut self.sessions[session as usize];
        if known.is_own && exp_ms <= now_ms {
            known.exp_seconds = (now_ms / 1000) as u32 + OWN_LIFE_SECONDS;
            known.number += 1;
            return true;
        }
        if !known.waits_for_login {
            known.waits_for_login = true;
            let in_ms = self.random.wait_ms(LOGIN_MS);
            self.push(now_ms + in_ms, Due::new(session, Action::Login, 0));
        }
        false
    }

    /// The user of a session has logged in again, and got this token.
    pub(crate) fn on_login(&mut self, session: u32, stamp: &Stamp) {
        let known = &mut self.sessions[session as usize];
        known.waits_for_login = false;
        if !known.is_own {
            (known.number, known.exp_seconds, known.key) = (stamp.number, stamp.exp_seconds, stamp.key);
        }
    }

    /// Listeners lose their streams: those at this Envoy of the shard, or all. They connect again within a second.
    pub(crate) fn lose_streams(&mut self, envoy: Option<u16>, now_ms: u64) {
        for session in 0..self.sessions.len() as u32 {
            for place in 0..self.places as u8 {
                let at = self.listener_at(session, place);
                let held_by = self.listeners[at].envoy;
                if held_by != 0 && envoy.is_none_or(|envoy| held_by == envoy + 1) {
                    self.listeners[at].envoy = 0;
                    let in_ms = self.random.below(LISTENER_RETRY_MS);
                    self.listen_in(session, place, in_ms, now_ms);
                }
            }
        }
    }
}

fn step_of(at_ms: u64) -> usize {
    (at_ms.saturating_sub(START_MS) / STEP_MS) as usize
}
