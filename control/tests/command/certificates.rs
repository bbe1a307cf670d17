//! `check` and `doctor` about the certificate: what clients would refuse fails, each with its own cure.

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::{Folder, text, tokenward};

/// A folder with a certificate for `control.example.com` that ends at the beginning of `until`, and the configuration.
fn folder(until: i32, names: &str) -> (Folder, String) {
    let folder = Folder::new();
    let mut parameters = CertificateParams::new(vec!["control.example.com".to_owned()]).expect("a name");
    parameters.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    folder.write("tls.crt", &certificate.pem());
    folder.write("tls.key", &key.serialize_pem());
    let place = folder.path().display();
    let tls = format!(
        "tls: {{certificate: {{file: {place}/tls.crt}}, key: {{file: {place}/tls.key}}, names: [{names}]}}\n"
    );
    let config = folder.config(&tls);
    // Port 9 of the loopback, on which no process listens: the doctor waits for no name server.
    let local = std::fs::read_to_string(&config).expect("the configuration");
    folder.write(
        "config.yaml",
        &local.replace("https://dex.example.com", "http://127.0.0.1:9"),
    );
    let config = config.display().to_string();
    (folder, config)
}

/// Outcome, finding and hint of the doctor's check of the certificate.
fn examined(config: &str) -> (String, String, String) {
    let output = tokenward(&["doctor", "--json", "--config", config]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let checks = report["checks"].as_array().expect("checks");
    let of_tls: Vec<_> = checks
        .iter()
        .filter(|check| check["name"] == "tls certificate")
        .collect();
    assert_eq!(of_tls.len(), 1, "{report}");
    ["outcome", "finding", "hint"]
        .map(|field| of_tls[0][field].as_str().unwrap_or_default().to_owned())
        .into()
}

#[test]
fn a_good_certificate_passes_both() {
    let (_folder, config) = folder(4000, "control.example.com");
    let output = tokenward(&["check", "--config", &config]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let (outcome, finding, hint) = examined(&config);
    assert_eq!((outcome.as_str(), hint.as_str()), ("ok", ""), "{finding}");
    assert!(
        finding.contains("for control.example.com") && finding.contains("days left"),
        "{finding}"
    );
}

#[test]
fn an_expired_one_and_one_of_another_name_fail_both_with_a_cure_each() {
    for (until, names, what, cure) in [
        (2020, "control.example.com", "has expired", "renew it"),
        (
            4000,
            "control.mcp.svc",
            "is not for control.mcp.svc, but for control.example.com",
            "add the name",
        ),
    ] {
        let (_folder, config) = folder(until, names);
        let output = tokenward(&["check", "--config", &config]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = text(&output.stderr);
        assert!(said.contains(what) && said.contains(cure), "{said}");
        let (outcome, finding, hint) = examined(&config);
        assert_eq!(outcome, "fail", "{finding}");
        assert!(finding.contains(what) && hint.contains(cure), "{finding}; {hint}");
    }
}
