//! The token endpoint's form: the same requests as a plain reader of forms finds, and no value in the errors of others.

use secrecy::ExposeSecret;
use tokenward_protocol::form::MAX_PARAMETERS;
use tokenward_protocol::token_endpoint::{
    GRANT_TYPE_TOKEN_EXCHANGE, MAX_SESSION_BYTES, Reason, TOKEN_TYPE_ACCESS_TOKEN, TOKEN_TYPE_ID_TOKEN,
    TokenRequest,
};

/// In the values of the seeds. No fault may show it.
const SECRET: &str = "s3cret";

/// The content of a request.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    subject_token: String,
    subject_token_type: &'static str,
    server: String,
    session: Option<String>,
    reason: &'static str,
}

impl Content {
    fn of(request: &TokenRequest) -> Self {
        Self {
            subject_token: request.subject_token.expose_secret().to_owned(),
            subject_token_type: request.subject_token_type.name(),
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
            let content = Content::of(request);
            assert_eq!(plainly(data).as_ref(), Some(&content));
            let shown = format!("{request:?}");
            assert!(!content.subject_token.contains(SECRET) || hides(&shown, &content.server));
            let again = TokenRequest::from_form(request.to_form().as_bytes());
            assert_eq!(again.as_ref().map(Content::of).ok(), Some(content));
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

/// A second, plain implementation: split, decode, look each parameter up.
fn plainly(form: &[u8]) -> Option<Content> {
    let mut pairs = Vec::new();
    for part in form.split(|byte| *byte == b'&').filter(|part| !part.is_empty()) {
        let mut halves = part.splitn(2, |byte| *byte == b'=');
        let name = decoded(halves.next().unwrap_or_default())?;
        pairs.push((name, decoded(halves.next().unwrap_or_default())?));
    }
    if pairs.len() > MAX_PARAMETERS {
        return None;
    }
    let named = |name: &'static str| {
        let found = pairs.iter().filter(move |(parameter, _)| parameter == name);
        found.map(|(_, value)| value.clone())
    };
    // Once, or not at all.
    let raw = |name| -> Option<Option<String>> {
        let mut found = named(name);
        let first = found.next();
        found.next().is_none().then_some(first)
    };
    // Empty is not at all.
    let value = |name| Some(raw(name)?.filter(|value| !value.is_empty()));
    let is = |name, expected: &str| Some(value(name)?.as_deref() == Some(expected));
    let fits = is("grant_type", GRANT_TYPE_TOKEN_EXCHANGE)?;
    let subject_token_type = match value("subject_token_type")?.as_deref() {
        Some(TOKEN_TYPE_ID_TOKEN) => TOKEN_TYPE_ID_TOKEN,
        Some(TOKEN_TYPE_ACCESS_TOKEN) => TOKEN_TYPE_ACCESS_TOKEN,
        _ => return None,
    };
    let wants = value("requested_token_type")?.is_none_or(|wanted| wanted == TOKEN_TYPE_ID_TOKEN);
    let alone = value("actor_token")?.is_none() && value("actor_token_type")?.is_none();
    let scoped = value("scope")?.is_none_or(|scope| {
        let mut scopes = scope.split(' ');
        scopes.all(|scope| scope == "openid")
    });
    let no_resource = named("resource").all(|value| value.is_empty());
    let session = raw("session")?;
    let session_fits = session
        .as_ref()
        .is_none_or(|session| (1..=MAX_SESSION_BYTES).contains(&session.len()));
    let reason = match value("reason")?.as_deref() {
        None | Some("stale") => Reason::Stale,
        Some("near_expiry") => Reason::NearExpiry,
        Some("rejected") => Reason::Rejected,
        Some(_) => return None,
    };
    // All the same.
    let mut servers: Vec<String> = named("audience").filter(|value| !value.is_empty()).collect();
    servers.dedup();
    let [server] = servers.try_into().ok()?;
    let content = Content {
        subject_token: value("subject_token")??,
        subject_token_type,
        server,
        session,
        reason: reason.name(),
    };
    (fits && wants && alone && scoped && no_resource && session_fits).then_some(content)
}

/// `+` is a blank, `%XX` a byte, everything else itself; `None` where that is not UTF-8 or holds a control character.
fn decoded(text: &[u8]) -> Option<String> {
    let (mut bytes, mut at) = (Vec::new(), 0);
    while let Some(byte) = text.get(at) {
        if *byte == b'%' {
            let digits = text.get(at + 1..at + 3)?;
            let digit = |byte: u8| char::from(byte).to_digit(16);
            bytes.push(u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()?);
            at += 3;
        } else {
            bytes.push(if *byte == b'+' { b' ' } else { *byte });
            at += 1;
        }
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains(|character: char| character.is_ascii_control()))
}
