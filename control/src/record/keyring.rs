//! Sealing: encryption of tokens in the store, with a key that the store does not have.
//!
//! XChaCha20-Poly1305 with a random 24-byte nonce per value. The associated data is the store key's name, so a
//! sealed value that is copied to another name does not open. Key rotation: the current key seals, the previous keys
//! still open ([`KeyRing::is_current`] reports whether a value should be sealed again).
//!
//! A sealed value is: format (1 byte, 1) · length of the key id (1 byte) · key id · nonce (24) · ciphertext and tag.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use crate::digest;

const FORMAT: u8 = 1;
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const MAX_KEY_ID_BYTES: usize = 64;
/// From this and a sealing key follows the key of [`KeyRing::keyed_digests`].
const DIGEST_LABEL: &[u8] = b"tokenward keyed digest 1";

/// Why a configured key, or the key ring, is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// The id is empty, too long, or not printable.
    #[error(
        "sealing key id {id:?} is not usable: write 1 to {MAX_KEY_ID_BYTES} of A-Z a-z 0-9 . _ -, as in \"k1\""
    )]
    Id {
        /// The id as configured.
        id: String,
    },
    /// Not base64.
    #[error("sealing key {id:?} is not base64: generate one with `openssl rand -base64 32`")]
    NotBase64 {
        /// The key's id.
        id: String,
    },
    /// Not 32 bytes.
    #[error(
        "sealing key {id:?} has {bytes} bytes instead of 32: generate one with `openssl rand -base64 32`"
    )]
    Length {
        /// The key's id.
        id: String,
        /// Its length in bytes.
        bytes: usize,
    },
    /// All bytes are equal: a placeholder.
    #[error(
        "sealing key {id:?} is one byte repeated, not a random key: generate one with `openssl rand -base64 32`"
    )]
    NotRandom {
        /// The key's id.
        id: String,
    },
    /// Two keys with the same id: a sealed value names its key by id.
    #[error("sealing key id {id:?} is used twice: give every key its own id, and a new key a new one")]
    DuplicateId {
        /// The id.
        id: String,
    },
}

/// The random source of the operating system failed, so nothing can be sealed.
#[derive(Debug, thiserror::Error)]
#[error("cannot seal: the operating system returned no random bytes")]
pub struct SealError;

/// Why a sealed value does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// The ring does not contain the key that sealed it.
    #[error(
        "sealed with key {id:?}, which is not configured: add that key to sealing.previous again, or let its users \
         log in again"
    )]
    UnknownKey {
        /// The key id in the value.
        id: String,
    },
    /// The value, its store key or the key bytes of this id differ from those at sealing.
    #[error(
        "sealed with key {id:?}, but it does not open: the value was changed or moved, or that id now belongs to another key"
    )]
    Tampered {
        /// The key's id.
        id: String,
    },
    /// Not a sealed value of this format.
    #[error("not a sealed value: {what}")]
    Format {
        /// What is wrong with it.
        what: &'static str,
    },
}

/// One key with its id. Its `Debug` output contains the id only.
pub struct SealingKey {
    id: String,
    cipher: XChaCha20Poly1305,
    digests: hmac::Key,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SealingKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl SealingKey {
    /// Decodes a key from base64 (standard alphabet, padded) of exactly 32 bytes. Surrounding white space is ignored.
    ///
    /// # Errors
    /// [`BadKey`], with a hint; it never contains the key.
    pub fn from_base64(id: &str, key: &SecretString) -> Result<Self, BadKey> {
        let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if id.is_empty() || id.len() > MAX_KEY_ID_BYTES || !id.bytes().all(usable) {
            return Err(BadKey::Id {
                id: id.chars().take(MAX_KEY_ID_BYTES).collect(),
            });
        }
        let id = id.to_owned();
        let Ok(bytes) = STANDARD.decode(key.expose_secret().trim()) else {
            return Err(BadKey::NotBase64 { id });
        };
        let bytes = Zeroizing::new(bytes);
        if bytes.len() != KEY_BYTES {
            return Err(BadKey::Length {
                id,
                bytes: bytes.len(),
            });
        }
        if bytes.iter().all(|byte| Some(byte) == bytes.first()) {
            return Err(BadKey::NotRandom { id });
        }
        let Ok(cipher) = XChaCha20Poly1305::new_from_slice(&bytes) else {
            return Err(BadKey::Length {
                id,
                bytes: bytes.len(),
            });
        };
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &bytes), DIGEST_LABEL);
        Ok(Self {
            id,
            cipher,
            digests: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()),
        })
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// The current key, which seals and opens, and the previous keys, which only open.
#[derive(Debug)]
pub struct KeyRing {
    current: SealingKey,
    previous: Vec<SealingKey>,
}

