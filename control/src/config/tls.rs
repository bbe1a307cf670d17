//! `tls`: the certificate and key of a listener, and the client certificates that it accepts.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::findings::{Findings, shown};
use super::raw_values::Text;
use super::secret_source::SecretSource;
use crate::tls::{IdentityError, ServerIdentity, Validity};
use crate::yaml::{Location, Spanned};

/// `tls` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawTls {
    certificate: Spanned<RawFile>,
    key: Spanned<RawFile>,
    client_ca: Option<Spanned<RawFile>>,
    #[serde(default)]
    client_names: Vec<Text>,
    #[serde(default)]
    names: Vec<Text>,
}

/// A file: only a file can be renewed while the process runs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    file: Text,
}

/// TLS of one listener.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// Where certificate, key and client authority are.
    pub files: TlsFiles,
    /// Names by which callers know this listener: the certificate must be valid for each.
    pub names: Vec<String>,
    /// With `client_ca`: a client's certificate must have one of these names (DNS or URI); empty: any certificate of the
    /// authority will do.
    pub client_names: Vec<String>,
    /// The pair as it was read.
    pub identity: ServerIdentity,
}

/// The files of one listener's TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and its intermediates, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The authorities of clients' certificates, PEM; `None`: clients need none.
    pub client_ca: Option<PathBuf>,
}

/// One of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsPart {
    /// `tls.certificate`.
    Certificate,
    /// `tls.key`.
    Key,
    /// `tls.client_ca`.
    ClientCa,
}

impl TlsPart {
    const fn name(self) -> &'static str {
        match self {
            Self::Certificate => "tls.certificate",
            Self::Key => "tls.key",
            Self::ClientCa => "tls.client_ca",
        }
    }
}

/// Why the files of a listener's TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {cause}", .part.name())]
    Unreadable {
        /// Which one.
        part: TlsPart,
        /// The cause; names the file.
        cause: String,
    },
    /// The files do not make a usable pair.
    #[error("{} with {}: {cause}", .files.certificate.display(), .files.key.display())]
    Unusable {
        /// The files.
        files: TlsFiles,
        /// The cause.
        cause: IdentityError,
    },
}

impl TlsError {
    /// What to do.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => {
                "make the file readable for this process (a mounted Secret: defaultMode 0440 and fsGroup)"
            }
            Self::Unusable { cause, .. } => cause.hint(),
        }
    }

    /// The file at fault.
    #[must_use]
    pub const fn part(&self) -> TlsPart {
        match self {
            Self::Unreadable { part, .. } => *part,
            Self::Unusable { cause, .. } => match cause {
                IdentityError::NoKey | IdentityError::BadKey | IdentityError::KeyMismatch => TlsPart::Key,
                IdentityError::ClientCa(_) => TlsPart::ClientCa,
                IdentityError::NoCertificate | IdentityError::BadCertificate | IdentityError::Refused(_) => {
                    TlsPart::Certificate
                }
            },
        }
    }
}

/// Why clients refuse a certificate although its files are usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// Its time is over.
    #[error("the certificate {file} has expired ({ago})")]
    Expired {
        /// The file.
        file: String,
        /// How long ago.
        ago: String,
    },
    /// Its time has not begun.
    #[error("the certificate {file} is not valid yet ({ahead})")]
    NotYet {
        /// The file.
        file: String,
        /// How far ahead.
        ahead: String,
    },
    /// It has not a name by which callers know the listener.
    #[error("the certificate {file} is not for {name}, but for {names}")]
    OtherName {
        /// The file.
        file: String,
        /// The name of `tls.names`.
        name: String,
        /// The certificate's names.
        names: String,
    },
}

impl CertificateProblem {
    /// What to do.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Expired { .. } => {
                "renew it (cert-manager: see the Certificate's events); the new one is used without a restart"
            }
            Self::NotYet { .. } => {
                "set this machine's clock right, or use a certificate whose time has begun"
            }
            Self::OtherName { .. } => {
                "add the name to the certificate (cert-manager: spec.dnsNames), or correct tls.names"
            }
        }
    }
}

