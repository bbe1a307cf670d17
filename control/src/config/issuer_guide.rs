//! What control takes each issuer for: `tokenward check` prints it.

use std::fmt::Write as _;

use super::Config;
use super::issuer::{DialectSource, IssuerConfig, IssuerPolicy};

impl DialectSource {
    /// Why an issuer counts as one of its dialect, for a person.
    #[must_use]
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Address => "by its address",
            Self::Document => "by its discovery document",
            Self::Default => {
                "nothing here shows it: control decides by the discovery document when it starts; set issuers[].dialect to be \
                 sure"
            }
        }
    }
}

impl IssuerConfig {
    /// The kind of the issuer and what follows from it, on one line.
    #[must_use]
    pub fn treatment(&self) -> String {
        let policy = match self.policy {
            IssuerPolicy::Tolerant => "tolerant",
            IssuerPolicy::Strict => "strict",
        };
        format!(
            "dialect {} ({}), policy {policy}, refresh_tokens {}, sign_out {}",
            self.dialect.name(),
            self.dialect_source.explanation(),
            self.refresh_tokens.name(),
            self.sign_out.name()
        )
    }
}

/// One line for each issuer.
#[must_use]
pub fn issuer_guide(config: &Config) -> String {
    let mut lines = String::new();
    for issuer in &config.issuers {
        // Writing to a string does not fail.
        let _ = writeln!(
            lines,
            "issuer {} (client {}): {}",
            issuer.issuer,
            issuer.client_id,
            issuer.treatment()
        );
    }
    lines
}
