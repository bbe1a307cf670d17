//! Families in the store. Compare-and-set on a family's one record decides between clients and replicas that present one
//! refresh token at the same moment; an answer is stored before the rotation that names it, so that the others find it.

use std::time::Duration;

use super::record::{
    AnswerRecord, Burst, FORMAT, Family, FamilyContent, FamilyRecord, RotationAnswer, RotationId,
};
use super::token::FamilySecret;
use crate::authorization::login::AuthorizedLogin;
use crate::authorization::random;
use crate::context::Context;
use crate::failpoint;
use crate::record::codec;
use crate::record::sealed;
use crate::store::{Expected, Key, Revision, StoreError, WriteOutcome};

const CONTENT: &str = "content";
const ANSWER: &str = "answer";

/// How a rotation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotated {
    /// It is stored.
    Done,
    /// Another request changed or removed the family in between. Nothing changed.
    Conflict,
}

/// A rotation to be stored.
#[derive(Debug)]
pub struct Rotation<'a> {
    /// The family as it was read.
    pub family: &'a Family,
    /// The next generation.
    pub generation: u32,
    /// Its id.
    pub id: RotationId,
    /// The burst that it belongs to.
    pub burst: Burst,
    /// [`Family::extended_at_ms`].
    pub extended_at_ms: u64,
}

/// The families in a store. Cheap to clone.
#[derive(Clone)]
pub struct Families {
    context: Context,
}

impl Families {
    /// Families in the context's store.
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self { context }
    }

    /// The family at `key`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read(&self, key: &Key) -> Result<Option<Family>, StoreError> {
        let Some(entry) = self.context.store.read(key).await? else {
            return Ok(None);
        };
        let record: FamilyRecord = codec::decode(FORMAT, key, &entry.value)?;
        let content = sealed::open_value(&self.context.ring, key, CONTENT, &record.content)?;
        Ok(Some(Family {
            key: key.clone(),
            revision: entry.revision,
            generation: record.generation,
            rotation: record.rotation,
            burst: record.burst,
            extended_at_ms: record.extended_at_ms,
            content,
        }))
    }

    /// The family of `login` at `key`: a new one of generation 0, or the one that an earlier redemption of the same code
    /// made before it broke off.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn create(
        &self,
        key: &Key,
        login: &AuthorizedLogin,
        lifetime: Duration,
    ) -> Result<Family, StoreError> {
        // No rotation made it, so there is no answer, and its burst is not open.
        let rotation = RotationId(random::bytes()?);
        let mut family = Family {
            key: key.clone(),
            revision: Revision(0),
            generation: 0,
            rotation,
            burst: Burst {
                id: rotation,
                first: 0,
                previous_first: 0,
            },
            extended_at_ms: self.context.clock.now_ms(),
            content: FamilyContent {
                secret: FamilySecret::generate()?,
                login: login.clone(),
            },
        };
        let bytes = self.encode(&family.content, &family.as_rotation())?;
        failpoint::reached("before", "family_created");
        let store = &self.context.store;
        let written = store.write(key, Expected::Absent, &bytes, Some(lifetime)).await?;
        failpoint::reached("after", "family_created");
        match written {
            WriteOutcome::Done(revision) => {
                family.revision = revision;
                Ok(family)
            }
            WriteOutcome::Conflict(_) => {
                let existing = self.read(key).await?;
                existing.ok_or_else(|| StoreError::Unexpected {
                    key: key.clone(),
                    what: "a login that ended while its code was redeemed".to_owned(),
                })
            }
        }
    }

    /// Stores `answer` for `window` and returns the id of the rotation that gives it. Without a window nothing is stored.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prepare(&self, answer: &RotationAnswer, window: Duration) -> Result<RotationId, StoreError> {
        let id = RotationId(random::bytes()?);
        if window.is_zero() {
            return Ok(id);
        }
        let key = id.answer_key();
        let record = AnswerRecord {
            format: FORMAT,
            answer: sealed::seal_value(&self.context.ring, &key, ANSWER, answer)?,
        };
        let bytes = codec::encode("serialize answer", &record)?;
        failpoint::reached("before", "login_answer");
        let store = &self.context.store;
        store.write(&key, Expected::Absent, &bytes, Some(window)).await?;
        failpoint::reached("after", "login_answer");
        Ok(id)
    }

    /// The answer of a rotation; `None` once its window is over, by the store's clock.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn answer(&self, rotation: RotationId) -> Result<Option<RotationAnswer>, StoreError> {
        let key = rotation.answer_key();
        let Some(entry) = self.context.store.read(&key).await? else {
            return Ok(None);
        };
        let record: AnswerRecord = codec::decode(FORMAT, &key, &entry.value)?;
        sealed::open_value(&self.context.ring, &key, ANSWER, &record.answer).map(Some)
    }

    /// Whether `burst` is open: the store still holds the answer of its first rotation, by the store's clock.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_open(&self, burst: Burst) -> Result<bool, StoreError> {
        let first = self.context.store.read(&burst.id.answer_key()).await?;
        Ok(first.is_some())
    }

    /// Stores `rotation`, if its family is as it was read. A write whose outcome is unknown is read again once.
    ///
    /// # Errors
    /// [`StoreError`]: the rotation may be stored; the same token presented again gets its answer then.
    pub async fn rotate(&self, rotation: &Rotation<'_>, lifetime: Duration) -> Result<Rotated, StoreError> {
        let family = rotation.family;
        let bytes = self.encode(&family.content, rotation)?;
        let expected = Expected::At(family.revision);
        failpoint::reached("before", "family_rotated");
        let store = &self.context.store;
        let written = store.write(&family.key, expected, &bytes, Some(lifetime)).await;
        failpoint::reached("after", "family_rotated");
        match written {
            Ok(WriteOutcome::Done(_)) => Ok(Rotated::Done),
            Ok(WriteOutcome::Conflict(_)) => Ok(Rotated::Conflict),
            Err(unknown) => match self.read(&family.key).await? {
                Some(now) if now.rotation == rotation.id => Ok(Rotated::Done),
                _ => Err(unknown),
            },
        }
    }

    /// Removes the family at `key`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.context.store.delete(key, Expected::Any).await.map(drop)
    }

    fn encode(&self, content: &FamilyContent, rotation: &Rotation<'_>) -> Result<Vec<u8>, StoreError> {
        let record = FamilyRecord {
            format: FORMAT,
            generation: rotation.generation,
            rotation: rotation.id,
            burst: rotation.burst,
            extended_at_ms: rotation.extended_at_ms,
            // Sealed at every write, so that a previous sealing key is needed only until the next one.
            content: sealed::seal_value(&self.context.ring, &rotation.family.key, CONTENT, content)?,
        };
        codec::encode("serialize family", &record)
    }
}

impl Family {
    /// The family as it is, as if a rotation had just made it.
    fn as_rotation(&self) -> Rotation<'_> {
        Rotation {
            family: self,
            generation: self.generation,
            id: self.rotation,
            burst: self.burst,
            extended_at_ms: self.extended_at_ms,
        }
    }
}