impl KeyRing {
    /// Creates a ring of keys with distinct ids.
    ///
    /// # Errors
    /// [`BadKey::DuplicateId`].
    pub fn new(current: SealingKey, previous: Vec<SealingKey>) -> Result<Self, BadKey> {
        let ring = Self { current, previous };
        let mut ids: Vec<&str> = ring.keys().map(SealingKey::id).collect();
        ids.sort_unstable();
        match ids.array_windows().find(|[left, right]| left == right) {
            Some([id, _]) => Err(BadKey::DuplicateId { id: (*id).to_owned() }),
            None => Ok(ring),
        }
    }

    /// Seals `plaintext` with the current key for the store key `key_name`.
    ///
    /// # Errors
    /// [`SealError`] if the operating system has no random bytes.
    pub fn seal(&self, key_name: &str, plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0_u8; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| SealError)?;
        let payload = Payload {
            msg: plaintext,
            aad: key_name.as_bytes(),
        };
        let ciphertext = self
            .current
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SealError)?;
        let id = self.current.id.as_bytes();
        let id_length = u8::try_from(id.len()).map_err(|_| SealError)?;
        let mut sealed = Vec::with_capacity(2 + id.len() + NONCE_BYTES + ciphertext.len());
        sealed.extend_from_slice(&[FORMAT, id_length]);
        sealed.extend_from_slice(id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        Ok(sealed)
    }

    /// Opens a value that any key of the ring sealed for `key_name`. The plaintext is wiped on drop.
    ///
    /// # Errors
    /// [`UnsealError`]; of the value it contains only the key's id.
    pub fn open(&self, key_name: &str, sealed: &[u8]) -> Result<SecretSlice<u8>, UnsealError> {
        let parts = Parts::parse(sealed)?;
        let Some(key) = self.keys().find(|key| key.id == parts.key_id) else {
            return Err(UnsealError::UnknownKey {
                id: parts.key_id.to_owned(),
            });
        };
        let payload = Payload {
            msg: parts.ciphertext,
            aad: key_name.as_bytes(),
        };
        match key.cipher.decrypt(&XNonce::from(*parts.nonce), payload) {
            Ok(plaintext) => Ok(plaintext.into()),
            Err(_) => Err(UnsealError::Tampered { id: key.id.clone() }),
        }
    }

    /// Whether the current key sealed the value. If not, seal it again at the next write, so that the previous key can be
    /// removed.
    #[must_use]
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        Parts::parse(sealed).is_ok_and(|parts| parts.key_id == self.current.id)
    }

    /// Digests of `text` (HMAC-SHA-256, 64 hex digits) for an index in the store: by the current key, by which an entry is
    /// written, then by each previous one, by which it may have been. Without a key no guess at the text can be tested.
    pub fn keyed_digests(&self, text: &str) -> impl Iterator<Item = String> {
        self.keys()
            .map(move |key| digest::hex(hmac::sign(&key.digests, text.as_bytes()).as_ref()))
    }

    fn keys(&self) -> impl Iterator<Item = &SealingKey> {
        std::iter::once(&self.current).chain(&self.previous)
    }
}

/// A sealed value, split into its fields.
struct Parts<'a> {
    key_id: &'a str,
    nonce: &'a [u8; NONCE_BYTES],
    ciphertext: &'a [u8],
}

impl<'a> Parts<'a> {
    fn parse(sealed: &'a [u8]) -> Result<Self, UnsealError> {
        let format = |what| UnsealError::Format { what };
        let (header, rest) = sealed.split_first_chunk().ok_or(format("it is too short"))?;
        let [version, id_length] = *header;
        if version != FORMAT {
            return Err(format("its format is unknown to this version"));
        }
        let (key_id, rest) = rest
            .split_at_checked(usize::from(id_length))
            .ok_or(format("it ends within the key id"))?;
        let key_id = std::str::from_utf8(key_id).map_err(|_| format("its key id is not text"))?;
        let (nonce, ciphertext) = rest
            .split_first_chunk()
            .ok_or(format("it ends within the nonce"))?;
        Ok(Self {
            key_id,
            nonce,
            ciphertext,
        })
    }
}
