//! Programs that were never changed for Tokenward, behind the relay: what runs around them, and the story that each of them
//! goes through, counted.

mod program;
mod stage;
mod story;
mod times;
mod warnings;

pub use program::{ALICE, BOB, Program, ProgramKind};
pub use stage::{CLIENT, SERVER, Stage, StagePlan};
pub use story::{AT_ONCE, Act, Outcome, Story};
pub use times::Times;

use std::time::Duration;

use tokenward_harness::parts::{StrictIssuer, tools};

/// The issuers of the stories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssuerKind {
    /// A real Dex with this `reuseInterval`, seconds.
    Dex(u64),
    /// oidc-provider, which ends a login when a refresh token is presented twice.
    Strict,
}

impl IssuerKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Dex(0), Self::Dex(30), Self::Strict];

    /// Its name in tables.
    pub fn name(self) -> String {
        match self {
            Self::Dex(seconds) => format!("Dex, reuseInterval {seconds} s"),
            Self::Strict => "oidc-provider, strict".to_owned(),
        }
    }

    /// Why it is left out on this machine.
    ///
    /// # Errors
    /// When a variable names what is not there.
    pub fn missing(self) -> anyhow::Result<Option<&'static str>> {
        Ok(match self {
            Self::Dex(_) => tools::dex()?.is_none().then_some(tools::DEX_IS_MISSING),
            Self::Strict => (!StrictIssuer::is_there()?).then_some(tools::OIDC_PROVIDER_IS_MISSING),
        })
    }

    pub(crate) fn scopes(self) -> &'static str {
        match self {
            Self::Dex(_) => "openid profile email groups offline_access",
            Self::Strict => StrictIssuer::SCOPES,
        }
    }

    pub(crate) fn user_claim(self) -> &'static str {
        match self {
            Self::Dex(_) => "email",
            Self::Strict => "sub",
        }
    }

    /// `policy` in control's configuration.
    pub fn policy(self) -> &'static str {
        match self {
            Self::Dex(_) => "tolerant",
            Self::Strict => "strict",
        }
    }

    /// `reuseInterval` of a Dex.
    pub fn reuse_interval(self) -> Duration {
        match self {
            Self::Dex(seconds) => Duration::from_secs(seconds),
            Self::Strict => Duration::ZERO,
        }
    }
}
