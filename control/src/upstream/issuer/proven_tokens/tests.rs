use std::sync::Arc;

use tokenward_protocol::jwt::Claims;

use super::{
    KeySetVersion, MAX_PARSED_BYTES_EACH, MAX_TOKENS, ParsedIdToken, ProvenTokens, SignatureProof,
    TokenDigest,
};
use crate::upstream::grant::record::fingerprint;
use crate::upstream::issuer::token_type::IdTokenProfile;

fn proof() -> SignatureProof {
    SignatureProof {
        key_set: KeySetVersion::next(),
        retired_at_ms: None,
    }
}

fn parsed(subject_bytes: usize) -> Arc<ParsedIdToken> {
    Arc::new(ParsedIdToken {
        claims: Claims {
            exp_seconds: 1,
            issued_at_seconds: None,
            issuer: String::new(),
            subject: "s".repeat(subject_bytes),
            audiences: Vec::new(),
        },
        profile: IdTokenProfile::default(),
    })
}

#[test]
fn one_digest_serves_as_cache_key_and_as_the_stored_fingerprint() {
    let digest = TokenDigest::of("a.b.c");
    assert_eq!(digest.fingerprint(), fingerprint(&"a.b.c".into()));
    assert_ne!(digest, TokenDigest::of("a.b.d"));
}

#[test]
fn a_proof_holds_only_for_the_keys_that_it_was_made_with() {
    let tokens = ProvenTokens::default();
    let (token, first, second) = (TokenDigest::of("a.b.c"), proof(), proof());
    assert_eq!(tokens.proof(&token, first.key_set), None);
    tokens.store_proof(token, first);
    assert_eq!(tokens.proof(&token, first.key_set), Some(first));
    assert_eq!(tokens.proof(&token, second.key_set), None);
    assert_eq!(tokens.proof(&token, KeySetVersion::default()), None);
    tokens.store_proof(token, second);
    assert_eq!(tokens.proof(&token, first.key_set), None);
    assert_eq!(tokens.proof(&token, second.key_set), Some(second));
}

#[test]
fn a_token_that_is_not_proven_gets_no_entry() {
    let (tokens, token) = (ProvenTokens::default(), TokenDigest::of("a.b.c"));
    tokens.store_parsed(&token, &parsed(10));
    assert!(tokens.parsed(&token).is_none());
}

#[test]
fn a_new_proof_retains_the_parsed_token() {
    let (tokens, token) = (ProvenTokens::default(), TokenDigest::of("a.b.c"));
    tokens.store_proof(token, proof());
    tokens.store_parsed(&token, &parsed(10));
    tokens.store_proof(token, proof());
    assert_eq!(
        tokens.parsed(&token).map(|parsed| parsed.claims.subject.len()),
        Some(10)
    );
}

#[test]
fn a_large_token_is_proven_but_not_stored_in_parsed_form() {
    let (tokens, token, proof) = (ProvenTokens::default(), TokenDigest::of("a.b.c"), proof());
    tokens.store_proof(token, proof);
    tokens.store_parsed(&token, &parsed(MAX_PARSED_BYTES_EACH + 1));
    assert!(tokens.parsed(&token).is_none());
    assert_eq!(tokens.proof(&token, proof.key_set), Some(proof));
}

#[test]
fn the_cache_is_bounded_in_tokens_and_in_bytes() {
    let (tokens, proof, large) = (ProvenTokens::default(), proof(), parsed(MAX_PARSED_BYTES_EACH));
    let mut most_bytes = 0;
    for index in 0..3 * MAX_TOKENS {
        let token = TokenDigest::of(&index.to_string());
        tokens.store_proof(token, proof);
        tokens.store_parsed(&token, &large);
        let table = tokens.table();
        assert!(table.tokens.len() <= MAX_TOKENS);
        let stored = table.tokens.values().filter(|entry| entry.parsed.is_some());
        if index % 1000 == 0 {
            assert_eq!(table.parsed_bytes, stored.count() * MAX_PARSED_BYTES_EACH);
        }
        most_bytes = most_bytes.max(table.parsed_bytes);
    }
    assert_eq!(most_bytes, super::MAX_PARSED_BYTES);
}

#[test]
fn key_set_versions_are_never_repeated_and_never_the_default() {
    let (first, second) = (KeySetVersion::next(), KeySetVersion::next());
    assert_ne!(first, second);
    assert_ne!(first, KeySetVersion::default());
}
