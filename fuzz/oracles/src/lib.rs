//! What must hold for any bytes that reach the parsers of the filter and of control, and the filter's shared memory.
//!
//! Each oracle takes one input, runs the code on it and panics when a promise is broken. Promises are stated a second
//! time, plainly and slowly, with `serde_json` as the other reader. libFuzzer calls the oracles through the programs
//! in `fuzz/targets`; the tests of this crate call them on the seeds and on mutations of them.

mod authorize_query;
mod client_document;
mod client_registration;
mod control_answer;
mod control_config;
mod deal;
mod discovery;
mod filter_config;
mod issuer_answer;
mod json;
mod jwt;
mod key_set;
mod pair_slot;
mod redirect_uri;
mod request_head;
mod token_form;

pub use authorize_query::authorize_query;
pub use client_document::client_document;
pub use client_registration::client_registration;
pub use control_answer::control_answer;
pub use control_config::control_config;
pub use discovery::discovery;
pub use filter_config::filter_config;
pub use issuer_answer::issuer_answer;
pub use json::json;
pub use jwt::jwt;
pub use key_set::key_set;
pub use pair_slot::pair_slot;
pub use redirect_uri::redirect_uri;
pub use request_head::request_head;
pub use token_form::token_form;

/// One thing that is fuzzed.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name of the program, of the folder of its seeds and of its dictionary.
    pub name: &'static str,
    /// Panics when `data` breaks a promise.
    pub check: fn(&[u8]),
}

/// Every oracle.
pub const TARGETS: [Target; 15] = [
    Target {
        name: "authorize_query",
        check: authorize_query,
    },
    Target {
        name: "jwt",
        check: jwt,
    },
    Target {
        name: "json",
        check: json,
    },
    Target {
        name: "filter_config",
        check: filter_config,
    },
    Target {
        name: "control_answer",
        check: control_answer,
    },
    Target {
        name: "pair_slot",
        check: pair_slot,
    },
    Target {
        name: "request_head",
        check: request_head,
    },
    Target {
        name: "token_form",
        check: token_form,
    },
    Target {
        name: "control_config",
        check: control_config,
    },
    Target {
        name: "key_set",
        check: key_set,
    },
    Target {
        name: "discovery",
        check: discovery,
    },
    Target {
        name: "issuer_answer",
        check: issuer_answer,
    },
    Target {
        name: "client_document",
        check: client_document,
    },
    Target {
        name: "client_registration",
        check: client_registration,
    },
    Target {
        name: "redirect_uri",
        check: redirect_uri,
    },
];
