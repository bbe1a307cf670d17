//! Access tokens of control's own authorization server: judged without a key and without a margin, and never forwarded.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokenward_filter_core::config::EachTry;
use tokenward_filter_core::filter::Filter;
use tokenward_filter_core::host::StreamId;
use tokenward_filter_core::log::Level;
use tokenward_filter_core::request::RequestHead;
use tokenward_filter_core::verdict::{ResponseVerdict, Verdict};
use tokenward_protocol::form::Form;
use tokenward_protocol::refusal::Refusal;

use crate::host::{Envoy, HostOf, ISSUER, REMOTE, START_MS, home, status, token};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const OWN: &str = "https://gw.example.com";
const KUBE: &str = "/kubernetes/mcp";
const REMOTE_PATH: &str = "/remote/mcp";
const KUBE_RESOURCE: &str = "https://gw.example.com/kubernetes/mcp";
const REMOTE_RESOURCE: &str = "https://gw.example.com/remote/mcp";

/// The configuration of the other tests, with an authorization server and servers that are resources.
fn config(text: &str) -> String {
    let resource = |text: &str, name: &str, resource: &str| {
        let field = format!("\"name\": \"{name}\"");
        assert!(text.contains(&field), "{text}");
        text.replacen(&field, &format!("{field},\"resource\":\"{resource}\""), 1)
    };
    let text = resource(text, "kubernetes", KUBE_RESOURCE);
    let text = resource(&text, "remote", REMOTE_RESOURCE);
    let own = format!("\"authorization_server\":{{\"issuer\":\"{OWN}\",\"scope\":\"mcp\"}},\"servers\"");
    text.replacen("\"servers\"", &own, 1)
}

fn envoy(workers: usize) -> Envoy {
    Envoy::with_config(workers, config)
}

