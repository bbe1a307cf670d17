//! A discovery document: it is the issuer's own, and names no endpoint to which a secret must not go.

use serde_json::Value;
use tokenward_control::upstream::issuer::discovery::{DiscoveryFailed, read_document};
use url::{Host, Url};

/// Reads a line with the issuer, and its document below it.
pub fn discovery(data: &[u8]) {
    let mut halves = data.splitn(2, |byte| *byte == b'\n');
    let Ok(issuer) = std::str::from_utf8(halves.next().unwrap_or_default()) else {
        return;
    };
    let body = halves.next().unwrap_or_default();
    match read_document(issuer, body) {
        Ok(endpoints) => {
            let body = body.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(body);
            let document: Value = serde_json::from_slice(body).expect("it was read as JSON");
            assert_eq!(document["issuer"], issuer);
            let at_home = Url::parse(issuer).is_ok_and(|url| is_here(&url));
            for (name, url) in [
                ("token_endpoint", Some(&endpoints.token_endpoint)),
                ("jwks_uri", Some(&endpoints.jwks_uri)),
                (
                    "introspection_endpoint",
                    endpoints.introspection_endpoint.as_ref(),
                ),
            ] {
                let Some(url) = url else { continue };
                is_endpoint(url, at_home);
                let stated = document[name].as_str().and_then(|text| Url::parse(text).ok());
                assert_eq!(stated.as_ref(), Some(url), "{name} stays whole");
            }
        }
        Err(DiscoveryFailed::Unusable(why)) => {
            assert!(!why.contains(char::is_control), "{why:?}");
        }
        Err(other) => panic!("a document that was read is never {other}"),
    }
}

fn is_endpoint(url: &Url, at_home: bool) {
    assert!(
        url.scheme() == "https" || (url.scheme() == "http" && is_here(url)),
        "{url}"
    );
    assert!(at_home || !is_here(url), "{url}");
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
}

/// Whether a call would end at this machine.
fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.octets()[0] == 127 || address.octets() == [0; 4],
        Some(Host::Ipv6(address)) => match address.to_ipv4_mapped() {
            Some(mapped) => mapped.octets()[0] == 127 || mapped.octets() == [0; 4],
            None => address.segments()[..7] == [0; 7] && address.segments()[7] < 2,
        },
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        None => false,
    }
}
