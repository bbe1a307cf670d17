//! An exchange server gets exchanged tokens only, and they are renewed before they end.

use tokenward_protocol::token_endpoint::{MARKER_HEADER, Reason, TOKEN_TYPE_ID_TOKEN};
use tokenward_wasm_host::CalloutReply;
use tokenward_wasm_host::story::{
    FilterWorld, ISSUER, Sent, TokenBuilder, exchanged_token, exp_in, millis, secs, token,
};

use crate::fixtures::{assert_refused_once, assert_sound, lines, remote, send_on};

fn send(world: &FilterWorld, presented: &str) -> Sent {
    world.request("remote-1").bearer(presented).session("s1").send()
}

#[test]
fn a_fresh_token_is_exchanged_and_never_forwarded_itself() {
    let world = remote().start();
    world
        .control()
        .answers(exchanged_token(exp_in(1800)))
        .takes_ms(80);
    let presented = world.mint(&token(exp_in(3600)));
    let first = send(&world, &presented);
    assert!(first.is_paused());
    world.advance(millis(80));
    assert!(first.is_forwarded());
    for _ in 0..20 {
        let sent = send(&world, &presented);
        assert!(sent.is_forwarded());
        assert_eq!((sent.stream().resumes(), sent.stream().local_replies()), (0, 0));
        world.advance(secs(10));
    }
    let arrived = world.upstream_requests();
    assert_eq!(arrived.len(), 21);
    let delivered = first.forwarded_bearer();
    assert_ne!(delivered.as_deref(), Some(presented.as_str()));
    assert!(arrived.iter().all(|request| request.bearer == delivered));
    let calls = world.control().calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (calls[0].server.as_str(), calls[0].reason, &calls[0].subject_token),
        ("remote-1", Reason::Stale, &presented)
    );
    assert_eq!(lines(&world), (0, 0, 0));
    assert_sound(&world);
}

#[test]
fn a_stale_presented_token_is_exchanged_too_because_control_refreshes_it_first() {
    let world = remote().start();
    world.control().answers(exchanged_token(exp_in(1800)));
    let stale = world.mint(&token(exp_in(-600)));
    assert!(send(&world, &stale).is_forwarded());
    assert_eq!(
        (world.control().calls().len(), world.upstream_requests().len()),
        (1, 1)
    );
    assert_sound(&world);
}

#[test]
fn an_exchanged_token_is_renewed_in_the_background_before_it_ends_and_no_request_waits() {
    let world = remote().start();
    world
        .control()
        .answers(exchanged_token(exp_in(1800)))
        .takes_ms(300);
    let presented = world.mint(&token(exp_in(36_000)));
    let first = send(&world, &presented);
    world.advance(secs(1));
    assert!(first.is_forwarded());
    // Two hours of one request every 20 s. A token is renewed between 120 s and 60 s before its end, so each serves
    // for 1,680 to 1,740 s: 7,200 s need 4 renewals (5 would need 1,440 s or less each).
    for _ in 0..360 {
        world.advance(secs(20));
        let sent = send(&world, &presented);
        assert!(sent.is_forwarded());
        assert_eq!(sent.stream().resumes(), 0, "it waited");
    }
    let calls = world.control().calls();
    assert_eq!(calls.len(), 5);
    assert!(
        calls[1..]
            .iter()
            .all(|call| call.reason == Reason::NearExpiry && call.subject_token == presented)
    );
    assert_eq!(world.upstream_requests().len(), 361);
    assert_eq!((world.warns().len(), world.infos().len()), (0, 0));
    assert_sound(&world);
}

#[test]
fn a_renewal_that_fails_leaves_the_old_token_in_use_until_its_margin_and_then_refuses() {
    let world = remote().start();
    world.control().answers_once(exchanged_token(exp_in(200)));
    let presented = world.mint(&token(exp_in(3600)));
    assert!(send(&world, &presented).is_forwarded());
    world.advance(secs(100));
    // 100 s left: renewal is tried from now on, without success, every 5 s at the most.
    for _ in 0..40 {
        assert!(send(&world, &presented).is_forwarded());
        world.advance(secs(1));
    }
    let in_vain = world.control().calls().len() - 1;
    assert!((1..=8).contains(&in_vain), "{in_vain} renewals");
    assert_eq!((world.warns().len(), world.upstream_requests().len()), (0, 41));
    let last = send(&world, &presented);
    assert_refused_once(&last, 503, "control_unreachable");
    assert_eq!((world.warns().len(), world.upstream_requests().len()), (1, 41));
    assert_sound(&world);
}

