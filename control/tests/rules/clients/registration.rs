//! Registration: the `client_id` is the registration, sealed.

use secrecy::SecretString;
use tokenward_control::authorization::client::registration::{
    BadRegistration, MAX_CLIENT_ID_BYTES, NotRegistered, PREFIX, Registration, RegistrationFailed, open,
};
use tokenward_control::authorization::client::{ClientAuthentication, ClientKind};
use tokenward_control::config::redirect_uri::BadRedirectUri;
use tokenward_control::record::keyring::{KeyRing, SealingKey};

use super::{CURSOR, DAY, config};

const ISSUER: &str = "https://mcp.example.com";
const NOW_MS: u64 = 1_800_000_000_000;

fn key(id: &str) -> SealingKey {
    let text = format!("{id:A<43}=");
    SealingKey::from_base64(id, &SecretString::from(text)).expect("a key")
}

fn ring(current: &str, previous: &[&str]) -> KeyRing {
    KeyRing::new(key(current), previous.iter().map(|id| key(id)).collect()).expect("a ring")
}

fn read(body: &str) -> Result<Registration, BadRegistration> {
    Registration::read(body.as_bytes(), &[CURSOR.to_owned()])
}

fn client_id(ring: &KeyRing) -> String {
    let registration =
        read(r#"{"redirect_uris":["http://localhost/cb"],"client_name":"Inspector"}"#).expect("accepted");
    registration.seal(ring, ISSUER, NOW_MS).expect("sealed").client_id
}

#[test]
fn a_registration_opens_on_every_replica_with_the_same_keys_and_after_their_rotation() {
    let id = client_id(&ring("k1", &[]));
    assert!(id.starts_with(PREFIX));
    for ring in [ring("k1", &[]), ring("k2", &["k1"])] {
        let client = open(&id, &ring, ISSUER, &config(), NOW_MS).expect("opens");
        assert_eq!(
            (client.id.as_str(), client.name.as_str()),
            (id.as_str(), "Inspector")
        );
        assert_eq!(client.kind, ClientKind::Registered);
        assert_eq!(client.authentication, ClientAuthentication::None);
        assert_eq!(client.redirect_uris, ["http://localhost/cb"]);
        assert_eq!(client.host_shown(), None);
    }
    let gone = open(&id, &ring("k2", &[]), ISSUER, &config(), NOW_MS);
    assert_eq!(gone.expect_err("its key is gone"), NotRegistered::NotOurs);
}

#[test]
fn a_changed_or_foreign_client_id_is_refused() {
    let ring = ring("k1", &[]);
    let id = client_id(&ring);
    let config = config();
    for at in PREFIX.len()..id.len() {
        let mut bytes = id.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).expect("ASCII");
        let refused = open(&changed, &ring, ISSUER, &config, NOW_MS).expect_err("changed");
        assert_eq!(refused, NotRegistered::NotOurs, "at {at}");
    }
    let encoded = &id[PREFIX.len()..];
    for foreign in [
        "",
        PREFIX,
        "twc1.!!",
        encoded,
        &format!("{id}="),
        &format!("{id}A"),
        &"A".repeat(5000),
    ] {
        let refused = open(foreign, &ring, ISSUER, &config, NOW_MS).expect_err(foreign);
        assert_eq!(refused, NotRegistered::NotOurs, "{foreign}");
    }
    let elsewhere = open(&id, &ring, "https://other.example.com", &config, NOW_MS);
    assert_eq!(elsewhere.expect_err("another issuer"), NotRegistered::NotOurs);
}

#[test]
fn a_registration_ends_by_age_by_cut_off_and_when_registration_is_off() {
    let ring = ring("k1", &[]);
    let id = client_id(&ring);
    let at = |config, now_ms| open(&id, &ring, ISSUER, &config, now_ms).map(|client| client.name);
    let last_ms = NOW_MS + 90 * 24 * 3_600_000;
    assert_eq!(at(config(), last_ms), Ok("Inspector".to_owned()));
    assert_eq!(at(config(), last_ms + 1), Err(NotRegistered::Ended));
    // A replica whose clock is behind.
    assert_eq!(at(config(), NOW_MS - 90_000), Ok("Inspector".to_owned()));

    let mut cut_off = config();
    cut_off.registration.not_before_seconds = NOW_MS / 1000;
    assert_eq!(at(cut_off.clone(), NOW_MS), Ok("Inspector".to_owned()));
    cut_off.registration.not_before_seconds += 1;
    assert_eq!(at(cut_off, NOW_MS), Err(NotRegistered::Ended));

    let mut off = config();
    off.registration.enabled = false;
    assert_eq!(at(off, NOW_MS), Err(NotRegistered::Off));

    let mut short = config();
    short.registration.lifetime = DAY;
    assert_eq!(at(short, NOW_MS + 24 * 3_600_000 + 1), Err(NotRegistered::Ended));
}

