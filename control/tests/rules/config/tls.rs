//! `tls`: each fault of a certificate, its key and the names has a place and a cure of its own.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use tokenward_control::config::{CertificateProblem, Config};

use super::{Folder, GOOD, parse};

const TLS: &str = "tls: {certificate: {file: DIR/tls.crt}, key: {file: DIR/tls.key}}";
/// The first of December 2026, Unix seconds.
const NOW_SECONDS: i64 = 1_796_083_200;

/// A certificate for `names`, changed by `change`, with its key.
fn pair(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut parameters = CertificateParams::new(names).expect("names");
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    change(&mut parameters);
    let key = KeyPair::generate().expect("a key");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

/// A folder with a pair for `control.example.com`.
fn folder() -> Folder {
    let folder = Folder::new();
    let (certificate, key) = pair(&["control.example.com", "10.0.0.1"], |_| {});
    folder.write("tls.crt", &certificate);
    folder.write("tls.key", &key);
    folder
}

fn with(tls: &str) -> String {
    GOOD.replace("margin: 30s", tls)
}

#[test]
fn a_certificate_and_its_key_are_read_and_plain_http_needs_neither() {
    let folder = folder();
    let config = parse(&folder, &with(TLS)).expect("good");
    let tls = config.tls.expect("TLS");
    assert_eq!(
        tls.identity.certificate().names,
        ["control.example.com", "10.0.0.1"]
    );
    assert!(!tls.identity.wants_client_certificate());
    assert!(!format!("{tls:?}").contains("PRIVATE"));
    assert!(parse(&folder, GOOD).expect("good").tls.is_none());
}

#[test]
fn every_fault_of_the_files_has_its_place_and_its_cure() {
    let (_, other_key) = pair(&["control.example.com"], |_| {});
    let (_, good_key) = pair(&["control.example.com"], |_| {});
    let encrypted = good_key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let rows = [
        (
            "tls.crt",
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "cannot be read: it is not X.509",
        ),
        ("tls.crt", Some("text"), "contains no certificate in PEM"),
        ("tls.crt", None, "tls.crt cannot be read"),
        ("tls.key", Some("text"), "contains no private key in PEM"),
        ("tls.key", Some(&encrypted), "not encrypted"),
        (
            "tls.key",
            Some(&other_key),
            "the private key does not belong to the certificate",
        ),
        ("tls.key", None, "make the file readable"),
    ];
    for (file, content, what) in rows {
        let folder = folder();
        let mut yaml = with(TLS);
        match content {
            Some(content) => folder.write(file, content),
            None => yaml = yaml.replace(file, &format!("absent-{file}")),
        }
        let problems = parse(&folder, &yaml.replace("tls.crt}, key:", "tls.crt},\n  key:")).expect_err(what);
        let [problem] = problems.as_slice() else {
            panic!("{file}, {what}: {problems:?}");
        };
        assert!(problem.to_string().contains(what), "{what}: {problem}");
        assert_ne!(problem.hint, "", "{what}: {problem}");
        assert_eq!(
            problem.line,
            if file == "tls.crt" { 5 } else { 6 },
            "{what}: {problem}"
        );
        assert!(!problem.to_string().contains("AAAA"), "{problem}");
    }
}

#[test]
fn client_names_need_a_client_authority_and_a_client_authority_certificates() {
    let authority = {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        CertifiedIssuer::self_signed(parameters, key)
            .expect("an authority")
            .pem()
    };
    let folder = folder();
    folder.write("ca.crt", &authority);
    let more = |more: &str| with(&TLS.replace("tls.key}}", &format!("tls.key}}, {more}}}")));
    let config = parse(
        &folder,
        &more("client_ca: {file: DIR/ca.crt}, client_names: [envoy]"),
    )
    .expect("good");
    let tls = config.tls.expect("TLS");
    assert!(tls.identity.wants_client_certificate());
    assert_eq!(tls.client_names, ["envoy"]);
    assert_eq!(tls.files.all().len(), 3);
    for (fault, what) in [
        ("client_names: [envoy]", "client_names is set without client_ca"),
        (
            "client_ca: {file: DIR/tls.key}",
            "the client authority contains no certificate in PEM",
        ),
        (
            "client_ca: {file: DIR/ca.crt}, client_names: [\"a b\"]",
            "cannot be in a certificate",
        ),
        ("names: [\"\"]", "cannot be in a certificate"),
        (
            "client_certificate: {file: DIR/ca.crt}",
            "client_certificate is not known in tls",
        ),
        ("client_ca: {env: CA}", "tls.client_ca has no file"),
    ] {
        let problems = parse(&folder, &more(fault)).expect_err(fault);
        let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(text.iter().any(|text| text.contains(what)), "{fault}: {text:?}");
    }
}

/// What clients would refuse of the certificate in `config`.
fn refused(config: &Config) -> Vec<CertificateProblem> {
    config.tls.as_ref().expect("TLS").problems(NOW_SECONDS)
}

#[test]
fn what_clients_refuse_is_named_one_by_one() {
    let named = |names: &str| with(&TLS.replace("tls.key}}", &format!("tls.key}}, names: [{names}]}}")));
    let folder = folder();
    let good = parse(&folder, &named("control.example.com, 10.0.0.1")).expect("good");
    assert_eq!(refused(&good), []);
    let other = parse(&folder, &named("control.example.com, control.mcp.svc, 10.0.0.2")).expect("good");
    let texts: Vec<String> = refused(&other).iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(
        texts[0].contains("is not for control.mcp.svc, but for control.example.com, 10.0.0.1"),
        "{texts:?}"
    );
    assert!(texts[1].contains("is not for 10.0.0.2"), "{texts:?}");

    for (begin, end, what) in [
        ((2020, 1), (2026, 11), "has expired (30 days ago)"),
        ((2026, 12), (2027, 12), ""),
        ((2027, 1), (2027, 12), "is not valid yet (for 31 days)"),
    ] {
        let (certificate, key) = pair(&["control.example.com"], |parameters| {
            parameters.not_before = date_time_ymd(begin.0, begin.1, 1);
            parameters.not_after = date_time_ymd(end.0, end.1, 1);
        });
        folder.write("tls.crt", &certificate);
        folder.write("tls.key", &key);
        let problems = refused(&parse(&folder, &with(TLS)).expect("readable"));
        assert_eq!(problems.len(), usize::from(!what.is_empty()), "{problems:?}");
        for problem in problems {
            assert!(problem.to_string().contains(what), "{problem}");
            assert_ne!(problem.hint(), "");
        }
    }
}

#[test]
fn a_wildcard_is_for_one_label() {
    let folder = Folder::new();
    let (certificate, key) = pair(&["*.mcp.svc"], |_| {});
    folder.write("tls.crt", &certificate);
    folder.write("tls.key", &key);
    let config = parse(&folder, &with(TLS)).expect("good");
    let facts = config.tls.expect("TLS").identity.certificate().clone();
    let names = [
        "control.mcp.svc",
        "a.control.mcp.svc",
        "mcp.svc",
        "control.other.svc",
        "10.0.0.1",
        "",
    ];
    assert_eq!(
        names.map(|name| facts.is_for(name)),
        [true, false, false, false, false, false]
    );
}
