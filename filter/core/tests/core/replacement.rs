use tokenward_filter_core::identity::{PairKey, SessionSource, TokenKey};
use tokenward_filter_core::replacement::{Replacement, Replacements};

fn token_key(number: usize) -> TokenKey {
    TokenKey::new(
        &PairKey::new("s", SessionSource::Handle("h")),
        number.to_string().as_bytes(),
    )
}

fn replacement(exp_seconds: u64) -> Replacement {
    Replacement {
        authorization: format!("Bearer token-{exp_seconds}").into(),
        exp_seconds,
        server: 0,
    }
}

#[test]
fn the_cache_is_bounded_and_holds_what_is_in_use() {
    let mut replacements = Replacements::new(100);
    for number in 0..10_000 {
        replacements.insert(token_key(number), replacement(1));
        assert!(
            replacements.get(&token_key(0)).is_some(),
            "in use, gone after {number}"
        );
        assert!(replacements.len() <= 100, "{}", replacements.len());
    }
    assert!(replacements.get(&token_key(5_000)).is_none());
}

#[test]
fn a_newer_replacement_takes_the_place_of_the_older_in_both_generations() {
    let mut replacements = Replacements::new(4);
    replacements.insert(token_key(1), replacement(1));
    replacements.insert(token_key(2), replacement(1));
    replacements.insert(token_key(3), replacement(1));
    replacements.insert(token_key(1), replacement(2));
    assert_eq!(
        replacements.get(&token_key(1)).map(|found| found.exp_seconds),
        Some(2)
    );
    replacements.remove(&token_key(1));
    assert!(replacements.get(&token_key(1)).is_none());
}

#[test]
fn debug_shows_no_token() {
    assert!(!format!("{:?}", replacement(7)).contains("token-7"));
}
