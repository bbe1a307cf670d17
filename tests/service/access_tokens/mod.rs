//! Servers that get the login's access token: it is kept beside the ID token, and one refresh brings both.

mod logins;
mod refreshes;
mod refusals;
mod relayed;
mod stage;