#[test]
fn cursors_three_redirect_uris_are_reduced_to_those_that_are_accepted() {
    let body = format!(
        r#"{{"redirect_uris":["{CURSOR}","https://www.cursor.com/agents/mcp/oauth/callback","http://localhost:8787/callback"]}}"#
    );
    let all = read(&body).expect("accepted");
    assert_eq!(all.redirect_uris.len(), 3);
    let without = Registration::read(body.as_bytes(), &[]).expect("accepted");
    assert_eq!(
        without.redirect_uris,
        [
            "https://www.cursor.com/agents/mcp/oauth/callback",
            "http://localhost:8787/callback"
        ]
    );
    let ring = ring("k1", &[]);
    let id = all.seal(&ring, ISSUER, NOW_MS).expect("sealed").client_id;
    let mut without_private_use = config();
    without_private_use.private_use_redirects.clear();
    let client = open(&id, &ring, ISSUER, &without_private_use, NOW_MS).expect("opens");
    assert_eq!(client.redirect_uris, without.redirect_uris);
    assert_eq!(client.name, "Unnamed client");

    let only_private = format!(r#"{{"redirect_uris":["{CURSOR}"]}}"#);
    let id = read(&only_private)
        .expect("accepted")
        .seal(&ring, ISSUER, NOW_MS)
        .expect("sealed")
        .client_id;
    let refused = open(&id, &ring, ISSUER, &without_private_use, NOW_MS);
    assert_eq!(refused.expect_err("none left"), NotRegistered::Redirects);
}

#[test]
fn what_does_not_matter_is_ignored_and_a_secret_is_not_needed() {
    let registration = read(
        r#"{"redirect_uris":["http://127.0.0.1/","http://127.0.0.1/"],"client_name":null,"resource":"https://x","application_type":"native",
            "token_endpoint_auth_method":"client_secret_basic","client_secret":"s","grant_types":["authorization_code","refresh_token","urn:ietf:params:oauth:grant-type:device_code"],
            "response_types":["code"],"jwks_uri":"https://x","scope":"mcp","logo_uri":"https://x"}"#,
    )
    .expect("accepted");
    assert_eq!(registration.redirect_uris, ["http://127.0.0.1/"]);
    assert_eq!(registration.name, "");
}

#[test]
fn a_registration_that_no_login_can_use_is_refused() {
    let many = (0..11)
        .map(|i| format!("\"http://localhost/{i}\""))
        .collect::<Vec<_>>()
        .join(",");
    let long = "n".repeat(257);
    for (body, why) in [
        ("[]", BadRegistration::NotAnObject),
        ("{", BadRegistration::NotAnObject),
        (
            r#"{"redirect_uris":["http://localhost/"],"redirect_uris":["https://evil.example/"]}"#,
            BadRegistration::NotAnObject,
        ),
        ("{}", BadRegistration::RedirectUris),
        (r#"{"redirect_uris":[]}"#, BadRegistration::RedirectUris),
        (
            r#"{"redirect_uris":"http://localhost/"}"#,
            BadRegistration::RedirectUris,
        ),
        (r#"{"redirect_uris":[1]}"#, BadRegistration::RedirectUris),
        (
            &format!("{{\"redirect_uris\":[{many}]}}"),
            BadRegistration::RedirectUris,
        ),
        (
            r#"{"redirect_uris":["http://evil.example/","com.example:/cb"]}"#,
            BadRegistration::NoRedirectUri(BadRedirectUri::PlainHttp),
        ),
        (
            r#"{"redirect_uris":["http://localhost/"],"grant_types":["client_credentials"]}"#,
            BadRegistration::Grants,
        ),
        (
            r#"{"redirect_uris":["http://localhost/"],"response_types":["token"]}"#,
            BadRegistration::Grants,
        ),
        (
            &format!("{{\"redirect_uris\":[\"http://localhost/\"],\"client_name\":\"{long}\"}}"),
            BadRegistration::Name,
        ),
        (
            r#"{"redirect_uris":["http://localhost/"],"client_name":7}"#,
            BadRegistration::Name,
        ),
    ] {
        let refused = read(body).expect_err(body);
        assert_eq!(refused, why, "{body}");
    }
}

#[test]
fn a_client_id_stays_short_enough_for_a_url() {
    let ring = ring("k1", &[]);
    let seal = |bytes: usize| {
        let body = format!(
            "{{\"redirect_uris\":[\"https://a.example/{}\"]}}",
            "a".repeat(bytes)
        );
        read(&body).expect("accepted").seal(&ring, ISSUER, NOW_MS)
    };
    let longest = seal(1300).expect("fits");
    assert!(longest.client_id.len() <= MAX_CLIENT_ID_BYTES);
    let refused = seal(1600).expect_err("too long");
    assert!(matches!(
        refused,
        RegistrationFailed::Bad(BadRegistration::TooLong)
    ));
}

#[test]
fn a_hostile_name_is_shown_without_what_changes_the_text_around_it() {
    let body = "{\"redirect_uris\":[\"http://localhost/\"],\"client_name\":\"  Cl\\u0000au\\u202ede\\u200b\\n\\tCode\\u2066 \"}";
    assert_eq!(read(body).expect("accepted").name, "Claude Code");
}
