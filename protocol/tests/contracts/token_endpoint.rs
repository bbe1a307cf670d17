use proptest::prelude::*;
use secrecy::ExposeSecret;
use tokenward_protocol::form::{Form, MAX_PARAMETERS, NotAForm};
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{
    BadTokenRequest, ControlAnswer, Reason, SubjectTokenType, TOKEN_TYPE_ID_TOKEN, TokenAnswer, TokenError,
    TokenRequest, read_answer,
};

fn request(session: Option<&str>) -> TokenRequest {
    TokenRequest {
        subject_token: "a.b.c".into(),
        subject_token_type: SubjectTokenType::IdToken,
        server: "kubernetes".into(),
        session: session.map(Into::into),
        reason: Reason::NearExpiry,
    }
}

fn answer() -> TokenAnswer {
    TokenAnswer {
        access_token: "a.b.c".into(),
        issued_token_type: TOKEN_TYPE_ID_TOKEN.into(),
        token_type: "Bearer".into(),
        expires_in: 60,
        expires_at: 1_795_282_565,
    }
}

proptest! {
    #[test]
    fn what_the_filter_writes_control_reads(session in "[!-~]{1,512}", server in "[!-~]{1,80}", own: bool) {
        let mut sent = request(Some(&session));
        sent.server = server;
        if own {
            sent.subject_token_type = SubjectTokenType::AccessToken;
        }
        let read = TokenRequest::from_form(sent.to_form().as_bytes()).unwrap();
        let read_session = read.session.unwrap();
        prop_assert_eq!(read_session.expose_secret(), session);
        prop_assert_eq!(read.server, sent.server);
        prop_assert_eq!(read.reason, Reason::NearExpiry);
        prop_assert_eq!(read.subject_token_type, sent.subject_token_type);
        prop_assert_eq!(read.subject_token.expose_secret(), "a.b.c");
    }

    #[test]
    fn no_form_panics(form in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = TokenRequest::from_form(&form);
    }
}

#[test]
fn parameters_come_once_and_as_expected() {
    let form = request(None).to_form();
    let cases = [
        (format!("{form}&audience=other"), BadTokenRequest::SeveralTargets),
        (format!("{form}&resource=x"), BadTokenRequest::Resource),
        (format!("{form}&scope=groups"), BadTokenRequest::Scope),
        (
            format!("{form}&actor_token=a.b.c"),
            BadTokenRequest::Actor("actor_token"),
        ),
        (
            form.replace("token-exchange", "refresh_token"),
            BadTokenRequest::GrantType,
        ),
        (
            format!("{form}&session=a&session=a"),
            BadTokenRequest::Duplicate("session"),
        ),
        (
            form.replace("grant_type=", "x="),
            BadTokenRequest::Missing("grant_type"),
        ),
        (
            form.replace("subject_token=a.b.c", "subject_token="),
            BadTokenRequest::Missing("subject_token"),
        ),
        (
            form.replace("audience=kubernetes", ""),
            BadTokenRequest::Missing("audience"),
        ),
        (format!("{form}&session="), BadTokenRequest::Missing("session")),
        (
            format!("{form}&session=%FF"),
            BadTokenRequest::NotAForm(NotAForm::NotUtf8),
        ),
        (
            format!("{form}&session=%f"),
            BadTokenRequest::NotAForm(NotAForm::Percent),
        ),
        (
            format!("{form}&x=%00"),
            BadTokenRequest::NotAForm(NotAForm::ControlCharacter),
        ),
        (
            format!("{form}{}", "&x=y".repeat(MAX_PARAMETERS)),
            BadTokenRequest::NotAForm(NotAForm::TooMany),
        ),
    ];
    for (form, why) in cases {
        assert_eq!(
            TokenRequest::from_form(form.as_bytes()).unwrap_err(),
            why,
            "{form}"
        );
    }
    for (from, to) in [
        ("near_expiry", "because"),
        ("id_token&requested", "jwt&requested"),
    ] {
        let bad = form.replacen(from, to, 1);
        assert_ne!(bad, form);
        assert!(
            matches!(
                TokenRequest::from_form(bad.as_bytes()),
                Err(BadTokenRequest::Unsupported { .. })
            ),
            "{bad}"
        );
    }
}

#[test]
fn unknown_parameters_are_ignored() {
    let form = format!("{}&unknown=x&unknown=y", request(None).to_form());
    assert!(TokenRequest::from_form(form.as_bytes()).is_ok());
}

