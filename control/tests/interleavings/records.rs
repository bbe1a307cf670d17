//! The records of the model: real grant records whose tokens are numbers.

use tokenward_control::upstream::grant::login::NewLogin;
use tokenward_control::upstream::grant::record::{Extras, GrantRecord, StoredIdToken, StoredRefreshToken};
use tokenward_control::upstream::grant::relayed::{Relayed, StoredResponse};

use tokenward_control::store::Lineage;

use crate::issuer::Token;

pub(crate) fn refresh_token(number: Token) -> StoredRefreshToken {
    StoredRefreshToken {
        sealed: sealed(),
        fingerprint: format!("r{number}"),
    }
}

/// The number of a stored refresh token.
pub(crate) fn number_of(token: &StoredRefreshToken) -> Token {
    token.fingerprint[1..].parse().expect("a token of the model")
}

/// An ID token issued at `now_ms`.
pub(crate) fn id_token(now_ms: u64, life_seconds: u64) -> StoredIdToken {
    StoredIdToken {
        sealed: sealed(),
        fingerprint: format!("i{now_ms}"),
        exp_seconds: now_ms / 1000 + life_seconds,
        issued_at_seconds: Some(now_ms / 1000),
        audiences: vec!["muster".to_owned()],
    }
}

/// A token response of `now_ms`.
pub(crate) fn response(now_ms: u64, life_seconds: u64) -> StoredResponse {
    StoredResponse {
        sealed: sealed(),
        made_at_ms: now_ms,
        access_expires_at_ms: Some(now_ms + life_seconds * 1000),
        id_token_fingerprint: None,
    }
}

/// The record after a login with this refresh token; its ID token is stale at `now_ms` already. `is_relayed`: a client
/// holds the refresh token too.
pub(crate) fn logged_in(
    before: Option<&GrantRecord>,
    token: Token,
    now_ms: u64,
    line: u32,
    is_relayed: bool,
) -> GrantRecord {
    let mut relayed = Relayed::default();
    if is_relayed {
        relayed.hand_out(&refresh_token(token).fingerprint);
    }
    let login = NewLogin {
        issuer: "https://issuer.example.com".to_owned(),
        client_id: "muster".to_owned(),
        id_token: id_token(now_ms - 1_000, 1),
        refresh_token: Some(refresh_token(token)),
        lineage: Some(lineage(line)),
        relayed,
        extras: Extras::default(),
    };
    login.supersede(before, now_ms)
}

/// The name of the store's lineage with this number.
pub(crate) fn lineage(line: u32) -> Lineage {
    Lineage(format!("l{line}"))
}

fn sealed() -> tokenward_control::record::sealed::Sealed {
    tokenward_control::record::sealed::Sealed::from(b"s".to_vec())
}
