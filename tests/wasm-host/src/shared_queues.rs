//! Shared queues: first in first out, by name, owned by the last registrant.

use std::collections::{BTreeMap, VecDeque};

/// No queue has this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownQueue;

/// The queues of one `vm_id`. `Owner` is notified of new items.
#[derive(Debug, Clone)]
pub struct SharedQueues<Owner> {
    ids: BTreeMap<Vec<u8>, u32>,
    queues: BTreeMap<u32, (Owner, VecDeque<Vec<u8>>)>,
}

impl<Owner> Default for SharedQueues<Owner> {
    fn default() -> Self {
        Self {
            ids: BTreeMap::new(),
            queues: BTreeMap::new(),
        }
    }
}

impl<Owner: Clone> SharedQueues<Owner> {
    /// Registers `name` for `owner` and returns its id. A known name retains its id and items and gets a new owner:
    /// only the last registrant is notified of new items.
    pub fn register(&mut self, name: &[u8], owner: Owner) -> u32 {
        let next = u32::try_from(self.ids.len() + 1).expect("fewer than 2^32 queues");
        let id = *self.ids.entry(name.to_vec()).or_insert(next);
        let items = self
            .queues
            .remove(&id)
            .map(|(_, items)| items)
            .unwrap_or_default();
        self.queues.insert(id, (owner, items));
        id
    }

    /// The id of a registered name.
    #[must_use]
    pub fn resolve(&self, name: &[u8]) -> Option<u32> {
        self.ids.get(name).copied()
    }

    /// Appends an item and returns the owner, who gets one `on_queue_ready` for it.
    ///
    /// # Errors
    /// [`UnknownQueue`].
    pub fn enqueue(&mut self, id: u32, item: Vec<u8>) -> Result<Owner, UnknownQueue> {
        let (owner, items) = self.queues.get_mut(&id).ok_or(UnknownQueue)?;
        items.push_back(item);
        Ok(owner.clone())
    }

    /// Takes the oldest item; `None` when the queue is empty.
    ///
    /// # Errors
    /// [`UnknownQueue`].
    pub fn dequeue(&mut self, id: u32) -> Result<Option<Vec<u8>>, UnknownQueue> {
        let (_, items) = self.queues.get_mut(&id).ok_or(UnknownQueue)?;
        Ok(items.pop_front())
    }

    /// How many queues were ever registered: they are never freed.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ids.len()
    }
}
