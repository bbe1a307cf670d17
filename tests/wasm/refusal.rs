//! Every reason to refuse, and the exact response to the client.

use serde_json::json;
use tokenward_protocol::refusal::{Refusal, RefusalClass};
use tokenward_protocol::token_endpoint::{MARKER_HEADER, TOKEN_TYPE_ID_TOKEN};
use tokenward_wasm_host::story::{FilterWorld, Sent, exp_in, forward, secs, token};
use tokenward_wasm_host::{CalloutAnswer, CalloutReply};

use crate::fixtures::{assert_refused_once, assert_sound, kubernetes, lines, retry_after, send_on};

const METADATA: &str = "https://mcp.example.com/.well-known/oauth-protected-resource/kubernetes";

fn with_metadata() -> FilterWorld {
    FilterWorld::builder()
        .server(forward("kubernetes").resource_metadata(METADATA))
        .session_header(tokenward_wasm_host::story::SESSION_HEADER)
        .start()
}

/// Status, headers and body as the table of refusals has them; `waits` is the range of `Retry-After` in seconds.
fn assert_answer(sent: &Sent, refusal: Refusal, waits: std::ops::RangeInclusive<u64>) {
    let response = sent.stream().client_response().expect("an answer");
    let description = refusal.description();
    let (status, error) = match (refusal, refusal.class()) {
        (Refusal::TokenTooLarge, _) => (431, "invalid_request"),
        (Refusal::Unmatched, _) => (404, "invalid_target"),
        (Refusal::UnreadableRequest, _) => (400, "invalid_request"),
        (_, RefusalClass::LoginNeeded) => (401, "invalid_token"),
        (_, RefusalClass::Transient) => (503, "temporarily_unavailable"),
        (_, RefusalClass::Misconfigured) => (503, "server_error"),
    };
    let mut expected = vec![
        (":status".to_owned(), status.to_string()),
        ("content-length".to_owned(), response.body.len().to_string()),
        ("content-type".to_owned(), "application/json".to_owned()),
        ("cache-control".to_owned(), "no-store".to_owned()),
    ];
    if status == 401 {
        let challenge = match refusal {
            Refusal::MissingBearer => format!("Bearer resource_metadata=\"{METADATA}\""),
            _ => format!(
                "Bearer error=\"invalid_token\", error_description=\"{description}\", \
                 resource_metadata=\"{METADATA}\""
            ),
        };
        expected.push(("www-authenticate".to_owned(), challenge));
    } else {
        let seconds = retry_after(sent);
        assert!(
            waits.contains(&seconds),
            "{refusal:?}: {seconds} s, not {waits:?}"
        );
        expected.push(("retry-after".to_owned(), seconds.to_string()));
    }
    let mut headers: Vec<(String, String)> = response
        .headers
        .iter()
        .map(|(name, value)| {
            (
                String::from_utf8_lossy(name).into_owned(),
                String::from_utf8_lossy(value).into_owned(),
            )
        })
        .collect();
    headers.sort();
    expected.sort();
    assert_eq!(headers, expected, "{refusal:?}");
    assert_eq!(
        sent.json(),
        Some(json!({
            "error": error,
            "error_description": description,
            "refusal": refusal.name(),
            "server": "kubernetes",
        }))
    );
}

/// The client was refused once: one call, one WARN, no request at the server.
fn assert_refused(world: &FilterWorld, sent: &Sent, refusal: Refusal) {
    assert_refused_once(sent, refusal.client_status(), refusal.name());
    assert_eq!(world.upstream_requests().len(), 0, "{refusal:?}");
    // Requests without a token are normal; when control reports that of a request with one, something is wrong.
    let by_control = !world.control().calls().is_empty();
    let warned = usize::from(refusal != Refusal::MissingBearer || by_control);
    assert_eq!(lines(world), (warned, 0, 1 - warned), "{refusal:?}");
    assert_eq!(
        world.counted(&[
            "server=kubernetes",
            &format!("outcome={};", refusal.name()),
            "requests_total"
        ]),
        1
    );
    assert_eq!(world.counted(&["requests_total"]), 1);
    assert_sound(world);
}

/// What `Retry-After` may be for a gate that is closed for `longest_ms` with up to a quarter off.
fn a_quarter_off(longest_ms: u64) -> std::ops::RangeInclusive<u64> {
    (longest_ms - longest_ms / 4).div_ceil(1000)..=longest_ms.div_ceil(1000)
}

