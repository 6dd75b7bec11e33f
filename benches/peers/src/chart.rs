//! The chart: a panel of bars per row, a column per allocator. SVG written by hand, with colours
//! for light and dark pages.

use crate::contenders::BARE;
use crate::report::{Comparison, figure};
use crate::rows::Against;
use std::fmt::Write;

const WIDTH: f64 = 440.0;
const GAP: f64 = 24.0;
const NAMES: f64 = 142.0;
const FIGURES: f64 = 58.0;
const BARS: f64 = WIDTH - NAMES - FIGURES;
const HEAD: f64 = 40.0;
const LINE: f64 = 17.0;
const FOOT: f64 = 22.0;
const TOP: f64 = 90.0;

const TITLE: &str = "millhand beside its peers";
const LEGEND: [&str; 2] = [
    "Medians; shorter is better, but for shares of the ideal.",
    "Dashed: the aim, by the medians. »: a bar that goes on.",
];

/// A bar is cut at this many times the length of the best one. Otherwise the bar of a thread per
/// task would make all others too short to see.
const CUT: f64 = 5.0;

// The chart has a background of its own, so that it can be read on a page that ignores the
// reader's colour settings.
pub const STYLE: &str = "
text { font: 12px system-ui, sans-serif; fill: #24292f }
.page { fill: #ffffff } .head { font-size: 13px; font-weight: 600 } .title { font-size: 18px; font-weight: 600 }
.soft { fill: #57606a } .name { text-anchor: end } .figure { paint-order: stroke; stroke: #ffffff; stroke-width: 3px }
.bar { fill: #afb8c1 } .bare { fill: #8c959f } .ours { fill: #0969da }
.aim { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 3 2 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .page { fill: #0d1117 } .figure { stroke: #0d1117 } .soft { fill: #9198a1 } .bar { fill: #484f58 } .bare { fill: #6e7681 }
.ours { fill: #4493f8 } .aim { stroke: #ff7b72 }
}
";

/// Draws the comparisons row by row, and within a row allocator by allocator.
pub fn svg(comparisons: &[Comparison], footer: &str) -> String {
    let mut allocators: Vec<&str> = Vec::new();
    let mut rows: Vec<&str> = Vec::new();
    for c in comparisons {
        if !allocators.contains(&c.allocator) {
            allocators.push(c.allocator);
        }
        if !rows.contains(&c.row.key) {
            rows.push(c.row.key);
        }
    }
    let mut panels = String::new();
    let mut y = TOP;
    for row in rows {
        let of_row: Vec<&Comparison> = comparisons.iter().filter(|c| c.row.key == row).collect();
        let bars = of_row.iter().map(|c| c.cells.len()).max().unwrap_or(0);
        for c in of_row {
            let column = allocators.iter().position(|name| *name == c.allocator);
            let x = GAP + column.unwrap_or(0) as f64 * (WIDTH + GAP);
            panel(&mut panels, c, x, y);
        }
        y += HEAD + bars as f64 * LINE + FOOT;
    }
    let width = GAP + allocators.len() as f64 * (WIDTH + GAP);
    // The footer may be longer than one column is wide.
    let lines: Vec<&str> = footer.split("; ").collect();
    let height = y + lines.len() as f64 * 16.0 + 12.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\">\n<title>{TITLE}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"{width}\" height=\"{height}\"/>\n"
    );
    label(&mut text, "title", GAP, 32.0, TITLE);
    for (line, words) in LEGEND.iter().enumerate() {
        label(&mut text, "soft", GAP, 52.0 + 16.0 * line as f64, words);
    }
    text += &panels;
    for line in lines {
        y += 16.0;
        label(&mut text, "soft", GAP, y, line);
    }
    text += "</svg>\n";
    text
}

fn panel(text: &mut String, c: &Comparison, x: f64, y: f64) {
    let mut facts = format!("{}; {}", c.allocator, c.row.unit.name());
    if let Some((_, ratio)) = c.best_peer {
        write!(facts, "; {ratio:.2} of the best peer").unwrap();
    }
    let verdicts = c.verdicts.iter();
    let mut met = verdicts.filter_map(|verdict| verdict.met(c.row.unit));
    facts += match met.next().map(|first| first && met.all(|met| met)) {
        Some(true) => "; aim met",
        Some(false) => "; aim missed",
        None => "",
    };
    label(text, "head", x, y + 14.0, c.row.title);
    label(text, "soft", x, y + 30.0, &facts);

    let scale = scale(c);
    let left = x + NAMES;
    let mut line = y + HEAD;
    // Above the lines that mark the aims, which are above the bars.
    let mut labels = String::new();
    for cell in &c.cells {
        let Some(spread) = cell.spread() else {
            continue;
        };
        let class = match cell.contender {
            name if name == c.row.ours() => "ours",
            BARE => "bare",
            _ => "bar",
        };
        let length = (spread.median / scale).min(1.0) * BARS;
        let top = line + 1.0;
        writeln!(
            text,
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"12\"/>"
        )
        .unwrap();
        let cut = if spread.median > scale { "» " } else { "" };
        let figure = format!("{cut}{}", figure(spread.median));
        label(&mut labels, "name", left - 6.0, line + 11.0, cell.contender);
        label(
            &mut labels,
            "figure",
            left + length + 5.0,
            line + 11.0,
            &figure,
        );
        line += LINE;
    }
    for aim in aims(c) {
        let (at, top) = (left + aim / scale * BARS, y + HEAD - 3.0);
        writeln!(
            text,
            "<line class=\"aim\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{top:.1}\" y2=\"{line:.1}\"/>"
        )
        .unwrap();
    }
    *text += &labels;
}

pub fn label(text: &mut String, class: &str, x: f64, y: f64, words: &str) {
    let words = words
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    writeln!(
        text,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>"
    )
    .unwrap();
}

/// The figure whose bar has the whole length.
fn scale(c: &Comparison) -> f64 {
    let spreads = c.cells.iter().filter_map(|cell| cell.spread());
    let medians: Vec<f64> = spreads.map(|spread| spread.median).collect();
    let least = medians.iter().copied().fold(f64::INFINITY, f64::min);
    let most = medians.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let cut = if c.row.unit.less_is_better() {
        least * CUT
    } else {
        most
    };
    aims(c).fold(most.min(cut), f64::max)
}

/// The positions of the aims among the figures: what ours would have to be, by the medians.
fn aims(c: &Comparison) -> impl Iterator<Item = f64> {
    c.verdicts.iter().filter_map(|verdict| {
        let bound = verdict.aim.bound;
        let theirs = match verdict.aim.against {
            Against::Itself => return Some(bound),
            Against::BestPeer => c.best_peer.map(|(cell, _)| cell),
            Against::Contender(name) => c.find(name),
        };
        let median = theirs?.spread()?.median;
        Some(if c.row.unit.less_is_better() {
            median * bound
        } else {
            median / bound
        })
    })
}
