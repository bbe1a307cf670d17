//! YAML (and JSON, which is YAML) as a tree whose every value knows its place and its path, and from there into types: with
//! every fault of the shape, not only the first.

mod de;
mod fault;
mod fault_collector;
mod placeholder;
mod read;
mod spanned;
mod suggest;

pub(crate) use self::de::typed;
pub(crate) use self::read::documents;
pub(crate) use self::spanned::Spanned;

/// A line and a column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Location {
    line: u64,
    column: u64,
}

impl Location {
    /// No place: what is wrong stands nowhere.
    pub(crate) const UNKNOWN: Self = Self { line: 0, column: 0 };

    pub(crate) const fn new(line: u64, column: u64) -> Self {
        Self { line, column }
    }

    pub(crate) const fn line(self) -> u64 {
        self.line
    }

    pub(crate) const fn column(self) -> u64 {
        self.column
    }
}

/// Tells one value of a tree from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Id(usize);

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) id: Id,
    /// `issuers[0].client_id`; empty for the document itself.
    pub(crate) path: String,
    pub(crate) place: Location,
    pub(crate) node: Node,
}

/// A member of a map.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) key: String,
    pub(crate) key_place: Location,
    pub(crate) value: Placed,
}

/// One YAML value.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Map(Vec<Member>),
    List(Vec<Placed>),
    Text(String),
    Flag {
        value: bool,
        written: String,
    },
    /// As it is written.
    Number(String),
    Null,
}

impl Node {
    /// What it is, in words.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Map(_) => "a map",
            Self::List(_) => "a list",
            Self::Text(_) => "a text",
            Self::Flag { .. } => "true or false",
            Self::Number(_) => "a number",
            Self::Null => "empty",
        }
    }

    /// The members of a map; none for anything else.
    pub(crate) fn members(&self) -> &[Member] {
        match self {
            Self::Map(members) => members,
            _ => &[],
        }
    }
}
