//! The console's cookies. At an https address they have the prefix `__Host-`; over http on the loopback, where browsers refuse
//! that prefix, they have none.

use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::{COOKIE, HeaderMap};
use secrecy::{ExposeSecret, SecretString};

use crate::config::ConsoleConfig;
use crate::digest;

fn name(config: &ConsoleConfig, name: &str) -> String {
    let prefix = if is_https(config) { "__Host-" } else { "" };
    format!("{prefix}tokenward-console{name}")
}

fn is_https(config: &ConsoleConfig) -> bool {
    config.public_url.scheme() == "https"
}

/// The cookie of a login.
pub(super) fn session_name(config: &ConsoleConfig) -> String {
    name(config, "")
}

/// The cookie of a login that is under way: one for each, so that two tabs do not disturb each other.
pub(super) fn attempt_name(config: &ConsoleConfig, state: &SecretString) -> String {
    let digest = digest::hex_of_parts(&["console login", state.expose_secret()]);
    name(config, &format!("-login-{}", digest::short(&digest)))
}

/// The value that the browser sent; `None` if it sent none, or several.
pub(super) fn read<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    let mut values = pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(own, _)| *own == name)
        .map(|(_, value)| value);
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// The `Set-Cookie` of `name` with `value` for `lifetime`. `Lax`: the issuer's redirect brings it along.
pub(super) fn set(
    config: &ConsoleConfig,
    name: &str,
    value: &SecretString,
    lifetime: Duration,
) -> HeaderValue {
    let mut line = line(config, name, value.expose_secret(), lifetime.as_secs());
    line.set_sensitive(true);
    line
}

/// The `Set-Cookie` that removes `name`.
pub(super) fn remove(config: &ConsoleConfig, name: &str) -> HeaderValue {
    line(config, name, "", 0)
}

fn line(config: &ConsoleConfig, name: &str, value: &str, max_age_seconds: u64) -> HeaderValue {
    let secure = if is_https(config) { "; Secure" } else { "" };
    let line = format!("{name}={value}; Path=/; Max-Age={max_age_seconds}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(line).unwrap_or_else(|_| HeaderValue::from_static("tokenward=; Max-Age=0"))
}
