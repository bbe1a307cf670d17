use tokenward_filter_core::token_memo::TokenMemo;

use std::rc::Rc;

use tokenward_filter_core::token_memo::{KnownToken, TokenUse};

use crate::host::{ISSUER, home, token};

fn claims(memo: &mut TokenMemo, token: &[u8]) -> Result<Rc<KnownToken>, tokenward_protocol::jwt::Malformed> {
    memo.look_up(token, (0, "a"), None).map(|(known, _)| known)
}

fn use_of(
    memo: &mut TokenMemo,
    known: &KnownToken,
    server: (usize, &str),
    session: Option<&str>,
) -> TokenUse {
    memo.look_up(known.bytes(), server, session).unwrap().1
}

#[test]
fn a_token_is_decoded_once_and_remembered_by_all_of_its_bytes() {
    let mut memo = TokenMemo::default();
    let first = claims(&mut memo, home(5).as_bytes()).unwrap();
    let again = claims(&mut memo, home(5).as_bytes()).unwrap();
    assert!(std::rc::Rc::ptr_eq(&first, &again));
    // The same last bytes, another body: an attacker's choice.
    let (good, other) = (home(5), home(5_000));
    let forged = format!("{}{}", &other[..other.len() - 8], &good[good.len() - 8..]);
    assert_eq!(
        claims(&mut memo, forged.as_bytes()).unwrap().claims.exp_seconds - first.claims.exp_seconds,
        4_995
    );
    assert_eq!(claims(&mut memo, good.as_bytes()).unwrap().claims, first.claims);
}

#[test]
fn pairs_and_token_keys_differ_by_server_session_subject_and_token() {
    let mut memo = TokenMemo::default();
    let alice = claims(&mut memo, home(5).as_bytes()).unwrap();
    let later = claims(&mut memo, home(6).as_bytes()).unwrap();
    let bob = claims(&mut memo, token(ISSUER, "kube", "bob", 5).as_bytes()).unwrap();
    let base = use_of(&mut memo, &alice, (0, "a"), Some("s"));
    for (known, server, session) in [
        (&alice, (1, "b"), Some("s")),
        (&alice, (0, "a"), Some("t")),
        (&alice, (0, "a"), None),
        (&bob, (0, "a"), None),
    ] {
        let other = use_of(&mut memo, known, server, session);
        assert_ne!(other.pair, base.pair);
        assert_ne!(other.token_key, base.token_key);
    }
    let newer = use_of(&mut memo, &later, (0, "a"), Some("s"));
    assert_eq!(newer.pair, base.pair);
    assert_ne!(newer.token_key, base.token_key);
    assert_eq!(
        use_of(&mut memo, &alice, (0, "a"), None).pair,
        use_of(&mut memo, &later, (0, "a"), None).pair
    );
}

#[test]
fn settled_is_remembered_per_use() {
    let mut memo = TokenMemo::default();
    let known = claims(&mut memo, home(5).as_bytes()).unwrap();
    let first = use_of(&mut memo, &known, (0, "a"), Some("s"));
    use_of(&mut memo, &known, (0, "a"), Some("t"));
    memo.settle(&known, &first.token_key, 7);
    assert_eq!(use_of(&mut memo, &known, (0, "a"), Some("s")).settled_until_ms, 7);
    assert_eq!(use_of(&mut memo, &known, (0, "a"), Some("t")).settled_until_ms, 0);
}

#[test]
fn thousands_of_tokens_do_not_lose_the_one_in_use() {
    let mut memo = TokenMemo::default();
    let used = home(1);
    let known = claims(&mut memo, used.as_bytes()).unwrap();
    for number in 0..30_000 {
        claims(&mut memo, home(1_000 + number).as_bytes()).unwrap();
        if number % 1_000 == 0 {
            assert!(std::rc::Rc::ptr_eq(
                &claims(&mut memo, used.as_bytes()).unwrap(),
                &known
            ));
        }
    }
}