#[test]
fn each_refusal_of_control_becomes_the_answer_of_the_table() {
    for refusal in Refusal::ALL.iter().copied() {
        let world = with_metadata();
        world.control().refuses_for(refusal, 7);
        let stale = world.mint(&token(exp_in(-5)));
        let sent = send_on(&world, 0, &stale);
        assert_refused(&world, &sent, refusal);
        // Control sent `Retry-After: 7`; it replaces the first transient closing of 1 s, but not five minutes.
        let waits = match refusal.class() {
            RefusalClass::Misconfigured => a_quarter_off(300_000),
            RefusalClass::Transient | RefusalClass::LoginNeeded => a_quarter_off(7_000),
        };
        assert_answer(&sent, refusal, waits.clone());
        assert_eq!(world.control().calls().len(), 1);
        assert_eq!(
            world.counted(&[&format!("outcome={}.", refusal.name()), "control_answers_total"]),
            1
        );
        // The same again from the gate's memory: no call, and never more to wait than before.
        let again = send_on(&world, 0, &stale);
        assert_answer(&again, refusal, 1..=*waits.end());
        assert_eq!((world.control().calls().len(), lines(&world)), (1, (1, 0, 1)));
        assert_eq!(
            world.counted(&[&format!("outcome=gated_{};", refusal.name()), "requests_total"]),
            1
        );
    }
}

