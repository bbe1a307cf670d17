//! Crowds of pairs with ended logins, through the product's own worker: up to the documented number, each calls control as
//! if it were alone and warns once a minute; beyond that a few lose at first.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use tokenward_filter_core::host::CallId;
use tokenward_filter_core::identity::{PairKey, SessionSource};
use tokenward_filter_core::log::Level;
use tokenward_filter_core::pair::slot::{CAPACITY, MOST_BYTES, SLOTS};
use tokenward_filter_core::verdict::Verdict;
use tokenward_filter_core::worker::ControlResponse;
use tokenward_protocol::refusal::Refusal;

use crate::host::{Envoy, ISSUER, home, refused, status, token};

const KUBE: &str = "/kubernetes/mcp";
const WORKERS: usize = 4;
const STEP_MS: u64 = 100;
/// The host's random bytes, and so the salt.
const SALT: [u8; 16] = [0x5A; 16];

/// What one pair did.
#[derive(Debug, Clone, Default)]
struct Seen {
    calls: usize,
    warned_at_ms: Vec<u64>,
}

impl Seen {
    fn warned_twice_in_a_minute(&self) -> bool {
        self.warned_at_ms
            .windows(2)
            .any(|pair| pair[1] - pair[0] < 60_000)
    }
}

/// Pairs that present a stale token every `period_ms`, one after the other, on the workers by turns.
struct Crowd {
    envoy: Envoy,
    /// What is presented: the session's handle and the token.
    pairs: Vec<(String, String)>,
    seen: Vec<Seen>,
    /// What control answers.
    answer: ControlResponse,
    /// How long a gate is closed at first, and at the longest: the backoff of the configuration.
    gate: (&'static str, &'static str),
}

/// As it is unless set.
const USUAL: (&str, &str) = ("5s", "30s");
/// Longer than any crowd is observed: a pair alone calls once.
const LONG: (&str, &str) = ("120s", "120s");

impl Crowd {
    fn new(pairs: Vec<(String, String)>, gate: (&'static str, &'static str)) -> Self {
        // A higher limit than any crowd reaches: the pairs' own throttles are what is looked at.
        let fields = format!(
            r#"{{"warn_limit": 1000000, "gate": {{"login_first": "{}", "login_longest": "{}"}},"#,
            gate.0, gate.1
        );
        let envoy = Envoy::with_config(WORKERS, |text| text.replacen('{', &fields, 1));
        envoy.host.random.set(SALT);
        envoy.host.hides_debug.set(true);
        let seen = vec![Seen::default(); pairs.len()];
        Self {
            envoy,
            pairs,
            seen,
            answer: refused(Refusal::NeedsLogin),
            gate,
        }
    }

    /// Sends the request of one pair. Control answers at once.
    fn request(&mut self, pair: usize, worker: usize) {
        let (handle, presented) = &self.pairs[pair];
        let lines = self.envoy.host.lines.borrow().len();
        let (_, verdict) = self.envoy.send(worker, KUBE, Some(presented), Some(handle));
        if verdict == Verdict::Pause {
            self.seen[pair].calls += 1;
            let call = u32::try_from(self.envoy.calls()).unwrap();
            self.envoy.workers[worker].on_control_response(CallId(call), &self.answer);
        } else {
            assert!(matches!(status(&verdict), Some(401 | 503)), "{verdict:?}");
        }
        let now_ms = self.envoy.host.now_ms.get();
        let lines = self.envoy.host.lines.borrow()[lines..].to_vec();
        let warned = lines.iter().filter(|(level, _)| *level == Level::Warn).count();
        self.seen[pair]
            .warned_at_ms
            .extend(std::iter::repeat_n(now_ms, warned));
    }

    /// The worker that gets the request of the pair `number` at this step; `None` when it makes none.
    fn turn(number: usize, step: u64, period_ms: u64) -> Option<usize> {
        let number = u64::try_from(number).unwrap();
        let offset_ms = number * 7_919 * STEP_MS % period_ms;
        let since_ms = (step * STEP_MS).checked_sub(offset_ms)?;
        let worker = usize::try_from(number + since_ms / period_ms).unwrap() % WORKERS;
        (since_ms % period_ms == 0).then_some(worker)
    }

