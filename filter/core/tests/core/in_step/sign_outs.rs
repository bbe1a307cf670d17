//! What a sign-out ends, and what it leaves alone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokenward_filter_core::verdict::Verdict;
use tokenward_protocol::filter_state::{ALWAYS, EndedDigest, LIFTED, SignOut};
use tokenward_protocol::jwt::Claims;

use super::stage::{Control, KUBE, add_worker, envoy, everywhere, fresh, refusal, seconds};
use crate::host::{ISSUER, START_MS, status, token};

fn start_seconds() -> u32 {
    u32::try_from(START_MS / 1_000).unwrap()
}

/// The sign-out of a user.
pub(super) fn user(subject: &str, last_second: u32) -> SignOut {
    SignOut {
        ended: EndedDigest::user(ISSUER, subject),
        last_second,
    }
}

/// A fresh home token with these members besides.
fn issued(more: &str) -> String {
    let exp = start_seconds() + 1_800;
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"key-1"}"#);
    let payload = format!(r#"{{"iss":"{ISSUER}","sub":"alice","aud":"kube","exp":{exp}{more}}}"#);
    let signature = URL_SAFE_NO_PAD.encode(format!("signature of {payload}"));
    let token = format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(payload));
    assert!(Claims::read(token.as_bytes()).is_ok());
    token
}

fn issued_at(seconds: u32) -> String {
    issued(&format!(r#","iat":{seconds}"#))
}

#[test]
fn a_sign_out_is_in_force_in_every_worker_within_three_seconds_and_a_new_login_passes() {
    let (mut envoy, mut control) = (envoy(4), Control::new());
    let now = start_seconds();
    let (old, other, new) = (
        issued_at(now),
        token(ISSUER, "kube", "bob", 1_800),
        issued_at(now + 1),
    );
    seconds(&mut envoy, &mut control, 2);
    assert_eq!(everywhere(&mut envoy, &old), vec![None; 4]);
    control.end(user("alice", now));
    seconds(&mut envoy, &mut control, 3);
    let signed_out = Some("signed_out".to_owned());
    assert_eq!(everywhere(&mut envoy, &old), vec![signed_out; 4]);
    let (_, verdict) = envoy.send(0, KUBE, Some(&old), None);
    assert_eq!(status(&verdict), Some(401));
    for passes in [&other, &new] {
        assert_eq!(everywhere(&mut envoy, passes), vec![None; 4]);
    }
    assert_eq!(envoy.calls(), 0);
}

#[test]
fn sessions_issuer_sessions_and_signing_keys_end_what_names_them() {
    let now = start_seconds();
    let ended = [
        (EndedDigest::session("s1"), now),
        (EndedDigest::issuer_session(ISSUER, "sid-1"), now),
        (EndedDigest::signing_key(ISSUER, "key-1"), ALWAYS),
    ];
    for (ended, last_second) in ended {
        let (mut envoy, mut control) = (envoy(1), Control::new());
        seconds(&mut envoy, &mut control, 2);
        let named = issued(&format!(r#","iat":{now},"sid":"sid-1""#));
        let send = |envoy: &mut crate::host::Envoy| refusal(&envoy.send(0, KUBE, Some(&named), Some("s1")).1);
        assert_eq!(send(&mut envoy), None);
        control.end(SignOut { ended, last_second });
        seconds(&mut envoy, &mut control, 3);
        assert_eq!(send(&mut envoy).as_deref(), Some("signed_out"));
        control.end(SignOut {
            ended,
            last_second: LIFTED,
        });
        seconds(&mut envoy, &mut control, 3);
        assert_eq!(send(&mut envoy), None, "lifted");
    }
}

#[test]
fn the_end_of_one_session_leaves_the_same_token_in_another_alone() {
    let (mut envoy, mut control) = (envoy(1), Control::new());
    control.end(SignOut {
        ended: EndedDigest::session("s1"),
        last_second: start_seconds(),
    });
    seconds(&mut envoy, &mut control, 2);
    let token = issued_at(start_seconds());
    let in_session =
        |envoy: &mut crate::host::Envoy, session| refusal(&envoy.send(0, KUBE, Some(&token), session).1);
    assert_eq!(in_session(&mut envoy, Some("s1")).as_deref(), Some("signed_out"));
    assert_eq!(in_session(&mut envoy, Some("s2")), None);
    assert_eq!(in_session(&mut envoy, None), None);
}

#[test]
fn a_token_that_has_ended_gets_no_replacement_from_the_cache() {
    let (mut envoy, mut control) = (envoy(1), Control::new());
    seconds(&mut envoy, &mut control, 2);
    let stale = token(ISSUER, "kube", "alice", -5);
    assert_eq!(envoy.send(0, KUBE, Some(&stale), None).1, Verdict::Pause);
    envoy.answer(0, 1, &fresh());
    assert!(matches!(
        envoy.send(0, KUBE, Some(&stale), None).1,
        Verdict::ContinueWith(_)
    ));
    control.end(user("alice", start_seconds()));
    seconds(&mut envoy, &mut control, 3);
    assert_eq!(
        refusal(&envoy.send(0, KUBE, Some(&stale), None).1).as_deref(),
        Some("signed_out")
    );
    // Lifted again, it needs a call: its replacement was dropped.
    control.end(user("alice", LIFTED));
    seconds(&mut envoy, &mut control, 3);
    assert_eq!(envoy.send(0, KUBE, Some(&stale), None).1, Verdict::Pause);
    assert_eq!(envoy.calls(), 2);
}

#[test]
fn an_access_token_of_our_own_ends_with_its_session() {
    let (mut envoy, mut control) = (envoy(0), Control::new());
    let own = "https://gw.example.com";
    control.servers = format!(
        r#"{{"authorization_server": {{"issuer": "{own}", "scope": "mcp"}}, "servers": [
            {{"name": "kubernetes", "path_prefix": "/kubernetes", "resource": "{own}/kubernetes",
              "auth": {{"kind": "forward", "issuer": "{ISSUER}", "required_audiences": ["kube"]}}}}]}}"#
    );
    add_worker(&mut envoy, 1, "");
    seconds(&mut envoy, &mut control, 2);
    let (exp, now) = (start_seconds() + 1_800, start_seconds());
    let payload = format!(
        r#"{{"iss":"{own}","sub":"alice","aud":"{own}/kubernetes","exp":{exp},"iat":{now},"sid":"s7"}}"#
    );
    let access = format!(
        "{}.{}.c2ln",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA"}"#),
        URL_SAFE_NO_PAD.encode(payload)
    );
    assert_eq!(envoy.send(0, KUBE, Some(&access), None).1, Verdict::Pause);
    control.end(SignOut {
        ended: EndedDigest::session("s7"),
        last_second: now,
    });
    seconds(&mut envoy, &mut control, 3);
    assert_eq!(
        refusal(&envoy.send(0, KUBE, Some(&access), None).1).as_deref(),
        Some("signed_out")
    );
}
