//! What an exchange requests: grant, subject, token types, target, and how the answer is made sure of.

use tokenward_protocol::token_endpoint::{TOKEN_TYPE_ACCESS_TOKEN, TOKEN_TYPE_ID_TOKEN};
use url::Url;

use super::{ExchangeBlock, Faults, Parties};
use crate::config::exchange::Verification;
use crate::servers::auth_fault::{ExchangeField, shown};
use crate::upstream::dialect::rules::{
    AudienceBy, ExchangeDefaults, ExchangeGrant, SubjectKind, TOKEN_TYPE_JWT,
};
use crate::upstream::dialect::{AUDIENCE_HINT, Dialect, is_string_or_uri};

/// Token types (RFC 8693 §3) with this beginning have a meaning of their own.
const REGISTERED_TYPES: &str = "urn:ietf:params:oauth:token-type:";
/// The registered ones that a server can take as a bearer.
const BEARER_TYPES: [&str; 3] = [TOKEN_TYPE_ID_TOKEN, TOKEN_TYPE_ACCESS_TOKEN, TOKEN_TYPE_JWT];
/// Value of `requestedTokenType` that leaves the parameter out.
const NO_TYPE: &str = "none";
/// How many values `audience` and `parameters` may have, and the longest one in bytes.
const MOST_VALUES: usize = 16;
const LONGEST_VALUE: usize = 512;

/// Parameters that control sends itself, or that contradict what it sends.
const OWN_PARAMETERS: [&str; 14] = [
    "grant_type",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "subject_token",
    "subject_token_type",
    "requested_token_type",
    "actor_token",
    "actor_token_type",
    "assertion",
    "scope",
    "audience",
    "connector_id",
];
/// Parts of the names of parameters that hold secrets, which belong into files.
const SECRET_NAMES: [&str; 7] = [
    "secret",
    "password",
    "passwd",
    "credential",
    "api_key",
    "apikey",
    "private_key",
];
/// The beginning of every JWT.
const JWT_BEGINNING: &str = "eyJ";

/// The request of one exchange.
pub(super) struct Request {
    pub(super) grant: ExchangeGrant,
    pub(super) subject: SubjectKind,
    pub(super) subject_token_type: String,
    pub(super) requested_token_type: Option<String>,
    pub(super) scopes: String,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) verification: Verification,
}

impl Request {
    /// Reads the request of `block` to a remote issuer of this dialect.
    pub(super) fn read(
        block: &ExchangeBlock<'_>,
        (dialect, defaults): (Dialect, &ExchangeDefaults),
        parties: Parties<'_>,
        faults: &mut Faults<'_>,
    ) -> Option<Self> {
        let mut reader = Reader {
            block,
            dialect,
            defaults,
            faults,
        };
        let grant = reader.grant();
        let subject = reader.subject();
        let verification = reader.verification();
        let (grant, subject, verification) = (grant?, subject?, verification?);
        let subject_token_type = reader.subject_token_type(grant, subject);
        let requested_token_type = reader.requested_token_type(grant, verification);
        reader.check_audience(grant);
        let scopes = reader.scopes(requested_token_type.as_deref());
        let parameters = reader.parameters(grant);
        Some(Self {
            grant,
            subject,
            subject_token_type,
            requested_token_type,
            scopes: dialect.scopes_for(&scopes, parties.required_audiences, parties.client_id),
            parameters,
            verification,
        })
    }
}

struct Reader<'r, 'a, 'f> {
    block: &'r ExchangeBlock<'a>,
    dialect: Dialect,
    defaults: &'r ExchangeDefaults,
    faults: &'r mut Faults<'f>,
}

