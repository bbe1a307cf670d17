//! A real Keycloak: one server for all tests of a process, and a realm of its own for each story.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use tokenward_harness::parts::keycloak::{Realm, RealmPlan};
//! let Some(realm) = Realm::start(RealmPlan::strict("muster", "s3cret").user("alice@example.com")).await? else {
//!     return Ok(());
//! };
//! let login = realm.log_in("alice@example.com", Realm::ONLINE).await?;
//! realm.delete_session(&login).await?;
//! assert_eq!(realm.counts().logins, 1);
//! # Ok(()) }
//! ```

mod admin;
mod events;
mod issuer_role;
mod plan;
mod realm;
mod server;
mod trust;

pub use events::Event;
pub use plan::{RealmClient, RealmPlan};
pub use realm::{Login, Realm};
pub use server::KeycloakServer;
pub use trust::HomeRealm;

/// Why the stories on Keycloak are left out where [`is_there`] finds none, and the fix.
pub const IS_MISSING: &str = "target/tools/keycloak, or Java ≥ 17 on PATH, is missing: run `cargo xtask issuers --check`, or \
                              `cargo xtask setup --with-keycloak`, with Java ≥ 17 and Maven on PATH";

/// Whether Keycloak and Java are on this machine.
pub fn is_there() -> bool {
    server::program().is_some()
}
