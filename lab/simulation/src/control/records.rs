//! Control's real grant records, with numbers in place of sealed tokens.

use tokenward_control::record::sealed::Sealed;
use tokenward_control::store::{Key, StoreError};
use tokenward_control::upstream::grant::login::NewLogin;
use tokenward_control::upstream::grant::record::{
    Extras, GrantKey, GrantRecord, StoredIdToken, StoredRefreshToken,
};
use tokenward_control::upstream::grant::relayed::Relayed;

use crate::random::{mix, mix_two};
use crate::token::{HOME_AUDIENCE, HOME_ISSUER, Kind, Stamp};

/// Name of the only client at the home issuer.
const CLIENT: &str = "muster";
/// Bytes of a sealed token in the simulation: a number and a nonce.
const SEALED_BYTES: usize = 16;
/// What sealing adds to a token: key number, nonce and tag.
const SEAL_BYTES: usize = 4 + 24 + 16;

/// The fingerprint of a token: 64 digits, the first of which are spread evenly; the last ones are `number` and `other`.
fn fingerprint(kind: u64, user: u32, number: u32, other: u32) -> String {
    let whole = mix_two(
        mix_two(kind, u64::from(user)),
        (u64::from(number) << 32) | u64::from(other),
    );
    format!(
        "{whole:016x}{:016x}{:016x}{number:08x}{other:08x}",
        mix(whole),
        kind
    )
}

fn last_digits(fingerprint: &str, from: usize) -> u32 {
    let digits = fingerprint.get(from..from + 8);
    digits
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .unwrap_or(0)
}

/// The fingerprint of an ID token, or of any other that is presented.
pub(super) fn fingerprint_of(stamp: &Stamp) -> String {
    fingerprint(
        1,
        stamp.user,
        stamp.number,
        (u32::from(stamp.key) << 2) | stamp.kind as u32,
    )
}

/// An ID token as it is stored.
pub(super) fn id_token(stamp: &Stamp, life_seconds: u32) -> StoredIdToken {
    StoredIdToken {
        sealed: sealed(SEALED_BYTES),
        fingerprint: fingerprint_of(stamp),
        exp_seconds: u64::from(stamp.exp_seconds),
        issued_at_seconds: Some(u64::from(stamp.exp_seconds.saturating_sub(life_seconds))),
        audiences: vec![HOME_AUDIENCE.to_owned()],
    }
}

/// What a stored ID token states.
pub(super) fn stamp_of(user: u32, token: &StoredIdToken) -> Stamp {
    Stamp {
        kind: Kind::Home,
        user,
        number: last_digits(&token.fingerprint, 48),
        exp_seconds: u32::try_from(token.exp_seconds).unwrap_or(u32::MAX),
        key: (last_digits(&token.fingerprint, 56) >> 2) as u8,
        server: 0,
    }
}

/// A refresh token as it is stored.
pub(super) fn refresh_token(user: u32, number: u32) -> StoredRefreshToken {
    StoredRefreshToken {
        sealed: sealed(SEALED_BYTES),
        fingerprint: fingerprint(2, user, number, 0),
    }
}

/// The number of a stored refresh token.
pub(super) fn number_of(token: &StoredRefreshToken) -> u32 {
    last_digits(&token.fingerprint, 48)
}

/// The record after a login that brought this ID token and the refresh token of the same number.
pub(super) fn logged_in(
    before: Option<&GrantRecord>,
    stamp: &Stamp,
    life_seconds: u32,
    now_ms: u64,
) -> GrantRecord {
    let login = NewLogin {
        issuer: HOME_ISSUER.to_owned(),
        client_id: CLIENT.to_owned(),
        id_token: id_token(stamp, life_seconds),
        refresh_token: Some(refresh_token(stamp.user, stamp.number)),
        lineage: None,
        relayed: Relayed::default(),
        extras: Extras::default(),
    };
    login.supersede(before, now_ms)
}

/// Reads a record from its bytes.
pub(super) fn read(bytes: &[u8]) -> Result<GrantRecord, StoreError> {
    GrantRecord::read(&Key::new("grant", "simulated"), bytes)
}

/// Bytes in the store for one login whose tokens have Dex's length, with the keys: its grant and its session.
pub(crate) fn stored_bytes_of_login(token_bytes: usize, refresh_token_bytes: usize) -> usize {
    let stamp = Stamp {
        kind: Kind::Home,
        user: 1,
        number: 1,
        exp_seconds: 1_800_001_800,
        key: 0,
        server: 0,
    };
    let mut record = logged_in(None, &stamp, 1_800, 1_800_000_000_000);
    if let Some(token) = &mut record.id_token {
        token.sealed = sealed(token_bytes + SEAL_BYTES);
    }
    if let Some(token) = &mut record.refresh_token {
        token.sealed = sealed(refresh_token_bytes + SEAL_BYTES);
    }
    let key = GrantKey::new(HOME_ISSUER, CLIENT, "user").record().to_string();
    key.len() + record.to_bytes().map_or(0, |bytes| bytes.len())
}

fn sealed(bytes: usize) -> Sealed {
    Sealed::from(vec![0x5E; bytes])
}
