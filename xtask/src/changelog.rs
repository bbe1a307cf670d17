//! CHANGELOG.md in the form of Keep a Changelog: a heading `## [VERSION] - DATE` for each release, `## [Unreleased]` above them.

#[cfg(test)]
mod tests;

/// One version's part of the change log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Section<'a> {
    /// `0.1.0`, or `Unreleased`.
    pub(crate) version: &'a str,
    /// The day after the hyphen, if the heading has one and it is `YYYY-MM-DD`.
    pub(crate) date: Option<&'a str>,
    /// Everything below the heading, without blank lines around it.
    pub(crate) text: &'a str,
}

/// The sections in the order of the file.
pub(crate) fn sections(changelog: &str) -> Vec<Section<'_>> {
    let mut starts: Vec<usize> = changelog.match_indices("\n## [").map(|(at, _)| at + 1).collect();
    if changelog.starts_with("## [") {
        starts.insert(0, 0);
    }
    let ends = starts.iter().skip(1).copied().chain([changelog.len()]);
    starts
        .iter()
        .zip(ends)
        .filter_map(|(&start, end)| section(&changelog[start..end]))
        .collect()
}

/// The newest section that is a release.
pub(crate) fn newest_release(changelog: &str) -> Option<Section<'_>> {
    sections(changelog)
        .into_iter()
        .find(|section| section.version != "Unreleased")
}

fn section(part: &str) -> Option<Section<'_>> {
    let (heading, text) = part.split_once('\n').unwrap_or((part, ""));
    let (version, rest) = heading.strip_prefix("## [")?.split_once(']')?;
    Some(Section {
        version,
        date: rest.trim().strip_prefix("- ").filter(|date| is_date(date)),
        text: text.trim(),
    })
}

/// `YYYY-MM-DD`, with a month and a day that exist in some year.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let number = |part: &str, digits: usize| {
        (part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| part.parse::<u32>().ok())
            .flatten()
    };
    let [year, month, day] = parts.as_slice() else {
        return false;
    };
    number(year, 4).is_some()
        && number(month, 2).is_some_and(|month| (1..=12).contains(&month))
        && number(day, 2).is_some_and(|day| (1..=31).contains(&day))
}
