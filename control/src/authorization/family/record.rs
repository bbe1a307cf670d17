//! What the store holds of a login at our authorization server, besides its session.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::decide::StoredFamily;
use super::token::FamilySecret;
use crate::authorization::login::AuthorizedLogin;
use crate::digest;
use crate::record::sealed::Sealed;
use crate::record::secret_text;
use crate::store::{Key, Revision};

/// Version of both records.
pub(super) const FORMAT: u8 = 1;

/// Identifies a rotation, and names its answer in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationId(pub(super) [u8; 16]);

impl RotationId {
    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The key of its answer.
    #[must_use]
    pub fn answer_key(self) -> Key {
        Key::new("login_answer", &digest::hex(&self.0))
    }
}

/// Rotations that follow one another while the first one's answer is stored. Several processes of a client that share one
/// refresh token make such a burst when their access token expires, and any of its tokens may be the one that they keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Burst {
    /// Its first rotation. The burst is open while the store holds that one's answer.
    pub id: RotationId,
    /// The generation that its first rotation made.
    pub first: u32,
    /// The first generation of the burst before.
    pub previous_first: u32,
}

impl Burst {
    /// The burst of the rotation `id`, which makes `generation`: this one while it is open, else a new one.
    #[must_use]
    pub fn next(self, is_open: bool, generation: u32, id: RotationId) -> Self {
        if is_open {
            return self;
        }
        Self {
            id,
            first: generation,
            previous_first: self.first,
        }
    }
}

/// A family in the store.
#[derive(Serialize, Deserialize)]
pub(super) struct FamilyRecord {
    /// [`FORMAT`].
    pub(super) format: u8,
    /// The newest generation.
    pub(super) generation: u32,
    /// The rotation that made it.
    pub(super) rotation: RotationId,
    /// The burst that it belongs to.
    pub(super) burst: Burst,
    /// When the lifetimes of session and grant were last extended, Unix ms.
    pub(super) extended_at_ms: u64,
    /// [`FamilyContent`].
    pub(super) content: Sealed,
}

/// The part of a family that never changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FamilyContent {
    /// Proves its refresh tokens.
    pub secret: FamilySecret,
    /// What they stand for.
    pub login: AuthorizedLogin,
}

/// A family as it was read.
#[derive(Debug)]
pub struct Family {
    pub(super) key: Key,
    pub(super) revision: Revision,
    /// The newest generation.
    pub generation: u32,
    /// The rotation that made it.
    pub rotation: RotationId,
    /// The burst that it belongs to.
    pub burst: Burst,
    /// When the lifetimes of session and grant were last extended, Unix ms.
    pub extended_at_ms: u64,
    /// What never changes.
    pub content: FamilyContent,
}

impl Family {
    /// What a decision needs.
    #[must_use]
    pub fn state(&self) -> StoredFamily {
        StoredFamily {
            generation: self.generation,
            burst_first: self.burst.first,
            previous_first: self.burst.previous_first,
            logged_in_at_ms: self.content.login.logged_in_at_ms,
        }
    }
}

/// What a rotation gave, without the refresh token: family and generation determine that.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RotationAnswer {
    /// The access token.
    #[serde(with = "secret_text")]
    pub access_token: SecretString,
    /// Until when the client is to use it, Unix ms: `expires_in` counts down to this.
    pub use_until_ms: u64,
    /// Its scope.
    pub scope: String,
}

/// A stored [`RotationAnswer`].
#[derive(Serialize, Deserialize)]
pub(super) struct AnswerRecord {
    /// [`FORMAT`].
    pub(super) format: u8,
    /// [`RotationAnswer`].
    pub(super) answer: Sealed,
}
