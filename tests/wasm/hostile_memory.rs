//! Memory that a client can make a worker's VM keep, by the requests that cost it most.

use tokenward_wasm_host::story::{FilterWorld, SESSION_HEADER, Sent, exp_in, secs, token};
use tokenward_wasm_host::{Headers, UpstreamReply};

use crate::fixtures::{assert_sound, kubernetes};

/// More than everything that a worker keeps when it is full.
const MOST_BYTES: usize = 24 * 1024 * 1024;
/// What one request that waits may take of a worker, apart from what all of them share.
const STREAM_BYTES: usize = 1_024;
const HOSTILE: usize = 5_000;

/// Tokens with as many audiences as fit, which are the dearest to read, or with claims as long as they may be, which are
/// the dearest to keep. They differ in their signatures, which the filter does not verify.
#[derive(Debug, Clone, Copy)]
enum Forged {
    ManyAudiences,
    LongSubject,
}

impl Forged {
    const ALL: [Self; 2] = [Self::ManyAudiences, Self::LongSubject];

    /// As many of them as are asked for.
    fn tokens(self, world: &FilterWorld, expires_in: i64) -> impl Iterator<Item = String> {
        let token = token(exp_in(expires_in));
        let token = match self {
            Self::ManyAudiences => {
                let mut audiences = vec!["a"; 5_500];
                audiences.extend(["kube", "muster"]);
                token.audiences(&audiences)
            }
            Self::LongSubject => token.subject(&"s".repeat(10_000)),
        };
        let minted = world.mint(&token);
        let kept = minted.len() - 8;
        (0..).map(move |number: usize| format!("{}{number:07}A", &minted[..kept]))
    }
}

fn send(world: &FilterWorld, presented: &str) -> Sent {
    world.request("kubernetes").bearer(presented).send()
}

fn bytes(world: &FilterWorld) -> usize {
    world.gateway().worker(0).memory_bytes()
}

#[test]
fn five_thousand_requests_that_wait_for_a_server_take_a_kilobyte_each_whatever_their_tokens_claim() {
    for forged in Forged::ALL {
        let world = kubernetes().start();
        world.upstream_replies(UpstreamReply::StayOpen);
        let tokens = forged.tokens(&world, 1800).take(HOSTILE);
        let open: Vec<Sent> = tokens.map(|token| send(&world, &token)).collect();
        assert!(open.iter().all(|sent| sent.status().is_none()));
        assert_eq!(world.upstream_requests().len(), HOSTILE);
        let taken = bytes(&world);
        println!("{HOSTILE} streams: {taken} bytes");
        assert!(taken <= MOST_BYTES + HOSTILE * STREAM_BYTES, "{taken} bytes");
        open.iter().for_each(Sent::disconnect);
        assert_sound(&world);
    }
}

#[test]
fn five_thousand_requests_that_wait_for_control_take_a_kilobyte_each_and_six_others_are_answered() {
    let world = kubernetes().start();
    world.control().answers(token(exp_in(1800))).takes_ms(3_000);
    let innocent: Vec<Sent> = (0..6)
        .map(|number| {
            let stale = world.mint(&token(exp_in(-5)).id(&format!("innocent-{number}")));
            send(&world, &stale)
        })
        .collect();
    // A thousand tokens in a session each: control is asked about no more that it has never accepted at the same time, and
    // about few of one session. Any number of requests may wait for the same.
    let tokens: Vec<String> = Forged::ManyAudiences
        .tokens(&world, -5)
        .take(HOSTILE / 5)
        .collect();
    let in_sessions = tokens.iter().enumerate().cycle().take(HOSTILE);
    let open: Vec<Sent> = in_sessions
        .map(|(number, token)| {
            let request = world.request("kubernetes").bearer(token);
            request.header(SESSION_HEADER, format!("s-{number}")).send()
        })
        .collect();
    assert!(open.iter().chain(&innocent).all(Sent::is_paused));
    let taken = bytes(&world);
    println!("{HOSTILE} paused streams: {taken} bytes");
    assert!(taken <= MOST_BYTES + HOSTILE * STREAM_BYTES, "{taken} bytes");
    world.advance(secs(6));
    assert!(innocent.iter().all(Sent::is_forwarded));
    assert!(open.iter().all(|sent| !sent.is_paused()));
    assert_sound(&world);
}

