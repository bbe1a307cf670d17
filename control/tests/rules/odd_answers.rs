//! Responses that no RFC describes: the OAuth error code decides whatever surrounds it, a response without one says nothing
//! about a login, and a rotated refresh token is extracted from any response that holds it.

use secrecy::ExposeSecret as _;
use tokenward_control::upstream::dialect::Dialect;
use tokenward_control::upstream::issuer::answer::body::decode;
use tokenward_control::upstream::issuer::answer::members::Members;
use tokenward_control::upstream::issuer::answer::{GivenIdToken, RawAnswer, RefreshAnswer, read_refresh};

use crate::answers::{raw, refresh_class};
use crate::exchange_answers::exchange_class;

#[test]
fn the_error_code_decides_whatever_surrounds_it() {
    let codes = [
        ("invalid_grant", "dead: invalid_grant"),
        ("invalid_token", "dead: invalid_grant"),
        ("bad_refresh_token", "dead: invalid_grant"),
        ("interaction_required", "dead: interaction"),
        ("login_required", "dead: interaction"),
        ("consent_required", "dead: interaction"),
        ("account_selection_required", "dead: interaction"),
        ("mfa_required", "dead: interaction"),
        ("temporarily_unavailable", "unreachable"),
        ("slow_down", "unreachable"),
        ("server_error", "failing"),
        ("invalid_client", "misconfigured"),
        ("unauthorized_client", "misconfigured"),
        ("unsupported_grant_type", "misconfigured"),
        ("invalid_scope", "misconfigured"),
        ("invalid_target", "misconfigured"),
        ("access_denied", "misconfigured"),
    ];
    for (code, class) in codes {
        let upper = code.to_ascii_uppercase();
        for status in [200, 201, 302, 400, 401, 403, 404, 409, 429, 500, 502, 503] {
            for body in [
                format!(r#"{{"error":"{code}"}}"#),
                format!(r#"{{"error":"{code}","error_description":{{"text":"a"}}}}"#),
                format!(r#"{{"error_description":null,"error":"{code}","error_codes":[50076]}}"#),
                format!(r#"{{"error":"{upper}","suberror":"token_expired"}}"#),
                format!("\r\n {{\"error\" : \" {code} \"}}\n<!-- request 7 -->"),
                format!(r#"{{"error":"{code}","error_description":"breaks o"#),
                format!(r#"{{"error":"{code}","error_description":"\ud800 \q"}}"#),
                format!("error={code}&error_description=Unknown+refresh+token."),
            ] {
                assert_eq!(refresh_class(status, &body), class, "{status} {body}");
            }
        }
    }
}

#[test]
fn a_response_without_an_oauth_error_comes_from_an_intermediary_and_is_transient() {
    let bodies = [
        "",
        "<html><body>403 Forbidden</body></html>",
        "{}",
        "[]",
        "null",
        "Unauthorized",
        r#"{"message":"no Route matched with those values"}"#,
        r#"{"error":{"code":"invalid_grant","message":"nested"}}"#,
        r#"{"status":404,"error":"Not Found","path":"/token"}"#,
        r#"{"error":"Forbidden"}"#,
        r#"{"error":""}"#,
        r#"{"error":["invalid_grant"]}"#,
        r#"{"detail":{"error":"invalid_grant"}}"#,
    ];
    for body in bodies {
        for status in [200, 204, 301, 302, 307, 400, 401, 403, 404, 405, 411, 413] {
            assert_eq!(refresh_class(status, body), "not oauth", "{status} {body}");
            assert_eq!(exchange_class(status, body), "not oauth", "{status} {body}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504, 520] {
            assert_eq!(refresh_class(status, body), "unreachable", "{status} {body}");
            assert_eq!(exchange_class(status, body), "unreachable", "{status} {body}");
        }
    }
}

#[test]
fn an_unreadable_success_may_have_been_processed_and_a_refusal_was_not() {
    let perhaps_done = |status, body: &str| match read_refresh(&raw(status, body), Dialect::Dex) {
        RefreshAnswer::Transient(passing) => passing.perhaps_done,
        other => panic!("{status} {body}: {other:?}"),
    };
    for (status, body) in [
        (200, "<html>"),
        (200, ""),
        (204, ""),
        (201, r#"{"expires_in":300}"#),
        (200, r#"{"id_token":"a.b.c","refresh_token":{"value":"r"}}"#),
        // Broken before its refresh token, if it has one.
        (200, r#"{"id_token":"a.b.c","access_token":"x"#),
        (500, "<html>"),
        (502, ""),
        (504, ""),
    ] {
        assert!(perhaps_done(status, body), "{status} {body}");
    }
    for (status, body) in [
        (302, ""),
        (400, ""),
        (401, "<html>"),
        (403, "<html>"),
        (404, "404 page not found"),
        (429, "{}"),
        (503, "no healthy upstream"),
        (500, r#"{"error":"server_error"}"#),
        (200, r#"{"error":"temporarily_unavailable"}"#),
    ] {
        assert!(!perhaps_done(status, body), "{status} {body}");
    }
}

/// The tokens that are extracted from a 200: refresh token and ID token.
fn extracted(body: &[u8], cut: bool) -> Option<(Option<String>, Option<String>)> {
    let answer = RawAnswer {
        status: 200,
        body: body.to_vec(),
        cut,
        ..RawAnswer::default()
    };
    let text = |token: secrecy::SecretString| token.expose_secret().to_owned();
    match read_refresh(&answer, Dialect::Dex) {
        RefreshAnswer::Refreshed {
            id_token,
            refresh_token,
            ..
        } => {
            let id_token = match id_token {
                GivenIdToken::Given(token) => Some(text(token)),
                _ => None,
            };
            Some((refresh_token.map(text), id_token))
        }
        _ => None,
    }
}

fn both() -> Option<(Option<String>, Option<String>)> {
    Some((Some("r".to_owned()), Some("i".to_owned())))
}

#[test]
fn a_rotated_refresh_token_is_extracted_from_any_response_that_holds_it() {
    let whole = [
        r#"{"access_token":{"t":1},"refresh_token":"r","id_token":"i"}"#,
        r#"{"access_token":7,"access_token":"x","refresh_token":"r","id_token":"i"}"#,
        r#"{"refresh_token":"old","id_token":"i","refresh_token":"r"}"#,
        r#"{"refresh_token":"r","id_token":"i","refresh_token":null}"#,
        r#"{"refresh_token":"r","id_token":"i","refresh_token":""}"#,
        r#"{"refresh_token":"r","id_token":"i"} trailing <!-- text -->"#,
        r#"{"refresh_token":"r","id_token":"i",}"#,
        r#" {"scope": openid email , "refresh_token":"r","id_token":"i"}"#,
        r#"{"nested":{"refresh_token":"x","list":[{"refresh_token":"y"}]},"refresh_token":"r","id_token":"i"}"#,
        r#"{"text":"\",\"refresh_token\":\"x","refresh_token":"r","id_token":"i"}"#,
        r#"{"bad \x escape":"\x","refresh\u005ftoken":"\u0072","id_token":"i"}"#,
        "access_token=a&refresh_token=r&id_token=i&token_type=bearer",
    ];
    for body in whole {
        assert_eq!(extracted(body.as_bytes(), false), both(), "{body}");
    }
    let without_id_token = [
        &b"{\"refresh_token\":\"r\",\"id_token\":\"brea"[..],
        &b"{\"refresh_token\":\"r\",\"x\":[}],\"id_token\":\"i\"}"[..],
        &b"{\"refresh_token\":\"r\",\"id_token\":{\"jwt\":\"i\"}}"[..],
        &b"{\"refresh_token\":\"r\",\"id_token\":\"\xff\"}"[..],
    ];
    for body in without_id_token {
        let expected = Some((Some("r".to_owned()), None));
        assert_eq!(extracted(body, false), expected, "{}", body.escape_ascii());
    }
    let invalid_elsewhere = b"{\"name\":\"\xff\xfe\",\"refresh_token\":\"r\",\"id_token\":\"i\"}";
    assert_eq!(extracted(invalid_elsewhere, true), both());
}

#[test]
fn an_incomplete_or_nested_refresh_token_does_not_count() {
    for body in [
        r#"{"id_token":"i","refresh_token":"half of i"#,
        r#"{"id_token":"i","refresh_token":"ends at an escape \"#,
        r#"{"tokens":{"refresh_token":"r","id_token":"i"}}"#,
        r#"[{"refresh_token":"r","id_token":"i"}]"#,
        r#"<script>var answer = {"refresh_token":"r","id_token":"i"}</script>"#,
        r#"<a href="/login?refresh_token=r&id_token=i">"#,
        r#""{\"refresh_token\":\"r\"}""#,
    ] {
        assert_eq!(extracted(body.as_bytes(), false), None, "{body}");
    }
}

const TOKENS: &str = r#"{"refresh_token":"r","id_token":"i"}"#;
const LONGEST: usize = 1024;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("a Vec takes everything");
    encoder.finish().expect("a Vec takes everything")
}

fn deflate(bytes: &[u8], zlib: bool) -> Vec<u8> {
    use std::io::Write as _;
    let level = flate2::Compression::default();
    if zlib {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
        encoder.write_all(bytes).expect("a Vec takes everything");
        encoder.finish().expect("a Vec takes everything")
    } else {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
        encoder.write_all(bytes).expect("a Vec takes everything");
        encoder.finish().expect("a Vec takes everything")
    }
}

fn utf16(text: &str, big: bool) -> Vec<u8> {
    let bytes = |unit: u16| {
        if big {
            unit.to_be_bytes()
        } else {
            unit.to_le_bytes()
        }
    };
    text.encode_utf16().flat_map(bytes).collect()
}

#[test]
fn a_body_is_decompressed_and_decoded_with_or_without_a_header() {
    let tokens = TOKENS.as_bytes();
    let rows = [
        ("plain", None, tokens.to_vec()),
        ("plain, called gzip", Some("gzip"), tokens.to_vec()),
        ("plain, called deflate", Some("deflate"), tokens.to_vec()),
        ("gzip", Some("gzip"), gzip(tokens)),
        ("gzip without a header", None, gzip(tokens)),
        ("gzip, called something else", Some("br"), gzip(tokens)),
        ("gzip twice", Some("gzip, gzip"), gzip(&gzip(tokens))),
        ("zlib", Some("deflate"), deflate(tokens, true)),
        ("zlib without a header", None, deflate(tokens, true)),
        ("raw deflate", Some("deflate"), deflate(tokens, false)),
        ("a byte order mark", None, [&b"\xEF\xBB\xBF"[..], tokens].concat()),
        (
            "UTF-16 BE",
            None,
            [&b"\xFE\xFF"[..], &utf16(TOKENS, true)].concat(),
        ),
        (
            "UTF-16 LE",
            None,
            [&b"\xFF\xFE"[..], &utf16(TOKENS, false)].concat(),
        ),
        ("UTF-16 BE without a mark", None, utf16(TOKENS, true)),
        ("UTF-16 LE without a mark", None, utf16(TOKENS, false)),
        (
            "a byte order mark in gzip",
            Some("gzip"),
            gzip(&[&b"\xEF\xBB\xBF"[..], tokens].concat()),
        ),
    ];
    for (what, encoding, body) in rows {
        let body = decode(encoding, body, LONGEST);
        assert_eq!(extracted(&body, false), both(), "{what}");
    }
}

#[test]
fn incomplete_gzip_yields_its_beginning_and_a_bomb_is_bounded() {
    let long = format!(
        r#"{{"refresh_token":"r","id_token":"i","x":"{}"}}"#,
        "ab7c".repeat(40)
    );
    let mut packed = gzip(long.as_bytes());
    packed.truncate(packed.len() - 12);
    let body = decode(Some("gzip"), packed, LONGEST);
    assert_eq!(extracted(&body, true), both());
    let bomb = gzip(&vec![b' '; 64 * 1024 * 1024]);
    assert_eq!(decode(Some("gzip"), bomb, LONGEST).len(), LONGEST);
}

#[test]
fn a_boolean_member_with_both_values_is_absent() {
    let active = |body: &str| Members::read(body.as_bytes(), &["active"]).flag("active");
    assert_eq!(active(r#"{"active":true}"#), Some(true));
    assert_eq!(active(r#"{"active":"false"}"#), Some(false));
    assert_eq!(active(r#"{"active":true,"active":true}"#), Some(true));
    for body in [
        r#"{"active":true,"active":false}"#,
        r#"{"active":1}"#,
        r#"{"ext":{"active":true}}"#,
        r#"{"active":tru"#,
        "",
    ] {
        assert_eq!(active(body), None, "{body}");
    }
}
