//! The issuers: a Dex with rotating refresh tokens and a reuse interval, and remote ones that exchange tokens.

use tokenward_control::upstream::grant::attempt::Answer;
use tokenward_control::upstream::issuer::answer::Death;

use super::records;
use crate::count::{Count, Tally};
use crate::options::Options;
use crate::population::{first_token, has_ended};
use crate::token::Stamp;

/// Dex's `reuseInterval`, as docs/install.md sets it.
const REUSE_MS: u64 = 60_000;
/// Time of one refresh or exchange without a queue, in milliseconds.
const SERVICE_MS: u64 = 25;
/// No token that had this much of its life left was refreshed in time: more than the largest share of a life by which control
/// renews ahead of time (a fifth and a tenth), with the margin.
const EARLIEST_SHARE: f64 = 0.35;

/// One user's login.
#[derive(Debug, Clone, Copy)]
struct Login {
    /// Its first refresh token.
    first: u32,
    /// The valid one.
    current: u32,
    previous: u32,
    rotated_at_ms: u64,
    /// The newest ID token.
    exp_seconds: u32,
    has_ended: bool,
}

/// Why a refresh token is presented, as far as control knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The token is stale, or will be soon.
    Age,
    /// A server rejected it.
    Rejection,
}

/// The home issuer.
pub(super) struct Issuer {
    logins: Vec<Login>,
    life_seconds: u32,
    rotation_ms: Option<u64>,
    /// When the calls received so far will have been carried out, Unix µs.
    busy_until_us: u64,
    service_us: u64,
}

impl Issuer {
    /// With a login of every user.
    pub(super) fn new(options: &Options) -> Self {
        let login = |user: u32| Login {
            first: 1,
            current: 1,
            previous: 0,
            rotated_at_ms: 0,
            exp_seconds: first_token(options, user).exp_seconds,
            has_ended: has_ended(options, user),
        };
        Self {
            logins: (0..options.sessions).map(login).collect(),
            life_seconds: options.token_life_seconds,
            rotation_ms: options.rotation_ms(),
            busy_until_us: 0,
            service_us: 1_000_000 / u64::from(options.issuer_per_second.max(1)),
        }
    }

    /// When a call that arrives at `now_ms` is answered: calls wait for each other.
    pub(super) fn answers_at_ms(&mut self, now_ms: u64) -> u64 {
        self.busy_until_us = self.busy_until_us.max(now_ms * 1000) + self.service_us;
        (self.busy_until_us / 1000).max(now_ms) + SERVICE_MS
    }

    fn stamp(&self, user: u32, number: u32, now_ms: u64) -> Stamp {
        let is_rotated = self.rotation_ms.is_some_and(|rotation_ms| now_ms >= rotation_ms);
        Stamp {
            exp_seconds: (now_ms / 1000) as u32 + self.life_seconds,
            key: u8::from(is_rotated),
            ..self.named(user, number)
        }
    }

    fn named(&self, user: u32, number: u32) -> Stamp {
        Stamp {
            kind: crate::token::Kind::Home,
            user,
            number,
            exp_seconds: self.logins[user as usize].exp_seconds,
            key: 0,
            server: 0,
        }
    }

    /// A refresh token is presented; the answer, and the new ID token. `again`: a replica died that had presented it before.
    pub(super) fn refresh(
        &mut self,
        user: u32,
        presented: u32,
        (cause, again): (Cause, bool),
        now_ms: u64,
        tally: &Tally,
    ) -> (Answer, Option<Stamp>) {
        let login = self.logins[user as usize];
        if login.has_ended {
            tally.one(Count::RefreshesEnded);
            return (dead(Death::InvalidGrant), None);
        }
        if presented < login.first {
            tally.one(Count::RefreshesEnded);
            return (dead(Death::Claimed), None);
        }
        let is_reusable = now_ms <= login.rotated_at_ms + REUSE_MS && presented == login.previous;
        if presented != login.current && !again {
            tally.one(Count::BrokenPresentedTwice);
        }
        if presented != login.current && !is_reusable {
            tally.one(match again {
                true => Count::LoginsLost,
                false => Count::BrokenLoginLost,
            });
            return (dead(Death::Claimed), None);
        }
        tally.one(if again {
            Count::RefreshesAgain
        } else {
            Count::Refreshes
        });
        match cause {
            Cause::Rejection => tally.one(Count::RefreshesOfRejected),
            Cause::Age if again => {}
            Cause::Age => self.check_age(&login, now_ms, tally),
        }
        let mut number = login.current;
        if presented == login.current {
            number += 1;
            let login = &mut self.logins[user as usize];
            (login.previous, login.current, login.rotated_at_ms) = (presented, number, now_ms);
        }
        let stamp = self.stamp(user, number, now_ms);
        self.logins[user as usize].exp_seconds = stamp.exp_seconds;
        let answer = Answer::Refreshed {
            rotated: Some(records::refresh_token(user, number)),
            access_token: None,
            no_id_token: None,
            response: None,
        };
        (answer, Some(stamp))
    }

    fn check_age(&self, login: &Login, now_ms: u64, tally: &Tally) {
        let left_ms = (u64::from(login.exp_seconds) * 1000).saturating_sub(now_ms);
        let early_ms = f64::from(self.life_seconds) * 1000.0 * EARLIEST_SHARE + 60_000.0;
        if left_ms as f64 > early_ms {
            tally.one(Count::BrokenRefreshedEarly);
        }
    }

    /// A user logs in: the earlier login is over.
    pub(super) fn log_in(&mut self, user: u32, now_ms: u64) -> Stamp {
        let number = self.logins[user as usize].current + 1;
        let stamp = self.stamp(user, number, now_ms);
        self.logins[user as usize] = Login {
            first: number,
            current: number,
            previous: 0,
            rotated_at_ms: 0,
            exp_seconds: stamp.exp_seconds,
            has_ended: false,
        };
        stamp
    }

    /// Logins that have not ended and whose newest ID token may not reach a server any more.
    pub(super) fn stale(&self, margin_seconds: u64, now_ms: u64) -> u64 {
        let until = now_ms / 1000 + margin_seconds;
        let stale = |login: &&Login| !login.has_ended && u64::from(login.exp_seconds) <= until;
        self.logins.iter().filter(stale).count() as u64
    }

    /// Logins that have ended, known to control or not.
    pub(super) fn ended(&self) -> u64 {
        self.logins.iter().filter(|login| login.has_ended).count() as u64
    }
}

fn dead(death: Death) -> Answer {
    Answer::Dead { death, words: None }
}
