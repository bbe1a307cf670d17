//! What a fake cloud issuer is configured with: what an administrator sets there.

use std::time::Duration;

use super::{CloudClientKey, CloudProduct};
use crate::issuer::IssuerClock;

/// Configuration of a [`super::CloudIssuer`].
#[derive(Debug, Clone)]
pub struct CloudConfig {
    /// Which product it is.
    pub product: CloudProduct,
    /// The issuer's time.
    pub clock: IssuerClock,
    /// The lifetime of ID tokens and access tokens.
    pub token_lifetime: Duration,
    /// What becomes of a refresh token that is used.
    pub rotation: Rotation,
    /// A refresh token that was not used for so long is dead.
    pub idle_lifetime: Duration,
    /// The user of every browser.
    pub user: String,
    /// The clients.
    pub clients: Vec<CloudClient>,
    /// Auth0's tenant setting "Refresh Token Revocation Deletes Grant": a revocation ends all logins of the user at the
    /// client.
    pub revocation_deletes_grant: bool,
}

/// What becomes of a refresh token that is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// It answers until it dies.
    Static,
    /// The answer has another one, and both are good (Entra ID).
    Added,
    /// The answer has another one in its place. It is good for `overlap` more; any later use ends the login.
    Replaced {
        /// Okta's grace period, Auth0's overlap period.
        overlap: Duration,
    },
}

/// An OAuth client.
#[derive(Debug, Clone)]
pub struct CloudClient {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// Its key, which proves it instead of the secret.
    pub key: Option<CloudClientKey>,
    /// Where browsers may be sent with a code.
    pub redirect_uris: Vec<String>,
}

impl CloudConfig {
    /// The product with one client `muster` (secret `s3cret`). Refresh tokens rotate where the product can do that, without
    /// an overlap.
    pub fn of(product: CloudProduct) -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let (rotation, idle_days) = match product {
            CloudProduct::Entra => (Rotation::Added, 90),
            CloudProduct::Okta => (Rotation::NO_OVERLAP, 7),
            CloudProduct::Auth0 => (Rotation::NO_OVERLAP, 15),
            CloudProduct::Google => (Rotation::Static, 180),
        };
        Self {
            product,
            clock: IssuerClock::default(),
            token_lifetime: Duration::from_secs(3600),
            rotation,
            idle_lifetime: DAY * idle_days,
            user: "ada@example.com".to_owned(),
            clients: vec![CloudClient::new("muster", "s3cret")],
            revocation_deletes_grant: false,
        }
    }

    /// With another rotation.
    pub fn rotation(self, rotation: Rotation) -> Self {
        Self { rotation, ..self }
    }

    /// With one more client.
    pub fn client(mut self, id: &str, secret: &str) -> Self {
        self.clients.push(CloudClient::new(id, secret));
        self
    }
}

impl Rotation {
    /// A refresh token is good for one use.
    pub const NO_OVERLAP: Self = Self::Replaced {
        overlap: Duration::ZERO,
    };
}

impl CloudClient {
    fn new(id: &str, secret: &str) -> Self {
        Self {
            id: id.to_owned(),
            secret: secret.to_owned(),
            key: None,
            redirect_uris: Vec::new(),
        }
    }
}
