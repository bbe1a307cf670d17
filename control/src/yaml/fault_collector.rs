//! Records each fault once, and excludes as little of the document as possible because of it.

use std::collections::{HashMap, HashSet};

use super::fault::{Fault, Kind, ShapeFault};
use super::read::shown;
use super::suggest::nearest;
use super::tree::{Id, Location, Member, Node, Placed};

/// The faults of a document so far, and the values that are excluded because of them.
pub(super) struct FaultCollector<'a> {
    document: &'a Placed,
    /// Every value, with the map or list that contains it.
    values: HashMap<Id, (&'a Placed, Option<&'a Placed>)>,
    excluded: HashSet<Id>,
    /// Missing members by map: placeholders replace them until all missing members are known.
    placeholders: HashMap<Id, Vec<&'static str>>,
    /// Names that unknown members were probably intended to have, by map.
    intended: HashMap<Id, Vec<&'static str>>,
    faults: Vec<ShapeFault>,
    incomplete: Vec<Location>,
}

impl<'a> FaultCollector<'a> {
    pub(super) fn new(document: &'a Placed) -> Self {
        let mut collector = Self {
            document,
            values: HashMap::new(),
            excluded: HashSet::new(),
            placeholders: HashMap::new(),
            intended: HashMap::new(),
            faults: Vec::new(),
            incomplete: Vec::new(),
        };
        collector.index(document, None);
        collector
    }

    fn index(&mut self, placed: &'a Placed, within: Option<&'a Placed>) {
        self.values.insert(placed.id, (placed, within));
        match &placed.node {
            Node::Map(members) => members
                .iter()
                .for_each(|member| self.index(&member.value, Some(placed))),
            Node::List(items) => items.iter().for_each(|item| self.index(item, Some(placed))),
            _ => {}
        }
    }

    pub(super) fn is_excluded(&self, id: Id) -> bool {
        self.excluded.contains(&id)
    }

    pub(super) fn placeholders(&self, id: Id) -> Vec<&'static str> {
        self.placeholders.get(&id).cloned().unwrap_or_default()
    }

    /// Whether the document itself is not excluded.
    pub(super) fn is_whole(&self) -> bool {
        !self.is_excluded(self.document.id)
    }

    pub(super) fn into_parts(self) -> (Vec<ShapeFault>, Vec<Location>) {
        (self.faults, self.incomplete)
    }

    /// Excludes the members of `map` whose key is a duplicate or not in `known`.
    pub(super) fn check_keys(&mut self, map: &'a Placed, known: Option<&'static [&'static str]>) {
        let mut seen: HashMap<&str, Location> = HashMap::new();
        for member in map.node.members() {
            if self.is_excluded(member.value.id) {
                seen.entry(&member.key).or_insert(member.key_place);
                continue;
            }
            if let Some(first) = seen.get(member.key.as_str()) {
                let what = format!("{} occurs twice", member.value.path);
                let hint = format!("remove one of them: the first is in line {}", first.line());
                self.fault(member.key_place, what, hint);
                self.exclude(&member.value);
                continue;
            }
            seen.insert(&member.key, member.key_place);
            if let Some(known) = known.filter(|known| !known.contains(&member.key.as_str())) {
                self.unknown(map, member, known);
            }
        }
    }

    fn unknown(&mut self, map: &Placed, member: &'a Member, known: &[&'static str]) {
        let absent: Vec<&'static str> = known
            .iter()
            .copied()
            .filter(|known| map.node.members().iter().all(|other| other.key != *known))
            .collect();
        let hint = match nearest(&member.key, &absent) {
            Some(intended) => {
                self.intended.entry(map.id).or_default().push(intended);
                format!("did you mean {intended}?")
            }
            None => format!("known here: {}", known.join(", ")),
        };
        let name = shown(&member.key);
        let what = match map.path.as_str() {
            "" => format!("{name} is not known"),
            path => format!("{name} is not known in {path}"),
        };
        self.fault(member.key_place, what, hint);
        self.exclude(&member.value);
    }

    /// Records `fault` and excludes the faulty value; `false` if nothing remains.
    pub(super) fn record(&mut self, fault: Fault) -> bool {
        let at = fault.at.unwrap_or(self.document.id);
        let Some((placed, _)) = self.values.get(&at).copied() else {
            return false;
        };
        let name = match placed.path.as_str() {
            "" => "the document",
            path => path,
        };
        match fault.kind {
            Kind::Missing(missing) => {
                if !self.is_explained(placed, missing) {
                    let what = match placed.path.as_str() {
                        "" => format!("{missing} is missing"),
                        path => format!("{path} has no {missing}"),
                    };
                    self.fault(placed.place, what, format!("add {missing}"));
                }
                self.placeholders.entry(placed.id).or_default().push(missing);
                return true;
            }
            Kind::Unknown { name, known } => {
                let unknown = placed.node.members().iter().find(|member| member.key == name);
                if let Some(member) = unknown {
                    self.unknown(placed, member, known);
                    return true;
                }
            }
            Kind::Expected(expected) => {
                let what = format!("{name} must be {expected}, and is {}", placed.node.kind());
                self.fault(
                    placed.place,
                    what,
                    "see the table of fields in docs/configuration.md",
                );
            }
            Kind::Other(message) => self.fault(placed.place, format!("{name}: {message}"), ""),
        }
        self.exclude(placed)
    }

    /// Whether `missing` follows from another fault: the member is excluded, or an unknown one was intended to be it.
    fn is_explained(&self, map: &Placed, missing: &str) -> bool {
        let intended = self
            .intended
            .get(&map.id)
            .is_some_and(|intended| intended.contains(&missing));
        intended
            || map
                .node
                .members()
                .iter()
                .any(|member| member.key == missing && self.is_excluded(member.value.id))
    }

    /// Excludes the maps that have placeholders; `false` if there are none. The document retains its own: without it nothing
    /// would remain to be checked.
    pub(super) fn exclude_placeholders(&mut self) -> bool {
        let document = self.document.id;
        let lacking: Vec<Id> = self
            .placeholders
            .keys()
            .copied()
            .filter(|id| *id != document)
            .collect();
        let mut progressed = false;
        for id in lacking {
            self.placeholders.remove(&id);
            if let Some((placed, _)) = self.values.get(&id).copied() {
                progressed |= self.exclude(placed);
            }
        }
        progressed
    }

    fn exclude(&mut self, placed: &'a Placed) -> bool {
        self.excluded.insert(placed.id);
        match self.values.get(&placed.id) {
            Some((_, Some(within))) => {
                self.incomplete.push(within.place);
                true
            }
            _ => false,
        }
    }

    fn fault(&mut self, place: Location, what: impl Into<String>, hint: impl Into<String>) {
        self.faults.push(ShapeFault {
            place,
            what: what.into(),
            hint: hint.into(),
        });
    }
}
