//! Programs that were never changed for Tokenward, on real issuers, behind the relay and without it.

mod double_owner;
mod logins;
mod programs;