    fn one_step(&mut self, step: u64, period_ms: u64) {
        for number in 0..self.pairs.len() {
            if let Some(worker) = Self::turn(number, step, period_ms) {
                self.request(number, worker);
            }
        }
    }

    fn tick(&mut self) {
        self.envoy.host.advance_ms(STEP_MS);
        self.envoy.workers.iter_mut().for_each(|worker| worker.on_tick());
    }

    fn run(&mut self, seconds: u64, period_ms: u64) {
        for step in 0..seconds * 1_000 / STEP_MS {
            self.one_step(step, period_ms);
            self.tick();
        }
    }

    /// What the pair `number` would have done alone.
    fn alone(&self, number: usize, seconds: u64, period_ms: u64) -> Seen {
        let mut lone = Self::new(vec![self.pairs[number].clone()], self.gate);
        for step in 0..seconds * 1_000 / STEP_MS {
            if let Some(worker) = Self::turn(number, step, period_ms) {
                lone.request(0, worker);
            }
            lone.tick();
        }
        lone.seen.swap_remove(0)
    }

    /// How many pairs called control more than 1.3 times as often as alone.
    fn too_many_calls(&self, seconds: u64, period_ms: u64) -> usize {
        let sample = (0..self.pairs.len()).step_by(self.pairs.len().div_ceil(16));
        let ideal = sample
            .map(|number| self.alone(number, seconds, period_ms).calls)
            .min();
        let ideal = ideal.expect("a sample");
        assert_eq!(ideal > 1, self.gate == USUAL, "{ideal} calls of a lone pair");
        self.seen
            .iter()
            .filter(|seen| seen.calls * 10 > ideal * 13)
            .count()
    }

    fn warned_twice(&self) -> usize {
        self.seen
            .iter()
            .filter(|seen| seen.warned_twice_in_a_minute())
            .count()
    }

    fn shared_bytes(&self) -> usize {
        let shared = self.envoy.host.shared.borrow();
        shared
            .iter()
            .map(|(key, value)| key.len() + value.bytes.len())
            .sum()
    }
}

/// Sessions of one user after the end of its login: the cheapest crowd to simulate.
fn ended_logins(number: usize) -> Vec<(String, String)> {
    let presented = home(-5);
    (0..number)
        .map(|number| (format!("session-{number}"), presented.clone()))
        .collect()
}

fn slot_under_the_salt(handle: &str) -> u16 {
    let pair = PairKey::new("kubernetes", SessionSource::Handle(handle));
    let digest = Sha256::new()
        .chain_update(SALT)
        .chain_update(pair.bytes())
        .finalize();
    u16::from_le_bytes([digest[0], digest[1]]) % SLOTS
}

fn as_many_as_are_documented(pairs: usize, seconds: u64, period_ms: u64) {
    let mut crowd = Crowd::new(ended_logins(pairs), USUAL);
    crowd.run(seconds, period_ms);
    assert_eq!(crowd.too_many_calls(seconds, period_ms), 0);
    assert_eq!(crowd.warned_twice(), 0);
    let silent = crowd
        .seen
        .iter()
        .filter(|seen| seen.warned_at_ms.is_empty())
        .count();
    assert_eq!(silent, 0, "each pair has had its WARN");
    // 88 bytes a pair, a key and a version a slot.
    assert!(
        crowd.shared_bytes() <= pairs * 88 + usize::from(SLOTS) * 24 + 100,
        "{}",
        crowd.shared_bytes()
    );
}

#[test]
fn a_thousand_failing_pairs_are_each_as_cheap_and_quiet_as_one() {
    as_many_as_are_documented(1_000, 130, 1_000);
}

#[test]
fn ten_thousand_failing_pairs_are_each_as_cheap_and_quiet_as_one() {
    as_many_as_are_documented(10_000, 75, 5_000);
}

#[test]
fn as_many_failing_pairs_as_are_documented_are_each_as_cheap_and_quiet_as_one() {
    as_many_as_are_documented(CAPACITY, 75, 5_000);
}

