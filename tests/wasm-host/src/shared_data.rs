//! `proxy_get_shared_data` and `proxy_set_shared_data` exactly as cpp-host does them.

use std::collections::BTreeMap;

/// Another value was stored since the caller read the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CasMismatch;

/// The process-wide map of one `vm_id`. Nothing is ever removed: a key with an empty value remains.
#[derive(Debug, Clone)]
pub struct SharedData {
    entries: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    next_cas: u32,
    mismatches: u64,
}

impl Default for SharedData {
    fn default() -> Self {
        Self::with_next_cas(1)
    }
}

impl SharedData {
    /// An empty map whose next successful set gets the number `next_cas`.
    #[must_use]
    pub fn with_next_cas(next_cas: u32) -> Self {
        Self {
            entries: BTreeMap::new(),
            next_cas,
            mismatches: 0,
        }
    }

    /// The value of `key` and its CAS number; `None` where the key was never set.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<(&[u8], u32)> {
        self.entries.get(key).map(|(value, cas)| (value.as_slice(), *cas))
    }

    /// Stores `value`. `cas` 0 overwrites; a missing key is inserted **whatever `cas` is**; an existing one is
    /// replaced only when `cas` is its present number. One counter serves all keys and never gives 0.
    ///
    /// # Errors
    /// [`CasMismatch`]; the map is unchanged.
    pub fn set(&mut self, key: &[u8], value: &[u8], cas: u32) -> Result<(), CasMismatch> {
        if let Some((_, present)) = self.entries.get(key)
            && cas != 0
            && cas != *present
        {
            self.mismatches += 1;
            return Err(CasMismatch);
        }
        self.entries.insert(key.to_vec(), (value.to_vec(), self.next_cas));
        self.next_cas = self.next_cas.checked_add(1).unwrap_or(1);
        Ok(())
    }

    /// All keys ever set.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.keys().map(Vec::as_slice)
    }

    /// How many keys were ever set: they are never freed, so a test bounds this.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of all keys and values.
    #[must_use]
    pub fn byte_count(&self) -> usize {
        self.entries
            .iter()
            .map(|(key, (value, _))| key.len() + value.len())
            .sum()
    }

    /// How many sets lost a race.
    #[must_use]
    pub fn mismatches(&self) -> u64 {
        self.mismatches
    }
}
