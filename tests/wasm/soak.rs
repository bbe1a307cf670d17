//! Thousands of mixed requests at random times with random answers: nothing stale arrives, everything ends once.

use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::MARKER_HEADER;
use tokenward_wasm_host::story::{
    FilterWorld, Sent, exchange, exchanged_token, exp_in, forward, millis, secs, token,
};
use tokenward_wasm_host::{CalloutReply, LogLevel, Outcome};

use crate::fixtures::{assert_not_logged, assert_sound, kubernetes, moments_ms};

const MARGIN_MS: u64 = 60_000;

/// Random numbers that are the same in every run (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(u64::try_from(bound).unwrap())).unwrap()
    }
}

/// What control does from now on.
fn change_controls_mind(world: &FilterWorld, dice: &mut Dice) {
    let control = world.control();
    let life = i64::try_from(dice.below(400)).unwrap() - 50;
    control.takes_ms(dice.below(7_000));
    match dice.below(12) {
        0..=2 => control.answers(token(exp_in(life))),
        3..=5 => control.answers(exchanged_token(exp_in(life))),
        6 => control.refuses(Refusal::ALL[dice.index(Refusal::ALL.len())]),
        7 => control.is_down(),
        8 => control.is_silent(),
        9 => control.replies(CalloutReply::Never),
        10 => control.replies(CalloutReply::ResetMidBody {
            after_ms: dice.below(3_000),
        }),
        _ => control.replies(CalloutReply::answer(200).header(MARKER_HEADER, "0").body("{")),
    };
}

fn random_request(world: &FilterWorld, dice: &mut Dice, tokens: &[String]) -> Sent {
    let server = ["kubernetes", "prometheus", "remote-1", "remote-2", "elsewhere"][dice.index(5)];
    let mut request = world.request(server).on_worker(dice.index(4));
    if dice.below(8) > 0 {
        request = request.session(["s1", "s2", "s3"][dice.index(3)]);
    }
    request = match dice.below(20) {
        0 => request,
        1 => request.bearer("garbage"),
        2 => request.bearer("a.b.c").bearer("a.b.c"),
        _ if server == "elsewhere" => request,
        _ => request.bearer(&tokens[dice.index(tokens.len())]),
    };
    request.send()
}

fn ended_exactly_once(sent: &Sent, left: bool) -> bool {
    let (resumes, replies) = (sent.stream().resumes(), sent.stream().local_replies());
    let answers = match sent.stream().outcome() {
        Outcome::Forwarded { .. } => replies == 0 && resumes <= 1,
        Outcome::Answered { .. } => replies == 1 && resumes == 0,
        Outcome::Gone => left && resumes + replies == 0,
        Outcome::Paused => false,
    };
    answers && sent.stream().is_deleted()
}

fn soak(seed: u64, clock_steps: bool) -> FilterWorld {
    let mut dice = Dice(seed);
    let world = kubernetes()
        .workers(4)
        .server(forward("prometheus"))
        .server(exchange("remote-1"))
        .server(exchange("remote-2"))
        .start();
    let mut tokens = Vec::new();
    let mut sent = Vec::new();
    for n in 0..2_000 {
        if n % 25 == 0 {
            change_controls_mind(&world, &mut dice);
            let life = i64::try_from(dice.below(300)).unwrap() - 60;
            tokens.push(world.mint(&token(exp_in(life)).id(&format!("token-{n}"))));
            let newest = tokens.len().saturating_sub(6);
            tokens.drain(..newest);
        }
        let one = random_request(&world, &mut dice, &tokens);
        let leaves = one.is_paused() && dice.below(6) == 0;
        world.advance(millis(dice.below(700)));
        let left = leaves && one.is_paused();
        if left {
            one.disconnect();
        }
        sent.push((one, left));
        match dice.below(400) {
            0 => world.gateway().worker(dice.index(4)).tick(),
            1 if clock_steps => world.gateway().step_wall_clock_ms(-3_600_000),
            2 if clock_steps => world.gateway().step_wall_clock_ms(30_000),
            _ => {}
        }
    }
    world.advance(secs(20));
    let wrong = sent
        .iter()
        .filter(|(sent, left)| !ended_exactly_once(sent, *left));
    assert_eq!(wrong.count(), 0);
    let forwarded = sent.iter().filter(|(sent, _)| sent.is_forwarded()).count();
    assert_eq!(forwarded, world.upstream_requests().len());
    assert!(
        forwarded > 300 && sent.len() - forwarded > 300,
        "a mix: {forwarded} forwarded"
    );
    world
}

/// Nothing arrives at a protected server with less than the margin to live, or with another issuer's token.
fn assert_only_fresh_arrived(world: &FilterWorld) {
    assert_eq!(world.stale_arrivals().len(), 0);
    for arrived in world.upstream_requests() {
        if arrived.server != "elsewhere" {
            let left_ms = arrived.exp_seconds.expect("a token") * 1000 - arrived.request.at_ms;
            assert!(left_ms > MARGIN_MS, "{}: {left_ms} ms left", arrived.server);
        }
    }
    assert_sound(world);
}

#[test]
fn two_thousand_random_requests_end_once_each_and_none_arrives_stale() {
    for seed in [1, 20_261_121] {
        let world = soak(seed, false);
        assert_only_fresh_arrived(&world);
        // 4 servers × (3 sessions, the subject, none): at most 20 pairs, each at most a WARN a minute; and one of each
        // server for tokens that are turned away.
        let span_ms = moments_ms(&world, LogLevel::Debug)
            .last()
            .copied()
            .unwrap_or_default();
        let minutes = usize::try_from(span_ms / 60_000).unwrap() + 1;
        assert!(
            world.warns().len() <= 24 * minutes,
            "{} WARNs",
            world.warns().len()
        );
        assert!(world.infos().len() <= world.warns().len());
        assert_not_logged(&world, &["eyJ", "filter-credential"]);
        let memory = world.gateway().shared_data();
        assert!(memory.key_count() <= 20 + 3, "{} keys", memory.key_count());
    }
}

#[test]
fn a_clock_that_steps_back_and_forth_lets_nothing_stale_through_and_nothing_hang() {
    assert_only_fresh_arrived(&soak(7, true));
}
