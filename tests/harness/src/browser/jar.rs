//! Cookies of a scripted browser (RFC 6265), by origin: here every program has the same host and a port of its own.

use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::SET_COOKIE;
use url::Url;

#[derive(Debug, Clone)]
struct Cookie {
    origin: String,
    path: String,
    name: String,
    value: String,
    ends: Option<Instant>,
}

/// All cookies of one browser. `Secure` is not looked at: on 127.0.0.1 there is no TLS.
#[derive(Debug, Clone, Default)]
pub(super) struct Jar {
    cookies: Vec<Cookie>,
}

impl Jar {
    /// The header `cookie` for a request to `url`; `None` without cookies.
    pub(super) fn header(&self, url: &Url) -> Option<String> {
        let (origin, path, now) = (origin(url), url.path(), Instant::now());
        let fitting = self.cookies.iter().filter(|cookie| {
            cookie.origin == origin && covers(&cookie.path, path) && cookie.ends.is_none_or(|ends| ends > now)
        });
        let pairs: Vec<_> = fitting
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// Takes what an answer from `url` sets or deletes.
    pub(super) fn take(&mut self, url: &Url, headers: &HeaderMap) {
        let lines = headers.get_all(SET_COOKIE).iter();
        for line in lines.filter_map(|value| value.to_str().ok()) {
            self.set(origin(url), line);
        }
    }

    /// How many an origin has.
    pub(super) fn count(&self, url: &Url) -> usize {
        let origin = origin(url);
        self.cookies
            .iter()
            .filter(|cookie| cookie.origin == origin)
            .count()
    }

    fn set(&mut self, origin: String, line: &str) {
        let mut parts = line.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        let mut cookie = Cookie {
            origin,
            path: "/".to_owned(),
            name: name.to_owned(),
            value: value.to_owned(),
            ends: None,
        };
        let mut is_deleted = false;
        for (attribute, value) in parts.filter_map(|part| part.split_once('=')) {
            match attribute.to_ascii_lowercase().as_str() {
                "path" if value.starts_with('/') => value.clone_into(&mut cookie.path),
                "max-age" => match value.parse::<u64>() {
                    Ok(0) | Err(_) => is_deleted = true,
                    // A library that overflows the end never sees it either.
                    Ok(seconds) => cookie.ends = Instant::now().checked_add(Duration::from_secs(seconds)),
                },
                // Programs that delete a cookie name the beginning of time.
                "expires" if value.contains(" 1970 ") || value.contains("-1970 ") => is_deleted = true,
                _ => {}
            }
        }
        self.cookies.retain(|other| {
            (&other.origin, &other.path, &other.name) != (&cookie.origin, &cookie.path, &cookie.name)
        });
        if !is_deleted {
            self.cookies.push(cookie);
        }
    }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// RFC 6265 §5.1.4.
fn covers(cookie_path: &str, path: &str) -> bool {
    path.strip_prefix(cookie_path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || cookie_path.ends_with('/'))
}
