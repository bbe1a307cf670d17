//! Errors a minute, before and after, as an SVG that can be read on white and on black.

use std::fmt::Write as _;

use super::Replay;
use super::story::MARKS;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
/// Of a panel.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 742.0;
const PANEL_HEIGHT: f64 = 130.0;
const TOPS: [f64; 2] = [46.0, 236.0];

/// Colours that stand out from white and from black alike.
const OFF: &str = "#e5534b";
const ON: &str = "#2da44e";
const TEXT: &str = "#848d97";
const GRID: &str = "#848d9755";

/// Two panels: errors answered by servers, and WARN lines, each minute with the filter off and on.
pub fn svg(replay: &Replay) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\" fill=\"{TEXT}\" role=\"img\">\n<title>Errors a minute during the incident, with the filter \
         off and on</title>\n"
    );
    let panels = [
        (
            "401 and 403 answered by servers, a minute",
            &replay.off.server_errors_per_minute,
            &replay.on.server_errors_per_minute,
        ),
        (
            "WARN lines, a minute",
            &replay.off.warn_lines_per_minute,
            &replay.on.warn_lines_per_minute,
        ),
    ];
    marks(&mut out, replay.off.server_errors_per_minute.len());
    for ((title, off, on), top) in panels.into_iter().zip(TOPS) {
        panel(&mut out, title, top, off, on);
    }
    legend(&mut out);
    let minutes = replay.off.server_errors_per_minute.len();
    let _ = writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"{:.0}\">{minutes} minutes of the incident, replayed {:.0} times as fast</text>",
        HEIGHT - 10.0,
        replay.compression
    );
    out.push_str("</svg>\n");
    out
}

fn panel(out: &mut String, title: &str, top: f64, off: &[usize], on: &[usize]) {
    let bottom = top + PANEL_HEIGHT;
    let highest = off.iter().chain(on).copied().max().unwrap_or(0);
    let scale = round_up(highest.max(1));
    let _ = writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"{:.0}\" font-weight=\"bold\">{title}</text>",
        top - 10.0
    );
    for part in 0..=2_usize {
        let y = bottom - PANEL_HEIGHT * as_f64(part) / 2.0;
        let value = scale * part / 2;
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {y:.1}H{RIGHT}\" stroke=\"{GRID}\"/><text x=\"{:.0}\" y=\"{:.1}\" \
             text-anchor=\"end\">{value}</text>",
            LEFT - 6.0,
            y + 4.0
        );
    }
    for minute in (0..off.len()).step_by(10) {
        let x = LEFT + (RIGHT - LEFT) * as_f64(minute) / as_f64(off.len().max(1));
        let _ = writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{minute}</text>",
            bottom + 16.0
        );
    }
    for (counts, colour, width) in [(off, OFF, 1.6), (on, ON, 2.4)] {
        let path = steps(counts, scale, bottom);
        let _ = writeln!(
            out,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>"
        );
    }
}

/// Dotted lines through both panels: what happened when.
fn marks(out: &mut String, minutes: usize) {
    let (top, bottom) = (TOPS[0], TOPS[1] + PANEL_HEIGHT);
    for (minute, text) in MARKS {
        let x = LEFT + (RIGHT - LEFT) * minute / as_f64(minutes.max(1));
        let _ = writeln!(
            out,
            "<path d=\"M{x:.1} {top}V{bottom}\" stroke=\"{GRID}\" stroke-dasharray=\"2 3\"/><text x=\"{:.1}\" \
             y=\"{:.0}\" font-size=\"11\">{text}</text>",
            x + 3.0,
            top + 12.0
        );
    }
}

fn legend(out: &mut String) {
    for (x, colour, name) in [(520.0, OFF, "filter off, as it was"), (666.0, ON, "filter on")] {
        let _ = writeln!(
            out,
            "<path d=\"M{x} 14h18\" stroke=\"{colour}\" stroke-width=\"3\"/><text x=\"{:.0}\" y=\"18\">{name}</text>",
            x + 24.0
        );
    }
}

/// A stair for the counts, one step a minute.
fn steps(counts: &[usize], scale: usize, bottom: f64) -> String {
    let step = (RIGHT - LEFT) / as_f64(counts.len().max(1));
    let mut path = format!("M{LEFT} {bottom:.1}");
    for (minute, count) in counts.iter().enumerate() {
        let y = bottom - PANEL_HEIGHT * as_f64(*count) / as_f64(scale);
        let _ = write!(path, "V{y:.1}H{:.1}", LEFT + step * as_f64(minute + 1));
    }
    path
}

/// The next number of the form 2, 4, 10 × 10ⁿ.
fn round_up(number: usize) -> usize {
    let mut scale = 1;
    loop {
        for nice in [2, 4, 10] {
            if nice * scale >= number {
                return nice * scale;
            }
        }
        scale *= 10;
    }
}

fn as_f64(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
