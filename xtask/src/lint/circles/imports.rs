//! The `use` declarations of one file.

/// One imported name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Import {
    /// Within the crate, from its root.
    pub(super) path: Vec<String>,
    /// What it is called here.
    pub(super) name: String,
    /// `pub use` of any visibility.
    pub(super) is_exported: bool,
}

/// Everything that the file of `module` imports from its own crate. Paths in expressions are not read: the house imports what
/// it uses.
pub(super) fn imports(text: &str, module: &[String]) -> Vec<Import> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = next_use(rest) {
        let (before, declaration) = rest.split_at(start);
        let declaration = declaration.trim_start_matches("use ");
        let Some(end) = declaration.find(';') else {
            break;
        };
        let line = before.rsplit('\n').next().unwrap_or_default();
        let is_exported = line.trim_start().starts_with("pub");
        for names in expanded(&declaration[..end]) {
            let (names, alias) = match names.split_once(" as ") {
                Some((names, alias)) => (names.to_owned(), Some(alias.to_owned())),
                None => (names, None),
            };
            let path = names.split("::").map(str::to_owned).collect();
            if let Some(path) = within_the_crate(path, module) {
                let name = alias.or_else(|| path.last().cloned()).unwrap_or_default();
                found.push(Import {
                    path,
                    name,
                    is_exported,
                });
            }
        }
        rest = &declaration[end..];
    }
    found
}

/// Where the next declaration begins: at the beginning of a line, or behind `pub` there.
fn next_use(text: &str) -> Option<usize> {
    text.match_indices("use ").map(|(at, _)| at).find(|&at| {
        let line = text[..at].rsplit('\n').next().unwrap_or_default().trim();
        line.is_empty() || (line.starts_with("pub") && !line.contains(char::is_whitespace))
    })
}

/// `a::{b, c::{self, d}}` as `a::b`, `a::c`, `a::c::d`.
fn expanded(declaration: &str) -> Vec<String> {
    let plain: String = declaration.split_whitespace().collect::<Vec<_>>().join(" ");
    let Some(open) = plain.find('{') else {
        return vec![plain.trim().trim_end_matches("::self").to_owned()];
    };
    let prefix = plain[..open].trim();
    let inner = plain[open + 1..].trim().trim_end_matches('}');
    // Only one brace was this declaration's own.
    let missing = inner.matches('{').count() - inner.matches('}').count();
    let inner = format!("{inner}{}", "}".repeat(missing));
    parts(&inner)
        .into_iter()
        .flat_map(|part| expanded(&format!("{prefix}{}", part.trim())))
        .collect()
}

/// Parts between commas that are in no braces.
fn parts(list: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// `path` from the crate's root; `None` where it leads out of the crate. A path without `crate`, `self` or `super` is taken
/// for one of a child module, as `pub use child::Name`.
fn within_the_crate(path: Vec<String>, module: &[String]) -> Option<Vec<String>> {
    let mut segments = path.into_iter().peekable();
    let mut from = match segments.peek()?.as_str() {
        "crate" => {
            segments.next();
            Vec::new()
        }
        "std" | "core" | "alloc" => return None,
        _ => module.to_vec(),
    };
    while let Some(segment) = segments.next_if(|segment| segment == "self" || segment == "super") {
        if segment == "super" {
            from.pop();
        }
    }
    from.extend(segments);
    Some(from)
}
