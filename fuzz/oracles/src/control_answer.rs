//! Control's answer: a token comes out only of a marked 200 that has one, everything else is a refusal.

use serde_json::Value;
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{
    ControlAnswer, TOKEN_TYPE_ACCESS_TOKEN, TOKEN_TYPE_ID_TOKEN, read_answer,
};

use crate::json::agrees;

/// One answer: a line `STATUS marked|unmarked [RETRY-AFTER]`, then the body.
struct Answer<'a> {
    status: u16,
    marked: bool,
    retry_after: Option<&'a [u8]>,
    body: &'a [u8],
}

impl<'a> Answer<'a> {
    fn read(data: &'a [u8]) -> Self {
        let mut halves = data.splitn(2, |byte| *byte == b'\n');
        let (head, body) = (
            halves.next().unwrap_or_default(),
            halves.next().unwrap_or_default(),
        );
        let mut words = head.splitn(3, |byte| *byte == b' ');
        let status = words
            .next()
            .unwrap_or_default()
            .iter()
            .filter(|byte| byte.is_ascii_digit())
            .fold(0u16, |status, digit| {
                status
                    .wrapping_mul(10)
                    .wrapping_add(u16::from(digit.wrapping_sub(b'0')))
            });
        Self {
            status,
            marked: words.next() == Some(b"marked"),
            retry_after: words.next(),
            body,
        }
    }
}

/// Reads an answer of control.
pub fn control_answer(data: &[u8]) {
    let answer = Answer::read(data);
    let response = read_answer(answer.status, answer.marked, answer.retry_after, answer.body);
    match &response {
        ControlAnswer::Token(token) => {
            assert!(
                answer.marked && answer.status == 200,
                "a token out of {response:?}"
            );
            assert!(
                [TOKEN_TYPE_ID_TOKEN, TOKEN_TYPE_ACCESS_TOKEN].contains(&token.issued_token_type.as_str())
            );
            // Whatever the token is, reading it must be safe.
            let _ = Claims::read(token.access_token.as_bytes());
            assert!(
                !token.access_token.contains('.') || !format!("{response:?}").contains(&token.access_token)
            );
        }
        ControlAnswer::Refused {
            refusal,
            retry_after_seconds,
        } => {
            assert_eq!(*retry_after_seconds, answer.retry_after.and_then(delay_seconds));
            if !answer.marked {
                assert!(matches!(
                    refusal,
                    Refusal::ControlUnreachable | Refusal::ControlLate | Refusal::ControlGarbled
                ));
            }
        }
    }
    if answer.marked && agrees(answer.body) {
        let expected = serde_json::from_slice(answer.body).map_err(|_| Refusal::ControlGarbled);
        let expected = expected.and_then(|body| expected_token(answer.status, &body));
        let read = match &response {
            ControlAnswer::Token(token) => Ok((token.access_token.clone(), token.expires_at)),
            ControlAnswer::Refused { refusal, .. } => Err(*refusal),
        };
        // A repeated member is refused by the product and overwritten by serde_json.
        if read != Err(Refusal::ControlGarbled) {
            assert_eq!(read, expected);
        } else if let Ok((token, _)) = &expected {
            assert!(repeats_a_member(answer.body), "{token:?} was refused");
        }
    }
}

/// `Retry-After` as RFC 9110 §10.2.3 writes seconds: digits only.
fn delay_seconds(value: &[u8]) -> Option<u32> {
    let digits = value.trim_ascii();
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    plain.then_some(())?;
    digits.iter().try_fold(0u32, |seconds, digit| {
        seconds.checked_mul(10)?.checked_add(u32::from(digit - b'0'))
    })
}

fn expected_token(status: u16, body: &Value) -> Result<(String, u64), Refusal> {
    let text = |name| body.get(name).and_then(Value::as_str);
    if status != 200 {
        let named = Refusal::ALL
            .iter()
            .find(|refusal| Some(refusal.name()) == text("refusal"));
        return Err(named.copied().unwrap_or(Refusal::ControlGarbled));
    }
    let expires_at = body.get("expires_at").and_then(Value::as_u64);
    match (text("access_token"), text("issued_token_type"), expires_at) {
        (Some(token), Some(TOKEN_TYPE_ID_TOKEN | TOKEN_TYPE_ACCESS_TOKEN), Some(expires_at)) => {
            Ok((token.to_owned(), expires_at))
        }
        _ => Err(Refusal::ControlGarbled),
    }
}

fn repeats_a_member(body: &[u8]) -> bool {
    use tokenward_protocol::json::{Json, parse};
    let Ok(Json::Object(members)) = parse(body) else {
        return false;
    };
    let names: std::collections::BTreeSet<_> = members.iter().map(|(name, _)| name).collect();
    names.len() < members.len()
}
