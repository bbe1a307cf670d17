//! The URL of a metadata document: compared as a string, so it has one spelling.

use tokenward_control::authorization::client::metadata_document::url::{BadDocumentUrl, DocumentUrl};
use tokenward_control::config::known_clients::{KNOWN_CLIENTS, known_hosts};

fn assert_refused(why: BadDocumentUrl, urls: &[&str]) {
    for url in urls {
        assert_eq!(DocumentUrl::read(url, false).expect_err(url), why, "{url}");
    }
}

#[test]
fn the_urls_of_known_clients_are_accepted() {
    for client in KNOWN_CLIENTS {
        let url = DocumentUrl::read(client.client_id, false).expect(client.client_id);
        assert_eq!(url.url().as_str(), client.client_id);
        assert!(
            known_hosts().iter().any(|host| host == url.host()),
            "{}",
            url.host()
        );
    }
    assert_eq!(known_hosts().len(), 5);
    let with_port = DocumentUrl::read("https://client.example:443/c?a=b", false).expect("accepted");
    assert_eq!(with_port.url().as_str(), "https://client.example/c?a=b");
}

#[test]
fn urls_with_a_second_reading_are_refused() {
    assert_refused(
        BadDocumentUrl::NotHttps,
        &[
            "",
            "http://client.example/c",
            "http://localhost/c",
            "HTTPS://client.example/c",
            "https:/client.example/c",
            "https:\\\\client.example\\c",
            "https://client.example\\@evil.example/c",
            "https://client.example/ c",
            "https://client.example/\u{e9}",
            "ftp://client.example/c",
            "file:///etc/passwd",
        ],
    );
    assert_refused(
        BadDocumentUrl::UserInfo,
        &[
            "https://claude.ai@evil.example/c",
            "https://a:b@client.example/c",
            "https://@client.example/c",
        ],
    );
    assert_refused(
        BadDocumentUrl::Fragment,
        &[
            "https://client.example/c#",
            "https://client.example/c#x",
            "https://evil.example#@claude.ai/c",
        ],
    );
    assert_refused(
        BadDocumentUrl::Host,
        &[
            "https://Client.example/c",
            "https://client.example./c",
            "https://127.1/c",
            "https://2130706433/c",
            "https://[::ffff:127.0.0.1]/c",
            "https://client.example:44:3/c",
            "https://client%2eexample/c",
            "https:///c",
        ],
    );
    assert_refused(
        BadDocumentUrl::Port,
        &[
            "https://client.example:8443/c",
            "https://client.example:80/c",
            "https://client.example:6443/c",
        ],
    );
    assert_refused(
        BadDocumentUrl::NoPath,
        &[
            "https://client.example",
            "https://client.example/",
            "https://client.example?x=/c",
        ],
    );
    assert_refused(
        BadDocumentUrl::DotSegment,
        &[
            "https://client.example/a/../c",
            "https://client.example/./c",
            "https://client.example/c/..",
            "https://client.example/%2e%2E/c",
            "https://client.example/.%2e/c",
        ],
    );
    assert_refused(BadDocumentUrl::NotNormal, &["https://client.example/c'd?'"]);
    let long = format!("https://client.example/{}", "a".repeat(2048));
    assert_refused(BadDocumentUrl::TooLong, &[&long]);
}

#[test]
fn http_and_other_ports_are_for_tests_on_one_machine_only() {
    for local in [
        "http://127.0.0.1:8080/c",
        "http://localhost:1/c",
        "http://a.localhost/c",
        "https://client.example:1/c",
    ] {
        assert!(DocumentUrl::read(local, true).is_ok(), "{local}");
        assert!(DocumentUrl::read(local, false).is_err(), "{local}");
    }
    assert_eq!(
        DocumentUrl::read("http://client.example/c", true).expect_err("not this machine"),
        BadDocumentUrl::NotHttps
    );
}
