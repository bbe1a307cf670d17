//! The filter in step with control: which worker polls, what is shared, and what it decides.

mod documents;
mod polling;
mod servers;
mod sign_outs;
mod stage;