#[test]
fn twice_as_many_as_are_documented_cost_one_in_fifty_its_place_and_none_its_silence() {
    let mut crowd = Crowd::new(ended_logins(2 * CAPACITY), LONG);
    crowd.run(25, 5_000);
    let lost = crowd.too_many_calls(25, 5_000);
    println!("{lost} of {}", crowd.pairs.len());
    assert!(lost * 50 <= crowd.pairs.len(), "{lost}");
    assert_eq!(crowd.warned_twice(), 0);
}

#[test]
fn a_hundred_thousand_failing_pairs_retain_half_of_the_gates_and_none_warns_twice() {
    let mut crowd = Crowd::new(ended_logins(100_000), LONG);
    crowd.run(14, 7_000);
    let lost = crowd.too_many_calls(14, 7_000);
    println!("{lost} of {}", crowd.pairs.len());
    assert!(lost * 100 <= crowd.pairs.len() * 55, "{lost}");
    assert_eq!(crowd.warned_twice(), 0);
    assert!(crowd.shared_bytes() <= usize::from(SLOTS) * (MOST_BYTES + 24) + 100);
}

#[test]
fn twenty_pairs_that_fall_on_one_slot_are_each_as_cheap_and_quiet_as_one() {
    let handles = (0..).map(|number| format!("dead-{number}"));
    let pairs: Vec<_> = handles
        .filter(|handle| slot_under_the_salt(handle) == 77)
        .map(|handle| (handle, home(-5)))
        .take(20)
        .collect();
    let mut crowd = Crowd::new(pairs, USUAL);
    crowd.run(130, 1_000);
    let slots = crowd.envoy.host.shared.borrow();
    let slots = slots
        .keys()
        .filter(|key| key.starts_with("tokenward/pairs/"))
        .count();
    assert_eq!(slots, 1);
    assert_eq!((crowd.too_many_calls(130, 1_000), crowd.warned_twice()), (0, 0));
}

/// The attacker knows everything but the salt: which handles fall on the victims' slots without one, and what a control
/// rejects. It makes up a token for each.
#[test]
fn an_attacker_that_knows_everything_but_the_salt_moves_no_victim_and_costs_a_bounded_number_of_calls() {
    const SECONDS: u64 = 70;
    let unsalted = |handle: &str| {
        let pair = PairKey::new("kubernetes", SessionSource::Handle(handle));
        u16::from_le_bytes([pair.bytes()[0], pair.bytes()[1]]) % SLOTS
    };
    let victims = ended_logins(200);
    let aimed_at: BTreeSet<u16> = victims
        .iter()
        .take(20)
        .map(|(handle, _)| unsalted(handle))
        .collect();
    let forged = |number: usize| token(ISSUER, "kube", &format!("forged-{number}"), -60);
    let attack: Vec<(String, String)> = (0..)
        .map(|number| (format!("zz-{number}"), number))
        .filter(|(handle, _)| aimed_at.contains(&unsalted(handle)))
        .map(|(handle, number)| (handle, forged(number)))
        .take(2_000)
        .collect();
    let mut crowd = Crowd::new(victims, USUAL);
    let mut attacker_calls = 0;
    for step in 0..SECONDS * 1_000 / STEP_MS {
        crowd.one_step(step, 1_000);
        for n in 0..50 {
            let n = n + 50 * usize::try_from(step).unwrap();
            let (handle, presented) = &attack[n % attack.len()];
            let worker = n % WORKERS;
            if crowd.envoy.send(worker, KUBE, Some(presented), Some(handle)).1 == Verdict::Pause {
                attacker_calls += 1;
                let call = u32::try_from(crowd.envoy.calls()).unwrap();
                crowd.envoy.refuse(worker, call, Refusal::SubjectRejected);
            }
        }
        crowd.tick();
    }
    assert_eq!(
        (crowd.too_many_calls(SECONDS, 1_000), crowd.warned_twice()),
        (0, 0)
    );
    // 256 and 5,000 a minute for new tokens, and each remembered gate's probes.
    println!("{attacker_calls} calls for 35,000 requests with 2,000 forged tokens");
    assert!(attacker_calls <= 256 + 5_000 + 2_000 * 5, "{attacker_calls}");
}