impl TlsConfig {
    /// Why clients refuse the certificate at `now_seconds` (Unix seconds).
    #[must_use]
    pub fn problems(&self, now_seconds: i64) -> Vec<CertificateProblem> {
        let facts = self.identity.certificate();
        let file = self.files.certificate.display().to_string();
        let mut problems = Vec::new();
        match facts.validity(now_seconds) {
            Validity::Valid => {}
            Validity::Expired => problems.push(CertificateProblem::Expired {
                file: file.clone(),
                ago: format!(
                    "{} ago",
                    span(now_seconds.saturating_sub(facts.not_after_seconds))
                ),
            }),
            Validity::NotYet => problems.push(CertificateProblem::NotYet {
                file: file.clone(),
                ahead: format!(
                    "for {}",
                    span(facts.not_before_seconds.saturating_sub(now_seconds))
                ),
            }),
        }
        for name in self.names.iter().filter(|name| !facts.is_for(name)) {
            problems.push(CertificateProblem::OtherName {
                file: file.clone(),
                name: name.clone(),
                names: match facts.names.as_slice() {
                    [] => "no name at all".to_owned(),
                    names => names.join(", "),
                },
            });
        }
        problems
    }
}

/// Seconds for a reader: in days, hours or minutes.
fn span(seconds: i64) -> String {
    match seconds {
        172_800.. => format!("{} days", seconds / 86_400),
        7_200.. => format!("{} hours", seconds / 3_600),
        120.. => format!("{} minutes", seconds / 60),
        _ => format!("{seconds} seconds"),
    }
}

impl TlsFiles {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<&Path> {
        [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
            .collect()
    }

    /// Reads the files as they are now. Blocking.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn read(&self) -> Result<ServerIdentity, TlsError> {
        let certificate = read(TlsPart::Certificate, &self.certificate)?;
        let key = read(TlsPart::Key, &self.key)?;
        let client_ca = match &self.client_ca {
            Some(path) => Some(read(TlsPart::ClientCa, path)?),
            None => None,
        };
        let client_ca = client_ca.as_ref().map(|pem| pem.expose_secret());
        ServerIdentity::read(certificate.expose_secret(), &key, client_ca).map_err(|cause| {
            TlsError::Unusable {
                files: self.clone(),
                cause,
            }
        })
    }
}

fn read(part: TlsPart, path: &Path) -> Result<SecretString, TlsError> {
    let text = SecretSource::File(path.to_owned()).read_lines();
    text.map_err(|error| TlsError::Unreadable {
        part,
        cause: error.to_string(),
    })
}

/// Reads `tls`; adds a problem for each fault.
pub(in crate::config) fn tls(findings: &mut Findings, raw: &Spanned<RawTls>) -> Option<TlsConfig> {
    let value = &raw.value;
    let path = |file: &Spanned<RawFile>| PathBuf::from(&file.value.file.value);
    let files = TlsFiles {
        certificate: path(&value.certificate),
        key: path(&value.key),
        client_ca: value.client_ca.as_ref().map(path),
    };
    if let (None, Some(name)) = (&value.client_ca, value.client_names.first()) {
        findings.add(
            name.referenced,
            "client_names is set without client_ca: no client is asked for a certificate",
            "add client_ca, the authority that signs clients' certificates, or remove client_names",
        );
    }
    for name in value.names.iter().chain(&value.client_names) {
        if name.value.is_empty() || name.value.chars().any(char::is_whitespace) {
            findings.add(
                name.referenced,
                format!("the name {:?} cannot be in a certificate", shown(&name.value)),
                "write a DNS name, an IP address or, for clients, a URI such as spiffe://cluster.local/ns/mcp/sa/muster",
            );
        }
    }
    let identity = files
        .read()
        .map_err(|error| findings.add(value.place_of(error.part()), error.to_string(), error.hint()))
        .ok()?;
    let texts = |names: &[Text]| names.iter().map(|name| name.value.clone()).collect();
    Some(TlsConfig {
        files,
        names: texts(&value.names),
        client_names: texts(&value.client_names),
        identity,
    })
}

impl RawTls {
    fn place_of(&self, part: TlsPart) -> Location {
        let file = match part {
            TlsPart::Certificate => &self.certificate,
            TlsPart::Key => &self.key,
            TlsPart::ClientCa => self.client_ca.as_ref().unwrap_or(&self.certificate),
        };
        file.referenced
    }
}
