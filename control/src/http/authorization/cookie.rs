//! Cookies of the pages. At an https issuer they have the prefix `__Host-`: no other host, and no page over http, can set
//! them. Browsers refuse that prefix over http, so an issuer on the loopback has them without.

use std::fmt::Write as _;
use std::time::Duration;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

use crate::authorization::browser::BrowserSecret;
use crate::authorization::upstream_leg::LoginState;

/// A cookie of ours.
#[derive(Debug, Clone, Copy)]
pub(super) enum CookieName<'a> {
    /// The other half of the consent page's form.
    Consent,
    /// The browser in which a login is under way.
    Login(&'a LoginState),
    /// Remembered consents.
    Remembered,
}

/// The cookies of one authorization server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cookies {
    is_https: bool,
}

impl Cookies {
    /// Of the authorization server with this issuer.
    pub(super) fn of(issuer: &str) -> Self {
        Self {
            is_https: issuer.starts_with("https://"),
        }
    }

    fn name(self, name: CookieName<'_>) -> String {
        let prefix = if self.is_https { "__Host-" } else { "" };
        match name {
            CookieName::Consent => format!("{prefix}tokenward-consent"),
            CookieName::Login(state) => format!("{prefix}tokenward-login-{}", state.cookie_suffix()),
            CookieName::Remembered => format!("{prefix}tokenward-remembered"),
        }
    }

    /// The value that the browser sent; `None` if it sent none, several different ones, or one that is not ours.
    pub(super) fn read(self, headers: &HeaderMap, name: CookieName<'_>) -> Option<BrowserSecret> {
        let name = self.name(name);
        let lines = headers.get_all(COOKIE).iter();
        let pairs = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'));
        let mut values = pairs
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(own, _)| *own == name)
            .map(|(_, value)| value);
        let first = values.next()?;
        values
            .all(|value| value == first)
            .then(|| BrowserSecret::read(first))?
    }

    /// The `Set-Cookie` of `name` with `secret`, for `lifetime`.
    pub(super) fn set(self, name: CookieName<'_>, secret: &BrowserSecret, lifetime: Duration) -> HeaderValue {
        let mut value = self.line(name, secret.expose(), lifetime.as_secs());
        value.set_sensitive(true);
        value
    }

    /// The `Set-Cookie` that removes `name`.
    pub(super) fn remove(self, name: CookieName<'_>) -> HeaderValue {
        self.line(name, "", 0)
    }

    /// Top-level navigations from other sites bring it along (`SameSite=Lax`): the issuer's redirect is one.
    fn line(self, name: CookieName<'_>, value: &str, max_age_seconds: u64) -> HeaderValue {
        let mut line = self.name(name);
        // Writing into a String cannot fail.
        let _ = write!(
            line,
            "={value}; Path=/; Max-Age={max_age_seconds}; HttpOnly; SameSite=Lax"
        );
        if self.is_https {
            line.push_str("; Secure");
        }
        HeaderValue::try_from(line).unwrap_or_else(|_| HeaderValue::from_static("tokenward=; Max-Age=0"))
    }
}
