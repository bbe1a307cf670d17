//! Parses YAML (and JSON, which is YAML) into a tree in which every value has its position and path, and deserializes types
//! from that tree, reporting all faults of the shape and not only the first.

mod de;
mod fault;
mod fault_collector;
mod placeholder;
mod read;
mod spanned;
mod suggest;
mod tree;

pub(crate) use self::de::typed;
pub(crate) use self::read::documents;
pub(crate) use self::spanned::Spanned;
pub(crate) use self::tree::{Location, Node, Placed};
