//! A requested redirect URI: accepted only if a browser's parser finds the same place in it and in what was registered.

use tokenward_control::authorization::client::{Client, ClientAuthentication, ClientKind};
use tokenward_control::config::redirect_uri::RedirectUri;
use url::{Host, Url};

/// Reads a line with the requested URI, and a registered one on each line below it.
pub fn redirect_uri(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut lines = text.split('\n');
    let requested = lines.next().unwrap_or_default();
    let registered: Vec<String> = lines
        .filter(|uri| RedirectUri::read(uri, &[]).is_ok())
        .map(str::to_owned)
        .collect();
    let client = Client {
        id: "client".to_owned(),
        name: "A client".to_owned(),
        kind: ClientKind::Registered,
        redirect_uris: registered,
        authentication: ClientAuthentication::None,
    };
    for uri in &client.redirect_uris {
        assert!(
            client
                .redirect_uri(uri)
                .is_some_and(|found| found.as_str() == uri),
            "{uri}"
        );
    }
    let Some(found) = client.redirect_uri(requested) else {
        return;
    };
    assert_eq!(found.as_str(), requested);
    let parsed = Url::parse(requested).expect("an accepted redirect URI is a URL");
    assert_eq!(parsed.host_str(), Some(found.host_shown()));
    assert!(parsed.username().is_empty() && parsed.password().is_none() && parsed.fragment().is_none());
    let fits = |uri: &String| {
        let registered = Url::parse(uri).expect("a registered URI is a URL");
        registered == parsed || (is_loopback(&parsed) && without_port(&registered) == without_port(&parsed))
    };
    assert!(
        client.redirect_uris.iter().any(fits),
        "{requested} is none of {:?}",
        client.redirect_uris
    );
    assert!(parsed.scheme() == "https" || is_loopback(&parsed));
}

fn is_loopback(url: &Url) -> bool {
    let is_local = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    is_local && url.scheme() == "http"
}

fn without_port(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_port(None).expect("a URL with a host");
    url
}