/// An access token of the session `sid`, which expires `exp_in_ms` from the start.
fn own_of(sid: &str, resource: &str, exp_in_seconds: i64) -> String {
    let exp = i64::try_from(START_MS / 1000).unwrap() + exp_in_seconds;
    let sid = if sid.is_empty() {
        String::new()
    } else {
        format!(r#","sid":"{sid}""#)
    };
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k"}"#);
    let payload = format!(r#"{{"iss":"{OWN}","sub":"alice","aud":["{resource}"],"exp":{exp}{sid}}}"#);
    let signature = URL_SAFE_NO_PAD.encode(format!("signature of {payload}"));
    format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(payload))
}

fn own(exp_in_seconds: i64) -> String {
    own_of("s1", KUBE_RESOURCE, exp_in_seconds)
}

fn challenge(verdict: &Verdict) -> String {
    let Verdict::Reply(reply) = verdict else {
        panic!("{verdict:?}")
    };
    let mut headers = reply.headers.iter();
    headers
        .find_map(|(name, value)| (*name == "www-authenticate").then(|| value.clone()))
        .unwrap_or_default()
}

fn refusal(verdict: &Verdict) -> String {
    let Verdict::Reply(reply) = verdict else {
        panic!("{verdict:?}")
    };
    let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    body["refusal"].as_str().unwrap_or_default().to_owned()
}

/// A parameter of a call to control.
fn sent(envoy: &Envoy, call: usize, name: &str) -> Option<String> {
    let form = Form::read(envoy.host.calls.borrow()[call].1.as_bytes()).expect("a form");
    form.once(name).expect("one value").map(str::to_owned)
}

#[test]
fn a_fresh_token_is_swapped_by_one_call_and_then_from_the_cache() {
    let mut envoy = envoy(1);
    let token = own(1800);
    assert_eq!(envoy.send(0, KUBE, Some(&token), None).1, Verdict::Pause);
    assert_eq!(envoy.send(0, KUBE, Some(&token), None).1, Verdict::Pause);
    assert_eq!(envoy.calls(), 1);
    let sent = |name| sent(&envoy, 0, name);
    assert_eq!(sent("subject_token_type").as_deref(), Some(ACCESS_TOKEN));
    assert_eq!(sent("subject_token").as_deref(), Some(token.as_str()));
    assert_eq!(
        (sent("audience").as_deref(), sent("session")),
        (Some("kubernetes"), None)
    );
    envoy.answer(0, 1, &home(1800));
    let replaced = format!("Bearer {}", home(1800));
    let resumed = envoy.host.resumed.borrow().clone();
    assert_eq!(
        resumed.iter().map(|(_, token)| token).collect::<Vec<_>>(),
        [&replaced, &replaced]
    );
    for _ in 0..5 {
        let (_, verdict) = envoy.send(0, KUBE, Some(&token), None);
        assert_eq!(verdict, Verdict::ContinueWith(replaced.as_str().into()));
    }
    assert_eq!(envoy.calls(), 1);
}

#[test]
fn a_stale_token_is_refused_at_once_without_a_call_without_a_gate_and_without_a_warning() {
    let mut envoy = envoy(1);
    for exp_in in [0, -1, -3600] {
        let (_, verdict) = envoy.send(0, KUBE, Some(&own(exp_in)), None);
        assert_eq!(
            (status(&verdict), refusal(&verdict).as_str()),
            (Some(401), "token_expired")
        );
        assert_eq!(
            challenge(&verdict),
            format!(
                "Bearer error=\"invalid_token\", error_description=\"{}\", \
                 resource_metadata=\"https://gw.example.com/.well-known/oauth-protected-resource/kubernetes/mcp\", \
                 scope=\"mcp\"",
                Refusal::TokenExpired.description()
            )
        );
    }
    let refused = "tokenward.server=kubernetes;outcome=token_expired;mcp_method=none.requests_total";
    assert_eq!((envoy.calls(), envoy.host.count_of(refused)), (0, 3));
    assert_eq!(envoy.host.lines_at(Level::Warn), Vec::<String>::new());
    assert_eq!(envoy.host.writes.get(), 0);
}

#[test]
fn no_margin_is_taken_off_its_life() {
    let mut envoy = envoy(1);
    let token = own(10);
    assert_eq!(envoy.send(0, KUBE, Some(&token), None).1, Verdict::Pause);
    envoy.answer(0, 1, &home(1800));
    envoy.host.advance_ms(9_999);
    let (_, verdict) = envoy.send(0, KUBE, Some(&token), None);
    assert!(matches!(verdict, Verdict::ContinueWith(_)), "{verdict:?}");
    envoy.host.advance_ms(1);
    let (_, verdict) = envoy.send(0, KUBE, Some(&token), None);
    assert_eq!(refusal(&verdict), "token_expired");
    assert_eq!(envoy.calls(), 1);
}

#[test]
fn a_replacement_is_fetched_ahead_and_none_is_used_when_it_is_stale() {
    let mut envoy = envoy(1);
    let token = own(3600);
    envoy.send(0, KUBE, Some(&token), None);
    envoy.answer(0, 1, &home(300));
    envoy.host.advance_ms(190_000);
    let (_, verdict) = envoy.send(0, KUBE, Some(&token), None);
    assert!(matches!(verdict, Verdict::ContinueWith(_)), "{verdict:?}");
    envoy.workers[0].on_tick();
    assert_eq!(envoy.calls(), 2);
    assert_eq!(sent(&envoy, 1, "reason").as_deref(), Some("near_expiry"));
    envoy.refuse(0, 2, Refusal::IssuerUnavailable);
    envoy.host.advance_ms(110_000);
    assert_eq!(envoy.send(0, KUBE, Some(&token), None).1, Verdict::Pause);
    assert_eq!(envoy.calls(), 3);
}

#[test]
fn tokens_that_do_not_fit_are_refused_without_a_call() {
    let cases = [
        (KUBE, own_of("s1", REMOTE_RESOURCE, 1800), "wrong_audience"),
        (
            KUBE,
            own_of("s1", "https://gw.example.com/kubernetes", 1800),
            "wrong_audience",
        ),
        (
            KUBE,
            own_of("s1", "https://gw.example.com/kubernetes/mcp/", 1800),
            "wrong_audience",
        ),
        // Of a stale one for another resource the audience is the more useful refusal.
        (KUBE, own_of("s1", REMOTE_RESOURCE, -5), "wrong_audience"),
        (KUBE, own_of("", KUBE_RESOURCE, 1800), "malformed_bearer"),
    ];
    for (path, token, expected) in cases {
        let mut envoy = envoy(1);
        let (_, verdict) = envoy.send(0, path, Some(&token), Some("s1"));
        assert_eq!(
            (status(&verdict), refusal(&verdict).as_str()),
            (Some(401), expected)
        );
        assert_eq!(envoy.calls(), 0, "{expected}");
    }
    // Without the setting it is a foreign token like any other.
    let mut envoy = Envoy::new(1);
    let (_, verdict) = envoy.send(0, KUBE, Some(&own(1800)), None);
    assert_eq!((refusal(&verdict).as_str(), envoy.calls()), ("wrong_issuer", 0));
}

#[test]
fn the_servers_other_tokens_are_taken_as_before() {
    let mut envoy = envoy(1);
    assert_eq!(envoy.send(0, KUBE, Some(&home(1800)), None).1, Verdict::Continue);
    assert_eq!(envoy.send(0, KUBE, Some(&home(-5)), None).1, Verdict::Pause);
    let id_token = "urn:ietf:params:oauth:token-type:id_token";
    assert_eq!(sent(&envoy, 0, "subject_token_type").as_deref(), Some(id_token));
}

#[test]
fn a_request_without_a_token_gets_a_challenge_without_an_error_whatever_its_method() {
    let mut envoy = envoy(1);
    let verdicts = [envoy.send(0, KUBE, None, None).1, envoy.listen(0, KUBE, None).1];
    for verdict in verdicts {
        assert_eq!(status(&verdict), Some(401));
        assert_eq!(
            challenge(&verdict),
            "Bearer resource_metadata=\"https://gw.example.com/.well-known/oauth-protected-resource/kubernetes/mcp\", \
             scope=\"mcp\""
        );
    }
}

#[test]
fn the_pair_is_the_tokens_own_session_whatever_header_comes_with_it() {
    let mut envoy = envoy(1);
    let pair_of = |envoy: &mut Envoy, token: &str, header: Option<&str>| {
        let call = u32::try_from(envoy.calls()).unwrap() + 1;
        assert_eq!(envoy.send(0, KUBE, Some(token), header).1, Verdict::Pause);
        envoy.refuse(0, call, Refusal::NeedsLogin);
        let lines = envoy.host.lines_at(Level::Warn);
        let line = lines.last().cloned().unwrap_or_default();
        let (_, rest) = line.split_once("pair=").expect("a pair");
        (rest.split(' ').next().unwrap_or_default().to_owned(), lines.len())
    };
    let (first, lines) = pair_of(&mut envoy, &own_of("s1", KUBE_RESOURCE, 1800), None);
    assert_eq!(lines, 1);
    // The client's next token: the same pair, so no second warning within its minute.
    let (second, lines) = pair_of(&mut envoy, &own_of("s1", KUBE_RESOURCE, 1900), Some("another"));
    assert_eq!((&second, lines), (&first, 1));
    let (other, lines) = pair_of(&mut envoy, &own_of("s2", KUBE_RESOURCE, 1800), None);
    assert_eq!(lines, 2);
    assert_ne!(other, first);
    for call in 0..3 {
        assert_eq!(sent(&envoy, call, "session"), None);
    }
}

#[test]
fn a_required_session_is_named_by_the_token() {
    let required =
        |text: &str| config(&text.replacen("\"servers\"", "\"session_required\": true, \"servers\"", 1));
    let mut envoy = Envoy::with_config(1, required);
    assert_eq!(envoy.send(0, KUBE, Some(&own(1800)), None).1, Verdict::Pause);
    assert_eq!(status(&envoy.send(0, KUBE, Some(&home(-5)), None).1), Some(401));
    assert_eq!(envoy.calls(), 1);
}

#[test]
fn an_answer_that_is_no_token_of_the_servers_issuer_and_of_the_same_user_is_never_forwarded() {
    for (path, resource, answer) in [
        (KUBE, KUBE_RESOURCE, own(1800)),
        (KUBE, KUBE_RESOURCE, token(ISSUER, "kube", "bob", 1800)),
        (KUBE, KUBE_RESOURCE, token(REMOTE, "kube", "alice", 1800)),
        (REMOTE_PATH, REMOTE_RESOURCE, own_of("s1", REMOTE_RESOURCE, 1800)),
        (REMOTE_PATH, REMOTE_RESOURCE, home(1800)),
    ] {
        let mut envoy = envoy(1);
        let presented = own_of("s1", resource, 1800);
        assert_eq!(envoy.send(0, path, Some(&presented), None).1, Verdict::Pause);
        envoy.answer(0, 1, &answer);
        assert_eq!(envoy.host.resumed.borrow().len(), 0);
        assert!(envoy.host.replies.borrow()[0].1.body.contains("answer_unfit"));
    }
    // An exchange names the user as the server's issuer does.
    let mut envoy = envoy(1);
    envoy.send(0, REMOTE_PATH, Some(&own_of("s1", REMOTE_RESOURCE, 1800)), None);
    let exchanged = token(REMOTE, "rkube", "alice-there", 1800);
    envoy.answer(0, 1, &exchanged);
    assert_eq!(envoy.host.resumed.borrow()[0].1, format!("Bearer {exchanged}"));
}

#[test]
fn a_refused_token_meets_a_closed_gate_and_the_clients_next_token_an_open_one() {
    let mut envoy = envoy(2);
    let forged = own(1800);
    assert_eq!(envoy.send(0, KUBE, Some(&forged), None).1, Verdict::Pause);
    envoy.refuse(0, 1, Refusal::SubjectRejected);
    for worker in [0, 1] {
        assert_eq!(
            status(&envoy.send(worker, KUBE, Some(&forged), None).1),
            Some(401)
        );
    }
    assert_eq!(envoy.calls(), 1);
    assert_eq!(envoy.send(1, KUBE, Some(&own(1801)), None).1, Verdict::Pause);
    assert_eq!(envoy.calls(), 2);
}

#[test]
fn a_swapped_token_that_the_server_rejects_is_replaced_in_the_background() {
    let mut envoy = envoy(1);
    let token = own(1800);
    let (stream, _) = envoy.send(0, KUBE, Some(&token), None);
    envoy.answer(0, 1, &home(1800));
    let answered = envoy.respond(stream, 401, false);
    assert!(
        matches!(answered, Some(ResponseVerdict::AsUnavailable { .. })),
        "{answered:?}"
    );
    envoy.workers[0].on_tick();
    assert_eq!(sent(&envoy, 1, "reason").as_deref(), Some("rejected"));
    assert_eq!(
        sent(&envoy, 1, "subject_token_type").as_deref(),
        Some(ACCESS_TOKEN)
    );
    assert_eq!(sent(&envoy, 1, "subject_token").as_deref(), Some(token.as_str()));
    envoy.answer(0, 2, &home(1900));
    let (_, verdict) = envoy.send(0, KUBE, Some(&token), None);
    assert_eq!(
        verdict,
        Verdict::ContinueWith(format!("Bearer {}", home(1900)).into())
    );
}

#[test]
fn where_everything_unmatched_passes_it_does_not() {
    let mut envoy = envoy(1);
    for (token, passes) in [(Some(own(1800)), false), (Some(home(1800)), true), (None, true)] {
        let (_, verdict) = envoy.send(0, "/elsewhere", token.as_deref(), None);
        assert_eq!(verdict == Verdict::Continue, passes, "{verdict:?}");
    }
    let (_, verdict) = envoy.send(0, "/elsewhere", Some(&own(-5)), None);
    assert_eq!(
        (status(&verdict), refusal(&verdict).as_str()),
        (Some(401), "wrong_audience")
    );
    // What an operator lists leads to control's own endpoints, for one.
    let listed = "\"unmatched\":\"refuse\",\"unprotected\":[{\"path_prefix\":\"/elsewhere\"}],\"servers\"";
    let mut envoy = Envoy::with_config(1, |text| config(&text.replacen("\"servers\"", listed, 1)));
    assert_eq!(
        envoy.send(0, "/elsewhere", Some(&own(1800)), None).1,
        Verdict::Continue
    );
}

#[test]
fn no_try_carries_it() {
    let envoy = envoy(1);
    let try_with = |settings: &str, token: &str| {
        let parsed = EachTry::parse(settings.as_bytes()).expect("the configuration of each try");
        let mut filter = Filter::of_tries(HostOf(envoy.host.clone()), parsed, settings.as_bytes());
        let authorization = format!("Bearer {token}");
        let headers: [(&[u8], &[u8]); 1] = [(b"authorization", authorization.as_bytes())];
        filter.on_request(StreamId(1), &RequestHead::read(headers.into_iter(), &[]))
    };
    let settings = format!(r#"{{"check_each_try":{{"authorization_server":{{"issuer":"{OWN}"}}}}}}"#);
    let verdict = try_with(&settings, &own(1800));
    assert_eq!(
        (status(&verdict), refusal(&verdict).as_str()),
        (Some(503), "filter_misconfigured")
    );
    assert_eq!(try_with(&settings, &home(1800)), Verdict::Continue);
    assert_eq!(
        try_with(r#"{"check_each_try":{}}"#, &own(1800)),
        Verdict::Continue
    );
}