#[test]
fn the_presented_token_must_be_of_the_aggregators_issuer_and_audience() {
    let world = remote().start();
    world.control().answers(exchanged_token(exp_in(1800)));
    let of_another_issuer = token(exp_in(1800)).issuer("https://evil.example.com");
    let for_another_client = token(exp_in(1800)).audiences(&["kube"]);
    for (presented, refusal) in [
        (of_another_issuer, "wrong_issuer"),
        (for_another_client, "wrong_audience"),
    ] {
        assert_refused_once(&send(&world, &world.mint(&presented)), 401, refusal);
    }
    assert_eq!(
        (world.control().calls().len(), world.upstream_requests().len()),
        (0, 0)
    );
}

#[test]
fn an_answer_that_does_not_fit_the_server_is_refused_and_reaches_no_server() {
    let wrong: [(&str, TokenBuilder, &str); 5] = [
        ("the presented token", token(exp_in(1800)), "answer_unfit"),
        (
            "another issuer's",
            exchanged_token(exp_in(1800)).issuer("https://evil.example.com"),
            "answer_unfit",
        ),
        (
            "for another audience",
            exchanged_token(exp_in(1800)).audiences(&["other"]),
            "answer_unfit",
        ),
        ("stale by the margin", exchanged_token(exp_in(60)), "answer_stale"),
        ("long expired", exchanged_token(exp_in(-1)), "answer_stale"),
    ];
    for (what, answer, refusal) in wrong {
        let world = remote().start();
        world.control().answers(answer);
        let presented = world.mint(&token(exp_in(1800)));
        assert_refused_once(&send(&world, &presented), 503, refusal);
        assert_refused_once(&send(&world, &presented), 503, refusal);
        assert_eq!(world.upstream_requests().len(), 0, "{what}");
        assert_eq!(
            (world.control().calls().len(), lines(&world)),
            (1, (1, 0, 1)),
            "{what}"
        );
        assert_sound(&world);
    }
}

#[test]
fn a_forwarded_replacement_must_name_the_same_subject() {
    let world = crate::fixtures::kubernetes().start();
    world
        .control()
        .answers(token(exp_in(1800)).subject("another-user"));
    let stale = world.mint(&token(exp_in(-5)));
    assert_refused_once(&send_on(&world, 0, &stale), 503, "answer_unfit");
    assert_eq!((world.upstream_requests().len(), world.warns().len()), (0, 1));
}

#[test]
fn the_expiry_that_counts_is_the_tokens_own_and_not_the_one_in_the_answer() {
    let world = remote().start();
    let lying = serde_json::json!({
        "access_token": world.mint(&exchanged_token(exp_in(-5))),
        "issued_token_type": TOKEN_TYPE_ID_TOKEN,
        "token_type": "Bearer",
        "expires_in": 1800,
        "expires_at": world.gateway().now_ms() / 1000 + 1800,
    });
    world.control().replies(
        CalloutReply::answer(200)
            .header(MARKER_HEADER, "0.1.0")
            .body(lying.to_string()),
    );
    let presented = world.mint(&token(exp_in(1800)).issuer(ISSUER));
    assert_refused_once(&send(&world, &presented), 503, "answer_stale");
    assert_eq!(world.upstream_requests().len(), 0);
}

/// Control limits what stands for a user without a login to the life of the presented token.
#[test]
fn an_answer_is_used_until_its_own_limit_although_its_token_lives_longer() {
    let world = remote().start();
    let limited = serde_json::json!({
        "access_token": world.mint(&exchanged_token(exp_in(3600))),
        "issued_token_type": TOKEN_TYPE_ID_TOKEN,
        "token_type": "Bearer",
        "expires_in": 300,
        "expires_at": world.gateway().now_ms() / 1000 + 300,
    });
    world.control().replies(
        CalloutReply::answer(200)
            .header(MARKER_HEADER, "0.1.0")
            .body(limited.to_string()),
    );
    let presented = world.mint(&token(exp_in(300)));
    for _ in 0..5 {
        assert!(send(&world, &presented).is_forwarded());
        world.advance(secs(30));
    }
    assert_eq!(
        (world.control().calls().len(), world.upstream_requests().len()),
        (1, 5)
    );
    // A minute before its end it is stale, and control answers the same again.
    world.advance(secs(91));
    assert_refused_once(&send(&world, &presented), 401, "token_expired");
    assert_eq!(world.upstream_requests().len(), 5);
    assert_sound(&world);
}
