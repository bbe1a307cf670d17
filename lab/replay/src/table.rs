//! The counts as a table.

use super::{Half, Lines, Replay};

/// A column: its title and its counts.
pub(super) type TableColumn = (&'static str, fn(&Replay) -> &Half);

/// The columns, in order.
pub(super) const COLUMNS: [TableColumn; 4] = [
    ("filter off, as it was", |replay| &replay.off),
    ("filter on", |replay| &replay.on),
    ("unregistered", |replay| &replay.unregistered),
    ("relay", |replay| &replay.relay),
];

/// The head of a table of these columns.
pub(super) fn head(columns: &[TableColumn]) -> Vec<&'static str> {
    let titles = columns.iter().map(|(title, _)| *title);
    std::iter::once("counted").chain(titles).collect()
}

/// The table of docs/replay/README.md.
pub fn markdown(replay: &Replay) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rows = rows(replay, &COLUMNS);
    let lines = rows.iter().map(|row| line(row));
    let titles: Vec<String> = head(&COLUMNS).into_iter().map(str::to_owned).collect();
    let head = format!("{}|---|{}\n", line(&titles), "--:|".repeat(COLUMNS.len()));
    std::iter::once(head).chain(lines).collect()
}

/// What was counted in these columns.
pub(super) fn rows(replay: &Replay, columns: &[TableColumn]) -> Vec<Vec<String>> {
    let row = |counted: &str, value: &dyn Fn(&Half) -> String| {
        let values = columns.iter().map(|(_, half)| value(half(replay)));
        std::iter::once(counted.to_owned()).chain(values).collect()
    };
    let count = |value: fn(&Half) -> usize| move |half: &Half| thousands(value(half));
    vec![
        row(
            "requests that reached a server with an expired token",
            &count(|half| half.rejected_expired),
        ),
        row(
            "requests that reached a server with a token of the gateway's own",
            &count(|half| half.own_tokens),
        ),
        row(
            "401 and 403 answered by servers",
            &count(|half| half.server_errors),
        ),
        row(
            "the same in the worst minute",
            &count(|half| most(&half.server_errors_per_minute)),
        ),
        row(
            "straight failures of one listener at the local server",
            &count(|half| half.local_failures_in_a_row),
        ),
        row(
            "tool calls that failed though the grant was alive",
            &count(|half| half.failed_though_alive),
        ),
        row("logins that were lost", &count(|half| half.logins_lost)),
        row(
            "WARN lines in the worst minute",
            &count(|half| most(&half.warn_lines_per_minute)),
        ),
        row(
            "WARN lines of the loudest pair in a minute",
            &count(|half| half.warn_per_pair_minute_max),
        ),
        row("lines of the filter: ERROR / WARN / INFO / DEBUG", &|half| {
            levels(half.filter_lines)
        }),
        row("lines of control: ERROR / WARN / INFO / DEBUG", &|half| {
            levels(half.control_lines)
        }),
        row(
            "lines of the aggregator itself, one a failed attempt",
            &count(|half| half.aggregator_lines),
        ),
        row(
            "requests refused by the gateway",
            &count(|half| half.gateway_refusals),
        ),
        row(
            "listeners' requests that failed though the grant was alive",
            &count(|half| half.listeners_failed_though_alive),
        ),
        row(
            "requests in the style of MCP 2026-07-28",
            &count(|half| half.requests_of_2026),
        ),
        row(
            "requests of the dead login's listeners: all / that reached a server",
            &|half| {
                format!(
                    "{} / {}",
                    thousands(half.storm.requests),
                    thousands(half.storm.passed_on)
                )
            },
        ),
        row(
            "calls from the gateway to control",
            &count(|half| half.control_calls),
        ),
        row(
            "calls to issuers: logins / refreshes / exchanges / keys and discovery",
            &|half| {
                let calls = half.issuer_calls;
                [calls.logins, calls.refreshes, calls.exchanges, calls.other]
                    .map(thousands)
                    .join(" / ")
            },
        ),
        row(
            "seconds from login until every server answers: alice / bob",
            &recovery,
        ),
    ]
}

fn recovery(half: &Half) -> String {
    let shown = |time: &Option<f64>| time.map_or("never".to_owned(), |seconds| format!("{seconds:.0}"));
    let times: Vec<String> = half.recovery_seconds.values().map(shown).collect();
    times.join(" / ")
}

fn levels(lines: Lines) -> String {
    [lines.error, lines.warn, lines.info, lines.debug]
        .map(thousands)
        .join(" / ")
}

fn most(counts: &[usize]) -> usize {
    counts.iter().copied().max().unwrap_or(0)
}

/// `12,345`.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
