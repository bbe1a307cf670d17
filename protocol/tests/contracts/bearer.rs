use tokenward_protocol::bearer::{bearer_token, why_malformed};
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::refusal::Refusal;

fn read(values: &[&'static str]) -> Result<&'static str, Refusal> {
    let token = bearer_token(values.iter().map(|value| value.as_bytes()))?;
    match Claims::read(token) {
        Err(fault) if token != b"a.b.c" => Err(why_malformed(token, fault)),
        _ => Ok(std::str::from_utf8(token).unwrap()),
    }
}

#[test]
fn the_scheme_is_read_in_any_letter_case() {
    for value in [
        "Bearer a.b.c",
        "bearer a.b.c",
        "BEARER a.b.c",
        "bEaReR a.b.c",
        "Bearer   a.b.c  ",
    ] {
        assert_eq!(read(&[value]), Ok("a.b.c"), "{value}");
    }
}

#[test]
fn a_request_without_a_bearer_is_refused_whatever_else_it_has() {
    for values in [
        &[][..],
        &[""],
        &["Bearer"],
        &["Bearer "],
        &["Basic dXNlcjpwYXNz"],
        &["Bearera.b.c"],
        &["Bear"],
    ] {
        assert_eq!(read(values), Err(Refusal::MissingBearer), "{values:?}");
    }
}

#[test]
fn two_tokens_are_ambiguous_however_they_are_written() {
    for values in [
        &["Bearer a.b.c", "Bearer a.b.c"][..],
        &["Bearer a.b.c", "Basic x"],
        &["Bearer a.b.c, Bearer d.e.f"],
        &["Bearer a.b.c,d.e.f"],
        &["Bearer a.b.c d.e.f"],
    ] {
        assert_eq!(read(values), Err(Refusal::AmbiguousBearer), "{values:?}");
    }
}

#[test]
fn what_is_no_token_is_malformed() {
    assert_eq!(read(&["Bearer garbage"]), Err(Refusal::MalformedBearer));
}

#[test]
fn any_byte_may_come_and_none_panics() {
    for byte in 0..=255u8 {
        let value = [b'B', b'e', b'a', b'r', b'e', b'r', b' ', byte];
        let _ = bearer_token([&value[..]].into_iter());
        let _ = bearer_token([&[byte][..]].into_iter());
    }
}

#[test]
fn a_bearer_that_is_too_large_has_another_refusal_than_a_malformed_one_and_than_two() {
    let large = "x".repeat(tokenward_protocol::jwt::MAX_TOKEN_BYTES + 1);
    for (value, refusal) in [
        (format!("Bearer {large}"), Refusal::TokenTooLarge),
        (
            format!("Bearer {large}, Bearer {large}"),
            Refusal::AmbiguousBearer,
        ),
        (format!("Bearer {}", &large[1..]), Refusal::MalformedBearer),
    ] {
        let value: &'static str = value.leak();
        assert_eq!(read(&[value]), Err(refusal));
    }
}
