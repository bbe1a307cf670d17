//! Exchanges that are not Dex's: other grants, other subjects, and answers with access tokens.

mod access_subject;
mod jwt;
mod opaque;
mod requests;
mod stage;