#[test]
fn tokens_that_are_fetched_ahead_of_time_hold_a_bounded_memory_before_their_calls_start() {
    let world = kubernetes().start();
    world.control().answers(token(exp_in(1800)));
    for near_expiry in Forged::LongSubject.tokens(&world, 90).take(HOSTILE) {
        assert!(send(&world, &near_expiry).is_forwarded());
    }
    let taken = bytes(&world);
    assert!(taken <= 2 * MOST_BYTES, "{taken} bytes");
    world.advance(secs(3));
    let calls = world.control().calls().len();
    assert!(
        (40..HOSTILE).contains(&calls),
        "{calls} calls: as many as may be held"
    );
    assert_sound(&world);
}

#[test]
fn ten_thousand_requests_that_are_given_up_leave_no_more_than_a_thousand_behind() {
    let world = kubernetes().start();
    world.upstream_replies(UpstreamReply::StayOpen);
    for token in Forged::LongSubject.tokens(&world, 1800).take(10_000) {
        let sent = send(&world, &token);
        assert!(sent.status().is_none());
        sent.disconnect();
    }
    let taken = bytes(&world);
    println!("10,000 aborted: {taken} bytes");
    assert!(taken <= MOST_BYTES, "{taken} bytes");
    assert_sound(&world);
}

#[test]
fn a_server_that_rejects_a_token_which_the_worker_has_forgotten_is_still_answered_for() {
    let world = kubernetes().start();
    world.upstream_replies(UpstreamReply::StayOpen);
    let presented = world.mint(&token(exp_in(1800)).id("early"));
    let early = send(&world, &presented);
    for token in Forged::LongSubject.tokens(&world, 1800).take(1_000) {
        send(&world, &token).disconnect();
    }
    early.respond(401, &Headers::new(), "");
    assert_eq!(early.status(), Some(503));
    world.advance(secs(1));
    assert_eq!(
        world.control().calls().len(),
        0,
        "the token to ask with is forgotten"
    );
    world.control().answers(token(exp_in(1900)));
    world.upstream_replies(UpstreamReply::Respond {
        status: 200,
        headers: Headers::new(),
        body: Vec::new(),
    });
    let again = send(&world, &presented);
    world.advance(secs(1));
    assert!(again.is_forwarded());
    let asked: Vec<_> = world
        .control()
        .calls()
        .into_iter()
        .map(|call| call.reason)
        .collect();
    assert_eq!(asked.len(), 1);
    assert!(again.forwarded_bearer().is_some_and(|bearer| bearer != presented));
    assert_sound(&world);
}

#[test]
fn small_tokens_in_many_sessions_with_the_longest_handles_leave_a_bounded_memory() {
    let world = kubernetes().start();
    for number in 0..900 {
        let presented = world.mint(&token(exp_in(1800)).id(&format!("{number}")));
        for session in 0..64 {
            let handle = format!("{number}-{session}-{}", "x".repeat(490));
            let sent = world
                .request("kubernetes")
                .bearer(&presented)
                .header(SESSION_HEADER, handle)
                .send();
            assert!(sent.is_forwarded());
        }
    }
    let bytes = world.gateway().worker(0).memory_bytes();
    assert!(bytes <= MOST_BYTES, "{bytes} bytes");
    assert_sound(&world);
}

#[test]
fn tokens_with_thousands_of_audiences_leave_a_bounded_memory() {
    let world = kubernetes().start();
    let many: Vec<&str> = std::iter::repeat_n("a", 5_000).collect();
    for number in 0..400 {
        let forged = world.mint(&token(exp_in(1800)).id(&format!("{number}")).audiences(&many));
        let sent = world.request("kubernetes").bearer(&forged).send();
        assert_eq!(sent.status(), Some(401));
    }
    let bytes = world.gateway().worker(0).memory_bytes();
    assert!(bytes <= MOST_BYTES, "{bytes} bytes");
    assert_sound(&world);
}
