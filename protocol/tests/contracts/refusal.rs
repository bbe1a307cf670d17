use std::borrow::Cow;
use std::collections::BTreeSet;

use tokenward_protocol::error_text::{error_text, is_allowed};
use tokenward_protocol::jwt::MAX_TOKEN_BYTES;
use tokenward_protocol::refusal::{Refusal, RefusalClass};

#[test]
fn a_person_is_sent_to_log_in_only_when_that_helps() {
    for refusal in Refusal::ALL {
        let login = refusal.class() == RefusalClass::LoginNeeded;
        let status = match refusal {
            Refusal::TokenTooLarge => 431,
            Refusal::Unmatched => 404,
            Refusal::UnreadableRequest => 400,
            _ if login => 401,
            _ => 503,
        };
        assert_eq!(refusal.client_status(), status, "{refusal:?}");
        assert_eq!(refusal.client_error() == "invalid_token", login, "{refusal:?}");
        assert_eq!(
            refusal.description().contains("log in again"),
            login
                && refusal.control_error() == "invalid_grant"
                && !matches!(
                    refusal,
                    // A proper token helps here, and a new login only if it brings one.
                    Refusal::WrongIssuer
                        | Refusal::WrongAudience
                        | Refusal::TokenExpired
                        | Refusal::WrongTokenType
                ),
            "{refusal:?}"
        );
    }
}

#[test]
fn codes_and_names_lead_back_and_never_change_their_place() {
    let names: BTreeSet<_> = Refusal::ALL.iter().map(|refusal| refusal.name()).collect();
    assert_eq!(names.len(), Refusal::ALL.len());
    for (position, refusal) in Refusal::ALL.iter().enumerate() {
        assert_eq!(usize::from(refusal.code()), position);
        assert_eq!(Refusal::from_code(refusal.code()), Some(*refusal));
        assert_eq!(Refusal::from_name(refusal.name()), Some(*refusal));
        assert_eq!(serde_json::to_value(refusal).unwrap(), refusal.name());
    }
    assert_eq!(Refusal::from_code(200), None);
    // The shared-data format of running gateways: new refusals go to the end.
    assert_eq!(Refusal::NeedsLogin.code(), 5);
    assert_eq!(Refusal::FilterMisconfigured.code(), 23);
    assert_eq!(Refusal::TokenTooLarge.code(), 25);
    assert_eq!(Refusal::TokenExpired.code(), 27);
    assert_eq!(Refusal::UnreadableRequest.code(), 31);
}

#[test]
fn a_token_that_is_too_large_is_refused_with_the_size_that_is_read() {
    let says = Refusal::TokenTooLarge.description();
    assert!(says.contains(&MAX_TOKEN_BYTES.to_string()), "{says}");
}

/// RFC 6749 §5.2 and RFC 6750 §3, also inside the quotes of a challenge.
#[test]
fn descriptions_have_the_characters_of_an_error_description() {
    for refusal in Refusal::ALL {
        let text = refusal.description();
        assert!(matches!(error_text(text), Cow::Borrowed(_)), "{text}");
        let codes = [refusal.name(), refusal.control_error(), refusal.client_error()];
        assert!(codes.iter().all(|code| code.chars().all(is_allowed)), "{codes:?}");
    }
    assert_eq!(error_text("a \"b\" \\ c\u{fc}\n"), "a 'b' / c??");
}

#[test]
fn controls_errors_are_oauths_own() {
    for refusal in Refusal::ALL {
        let expected = match refusal.control_error() {
            "invalid_request" | "invalid_grant" | "invalid_target" => 400,
            "invalid_client" => 401,
            "temporarily_unavailable" => 503,
            "server_error" => 500,
            other => panic!("{other} is no OAuth error"),
        };
        assert_eq!(refusal.control_status(), expected, "{refusal:?}");
        assert_eq!(
            refusal.class() == RefusalClass::Transient,
            refusal.control_status() == 503,
            "{refusal:?}"
        );
    }
}
