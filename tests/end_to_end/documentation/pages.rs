//! The tables of the two pages, as data.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use tokenward_filter_core::mcp_method::McpMethod;
use tokenward_harness::parts::tools;
use tokenward_protocol::refusal::Refusal;

/// One counter of the filter.
#[derive(Debug)]
pub(super) struct MetricFamily {
    pub(super) name: String,
    /// Its label besides `server`, which says what was counted.
    pub(super) label: String,
    pub(super) values: BTreeSet<String>,
}

impl MetricFamily {
    /// The counters of docs/METRICS.md, with `a refusal` spelt out.
    pub(super) fn of_the_filter() -> anyhow::Result<Vec<Self>> {
        let page = std::fs::read_to_string(tools::workspace().join("docs/METRICS.md"))?;
        let mut families: Vec<Self> = Vec::new();
        for [name, label, values, _] in rows(section(&page, "## Filter")?) {
            if let ([name], [label]) = (&spans(&name)[..], &spans(&label)[..]) {
                families.push(Self {
                    name: name.clone(),
                    label: label.clone(),
                    values: BTreeSet::new(),
                });
            }
            let family = families.last_mut().context("the first row has no name")?;
            let spelt = spans(&values);
            let prefix = spelt.iter().find(|value| value.ends_with('_'));
            if values.contains("a refusal") {
                let prefix = prefix.map_or("", String::as_str);
                let refusals = Refusal::ALL
                    .iter()
                    .map(|refusal| format!("{prefix}{}", refusal.name()));
                family.values.extend(refusals);
            }
            family
                .values
                .extend(spelt.into_iter().filter(|value| !value.ends_with('_')));
        }
        ensure!(!families.is_empty(), "no table of metrics");
        Ok(families)
    }
}

/// The values of `mcp_method` on docs/METRICS.md.
pub(super) fn mcp_methods() -> anyhow::Result<BTreeSet<String>> {
    let page = std::fs::read_to_string(tools::workspace().join("docs/METRICS.md"))?;
    let (_, list) = page
        .split_once("no\nother values than these:")
        .context("no list")?;
    let (list, _) = list.split_once("\n\n").context("the list does not end")?;
    Ok(spans(list).into_iter().collect())
}

/// One form of line at one level.
#[derive(Debug)]
pub(super) struct LogForm {
    level: String,
    pieces: Vec<Piece>,
}

/// A part of a line.
#[derive(Debug)]
enum Piece {
    Text(String),
    /// A server's name: `S`.
    Server,
    /// A pair's digest: `P`.
    Pair,
    /// A refusal's name: `R`.
    Refusal,
    /// An MCP method of the fixed list: `M`.
    Method,
    /// A count or a status: `N`.
    Number,
    /// A field's name: `F`.
    Field,
    /// A sentence for the reader, up to the end.
    Sentence,
}

impl LogForm {
    /// The filter's forms of docs/LOGGING.md; `the same` repeats the row above at another level.
    pub(super) fn of_the_filter() -> anyhow::Result<Vec<Self>> {
        let page = std::fs::read_to_string(tools::workspace().join("docs/LOGGING.md"))?;
        let (mut forms, mut above) = (Vec::new(), Vec::new());
        for [level, lines, _] in rows(section(&page, "## Filter")?) {
            if lines.trim() != "the same" {
                above = spans(&lines);
            }
            let level = match level.trim() {
                "WARN" => "warning".to_owned(),
                other => other.to_lowercase(),
            };
            forms.extend(above.iter().map(|line| Self {
                level: level.clone(),
                pieces: pieces(line),
            }));
        }
        ensure!(!forms.is_empty(), "no table of lines");
        Ok(forms)
    }

    /// Whether a line has this form.
    pub(super) fn matches(&self, level: &str, line: &str) -> bool {
        let mut rest = line;
        for piece in &self.pieces {
            let Some(after) = piece.taken_off(rest) else {
                return false;
            };
            rest = after;
        }
        level == self.level && rest.is_empty()
    }
}

impl Piece {
    /// What follows this piece at the start of `text`.
    fn taken_off<'a>(&self, text: &'a str) -> Option<&'a str> {
        let while_all = |good: fn(char) -> bool| {
            let end = text.find(|c| !good(c)).unwrap_or(text.len());
            (end > 0).then(|| text.split_at(end))
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '[' | ']');
        let (taken, rest) = match self {
            Self::Text(expected) => return text.strip_prefix(expected.as_str()),
            Self::Sentence => text.split_at(text.len()),
            Self::Number => while_all(|c| c.is_ascii_digit())?,
            Self::Pair => while_all(|c| c.is_ascii_hexdigit())?,
            Self::Method => while_all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_'))?,
            Self::Server | Self::Refusal | Self::Field => while_all(is_name)?,
        };
        let fits = match self {
            Self::Pair => taken.len() == 8,
            Self::Refusal => Refusal::from_name(taken).is_some(),
            Self::Method => McpMethod::all().any(|method| method.name() == taken),
            Self::Sentence => !taken.is_empty(),
            _ => true,
        };
        fits.then_some(rest)
    }
}

/// A form as the page writes it: capital letters that stand alone are places.
fn pieces(form: &str) -> Vec<Piece> {
    let (form, sentence) = match form.strip_suffix("what to do") {
        Some(before) => (before, Some(Piece::Sentence)),
        None => (form, None),
    };
    let mut pieces = Vec::new();
    for word in form.split_inclusive([' ', '=', ':']) {
        let (name, end) = word.split_at(word.trim_end_matches([' ', '=', ':']).len());
        pieces.push(match name {
            "S" => Piece::Server,
            "P" => Piece::Pair,
            "R" => Piece::Refusal,
            "M" => Piece::Method,
            "N" => Piece::Number,
            "F" => Piece::Field,
            text => Piece::Text(text.to_owned()),
        });
        pieces.push(Piece::Text(end.to_owned()));
    }
    pieces.extend(sentence);
    pieces
}

fn section<'a>(page: &'a str, heading: &str) -> anyhow::Result<&'a str> {
    let (_, rest) = page
        .split_once(&format!("\n{heading}"))
        .with_context(|| format!("no {heading}"))?;
    Ok(rest.split("\n## ").next().unwrap_or(rest))
}

/// The rows of the section's tables with so many columns, without their headings.
fn rows<const COLUMNS: usize>(section: &str) -> Vec<[String; COLUMNS]> {
    let cells = |line: &str| -> Option<[String; COLUMNS]> {
        let inner = line.strip_prefix('|')?.strip_suffix('|')?;
        let cells: Vec<String> = inner.split('|').map(|cell| cell.trim().to_owned()).collect();
        cells.try_into().ok()
    };
    let mut rows: Vec<_> = section.lines().filter_map(cells).collect();
    if let Some(rule) = rows.iter().position(|row| row[0].starts_with("---")) {
        rows.drain(..=rule);
    }
    rows
}

/// What stands between backticks.
fn spans(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
