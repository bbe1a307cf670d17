//! A plain grant record, from which each story changes what it is about: a new field of the record is written here once.

use tokenward_control::upstream::grant::record::{
    Extras, FORMAT, GrantRecord, GrantState, StoredRefreshToken,
};
use tokenward_control::upstream::grant::relayed::Relayed;

/// An active grant of the first generation with a refresh token, no ID token, and nothing that ever happened to it.
pub(crate) fn plain_grant() -> GrantRecord {
    GrantRecord {
        format: FORMAT,
        issuer: "i".to_owned(),
        client_id: "c".to_owned(),
        generation: 1,
        state: GrantState::Active,
        id_token: None,
        refresh_token: Some(kept_refresh_token("r")),
        login_fingerprint: Some("r".to_owned()),
        intent: None,
        failures: None,
        sign_outs: 0,
        valid_from_seconds: None,
        lineage: None,
        retired: Vec::new(),
        logged_in_at_ms: 0,
        refreshed_at_ms: None,
        last_used_at_ms: 0,
        relayed: Relayed::default(),
        extras: Extras::default(),
    }
}

/// A kept refresh token that is recognised by `fingerprint`.
pub(crate) fn kept_refresh_token(fingerprint: &str) -> StoredRefreshToken {
    StoredRefreshToken {
        sealed: b"s".to_vec().into(),
        fingerprint: fingerprint.to_owned(),
    }
}