impl Reader<'_, '_, '_> {
    fn grant(&mut self) -> Option<ExchangeGrant> {
        let Some(name) = self.block.grant else {
            return Some(self.defaults.grant);
        };
        let Some(grant) = ExchangeGrant::ALL.into_iter().find(|grant| grant.name() == name) else {
            let names = ExchangeGrant::ALL.iter().map(|grant| grant.name());
            self.faults.unknown(ExchangeField::Grant, name, names);
            return None;
        };
        if !self.defaults.accepted_grants.contains(&grant) {
            let what = format!("{} has no grant {name}", self.dialect.name());
            let hint = format!("remove grant: it is {} there", self.defaults.grant.name());
            self.faults.add(ExchangeField::Grant, what, hint);
            // So that what follows from the wrong grant is not reported as well.
            return Some(self.defaults.grant);
        }
        Some(grant)
    }

    fn subject(&mut self) -> Option<SubjectKind> {
        let Some(name) = self.block.subject else {
            return Some(self.defaults.subject);
        };
        let Some(subject) = SubjectKind::ALL.into_iter().find(|kind| kind.name() == name) else {
            let names = SubjectKind::ALL.iter().map(|kind| kind.name());
            self.faults.unknown(ExchangeField::Subject, name, names);
            return None;
        };
        if !self.defaults.accepted_subjects.contains(&subject) {
            let what = format!("{} exchanges no {name}", self.dialect.name());
            let hint = format!("remove subject: it is {} there", self.defaults.subject.name());
            self.faults.add(ExchangeField::Subject, what, hint);
        }
        Some(subject)
    }

    fn verification(&mut self) -> Option<Verification> {
        let Some(name) = self.block.verify else {
            return Some(Verification::default());
        };
        let found = Verification::ALL.into_iter().find(|it| it.name() == name);
        if found.is_none() {
            let names = Verification::ALL.iter().map(|it| it.name());
            self.faults.unknown(ExchangeField::Verify, name, names);
        }
        found
    }

    fn subject_token_type(&mut self, grant: ExchangeGrant, subject: SubjectKind) -> String {
        const FIELD: ExchangeField = ExchangeField::SubjectTokenType;
        let own = subject.token_type().to_owned();
        let Some(written) = self.block.subject_token_type else {
            if self.defaults.needs_subject_token_type {
                let hint =
                    "add subjectTokenType: the URI of the profile for this exchange at the remote issuer";
                self.faults.missing(FIELD.name(), hint);
            }
            return own;
        };
        let other = SubjectKind::ALL.into_iter().find(|kind| *kind != subject);
        if grant == ExchangeGrant::JwtBearer {
            let what = "an exchange by jwt-bearer has no subject_token_type";
            self.faults.add(FIELD, what, "remove subjectTokenType");
        } else if !is_type(written) {
            self.not_a_type(FIELD, written);
        } else if other.is_some_and(|other| other.token_type() == written) {
            let what = format!(
                "subjectTokenType {written:?} contradicts subject: {}",
                subject.name()
            );
            self.faults
                .add(FIELD, what, "remove subjectTokenType: it follows from subject");
        } else if self.defaults.needs_subject_token_type && written.starts_with("urn:ietf:") {
            let what = format!(
                "subjectTokenType {written:?} is no profile's at {}, which takes none of the registered types",
                self.dialect.name()
            );
            let hint = "name the URI of the profile for this exchange at the remote issuer";
            self.faults.add(FIELD, what, hint);
        }
        written.to_owned()
    }

    fn requested_token_type(&mut self, grant: ExchangeGrant, verification: Verification) -> Option<String> {
        const FIELD: ExchangeField = ExchangeField::RequestedTokenType;
        let default = self.defaults.requested_token_type;
        let default = default.filter(|_| grant == ExchangeGrant::TokenExchange);
        let requested = match self.block.requested_token_type {
            None => default,
            Some(NO_TYPE) => None,
            Some(written) => Some(written),
        };
        let requested = requested?;
        if grant == ExchangeGrant::JwtBearer {
            let what = "an exchange by jwt-bearer has no requested_token_type";
            self.faults.add(FIELD, what, "remove requestedTokenType");
        } else if !is_type(requested) {
            self.not_a_type(FIELD, requested);
        } else if requested.starts_with(REGISTERED_TYPES) && !BEARER_TYPES.contains(&requested) {
            let what =
                format!("requestedTokenType {requested:?} is none that a server takes as a bearer token");
            self.faults.add(
                FIELD,
                what,
                format!("write one of {}, or none", BEARER_TYPES.join(", ")),
            );
        } else if requested == TOKEN_TYPE_ID_TOKEN && verification.is_opaque() {
            let what = format!(
                "verify: {} is not for an ID token, which is a JWT",
                verification.name()
            );
            let hint = "remove verify, or request an access token with requestedTokenType";
            self.faults.add(ExchangeField::Verify, what, hint);
        }
        Some(requested.to_owned())
    }

    fn not_a_type(&mut self, field: ExchangeField, written: &str) {
        let what = format!("{} {:?} is not a URI", field.name(), shown(written));
        let hint = format!("write it as in {TOKEN_TYPE_ACCESS_TOKEN}");
        self.faults.add(field, what, hint);
    }

    fn check_audience(&mut self, grant: ExchangeGrant) {
        const HINT: &str = "name the target by scopes, as in api://APPLICATION/.default";
        let audience = &self.block.audience;
        if let Some(first) = audience.first() {
            let first_field = ExchangeField::Audience(0);
            let unsuitable = match self.defaults.audience_by {
                AudienceBy::CrossClientScopes => {
                    Some("name it in requiredAudiences: control requests those there by scopes")
                }
                AudienceBy::Nothing => Some(HINT),
                AudienceBy::Parameter if grant == ExchangeGrant::JwtBearer => {
                    Some("name the target by scopes")
                }
                AudienceBy::Parameter => None,
            };
            if let Some(hint) = unsuitable {
                let what = format!(
                    "audience {:?} is no parameter of {} at {}",
                    shown(first),
                    grant.name(),
                    self.dialect.name()
                );
                self.faults.add(first_field, what, hint);
            }
            if audience.len() > MOST_VALUES {
                let what = format!("audience names more than {MOST_VALUES}");
                self.faults.add(first_field, what, "name the server's own only");
            }
        } else if self.defaults.needs_audience {
            let hint = "add audience: the identifier of the API at the remote issuer that the token is for";
            self.faults.missing("audience", hint);
        }
        for (index, text) in audience.iter().enumerate() {
            if !is_string_or_uri(text) || text.len() > LONGEST_VALUE {
                let what = format!("audience {:?} is not usable", shown(text));
                self.faults
                    .add(ExchangeField::Audience(index), what, AUDIENCE_HINT);
            }
        }
    }

    /// The scopes as written, or the dialect's.
    fn scopes(&mut self, requested_token_type: Option<&str>) -> String {
        let Some(text) = self.block.scopes else {
            if self.defaults.audience_by == AudienceBy::Nothing {
                let hint = "add scopes, which name what the token is for, as in api://APPLICATION/.default";
                self.faults.missing("scopes", hint);
            }
            return self.defaults.scopes.to_owned();
        };
        let printable = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        let scopes: Vec<&str> = text.split_ascii_whitespace().collect();
        let is_usable = scopes.iter().all(|scope| scope.bytes().all(printable));
        let needs_openid = requested_token_type == Some(TOKEN_TYPE_ID_TOKEN);
        if !is_usable || (needs_openid && !scopes.contains(&"openid")) {
            let with = if needs_openid { " with openid in it" } else { "" };
            let what = format!("scopes {:?} must be a list{with}", shown(text));
            let example = if self.defaults.scopes.is_empty() {
                "openid email"
            } else {
                self.defaults.scopes
            };
            self.faults
                .add(ExchangeField::Scopes, what, format!("write it as in {example:?}"));
        }
        scopes.join(" ")
    }

    /// The dialect's further parameters and those that are written, which win.
    fn parameters(&mut self, grant: ExchangeGrant) -> Vec<(String, String)> {
        let written = &self.block.parameters;
        if written.len() > MOST_VALUES {
            let what = format!("parameters has more than {MOST_VALUES} members");
            let hint = "remove those that the remote issuer does not need";
            self.faults.add(ExchangeField::Parameter(MOST_VALUES), what, hint);
        }
        for (index, (name, value)) in written.iter().enumerate() {
            if let Some((what, hint)) = unsuitable_parameter(name, value) {
                self.faults.add(ExchangeField::Parameter(index), what, hint);
            }
        }
        let is_written = |name: &str| written.iter().any(|(written, _)| *written == name);
        let defaults = self.defaults.parameters.iter();
        let defaults = defaults.filter(|(name, _)| grant == self.defaults.grant && !is_written(name));
        let mut all: Vec<(String, String)> = defaults
            .chain(written)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        all.sort();
        all
    }
}

