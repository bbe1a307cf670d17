//! `tokenExchange` of an `auth` block and its rules. What the kind of the remote issuer takes decides: a request that cannot
//! work there is a fault here.

mod request;

use url::Url;

use self::request::Request;
use super::auth_fault::{AuthFault, AuthField, ClientSecret, ExchangeField, shown};
use super::exchange_path::is_exchange_endpoint;
use crate::config::endpoint::{BadEndpoint, parse_endpoint, parse_issuer};
use crate::config::exchange::ExchangeConfig;
use crate::upstream::dialect::Dialect;
use crate::upstream::dialect::rules::ExchangeDefaults;

/// `tokenExchange` as written, without the client's secret; an absent field is `None` or empty.
#[derive(Debug, Default)]
pub(crate) struct ExchangeBlock<'a> {
    /// `enabled`.
    pub(crate) enabled: bool,
    /// `dialect`.
    pub(crate) dialect: Option<&'a str>,
    /// `grant`.
    pub(crate) grant: Option<&'a str>,
    /// `tokenEndpoint`, which the CRD does not have.
    pub(crate) token_endpoint: Option<&'a str>,
    /// `dexTokenEndpoint`.
    pub(crate) dex_token_endpoint: Option<&'a str>,
    /// `expectedIssuer`.
    pub(crate) expected_issuer: Option<&'a str>,
    /// `jwksUri`.
    pub(crate) jwks_uri: Option<&'a str>,
    /// `subject`.
    pub(crate) subject: Option<&'a str>,
    /// `subjectTokenType`.
    pub(crate) subject_token_type: Option<&'a str>,
    /// `requestedTokenType`.
    pub(crate) requested_token_type: Option<&'a str>,
    /// `audience`.
    pub(crate) audience: Vec<&'a str>,
    /// `connectorId`.
    pub(crate) connector_id: Option<&'a str>,
    /// `scopes`.
    pub(crate) scopes: Option<&'a str>,
    /// `parameters`, by name.
    pub(crate) parameters: Vec<(&'a str, &'a str)>,
    /// `verify`.
    pub(crate) verify: Option<&'a str>,
    /// `clientId` of the client credentials.
    pub(crate) client_id: Option<&'a str>,
}

/// Collects faults of one block.
struct Faults<'f> {
    /// The server's name, as messages repeat it.
    server: &'f str,
    found: &'f mut Vec<AuthFault>,
}

impl Faults<'_> {
    fn add(&mut self, field: ExchangeField, what: impl Into<String>, hint: impl Into<String>) {
        let field = AuthField::Exchange(field);
        self.found.push(AuthFault::new(field, what, hint));
    }

    /// The block lacks a field.
    fn missing(&mut self, name: &str, hint: impl Into<String>) {
        let what = format!("tokenExchange of server {:?} has no {name}", self.server);
        self.found
            .push(AuthFault::new(AuthField::TokenExchange, what, hint));
    }

    /// The value of `field` is none of `choices`, which have these names.
    fn unknown<'n>(&mut self, field: ExchangeField, value: &str, choices: impl Iterator<Item = &'n str>) {
        let what = format!("{} {:?} is not known", field.name(), shown(value));
        let names: Vec<&str> = choices.collect();
        self.add(field, what, format!("write one of {}", names.join(", ")));
    }
}

/// The client that exchanges, and its server.
#[derive(Clone, Copy)]
struct Parties<'p> {
    client_id: &'p str,
    required_audiences: &'p [String],
}