#[test]
fn each_way_in_which_control_can_fail_becomes_503_with_a_reason() {
    let marked = |status| CalloutReply::answer(status).header(MARKER_HEADER, "0.1.0");
    let html = "<html><body>502 Bad Gateway</body></html>";
    let huge = || vec![b' '; 20 * 1024 * 1024];
    let token_json = |token: &str| {
        json!({"access_token": token, "issued_token_type": TOKEN_TYPE_ID_TOKEN, "expires_at": 1_900_000_000})
            .to_string()
    };
    let ways: Vec<(&str, CalloutReply, Refusal)> = vec![
        (
            "connection refused",
            CalloutReply::ConnectionRefused,
            Refusal::ControlUnreachable,
        ),
        (
            "reset in the body",
            CalloutReply::ResetMidBody { after_ms: 10 },
            Refusal::ControlUnreachable,
        ),
        ("no host", CalloutReply::NoHost, Refusal::ControlUnreachable),
        ("silence", CalloutReply::Silent, Refusal::ControlLate),
        (
            "an answer after the timeout",
            marked(200).after_ms(5_001).into(),
            Refusal::ControlLate,
        ),
        ("no answer at all", CalloutReply::Never, Refusal::ControlLate),
        (
            "a 200 that is not control's",
            CalloutReply::answer(200).body("{}").into(),
            Refusal::ControlGarbled,
        ),
        (
            "HTML that is not control's",
            CalloutReply::answer(200).body(html).into(),
            Refusal::ControlGarbled,
        ),
        (
            "a proxy's 502",
            CalloutReply::answer(502).body(html).into(),
            Refusal::ControlUnreachable,
        ),
        (
            "a redirect",
            CalloutReply::answer(302).header("location", "/x").into(),
            Refusal::ControlGarbled,
        ),
        (
            "HTML from control",
            marked(200).body(html).into(),
            Refusal::ControlGarbled,
        ),
        (
            "nothing from control",
            marked(200).into(),
            Refusal::ControlGarbled,
        ),
        (
            "truncated JSON",
            marked(200).body("{\"access_token\":\"a.b").into(),
            Refusal::ControlGarbled,
        ),
        ("no token", marked(200).body("{}").into(), Refusal::ControlGarbled),
        (
            "a token that is none",
            marked(200).body(token_json("abc")).into(),
            Refusal::ControlGarbled,
        ),
        (
            "a token that breaks the header",
            marked(200).body(token_json("a.b.c\r\nx-evil: 1")).into(),
            Refusal::ControlGarbled,
        ),
        (
            "another kind of token",
            marked(200).body(another_kind()).into(),
            Refusal::ControlGarbled,
        ),
        (
            "twenty megabytes",
            marked(200).body(huge()).into(),
            Refusal::ControlGarbled,
        ),
        (
            "an unknown refusal",
            marked(400).body(r#"{"refusal":"moon_phase"}"#).into(),
            Refusal::ControlGarbled,
        ),
        (
            "500 without a reason",
            marked(500).body("oops").into(),
            Refusal::ControlGarbled,
        ),
        (
            "bytes that are not UTF-8",
            marked(200).body([0xff, 0xfe, 0x00]).into(),
            Refusal::ControlGarbled,
        ),
    ];
    for (what, reply, refusal) in ways {
        let world = with_metadata();
        world.control().replies(reply);
        let stale = world.mint(&token(exp_in(-5)));
        let sent = send_on(&world, 0, &stale);
        world.advance(secs(6));
        assert!(sent.is_refused(), "{what}: {:?}", sent.stream().outcome());
        assert_eq!(sent.refusal().as_deref(), Some(refusal.name()), "{what}");
        assert_refused(&world, &sent, refusal);
        assert_answer(&sent, refusal, 1..=1);
        assert_eq!(world.control().calls().len(), 1, "{what}");
    }
}

fn another_kind() -> String {
    json!({
        "access_token": "a.b.c",
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "expires_at": 1_900_000_000,
    })
    .to_string()
}

#[test]
fn an_answer_of_exactly_the_longest_size_is_read_and_one_byte_more_is_not() {
    for (size, forwarded) in [(64 * 1024, true), (64 * 1024 + 1, false)] {
        let world = kubernetes().start();
        let fresh = world.mint(&token(exp_in(1800)));
        let body = json!({
            "access_token": fresh,
            "issued_token_type": TOKEN_TYPE_ID_TOKEN,
            "expires_at": world.gateway().now_ms() / 1000 + 1800,
        });
        let mut padded = body.to_string();
        padded.push_str(&" ".repeat(size - padded.len()));
        let answer: CalloutAnswer = CalloutReply::answer(200).header(MARKER_HEADER, "0.1.0");
        world.control().replies(answer.body(padded));
        let stale = world.mint(&token(exp_in(-5)));
        let sent = send_on(&world, 0, &stale);
        assert_eq!(sent.is_forwarded(), forwarded, "{size} bytes");
        assert_eq!(world.upstream_requests().len(), usize::from(forwarded));
        assert_sound(&world);
    }
}

#[test]
fn a_token_already_expired_or_within_the_margin_is_refused_and_reaches_no_server() {
    for life in [-600, 0, 1, 59, 60] {
        let world = with_metadata();
        world.control().answers(token(exp_in(life)));
        let stale = world.mint(&token(exp_in(-5)));
        let sent = send_on(&world, 0, &stale);
        assert_refused(&world, &sent, Refusal::AnswerStale);
        assert_answer(&sent, Refusal::AnswerStale, 1..=1);
    }
}

#[test]
fn a_gateway_without_controls_cluster_refuses_as_misconfigured_without_a_call() {
    let world = kubernetes().without_control_cluster().start();
    let stale = world.mint(&token(exp_in(-5)));
    let sent = send_on(&world, 0, &stale);
    assert_refused_once(&sent, 503, "filter_misconfigured");
    assert!(a_quarter_off(300_000).contains(&retry_after(&sent)));
    assert_eq!((world.upstream_requests().len(), lines(&world)), (0, (1, 0, 0)));
    assert!(send_on(&world, 0, &world.mint(&token(exp_in(1800)))).is_forwarded());
    assert_sound(&world);
}

#[test]
fn each_fault_of_the_presented_token_is_answered_by_the_table_without_a_call() {
    let fresh = || token(exp_in(1800));
    let cases: Vec<(Refusal, Vec<String>)> = vec![
        (Refusal::MissingBearer, vec![]),
        (Refusal::MalformedBearer, vec!["abc".into()]),
        (Refusal::AmbiguousBearer, vec!["a.b.c".into(), "a.b.c".into()]),
    ];
    for (refusal, bearers) in cases {
        let world = with_metadata();
        let request = world.request("kubernetes").session("s1");
        let sent = bearers
            .iter()
            .fold(request, |request, bearer| request.bearer(bearer))
            .send();
        assert_refused(&world, &sent, refusal);
        assert_answer(&sent, refusal, 0..=0);
        assert_eq!(world.control().calls().len(), 0);
    }
    let unfit = [
        (Refusal::WrongIssuer, fresh().issuer("https://other.example.com")),
        (Refusal::WrongAudience, fresh().audiences(&["other"])),
    ];
    for (refusal, presented) in unfit {
        let world = with_metadata();
        let sent = send_on(&world, 0, &world.mint(&presented));
        assert_refused(&world, &sent, refusal);
        assert_answer(&sent, refusal, 0..=0);
        assert_eq!(world.control().calls().len(), 0);
    }
}

#[test]
fn a_challenge_without_metadata_is_still_a_challenge() {
    let world = kubernetes().start();
    let without = world.request("kubernetes").send();
    assert_eq!(without.header("www-authenticate").as_deref(), Some("Bearer"));
    let malformed = world.request("kubernetes").bearer("abc").send();
    assert_eq!(
        malformed.header("www-authenticate").as_deref(),
        Some(
            "Bearer error=\"invalid_token\", \
             error_description=\"the bearer token is not a JWT with an expiry\""
        )
    );
    assert_eq!(
        (without.header("retry-after"), world.upstream_requests().len()),
        (None, 0)
    );
}
