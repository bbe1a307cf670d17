//! Why the console refuses: one table from the reason to the status, the words of the page, whose fault it is and what to do.

use tokenward_protocol::refusal::{Refusal, RefusalClass};

use crate::refused::Refused;
use crate::store::StoreError;

/// The reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConsoleRefusal {
    /// The request is not one of the console's pages or forms.
    BadRequest,
    /// The form was not made for this login: cross-site request forgery, or an old page.
    ForeignForm,
    /// There is nothing here.
    NotFound,
    /// The operator is in none of `console.groups`.
    NotMember,
    /// This browser did not begin the login, or began it long ago.
    UnknownLogin,
    /// The response is of another issuer (RFC 9207).
    MixUp,
    /// The issuer denied the login.
    Denied,
    /// The issuer did not accept the code.
    CodeRejected,
    /// The issuer's answer cannot be used.
    InvalidAnswer,
    /// The issuer does not answer.
    IssuerUnavailable,
    /// A fault of the configuration.
    Misconfigured,
    /// Too many logins from this address.
    TooMany,
    /// The store does not answer.
    StoreUnavailable,
    /// Control is busy.
    Busy,
}

/// What a page says about a [`ConsoleRefusal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Advice {
    /// HTTP status.
    pub(crate) status: u16,
    /// A short name, for logs.
    pub(crate) name: &'static str,
    /// What happened.
    pub(crate) heading: &'static str,
    /// Whose fault it is.
    pub(crate) fault: &'static str,
    /// What to do.
    pub(crate) remedy: &'static str,
}

const BROWSER: &str = "In this browser, or in the link that you followed.";
const ISSUER: &str = "At the issuer at which operators log in, or on the way to it.";
const CONFIGURATION: &str = "In the console section of control's configuration, or in the issuer's.";
const START_AGAIN: &str = "Log in again, in this browser. If someone sent you a link to this page, close it.";

impl ConsoleRefusal {
    /// The row of the table.
    pub(crate) const fn advice(self) -> Advice {
        match self {
            Self::BadRequest => row(
                400,
                "bad_request",
                "The request is not one of this console",
                BROWSER,
                "Go back to the overview and start there.",
            ),
            Self::ForeignForm => row(
                403,
                "foreign_form",
                "The form was not made for this login",
                "The page with the form is from an earlier login, or another site has sent it.",
                "Nothing was changed. Open the page again and repeat it there.",
            ),
            Self::NotFound => row(
                404,
                "not_found",
                "There is nothing here",
                "It has ended, or the address is wrong.",
                "Search for the user, or go back to the overview.",
            ),
            Self::NotMember => row(
                403,
                "not_member",
                "You may not use this console",
                "Your login at the issuer names none of the groups of console.groups.",
                "Request membership of one of these groups, then log in again. If you are a member, compare \
                 console.groups_claim and console.scopes with the ID tokens of the issuer.",
            ),
            Self::UnknownLogin => row(
                400,
                "unknown_login",
                "This browser has no such login under way",
                BROWSER,
                START_AGAIN,
            ),
            Self::MixUp => row(
                400,
                "mix_up",
                "The response is of another issuer",
                BROWSER,
                START_AGAIN,
            ),
            Self::Denied => row(
                403,
                "denied",
                "The issuer denied the login",
                "At the issuer, or you cancelled it.",
                "Log in again. If the issuer denies it again, its administrator knows why.",
            ),
            Self::CodeRejected => row(
                400,
                "code_rejected",
                "The issuer no longer accepts this login",
                BROWSER,
                START_AGAIN,
            ),
            Self::InvalidAnswer => row(
                502,
                "invalid_answer",
                "The issuer's answer cannot be used",
                ISSUER,
                "Run tokenward doctor: it compares the issuer with the configuration.",
            ),
            Self::IssuerUnavailable => row(
                503,
                "issuer_unavailable",
                "The issuer does not answer",
                ISSUER,
                "Wait a moment and log in again. Without the issuer use tokenward explain and the metrics.",
            ),
            Self::Misconfigured => row(
                503,
                "misconfigured",
                "The console's login is not configured as the issuer needs it",
                CONFIGURATION,
                "Run tokenward doctor: it names the redirect URI to register and what the issuer refuses.",
            ),
            Self::TooMany => row(
                429,
                "too_many",
                "Too many logins were begun from your address",
                "At your address, or at a proxy that console.trusted_proxies does not count.",
                "Wait a minute and log in again.",
            ),
            Self::StoreUnavailable => row(
                503,
                "store_unavailable",
                "The store does not answer",
                "At the store, or on the way to it.",
                "The overview names the cause; runbook: the troubleshooting page, store_unavailable.",
            ),
            Self::Busy => row(
                503,
                "busy",
                "Control is busy",
                "In the operation of control.",
                "Try again in a moment.",
            ),
        }
    }
}

const fn row(
    status: u16,
    name: &'static str,
    heading: &'static str,
    fault: &'static str,
    remedy: &'static str,
) -> Advice {
    Advice {
        status,
        name,
        heading,
        fault,
        remedy,
    }
}

/// A refusal with its cause, which names no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConsoleRefused {
    /// The reason.
    pub(crate) refusal: ConsoleRefusal,
    /// The exact cause; empty where the reason is clear by itself.
    pub(crate) cause: String,
    /// When a retry can succeed, if that is known.
    pub(crate) retry_after_seconds: Option<u64>,
}

impl ConsoleRefused {
    /// `refusal` because of `cause`.
    pub(crate) fn new(refusal: ConsoleRefusal, cause: impl Into<String>) -> Self {
        Self {
            refusal,
            cause: cause.into(),
            retry_after_seconds: None,
        }
    }
}

impl From<ConsoleRefusal> for ConsoleRefused {
    fn from(refusal: ConsoleRefusal) -> Self {
        Self::new(refusal, "")
    }
}

impl From<Refused> for ConsoleRefused {
    fn from(refused: Refused) -> Self {
        let refusal = match (refused.refusal, refused.refusal.class()) {
            (Refusal::StoreUnavailable, _) => ConsoleRefusal::StoreUnavailable,
            (Refusal::UnknownServer | Refusal::UnknownSession, _) => ConsoleRefusal::NotFound,
            (Refusal::BadRequest, _) => ConsoleRefusal::BadRequest,
            (_, RefusalClass::Misconfigured) => ConsoleRefusal::Misconfigured,
            _ => ConsoleRefusal::Busy,
        };
        Self {
            refusal,
            cause: refused.description(),
            retry_after_seconds: refused.retry_after_seconds,
        }
    }
}

impl From<StoreError> for ConsoleRefused {
    fn from(error: StoreError) -> Self {
        Refused::from(error).into()
    }
}
