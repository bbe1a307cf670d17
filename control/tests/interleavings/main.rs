//! A model of the refresh protocol: the state machines of the service ([`Attempt`]) run against a model of store,
//! issuer and clocks in every order, with crashes, lost answers, store failures and pauses at every step.
//!
//! The model steps the machines itself and simulates no network: an attempt has no I/O, so every interleaving can be
//! visited, each state once, and "never" means never within the bounds of a setup. A simulator of sockets under the
//! real service would only sample schedules, thousands of times slower. The I/O around an attempt is tested with real
//! processes (`tests/service`).
//!
//! [`Attempt`]: tokenward_control::upstream::grant::attempt::Attempt

mod exhaustive;
mod found;
mod issuer;
mod memory;
mod possible;
mod promises;
mod random;
mod records;
mod relayed;
mod rewound;
mod search;
mod setup;
mod world;
