//! Reading one resource: everything in it that is not as the CRD has it becomes a note.

use super::Note;
use super::shape::Field;
use crate::yaml::{Location, Node, Placed};

/// The member `name` of a map, unless it is empty.
pub(super) fn member<'a>(map: &'a Placed, name: &str) -> Option<&'a Placed> {
    map.node
        .members()
        .iter()
        .find(|member| member.key == name)
        .map(|member| &member.value)
        .filter(|value| !matches!(value.node, Node::Null))
}

/// The text of the member `name`; an empty one counts as absent.
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
    /// The server's name, once it is known.
    pub(super) server: String,
    /// Something that decides about the server could not be read.
    pub(super) is_unsure: bool,
}

impl Reader<'_> {
    pub(super) fn note(&mut self, place: Location, says: &str) {
        let server = match self.server.as_str() {
            "" => "an MCPServer ".to_owned(),
            name => format!("server {name:?}: "),
        };
        self.notes.push(Note {
            line: place.line(),
            says: format!("{server}{says}"),
        });
    }

    pub(super) fn left_out<T>(&mut self, place: &Placed, why: &str) -> Option<T> {
        self.note(place.place, &format!("{why}; it is left out"));
        None
    }

    /// Notes every member of `map`, called `block`, that is not as `fields` have it. In the resource's own metadata are many
    /// fields that are nothing to us: `others` may be there.
    pub(super) fn look_at(&mut self, block: &str, map: &Placed, fields: &[Field], others: bool) {
        let mut seen: Vec<&str> = Vec::new();
        for member in map.node.members() {
            let (key, place) = (member.key.as_str(), member.key_place);
            let field = fields.iter().find(|field| field.name == key);
            let Some(field) = field else {
                if !others {
                    self.note(
                        place,
                        &format!("{block}.{key} is not known here; it is not taken over"),
                    );
                }
                continue;
            };
            if seen.contains(&key) {
                self.note(place, &format!("{block}.{key} stands there twice"));
                self.is_unsure |= field.decides;
            }
            seen.push(key);
            match &member.value.node {
                Node::Null => self.note(
                    place,
                    &format!("{block}.{key} is empty; it counts as if it were not there"),
                ),
                node if field.kind.fits(node) => {}
                node => {
                    let says = format!(
                        "{block}.{key} must be {}, and is {}",
                        field.kind.name(),
                        node.kind()
                    );
                    self.note(place, &says);
                    self.is_unsure |= field.decides;
                }
            }
        }
    }
}
