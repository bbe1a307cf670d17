//! What an announcement without an end means for the next presentation.

use std::time::Duration;

use tokenward_control::config::IssuerPolicy::{Strict, Tolerant};
use tokenward_control::upstream::grant::intents::ObservedIntents;
use tokenward_control::upstream::grant::record::{GrantRecord, Intent, StoredRefreshToken};
use tokenward_control::upstream::grant::takeover::{Takeover, takeover};
use tokenward_control::upstream::policy::Policy;

use crate::records::plain_grant;

const POLICY: Policy = Policy {
    margin: Duration::from_secs(60),
    suspect_wait: Duration::from_secs(35),
    presentation_limit: Duration::from_secs(39),
    transient_limit: Duration::from_secs(1800),
    rejected_interval: Duration::from_secs(30),
};

/// A grant whose refresh token somebody has announced, by a clock that showed this.
fn announced(started_at_ms: u64, lost: bool) -> GrantRecord {
    let grant = plain_grant();
    let token = StoredRefreshToken {
        sealed: b"s".to_vec().into(),
        fingerprint: "stored".to_owned(),
    };
    GrantRecord {
        intent: Some(Intent {
            generation: grant.generation,
            fingerprint: token.fingerprint.clone(),
            holder: "other".to_owned(),
            started_at_ms,
            lost,
        }),
        refresh_token: Some(token),
        ..grant
    }
}

#[test]
fn a_strict_issuer_is_asked_once_this_process_has_known_the_announcement_for_long_enough() {
    let observed_ms = Some(1_000_000);
    // Whatever the presenter's clock showed.
    for started_at_ms in [0, 1_000_000, 9_000_000] {
        let record = announced(started_at_ms, false);
        let at = |now_ms| takeover(&record, Strict, &POLICY, observed_ms, now_ms);
        assert_eq!(at(1_000_000), Takeover::WaitOut(Duration::from_secs(39)));
        assert_eq!(at(1_038_999), Takeover::WaitOut(Duration::from_millis(1)));
        assert_eq!(at(1_039_000), Takeover::Introspect);
    }
}

#[test]
fn a_tolerant_issuer_is_presented_the_token_again() {
    let record = announced(1_000_000, false);
    let Takeover::Present { unresolved } = takeover(&record, Tolerant, &POLICY, None, 1_000_001) else {
        panic!("Dex forgives");
    };
    assert_eq!(unresolved, record.intent);
}

#[test]
fn an_announcement_is_met_once_and_once_more_when_its_answer_is_lost() {
    let marks = ObservedIntents::default();
    assert_eq!(marks.observe(&plain_grant(), 5), None);
    assert_eq!(marks.observe(&announced(1, false), 5), Some(5));
    assert_eq!(marks.observe(&announced(1, false), 9), Some(5));
    assert_eq!(marks.observe(&announced(1, true), 11), Some(11));
    assert_eq!(marks.observe(&announced(1, true), 15), Some(11));
    // A clock that was set back makes no wait longer.
    assert_eq!(marks.observe(&announced(1, true), 3), Some(3));
}
