//! The token endpoint's form: the same requests as a plain reader of forms finds, and no value in what is said of others.

use secrecy::ExposeSecret;
use tokenward_protocol::token_endpoint::{
    GRANT_TYPE_TOKEN_EXCHANGE, LONGEST_SESSION_BYTES, Reason, TOKEN_TYPE_ID_TOKEN, TokenRequest,
};

/// In the values of the seeds. No fault may show it.
const SECRET: &str = "s3cret";

/// What a request says.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    subject_token: String,
    server: String,
    session: Option<String>,
    reason: &'static str,
}

impl Said {
    fn of(request: &TokenRequest) -> Self {
        Self {
            subject_token: request.subject_token.expose_secret().to_owned(),
            server: request.server.clone(),
            session: request
                .session
                .as_ref()
                .map(|session| session.expose_secret().to_owned()),
            reason: request.reason.name(),
        }
    }
}

/// Reads a form.
pub fn token_form(data: &[u8]) {
    let read = TokenRequest::from_form(data);
    match &read {
        Ok(request) => {
            let said = Said::of(request);
            assert_eq!(plainly(data).as_ref(), Some(&said));
            let shown = format!("{request:?}");
            assert!(!said.subject_token.contains(SECRET) || hides(&shown, &said.server));
            let again = TokenRequest::from_form(request.to_form().as_bytes());
            assert_eq!(again.as_ref().map(Said::of).ok(), Some(said));
        }
        Err(error) => {
            assert_eq!(plainly(data), None, "refused: {error}");
            assert!(!format!("{error} {error:?}").contains(SECRET));
        }
    }
}

/// The server's name is no secret and may be shown.
fn hides(shown: &str, server: &str) -> bool {
    server.contains(SECRET) || !shown.contains(SECRET)
}

/// The same, said a second time: split, decode, look each parameter up.
fn plainly(form: &[u8]) -> Option<Said> {
    let mut pairs = Vec::new();
    for part in form.split(|byte| *byte == b'&').filter(|part| !part.is_empty()) {
        let mut halves = part.splitn(2, |byte| *byte == b'=');
        let name = decoded(halves.next().unwrap_or_default())?;
        pairs.push((name, decoded(halves.next().unwrap_or_default())?));
    }
    // Once, or not at all.
    let value = |name: &str| -> Option<Option<String>> {
        let mut found = pairs.iter().filter(|(parameter, _)| parameter == name);
        let first = found.next().map(|(_, value)| value.clone());
        found.next().is_none().then_some(first)
    };
    let is = |name: &str, expected: &str| Some(value(name)?.as_deref() == Some(expected));
    let asks = is("grant_type", GRANT_TYPE_TOKEN_EXCHANGE)? && is("subject_token_type", TOKEN_TYPE_ID_TOKEN)?;
    let wants = value("requested_token_type")?.is_none_or(|wanted| wanted == TOKEN_TYPE_ID_TOKEN);
    let session = value("session")?;
    let session_fits = session
        .as_ref()
        .is_none_or(|session| (1..=LONGEST_SESSION_BYTES).contains(&session.len()));
    let reason = match value("reason")?.as_deref() {
        None | Some("" | "stale") => Reason::Stale,
        Some("near_expiry") => Reason::NearExpiry,
        Some("rejected") => Reason::Rejected,
        Some(_) => return None,
    };
    let said = Said {
        subject_token: value("subject_token")??,
        server: value("audience")??,
        session,
        reason: reason.name(),
    };
    let filled = !said.subject_token.is_empty() && !said.server.is_empty();
    (asks && wants && session_fits && filled).then_some(said)
}

/// `+` is a blank, `%XX` a byte, everything else itself; `None` where that is not UTF-8, or holds the character that
/// stands for what is not.
fn decoded(text: &[u8]) -> Option<String> {
    let (mut bytes, mut at) = (Vec::new(), 0);
    while let Some(byte) = text.get(at) {
        let escaped = text
            .get(at + 1..at + 3)
            .filter(|_| *byte == b'%')
            .and_then(|digits| {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()
            });
        at += if escaped.is_some() { 3 } else { 1 };
        bytes.push(escaped.unwrap_or(if *byte == b'+' { b' ' } else { *byte }));
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\u{FFFD}'))
}