#[test]
fn a_resource_names_the_server_that_has_it() {
    let form = request(None).to_form();
    let server_of = |resource: &str| resource.strip_prefix("https://").map(str::to_owned);
    let read = |form: &str| {
        let form = Form::read(form.as_bytes()).unwrap();
        TokenRequest::read(&form, server_of).map(|request| request.server)
    };
    assert_eq!(
        read(&format!("{form}&resource=https://kubernetes")).unwrap(),
        "kubernetes"
    );
    let alone = form.replace("audience=kubernetes", "resource=https://other");
    assert_eq!(read(&alone).unwrap(), "other");
    let error = read(&format!("{form}&resource=https://other")).unwrap_err();
    assert_eq!(
        (error.error(), error),
        ("invalid_target", BadTokenRequest::Resource)
    );
}

#[test]
fn debug_shows_no_token() {
    assert!(!format!("{:?}", request(Some("secret-session"))).contains("secret-session"));
    assert!(!format!("{:?} {:?}", request(None), answer()).contains("a.b.c"));
}

fn refusal(reply: &ControlAnswer) -> (Refusal, Option<u32>) {
    match reply {
        ControlAnswer::Refused {
            refusal,
            retry_after_seconds,
        } => (*refusal, *retry_after_seconds),
        ControlAnswer::Token(_) => panic!("a token"),
    }
}

#[test]
fn controls_token_is_understood() {
    let body = serde_json::to_vec(&answer()).unwrap();
    let ControlAnswer::Token(read) = read_answer(200, true, None, &body) else {
        panic!("no token")
    };
    assert_eq!(
        (read.access_token.as_str(), read.expires_at),
        ("a.b.c", 1_795_282_565)
    );
}

#[test]
fn every_refusal_of_control_is_understood_with_its_retry_after() {
    for expected in Refusal::ALL {
        let body = TokenError {
            error: expected.control_error().into(),
            error_description: "x".into(),
            refusal: expected.name().into(),
        };
        let reply = read_answer(
            expected.control_status(),
            true,
            Some(b"17"),
            &serde_json::to_vec(&body).unwrap(),
        );
        assert_eq!(refusal(&reply), (*expected, Some(17)));
    }
}

#[test]
fn a_retry_after_that_is_no_number_of_seconds_counts_as_none() {
    let body = br#"{"refusal":"busy"}"#;
    for (value, seconds) in [
        (&b"4"[..], Some(4)),
        (b" 4\t", Some(4)),
        (b"+4", None),
        (b"-4", None),
        (b"", None),
        (b"4294967296", None),
        ("4\u{2028}".as_bytes(), None),
        (b"Wed, 21 Oct 2026 07:28:00 GMT", None),
    ] {
        let reply = read_answer(503, true, Some(value), body);
        assert_eq!(
            refusal(&reply),
            (Refusal::Busy, seconds),
            "{}",
            value.escape_ascii()
        );
    }
}

#[test]
fn envoys_own_replies_are_distinguished_from_controls() {
    let plain = b"upstream connect error or disconnect/reset before headers";
    for (status, expected) in [
        (503, Refusal::ControlUnreachable),
        (502, Refusal::ControlUnreachable),
        (0, Refusal::ControlUnreachable),
        (504, Refusal::ControlLate),
        (404, Refusal::ControlGarbled),
        (200, Refusal::ControlGarbled),
    ] {
        assert_eq!(
            refusal(&read_answer(status, false, None, plain)).0,
            expected,
            "{status}"
        );
    }
}

#[test]
fn whatever_cannot_be_understood_is_garbled() {
    let mut other_type = answer();
    other_type.issued_token_type = "urn:ietf:params:oauth:token-type:saml2".into();
    let other_type = serde_json::to_vec(&other_type).unwrap();
    for body in [
        &b""[..],
        b"<html>",
        b"{",
        b"{}",
        b"[]",
        &other_type[..],
        &other_type[..other_type.len() - 3],
    ] {
        assert_eq!(
            refusal(&read_answer(200, true, None, body)).0,
            Refusal::ControlGarbled
        );
        assert_eq!(
            refusal(&read_answer(500, true, None, body)).0,
            Refusal::ControlGarbled
        );
    }
}

#[test]
fn a_form_knows_whether_a_parameter_is_repeated_and_lists_all_of_them() {
    for (form, is_repeated) in [
        ("", false),
        ("a=1", false),
        ("a=1&b=1", false),
        ("b=1&a=2&b=", true),
        ("a=&a=", true),
        ("a&%61", true),
        ("a=1&A=1", false),
    ] {
        let form_read = Form::read(form.as_bytes()).unwrap();
        assert_eq!(form_read.has_repeated(), is_repeated, "{form}");
    }
    let form = Form::read(b"b=1+2&a=&b=%33").unwrap();
    assert_eq!(
        form.pairs().collect::<Vec<_>>(),
        [("b", "1 2"), ("a", ""), ("b", "3")]
    );
}
