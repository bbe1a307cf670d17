use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use tokenward_protocol::jwt::{Claims, MAX_TOKEN_BYTES, Malformed, session_of};

/// Header and payload of a real Dex v2.45.1 ID token (facts: recorded answers), with a signature of the right length.
const DEX_HEADER: &str = r#"{"alg":"RS256","kid":"29ed3526cf2b37e8ea0f8e62bfe4ff35deda5eff"}"#;
const DEX_PAYLOAD: &str = r#"{"iss":"http://127.0.0.1:5556/dex","sub":"CiQwOGE4Njg0Yi1kYjg4LTRiNzMtOTBhOS0zY2QxNjYxZjU0NjYSBWxvY2Fs","aud":"muster","exp":1795282565,"iat":1795282555,"at_hash":"Me_jBdn9ZWzUfs2wmPh9Jg","email":"admin@example.com","email_verified":true,"groups":["team-a"],"name":"admin"}"#;

fn token(header: &str, payload: &str) -> String {
    let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    format!(
        "{}.{}.{}",
        encode(header.as_bytes()),
        encode(payload.as_bytes()),
        encode(&[7; 256])
    )
}

fn with_exp(exp: &str) -> Result<Claims, Malformed> {
    Claims::read(
        token(
            DEX_HEADER,
            &format!(r#"{{"iss":"i","sub":"s","aud":"a","exp":{exp}}}"#),
        )
        .as_bytes(),
    )
}

#[test]
fn a_real_dex_token_is_read() {
    let claims = Claims::read(token(DEX_HEADER, DEX_PAYLOAD).as_bytes()).unwrap();
    assert_eq!(claims.exp_seconds, 1_795_282_565);
    assert_eq!(claims.issued_at_seconds, Some(1_795_282_555));
    assert_eq!(claims.issuer, "http://127.0.0.1:5556/dex");
    assert_eq!(claims.audiences, ["muster"]);
}

#[test]
fn an_exchanged_token_with_several_audiences_is_read() {
    let payload = r#"{"iss":"i","sub":"s","aud":["kube","muster"],"exp":5,"azp":"muster"}"#;
    let claims = Claims::read(token(DEX_HEADER, payload).as_bytes()).unwrap();
    assert!(claims.covers_audiences(&["muster".into(), "kube".into()]));
    assert!(!claims.covers_audiences(&["muster".into(), "other".into()]));
}

#[test]
fn an_exp_that_two_readers_could_take_differently_is_malformed() {
    for exp in [
        "-1",
        "-0",
        "-1.5",
        "-1e9",
        "1e99999999999",
        ".5",
        "5.",
        "1e",
        "\"1795282565\"",
        "null",
        "true",
        "[1]",
        "{}",
        "01",
        "+1",
        "1,\"exp\":2",
        "1,\"exp\":1",
        "1,\"\\u0065xp\":1",
    ] {
        assert_eq!(with_exp(exp), Err(Malformed::Payload), "{exp}");
    }
    assert_eq!(with_exp("9007199254740993"), Err(Malformed::ExpTooLarge));
    assert_eq!(with_exp("18446744073709551616"), Err(Malformed::ExpTooLarge));
    assert_eq!(with_exp("9007199254740992").unwrap().exp_seconds, 1 << 53);
    assert_eq!(with_exp("0").unwrap().exp_seconds, 0);
}

#[test]
fn a_numeric_date_may_have_a_fraction_or_an_exponent_and_is_cut_off_never_rounded_up() {
    for (exp, seconds) in [
        ("1795282565.0", 1_795_282_565),
        ("1795282565.999999999", 1_795_282_565),
        ("1.795282565e9", 1_795_282_565),
        ("1.795282565E+9", 1_795_282_565),
        ("1.7952825659e9", 1_795_282_565),
        ("17952825650e-1", 1_795_282_565),
        ("17952825659e-1", 1_795_282_565),
        ("1.7e9", 1_700_000_000),
        ("17e8", 1_700_000_000),
        ("0.5", 0),
        ("5e-1", 0),
        ("1e-2000000000", 0),
        ("0e2000000000", 0),
        ("0.0000000017e18", 1_700_000_000),
        ("9007199254740992.0", 1 << 53),
    ] {
        assert_eq!(
            with_exp(exp).map(|claims| claims.exp_seconds),
            Ok(seconds),
            "{exp}"
        );
    }
    for exp in ["1e300", "1e2000000000", "9007199254740993.0", "9.1e15"] {
        assert_eq!(with_exp(exp), Err(Malformed::ExpTooLarge), "{exp}");
    }
}

#[test]
fn a_token_without_the_claims_that_decide_is_malformed() {
    for payload in [
        r#"{"iss":"i","sub":"s","aud":"a"}"#,
        r#"{"sub":"s","aud":"a","exp":1}"#,
        r#"{"iss":"i","aud":"a","exp":1}"#,
        r#"{"iss":"i","sub":"s","exp":1}"#,
        r#"{"iss":"i","sub":"s","aud":[1],"exp":1}"#,
        r#"{"iss":"i","iss":"j","sub":"s","aud":"a","exp":1}"#,
        r#"{"iss":["i"],"sub":"s","aud":"a","exp":1}"#,
        r#"["exp",1]"#,
        "not json",
        "",
    ] {
        assert!(
            Claims::read(token(DEX_HEADER, payload).as_bytes()).is_err(),
            "{payload}"
        );
    }
}

#[test]
fn what_is_not_three_base64url_parts_is_malformed() {
    let good = token(DEX_HEADER, DEX_PAYLOAD);
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else {
        unreachable!()
    };
    for (bad, why) in [
        (good.replace('.', ""), Malformed::Parts),
        (format!("{header}.{payload}"), Malformed::Parts),
        (format!("{good}.{signature}.x"), Malformed::Parts),
        (format!("{good}.{signature}"), Malformed::Parts),
        (format!("{header}.{payload}."), Malformed::Base64),
        (format!("{header}..{signature}"), Malformed::Base64),
        (format!("{header}.{payload}=.{signature}"), Malformed::Base64),
        (format!("{header}.{payload}+/.{signature}"), Malformed::Base64),
        (format!("{header}.{payload}\u{e9}.{signature}"), Malformed::Base64),
        (String::new(), Malformed::Parts),
        (format!("{good}{}", "A".repeat(64 * 1024)), Malformed::TooLong),
    ] {
        assert_eq!(Claims::read(bad.as_bytes()), Err(why), "{bad:.60}");
    }
    // Envoy's default `max_request_headers_kb`.
    assert_eq!(MAX_TOKEN_BYTES, 60 * 1024);
    let largest = "A".repeat(MAX_TOKEN_BYTES);
    assert_eq!(Claims::read(largest.as_bytes()), Err(Malformed::Parts));
    assert_eq!(
        Claims::read(format!("{largest}A").as_bytes()),
        Err(Malformed::TooLong)
    );
}

#[test]
fn a_token_that_names_no_signature_algorithm_is_malformed() {
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"NONE"}"#,
        r#"{"alg":""}"#,
        r#"{"alg":5}"#,
        "{}",
        r#"{"alg":"RS256","alg":"none"}"#,
        "[]",
        "x",
    ] {
        assert_eq!(
            Claims::read(token(header, DEX_PAYLOAD).as_bytes()),
            Err(Malformed::Header),
            "{header}"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Claims::read(&bytes);
    }

    #[test]
    fn every_whole_exp_is_read_exactly(exp in 0u64..=(1 << 53)) {
        prop_assert_eq!(with_exp(&exp.to_string()).unwrap().exp_seconds, exp);
    }

    #[test]
    fn one_changed_byte_never_moves_the_expiry_unnoticed(at in 0usize..600, byte: u8) {
        let good = token(DEX_HEADER, DEX_PAYLOAD).into_bytes();
        let mut bad = good.clone();
        let at = at % bad.len();
        bad[at] = byte;
        // A changed token that is still read has the claims of its own bytes: read again, independently.
        if let Ok(claims) = Claims::read(&bad) {
            let payload = bad.split(|byte| *byte == b'.').nth(1).unwrap();
            let value: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
            prop_assert_eq!(value["exp"].as_u64(), Some(claims.exp_seconds));
        }
    }
}

