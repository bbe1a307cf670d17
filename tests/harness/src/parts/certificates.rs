//! Certificates for tests: an authority of its own, which signs pairs for servers and clients.

use std::time::Duration;

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use serde_json::{Value, json};

use crate::secrets;

/// An authority that signs certificates.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its private key, both PEM.
#[derive(Debug, Clone)]
pub struct CertificatePair {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Valid {
    /// Now, and for a long time.
    Now,
    /// Until the year 2000.
    Before,
    /// From the year 4000.
    Later,
}

impl Authority {
    /// A new authority of that common name.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = named(name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?;
        Ok(Self(issuer))
    }

    /// Its certificate, PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A pair for these DNS names, IP addresses and URIs.
    ///
    /// # Errors
    /// When a name cannot be in a certificate.
    pub fn pair(&self, names: &[&str]) -> anyhow::Result<CertificatePair> {
        self.pair_valid(names, Valid::Now)
    }

    /// A pair that is valid at another time.
    ///
    /// # Errors
    /// As [`Authority::pair`].
    pub fn pair_valid(&self, names: &[&str], valid: Valid) -> anyhow::Result<CertificatePair> {
        let (uris, others): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains("://"));
        let others: Vec<String> = others.into_iter().map(str::to_owned).collect();
        let mut parameters = CertificateParams::new(others)?;
        for uri in uris {
            parameters.subject_alt_names.push(SanType::URI(uri.try_into()?));
        }
        parameters.distinguished_name = named(names.first().context("a certificate has a name")?);
        match valid {
            Valid::Now => {}
            Valid::Before => parameters.not_after = date_time_ymd(2000, 1, 1),
            Valid::Later => parameters.not_before = date_time_ymd(4000, 1, 1),
        }
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.0)?.pem();
        let key = key.serialize_pem();
        // Each line of it counts as a secret that no part may print.
        key.lines()
            .filter(|line| !line.starts_with('-'))
            .for_each(secrets::note);
        Ok(CertificatePair { certificate, key })
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// TLS between control and its callers.
#[derive(Debug, Clone)]
pub struct ControlTls {
    /// Control's `tls`.
    pub listener: Value,
    /// The authority that callers trust, PEM.
    pub authority: String,
    /// The name that callers expect in the certificate.
    pub name: String,
    /// The callers' own certificate.
    pub client: Option<CertificatePair>,
}

impl ControlTls {
    /// An HTTP client as these callers are.
    ///
    /// # Errors
    /// When a certificate cannot be read.
    pub fn http_client(&self) -> anyhow::Result<reqwest::Client> {
        let authority = reqwest::Certificate::from_pem(self.authority.as_bytes())?;
        let mut client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .pool_max_idle_per_host(0)
            .tls_certs_only([authority]);
        if let Some(pair) = &self.client {
            let pem = format!("{}{}", pair.certificate, pair.key);
            client = client.identity(reqwest::Identity::from_pem(pem.as_bytes())?);
        }
        Ok(client.build()?)
    }

    /// Envoy's transport socket to control: it verifies authority and name.
    pub fn transport_socket(&self) -> Value {
        let mut common = json!({
            "validation_context": {
                "trusted_ca": {"inline_string": self.authority},
                "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": self.name}}],
            },
        });
        if let Some(pair) = &self.client {
            common["tls_certificates"] = json!([{
                "certificate_chain": {"inline_string": pair.certificate},
                "private_key": {"inline_string": pair.key},
            }]);
        }
        json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": self.name,
                "common_tls_context": common,
            },
        })
    }
}