impl ExchangeBlock<'_> {
    /// The token endpoint as written, and its field.
    fn endpoint(&self) -> Option<(ExchangeField, &str)> {
        let newer = self
            .token_endpoint
            .map(|text| (ExchangeField::TokenEndpoint, text));
        newer.or_else(|| {
            self.dex_token_endpoint
                .map(|text| (ExchangeField::DexTokenEndpoint, text))
        })
    }

    /// The kind of the remote issuer: as written, by the endpoint's address, or Dex. `dexTokenEndpoint` is a Dex's.
    pub(crate) fn dialect(&self) -> Dialect {
        let by_name = self.dialect.and_then(Dialect::from_name);
        let by_address = || Dialect::of_address(&Url::parse(self.token_endpoint?).ok()?);
        by_name.or_else(by_address).unwrap_or_default()
    }

    /// The exchange of `server` that the block states. `client_secret` is called at most once; `None` from it: it has
    /// reported the fault itself. The result counts only where `faults` stays empty.
    pub(super) fn config(
        &self,
        (server, required_audiences): (&str, &[String]),
        client_secret: impl FnOnce() -> Option<ClientSecret>,
        faults: &mut Vec<AuthFault>,
    ) -> Option<ExchangeConfig> {
        let mut faults = Faults {
            server,
            found: faults,
        };
        let dialect = self.dialect();
        if let Some(name) = self.dialect.filter(|name| Dialect::from_name(name).is_none()) {
            faults.unknown(
                ExchangeField::Dialect,
                name,
                Dialect::ALL.iter().map(|it| it.name()),
            );
        }
        let defaults = self.defaults(dialect, &mut faults)?;
        self.check_required(defaults, &mut faults);
        let (endpoint_field, endpoint_text) = self.endpoint()?;
        let client_id = self.client_id?;
        if defaults.needs_connector {
            self.connector_id?;
        }
        let token_endpoint = self.token_endpoint(endpoint_field, endpoint_text, &mut faults);
        self.check_connector(dialect, defaults, &mut faults);
        if client_id.is_empty() {
            let what = format!("clientId of server {server:?} is empty");
            let hint = "name the client that exchanges at the remote issuer";
            faults.add(ExchangeField::ClientId, what, hint);
        }
        let parties = Parties {
            client_id,
            required_audiences,
        };
        let request = Request::read(self, (dialect, defaults), parties, &mut faults);
        let client = client_secret();
        let remote = self.remote((endpoint_field, token_endpoint.as_ref()), dialect, &mut faults);
        let (client, request, (expected_issuer, jwks_uri)) = (client?, request?, remote?);
        Some(ExchangeConfig {
            token_endpoint: token_endpoint?,
            expected_issuer,
            jwks_uri,
            dialect,
            grant: request.grant,
            subject: request.subject,
            subject_token_type: request.subject_token_type,
            requested_token_type: request.requested_token_type,
            audience: self.audience.iter().map(|text| (*text).to_owned()).collect(),
            connector_id: self.connector_id.map(str::to_owned),
            scopes: request.scopes,
            parameters: request.parameters,
            verification: request.verification,
            client_id: client_id.to_owned(),
            client_secret: client.secret,
            client_auth: client.auth,
        })
    }

    fn defaults(&self, dialect: Dialect, faults: &mut Faults<'_>) -> Option<&'static ExchangeDefaults> {
        let defaults = dialect.exchange();
        if defaults.is_none() {
            let field = match (self.dialect, self.endpoint()) {
                (None, Some((field, _))) => field,
                _ => ExchangeField::Dialect,
            };
            let what = format!("{} gives no token for a user's token", dialect.name());
            let hint = "forward the login's own token: forwardToken: true, without tokenExchange";
            faults.add(field, what, hint);
        }
        defaults
    }

    fn check_required(&self, defaults: &ExchangeDefaults, faults: &mut Faults<'_>) {
        if self.endpoint().is_none() {
            faults.missing(
                "tokenEndpoint",
                "add tokenEndpoint (dexTokenEndpoint in muster's resources)",
            );
        }
        if defaults.needs_connector && self.connector_id.is_none() {
            faults.missing(
                "connectorId",
                "add connectorId, or dialect, if the remote issuer is no Dex",
            );
        }
        if self.client_id.is_none() {
            faults.missing("clientCredentials", "add clientCredentials");
        }
    }

    fn token_endpoint(&self, field: ExchangeField, text: &str, faults: &mut Faults<'_>) -> Option<Url> {
        if let (Some(_), Some(_)) = (self.token_endpoint, self.dex_token_endpoint) {
            let what = "tokenEndpoint and dexTokenEndpoint are one field under two names";
            faults.add(ExchangeField::DexTokenEndpoint, what, "remove dexTokenEndpoint");
        }
        let url = endpoint(field, text, faults)?;
        if is_exchange_endpoint(&url, faults.server) {
            let what = format!(
                "{} {:?} is control's own exchange endpoint for server {:?}, which would call itself",
                field.name(),
                shown(url.as_str()),
                faults.server
            );
            let hint = "name the remote issuer's token endpoint here; control's belongs into the aggregator's resource only";
            faults.add(field, what, hint);
        }
        Some(url)
    }

    fn check_connector(&self, dialect: Dialect, defaults: &ExchangeDefaults, faults: &mut Faults<'_>) {
        let Some(connector_id) = self.connector_id else {
            return;
        };
        if !defaults.needs_connector {
            let what = format!(
                "connectorId is about a Dex, and the remote issuer is {}",
                dialect.name()
            );
            let hint = "remove connectorId, or write dialect: dex";
            faults.add(ExchangeField::ConnectorId, what, hint);
        } else if !dialect.is_connector_id(connector_id) {
            let what = format!("connectorId {:?} is not usable", shown(connector_id));
            let hint = "start with a letter, then letters, digits, '_' or '-'";
            faults.add(ExchangeField::ConnectorId, what, hint);
        }
    }

    /// The remote's issuer identifier and key set: as written, or as they follow from the token endpoint. Where only the key
    /// set does not, discovery finds it.
    fn remote(
        &self,
        (endpoint_field, token_endpoint): (ExchangeField, Option<&Url>),
        dialect: Dialect,
        faults: &mut Faults<'_>,
    ) -> Option<(String, Option<Url>)> {
        let stated_issuer = self.expected_issuer.map(|text| {
            let field = ExchangeField::ExpectedIssuer;
            let read = parse_issuer(text).map_err(|bad| bad_address(field, text, bad, faults));
            read.ok().map(|_| text.to_owned())
        });
        let stated_keys = (self.jwks_uri).map(|text| endpoint(ExchangeField::JwksUri, text, faults));
        let token_endpoint = token_endpoint?;
        let derived = dialect.remote_addresses(token_endpoint);
        if derived.is_none() && stated_issuer.is_none() {
            let what = format!(
                "the remote issuer does not follow from this {} of dialect {}",
                endpoint_field.name(),
                dialect.name()
            );
            let hint = "add expectedIssuer, and jwksUri where that issuer has no discovery document";
            faults.add(endpoint_field, what, hint);
        }
        let (issuer, keys) = derived.map(|derived| (derived.issuer, derived.jwks_uri)).unzip();
        let jwks_uri = match stated_keys {
            Some(stated) => Some(stated?),
            None => keys,
        };
        Some((stated_issuer.unwrap_or(issuer)?, jwks_uri))
    }
}

fn endpoint(field: ExchangeField, text: &str, faults: &mut Faults<'_>) -> Option<Url> {
    parse_endpoint(text)
        .map_err(|bad| bad_address(field, text, bad, faults))
        .ok()
}

fn bad_address(field: ExchangeField, text: &str, bad: BadEndpoint, faults: &mut Faults<'_>) {
    let example = match field {
        ExchangeField::ExpectedIssuer => "https://dex.example.com",
        _ => "https://dex.example.com/token",
    };
    let what = format!("{} {:?} {bad}", field.name(), shown(text));
    faults.add(field, what, format!("write it as in {example}"));
}
