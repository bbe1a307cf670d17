//! The numbers of servers: counters and uses of tokens are found by them, so a name retains its number when the list changes.

use std::rc::Rc;

use tokenward_protocol::bytes::order_of_bytes;

use super::servers::{MOST_SERVERS, Server};

/// The numbers given so far.
#[derive(Debug, Default)]
pub(crate) struct ServerNumbers {
    /// In the order of the names.
    by_name: Vec<(String, usize)>,
    next: usize,
}

impl ServerNumbers {
    /// The numbers of `servers`, which are their positions.
    #[must_use]
    pub(crate) fn new(servers: &[Rc<Server>]) -> Self {
        let mut numbers = Self::default();
        for server in servers {
            numbers.of(&server.name);
        }
        numbers
    }

    /// The number of this name. Names past [`MOST_SERVERS`] are not remembered: they get a new number each time, and no label.
    pub(crate) fn of(&mut self, name: &str) -> usize {
        let order = |(other, _): &(String, usize)| order_of_bytes(other.as_bytes(), name.as_bytes());
        let place = self.by_name.partition_point(|entry| order(entry).is_lt());
        let known = self.by_name.get(place).filter(|entry| order(entry).is_eq());
        if let Some((_, number)) = known {
            return *number;
        }
        let number = self.next;
        self.next = self.next.saturating_add(1);
        if number < MOST_SERVERS {
            self.by_name.insert(place, (name.to_owned(), number));
        }
        number
    }
}
