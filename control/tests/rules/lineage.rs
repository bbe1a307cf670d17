//! When a strict issuer's stored refresh token may be presented without asking, and what the issuer's word means.

use std::time::Duration;

use tokenward_control::store::Lineage;
use tokenward_control::upstream::dialect::Dialect;
use tokenward_control::upstream::grant::lineage::{ObservedLineage, ObservedLineages, Proof, proof};
use tokenward_control::upstream::grant::record::GrantRecord;
use tokenward_control::upstream::issuer::answer::RawAnswer;
use tokenward_control::upstream::issuer::introspection::{Introspected, read_introspection};
use tokenward_control::upstream::policy::Policy;

use crate::records::plain_grant;

const POLICY: Policy = Policy {
    margin: Duration::from_secs(60),
    suspect_wait: Duration::from_secs(35),
    presentation_limit: Duration::from_secs(39),
    transient_limit: Duration::from_secs(1800),
    rejected_interval: Duration::from_secs(30),
};

fn named(name: &str) -> Option<Lineage> {
    Some(Lineage(name.to_owned()))
}

fn record_of(lineage: Option<&str>) -> GrantRecord {
    GrantRecord {
        lineage: lineage.and_then(named),
        ..plain_grant()
    }
}

#[test]
fn a_record_of_this_line_is_the_newest_and_any_other_must_be_asked_about_after_a_wait() {
    let lineage = |name: Option<Lineage>| ObservedLineage {
        name,
        since_ms: 1_000,
    };
    let cases = [
        (Some("a"), named("a"), 1_000, Proof::Newest),
        (
            Some("a"),
            named("b"),
            1_000,
            Proof::WaitOut(Duration::from_secs(39)),
        ),
        (
            Some("a"),
            named("b"),
            39_999,
            Proof::WaitOut(Duration::from_millis(1)),
        ),
        (Some("a"), named("b"), 40_000, Proof::Introspect),
        (None, named("b"), 40_000, Proof::Introspect),
        // A store that cannot say proves nothing, not even by saying nothing twice.
        (Some("a"), None, 40_000, Proof::Introspect),
        (None, None, 40_000, Proof::Introspect),
    ];
    for (stored, observe, now_ms, expected) in cases {
        let told = proof(&record_of(stored), &lineage(observe.clone()), &POLICY, now_ms);
        assert_eq!(told, expected, "{stored:?} on {observe:?} at {now_ms}");
    }
}

#[test]
fn a_line_is_met_once() {
    let lineage = ObservedLineages::default();
    assert_eq!(lineage.observe(named("a"), 5).since_ms, 5);
    assert_eq!(lineage.observe(named("b"), 7).since_ms, 7);
    assert_eq!(lineage.observe(named("a"), 9).since_ms, 5);
}

#[test]
fn only_a_plain_answer_says_anything_of_a_token() {
    let read = |status, body: &str| {
        let answer = RawAnswer {
            status,
            body: body.as_bytes().to_vec(),
            ..RawAnswer::default()
        };
        read_introspection(&answer, Dialect::Dex).ok()
    };
    assert_eq!(read(200, r#"{"active":true}"#), Some(Introspected::Unused));
    assert_eq!(read(200, r#"{"active":false}"#), Some(Introspected::UsedUp));
    assert_eq!(read(203, r#"{"active":true,"sub":{"#), Some(Introspected::Unused));
    // RFC 7662 §2.3: in OAuth's words this client is not told. Anything else may be of something in between.
    for status in [200, 400, 401, 403, 404] {
        let refused = r#"{"error":"invalid_client"}"#;
        assert_eq!(read(status, refused), Some(Introspected::Withheld), "{status}");
        assert_eq!(read(status, "{}"), None, "{status}");
    }
    for (status, body) in [
        (200, "{}"),
        (200, "<html>"),
        (408, ""),
        (429, ""),
        (500, ""),
        (503, ""),
    ] {
        assert_eq!(read(status, body), None, "{status} {body}");
    }
}
