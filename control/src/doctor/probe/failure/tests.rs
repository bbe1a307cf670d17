//! Faults of TLS: each is distinguished from the others.

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use super::{CertificateFault, ProbeFailure};

fn of(error: &Error) -> ProbeFailure {
    ProbeFailure::of_tls(error, "dex.example.com:443".to_owned())
}

fn certificate(error: CertificateError) -> CertificateFault {
    match of(&Error::InvalidCertificate(error)) {
        ProbeFailure::Certificate { fault, .. } => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_check_of_a_certificate_has_its_own_cure() {
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(2));
    let context = || ServerName::try_from("dex.example.com").expect("a name");
    let faults = [
        certificate(CertificateError::ExpiredContext {
            time,
            not_after: UnixTime::since_unix_epoch(std::time::Duration::from_secs(1)),
        }),
        certificate(CertificateError::NotValidYet),
        certificate(CertificateError::UnknownIssuer),
        certificate(CertificateError::NotValidForNameContext {
            expected: context(),
            presented: vec!["*.example.org".to_owned(), "example.org".to_owned()],
        }),
        certificate(CertificateError::BadSignature),
    ];
    assert_eq!(faults[0], CertificateFault::Expired);
    assert_eq!(faults[0], certificate(CertificateError::Expired));
    assert_eq!(faults[1], CertificateFault::NotValidYet);
    assert_eq!(faults[2], CertificateFault::UnknownAuthority);
    assert_eq!(
        faults[3].to_string(),
        "is for other names: *.example.org, example.org"
    );
    let mut cures: Vec<&str> = faults.iter().map(CertificateFault::hint).collect();
    cures.sort_unstable();
    cures.dedup();
    assert_eq!(cures.len(), faults.len());
}

#[test]
fn an_alert_another_protocol_and_the_rest_are_three_things() {
    let refused = of(&Error::AlertReceived(AlertDescription::CertificateRequired));
    assert!(refused.to_string().contains("ended the handshake"), "{refused}");
    assert!(refused.hint().contains("client certificate"));
    let plain = of(&Error::InvalidMessage(InvalidMessage::InvalidContentType));
    assert_eq!(plain.to_string(), "TLS: dex.example.com:443 does not speak TLS");
    let other = of(&Error::General("a\nline".to_owned()));
    assert!(
        matches!(&other, ProbeFailure::OtherTls { what, .. } if what.contains("aline")),
        "{other:?}"
    );
}
