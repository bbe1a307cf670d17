//! The filter in step with control: which worker polls, what is shared, and what it decides.

mod config;
mod documents;
mod polling;
mod servers;
mod sign_outs;
mod stage;