/// Why a parameter cannot be sent, and the cure. Its value may be a secret, and is not repeated.
fn unsuitable_parameter(name: &str, value: &str) -> Option<(String, &'static str)> {
    const IN_FILES: &str =
        "a secret does not belong into the configuration; clientCredentials are sent by themselves";
    let lower = name.to_ascii_lowercase();
    let is_name = !name.is_empty()
        && name.len() <= LONGEST_VALUE
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if !is_name {
        let what = format!("parameter {:?} is not usable", shown(name));
        return Some((what, "use letters, digits, '_', '-' or '.'"));
    }
    if OWN_PARAMETERS.contains(&lower.as_str()) {
        let what = format!("parameter {name} is one that control sends itself");
        return Some((what, "remove it, and use the field of tokenExchange for it"));
    }
    if SECRET_NAMES.iter().any(|part| lower.contains(part)) || value.starts_with(JWT_BEGINNING) {
        return Some((format!("parameter {} looks like a secret", shown(name)), IN_FILES));
    }
    if value.is_empty() || value.len() > LONGEST_VALUE || value.chars().any(char::is_control) {
        let what = format!("the value of parameter {} is not usable", shown(name));
        return Some((what, "write a text of 1 to 512 bytes without line breaks"));
    }
    None
}

/// Whether `text` is a URI, as token types are (RFC 8693 §3).
fn is_type(text: &str) -> bool {
    text.contains(':') && is_string_or_uri(text) && text.len() <= LONGEST_VALUE && Url::parse(text).is_ok()
}
