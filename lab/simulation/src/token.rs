//! Tokens as the filter reads them: JWTs with the claims that decide and no signature. What stands in a signature's place
//! states what the token is, so that servers and control of the simulation need not parse it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::random::mix_two;

/// `iss` of users' own tokens.
pub(crate) const HOME_ISSUER: &str = "https://h";
/// `iss` of exchanged tokens.
pub(crate) const REMOTE_ISSUER: &str = "https://r";
/// `iss` of access tokens of control's own authorization server.
pub(crate) const OWN_ISSUER: &str = "https://o";
/// The audience that servers of the home issuer require.
pub(crate) const HOME_AUDIENCE: &str = "m";

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A user's ID token.
    Home,
    /// A token of a remote issuer for one server.
    Exchanged,
    /// An access token of control's own authorization server for one server.
    Own,
}

/// Everything that a token of the simulation states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) kind: Kind,
    /// The user, and the session: each user has one.
    pub(crate) user: u32,
    /// Which one of this user it is: issued tokens are counted.
    pub(crate) number: u32,
    /// `exp`, Unix seconds.
    pub(crate) exp_seconds: u32,
    /// The signing key, counted from 0.
    pub(crate) key: u8,
    /// The server that it is for; 0 for a user's own.
    pub(crate) server: u16,
}

/// Digits of a stamp: kind, key, server, user, number, `exp`, and eight that make the end differ from others.
const DIGITS: usize = 1 + 2 + 3 + 8 + 6 + 8 + 8;

impl Stamp {
    /// The token. `life_seconds` is the life that it had when it was issued.
    pub(crate) fn text(&self, life_seconds: u32) -> String {
        let (user, exp) = (self.user, self.exp_seconds);
        let issued = exp.saturating_sub(life_seconds);
        let payload = match self.kind {
            Kind::Home => {
                format!(
                    r#"{{"iss":"{HOME_ISSUER}","sub":"u{user}","aud":"{HOME_AUDIENCE}","exp":{exp},"iat":{issued}}}"#
                )
            }
            Kind::Exchanged => {
                let server = self.server;
                format!(
                    r#"{{"iss":"{REMOTE_ISSUER}","sub":"x{user}","aud":"r{server}","exp":{exp},"iat":{issued}}}"#
                )
            }
            Kind::Own => {
                let resource = resource_of(self.server);
                format!(
                    r#"{{"iss":"{OWN_ISSUER}","sub":"u{user}","aud":"{resource}","exp":{exp},"iat":{issued},"sid":"{}"}}"#,
                    session_of(user)
                )
            }
        };
        let head = match self.key {
            0 => r#"{"alg":"RS256","kid":"k0"}"#,
            1 => r#"{"alg":"RS256","kid":"k1"}"#,
            _ => r#"{"alg":"RS256","kid":"k2"}"#,
        };
        let mut text = String::with_capacity(240);
        URL_SAFE_NO_PAD.encode_string(head, &mut text);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut text);
        text.push('.');
        text.push_str(&self.digits());
        text
    }

    fn digits(&self) -> String {
        let Self {
            kind,
            user,
            number,
            exp_seconds,
            key,
            server,
        } = *self;
        let kind = kind as u8;
        let one = (u64::from(user) << 32) | u64::from(number);
        let other = (u64::from(exp_seconds) << 32) | (u64::from(server) << 8) | u64::from(kind);
        let end = mix_two(one, other) as u32;
        format!("{kind:x}{key:02x}{server:03x}{user:08x}{number:06x}{exp_seconds:08x}{end:08x}")
    }

    /// What a token, or a header that ends with one, states; `None` for a text that is none of the simulation's.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let digits = text.get(text.len().checked_sub(DIGITS)?..)?;
        let part = |from: usize, to: usize| u32::from_str_radix(digits.get(from..to)?, 16).ok();
        Some(Self {
            kind: match part(0, 1)? {
                0 => Kind::Home,
                1 => Kind::Exchanged,
                _ => Kind::Own,
            },
            key: part(1, 3)? as u8,
            server: part(3, 6)? as u16,
            user: part(6, 14)?,
            number: part(14, 20)?,
            exp_seconds: part(20, 28)?,
        })
    }
}

/// The session handle of a user.
pub(crate) fn session_of(user: u32) -> String {
    format!("s{user}")
}

/// The resource of a server (RFC 8707).
pub(crate) fn resource_of(server: u16) -> String {
    format!("https://g/s{server}/mcp")
}
