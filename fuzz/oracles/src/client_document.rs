//! A client's metadata document: nothing is believed that another reader of URL or document finds otherwise.

use serde_json::{Map, Value};
use tokenward_control::authorization::client::metadata_document::document::read;
use tokenward_control::authorization::client::metadata_document::url::DocumentUrl;
use tokenward_control::authorization::client::{Client, MAX_NAME_CHARACTERS};
use url::{Host, Url};

/// The one accepted redirect URI with a private-use scheme.
const PRIVATE_USE: &str = "com.example.app:/callback";

/// Reads a line with a `client_id`, and a document below it.
pub fn client_document(data: &[u8]) {
    let mut halves = data.splitn(2, |byte| *byte == b'\n');
    let line = halves.next().unwrap_or_default();
    let body = halves.next().unwrap_or_default();
    let Ok(client_id) = std::str::from_utf8(line) else {
        return;
    };
    let Ok(url) = DocumentUrl::read(client_id, false) else {
        return;
    };
    let parsed = Url::parse(client_id).expect("an accepted URL is one");
    assert_eq!(
        (parsed.scheme(), parsed.port_or_known_default()),
        ("https", Some(443))
    );
    assert!(parsed.username().is_empty() && parsed.password().is_none() && parsed.fragment().is_none());
    assert!(parsed.path().len() > 1 && parsed.host_str() == Some(url.host()));
    assert_eq!(&parsed, url.url());
    if let Ok(client) = read(body, client_id, &url, &[PRIVATE_USE.to_owned()]) {
        believed(&client, &parsed, body);
    }
}

fn believed(client: &Client, url: &Url, body: &[u8]) {
    let document: Map<String, Value> =
        serde_json::from_slice(body).expect("a believed document is an object");
    assert_eq!(
        document.get("client_id").and_then(Value::as_str),
        Some(client.id.as_str())
    );
    assert!(!document.keys().any(|name| name.starts_with("client_secret")));
    assert!((1..=MAX_NAME_CHARACTERS).contains(&client.name.chars().count()));
    assert!(!client.name.chars().any(char::is_control));
    assert_eq!(client.consent_digest().len(), 64);
    let stated = document
        .get("redirect_uris")
        .and_then(Value::as_array)
        .expect("a list");
    assert!(!client.redirect_uris.is_empty());
    for uri in &client.redirect_uris {
        assert!(stated.iter().any(|stated| stated == uri), "{uri}");
        let found = client.redirect_uri(uri).expect("its own redirect URI");
        assert_eq!(found.as_str(), uri);
        leads_home(uri, url);
    }
}

/// A redirect leads to the user's machine, to the document's own origin, or to the configured program.
fn leads_home(uri: &str, document: &Url) {
    if uri == PRIVATE_USE {
        return;
    }
    let parsed = Url::parse(uri).expect("a redirect URI is a URL");
    assert!(parsed.username().is_empty() && parsed.password().is_none() && parsed.fragment().is_none());
    let is_loopback = match parsed.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    assert!(
        (parsed.scheme() == "http" && is_loopback) || parsed.origin() == document.origin(),
        "{uri}"
    );
}
