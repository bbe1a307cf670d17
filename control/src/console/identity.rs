//! The names that an ID token gives its user, for a reader of the console. Nothing is verified here: the token was verified
//! before it was stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokenward_protocol::json::{self, Json};

/// The longest name that is kept, in characters; longer ones are cut.
const LONGEST: usize = 256;

/// A user, by the claims of OpenID Connect Core §5.1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserIdentity {
    /// `sub`.
    pub subject: String,
    /// `email`.
    pub email: Option<String>,
    /// `name`.
    pub name: Option<String>,
    /// `preferred_username`.
    pub username: Option<String>,
}

impl UserIdentity {
    /// Of the payload of `token`; `None` if it cannot be read or has no `sub`.
    #[must_use]
    pub fn read(token: &str) -> Option<Self> {
        with_payload(token, |payload| {
            let text = |name: &str| {
                let value = payload.member(name).ok().flatten()?.as_text()?;
                Some(value.chars().take(LONGEST).collect::<String>()).filter(|value| !value.is_empty())
            };
            Some(Self {
                // Whole: it is compared and signed out by.
                subject: payload.member("sub").ok().flatten()?.as_text()?.to_owned(),
                email: text("email"),
                name: text("name"),
                username: text("preferred_username"),
            })
        })
    }

    /// What a person calls the user: the e-mail address, else a name, else the subject.
    #[must_use]
    pub fn label(&self) -> &str {
        let names = [&self.email, &self.username, &self.name];
        names.into_iter().flatten().next().unwrap_or(&self.subject)
    }

    /// Every name, the subject first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let others = [&self.email, &self.username, &self.name];
        std::iter::once(self.subject.as_str()).chain(others.into_iter().flatten().map(String::as_str))
    }
}

/// What `read` makes of the payload of `token`.
pub(super) fn with_payload<T>(token: &str, read: impl FnOnce(&Json<'_>) -> Option<T>) -> Option<T> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    read(&json::parse(&payload).ok()?)
}
