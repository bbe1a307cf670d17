//! Reads one resource: each field that differs from the CRD becomes a note.

use super::Note;
use super::shape::Field;
use crate::yaml::{Location, Node, Placed};

/// The member `name` of a map, unless it is null.
pub(super) fn member<'a>(map: &'a Placed, name: &str) -> Option<&'a Placed> {
    map.node
        .members()
        .iter()
        .find(|member| member.key == name)
        .map(|member| &member.value)
        .filter(|value| !matches!(value.node, Node::Null))
}

/// The string of the member `name`; an empty one counts as absent.
pub(super) fn text<'a>(map: &'a Placed, name: &str) -> Option<&'a str> {
    match &member(map, name)?.node {
        Node::Text(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// Whether the member `name` is `true`.
pub(super) fn flag(map: &Placed, name: &str) -> bool {
    matches!(
        member(map, name).map(|value| &value.node),
        Some(Node::Flag { value: true, .. })
    )
}

pub(super) struct Reader<'a> {
    pub(super) notes: &'a mut Vec<Note>,
    /// What must be filled in in control's configuration.
    pub(super) fill_in: &'a mut Vec<Note>,
    /// The server's name; empty until it is known.
    pub(super) server: String,
    /// Whether a field that the import depends on could not be read.
    pub(super) is_uncertain: bool,
}

impl Reader<'_> {
    pub(super) fn note(&mut self, place: Location, text: &str) {
        let note = self.note_at(place, text);
        self.notes.push(note);
    }

    /// Notes what control's configuration needs and the chart's values do not.
    pub(super) fn note_to_fill_in(&mut self, place: Location, text: &str) {
        let note = self.note_at(place, text);
        self.fill_in.push(note);
    }

    fn note_at(&self, place: Location, text: &str) -> Note {
        let server = match self.server.as_str() {
            "" => "an MCPServer ".to_owned(),
            name => format!("server {name:?}: "),
        };
        Note {
            line: place.line(),
            text: format!("{server}{text}"),
        }
    }

    pub(super) fn omit<T>(&mut self, place: &Placed, why: &str) -> Option<T> {
        self.note(place.place, &format!("{why}; it is left out"));
        None
    }

    /// Notes every member of `map`, the block `block`, that differs from `fields`. With `others` further members are accepted:
    /// a resource's metadata has many that do not matter here.
    pub(super) fn check_fields(&mut self, block: &str, map: &Placed, fields: &[Field], others: bool) {
        let mut seen: Vec<&str> = Vec::new();
        for member in map.node.members() {
            let (key, place) = (member.key.as_str(), member.key_place);
            let field = fields.iter().find(|field| field.name == key);
            let Some(field) = field else {
                if !others {
                    self.note(
                        place,
                        &format!("{block}.{key} is not known here; it is not imported"),
                    );
                }
                continue;
            };
            if seen.contains(&key) {
                self.note(place, &format!("{block}.{key} occurs twice"));
                self.is_uncertain |= field.is_decisive;
            }
            seen.push(key);
            match &member.value.node {
                Node::Null => self.note(place, &format!("{block}.{key} is empty; it counts as absent")),
                node if field.kind.fits(node) => {}
                node => {
                    let text = format!(
                        "{block}.{key} must be {}, and is {}",
                        field.kind.name(),
                        node.kind()
                    );
                    self.note(place, &text);
                    self.is_uncertain |= field.is_decisive;
                }
            }
        }
    }
}
