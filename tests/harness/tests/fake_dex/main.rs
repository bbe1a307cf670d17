//! The fake Dex is held to what a real Dex v2.45.1 answered: statuses, bodies and the headers that matter.

mod browser;
mod exchange;
mod failures;
mod inspection;
mod login;
mod peer;
mod refresh;
mod refusals;
