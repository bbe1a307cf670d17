//! The form of an exchange: RFC 8693 §2.1, or RFC 7523 §2.1. Pure.

use crate::config::ExchangeConfig;
use crate::upstream::dialect::rules::ExchangeGrant;

/// The parameters that exchange `subject_token` as `config` states, without the client's credentials.
#[must_use]
pub fn exchange_form<'a>(config: &'a ExchangeConfig, subject_token: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut form = vec![("grant_type", config.grant.grant_type())];
    if !config.scopes.is_empty() {
        form.push(("scope", config.scopes.as_str()));
    }
    match config.grant {
        ExchangeGrant::TokenExchange => {
            let connector = config.connector_id.as_deref();
            form.extend(connector.and_then(|id| config.dialect.connector_parameter(id)));
            let requested = config.requested_token_type.as_deref();
            form.extend(requested.map(|requested| ("requested_token_type", requested)));
            form.extend([
                ("subject_token_type", config.subject_token_type.as_str()),
                ("subject_token", subject_token),
            ]);
            form.extend(
                config
                    .audience
                    .iter()
                    .map(|audience| ("audience", audience.as_str())),
            );
        }
        ExchangeGrant::JwtBearer => form.push(("assertion", subject_token)),
    }
    let parameters = config.parameters.iter();
    form.extend(parameters.map(|(name, value)| (name.as_str(), value.as_str())));
    form
}