#[test]
fn a_session_is_read_where_it_is_a_text_and_there() {
    let session = |payload: &str| session_of(token(DEX_HEADER, payload).as_bytes());
    assert_eq!(session(r#"{"sid":"s-1"}"#).as_deref(), Some("s-1"));
    for none in [
        r#"{}"#,
        r#"{"sid":""}"#,
        r#"{"sid":1}"#,
        r#"{"sid":null}"#,
        r#"{"sid":"a","sid":"b"}"#,
        "[]",
        "",
    ] {
        assert_eq!(session(none), None, "{none}");
    }
    assert_eq!((session_of(b""), session_of(b"a.b.c")), (None, None));
}

#[test]
fn what_of_a_token_can_end_is_read_tolerantly() {
    let endings = |header: &str, more: &str| {
        let payload = format!(r#"{{"iss":"i","sub":"s","aud":"a","exp":1{more}}}"#);
        Claims::read_with_endings(token(header, &payload).as_bytes())
            .unwrap()
            .1
    };
    let named = endings(r#"{"alg":"RS256","kid":"k"}"#, r#","sid":"s1""#);
    assert_eq!(
        (named.session.as_deref(), named.key_id.as_deref()),
        (Some("s1"), Some("k"))
    );
    for (header, more) in [
        (r#"{"alg":"RS256"}"#, ""),
        (r#"{"alg":"RS256","kid":7}"#, r#","sid":{}"#),
        (
            r#"{"alg":"RS256","kid":"a","kid":"b"}"#,
            r#","sid":"a","sid":"b""#,
        ),
    ] {
        let unnamed = endings(header, more);
        assert_eq!((unnamed.session, unnamed.key_id), (None, None), "{header} {more}");
    }
}

#[test]
fn every_encoding_of_up_to_three_bytes_is_read_as_the_library_reads_it() {
    let payload = r#"{"iss":"i","sub":"s","aud":"a","exp":1}"#;
    let whole = token(r#"{"alg":"RS256"}"#, payload);
    let (signed, _) = whole.rsplit_once('.').unwrap();
    let digits = b"AZaz09-_QBgw=+/. ";
    let of_four = |number: usize| -> Vec<u8> {
        let place = |power: u32| number / digits.len().pow(power) % digits.len();
        (0..4).map(|power| digits[place(power)]).collect()
    };
    for number in 0..digits.len().pow(4) {
        let four = of_four(number);
        for length in 1..=4 {
            let signature = std::str::from_utf8(&four[..length]).unwrap();
            if signature.contains('.') {
                continue;
            }
            let is_read = Claims::read(format!("{signed}.{signature}").as_bytes()).is_ok();
            assert_eq!(
                is_read,
                URL_SAFE_NO_PAD.decode(signature).is_ok(),
                "{signature:?}"
            );
        }
    }
}
