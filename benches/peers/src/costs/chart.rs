//! The chart of growth: a panel per cost, sizes to the right on a logarithmic scale, cost upwards
//! from zero.

use super::Cost;
use super::report::{Figures, thousands};
use crate::chart::{STYLE, label};
use crate::report::figure;
use std::fmt::Write;

const PANEL: f64 = 550.0;
const LEFT: f64 = 56.0;
const PLOT: f64 = PANEL - LEFT - 44.0;
const HIGH: f64 = 170.0;
const STEP: f64 = HIGH + 84.0;
const TOP: f64 = 84.0;
const TITLE: &str = "how millhand's costs grow";
const COLUMNS: usize = 2;

const LINES: &str = "
.line { fill: none; stroke: #8c959f; stroke-width: 2 } .line.ours { stroke: #0969da; fill: none }
.middle { text-anchor: middle } .other { stroke-dasharray: 5 3 } .axis { fill: none; stroke: #afb8c1; stroke-width: 1 }
@media (prefers-color-scheme: dark) {
.line { stroke: #6e7681 } .line.ours { stroke: #4493f8 } .axis { stroke: #484f58 }
}
";

pub fn svg(costs: &[&Cost], all: &[Figures], footer: &str) -> String {
    let mut panels = String::new();
    for (place, cost) in costs.iter().enumerate() {
        let x = 12.0 + (place % COLUMNS) as f64 * PANEL;
        let y = TOP + (place / COLUMNS) as f64 * STEP;
        let figures: Vec<_> = all
            .iter()
            .filter(|figures| figures.cost.key == cost.key)
            .collect();
        panel(&mut panels, cost, &figures, x, y);
    }
    let lines: Vec<&str> = footer.split("; ").collect();
    let width = 24.0 + PANEL * COLUMNS as f64;
    let bottom = TOP + costs.len().div_ceil(COLUMNS) as f64 * STEP;
    let height = bottom + lines.len() as f64 * 16.0 + 12.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\">\n<title>{TITLE}</title>\n<style>{STYLE}{LINES}</style>\n\
         <rect class=\"page\" width=\"{width}\" height=\"{height}\"/>\n"
    );
    label(&mut text, "title", 24.0, 32.0, TITLE);
    legend(&mut text);
    text += &panels;
    for (place, line) in lines.iter().enumerate() {
        label(&mut text, "soft", 24.0, bottom + 16.0 * place as f64, line);
    }
    text += "</svg>\n";
    text
}

fn class(ours: bool, allocator: &str) -> &'static str {
    match (ours, allocator) {
        (true, "system") => "line ours",
        (true, _) => "line ours other",
        (false, "system") => "line",
        (false, _) => "line other",
    }
}

fn legend(text: &mut String) {
    let entries = [
        (true, "system", "millhand"),
        (true, "mimalloc", "millhand, mimalloc"),
        (false, "system", "bare channel"),
        (false, "mimalloc", "bare channel, mimalloc"),
    ];
    for (place, (ours, allocator, name)) in entries.into_iter().enumerate() {
        let x = 24.0 + place as f64 * 190.0;
        let class = class(ours, allocator);
        writeln!(text, "<path class=\"{class}\" d=\"M{x} 52h26\"/>").unwrap();
        label(text, "", x + 32.0, 56.0, name);
    }
}

fn panel(text: &mut String, cost: &Cost, figures: &[&Figures], x: f64, y: f64) {
    let most = figures
        .iter()
        .filter_map(|figures| figures.median())
        .fold(0.0, f64::max);
    let (left, base) = (x + LEFT, y + 24.0 + HIGH);
    // Each size is larger by about the same factor, so equal distances are right.
    let last = (cost.sizes.len() - 1).max(1) as f64;
    let across = |place: usize| left + PLOT * place as f64 / last;
    let up = |value: f64| base - HIGH * value / most.max(f64::MIN_POSITIVE);
    label(text, "head", x + 12.0, y, &cost.title.replace('`', ""));
    label(
        text,
        "soft name",
        left - 6.0,
        base - HIGH + 5.0,
        &figure(most),
    );
    label(text, "soft name", left - 6.0, base, "0");
    label(
        text,
        "soft",
        left,
        base + 36.0,
        &format!("{}, by {}", cost.unit, cost.of),
    );
    let (top, right) = (base - HIGH, left + PLOT);
    writeln!(
        text,
        "<path class=\"axis\" d=\"M{left} {top}V{base}H{right}\"/>"
    )
    .unwrap();
    for (place, size) in cost.sizes.iter().enumerate() {
        label(
            text,
            "soft middle",
            across(place),
            base + 18.0,
            &thousands(*size),
        );
    }
    for allocator in cost.allocators {
        for contender in cost.contenders {
            let points = cost.sizes.iter().enumerate().filter_map(|(place, size)| {
                let found = figures.iter().find(|figures| {
                    figures.size == *size
                        && figures.contender == *contender
                        && figures.allocator == *allocator
                });
                Some((across(place), up(found?.median()?)))
            });
            let points: Vec<_> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let class = class(*contender == cost.contenders[0], allocator);
            writeln!(
                text,
                "<polyline class=\"{class}\" points=\"{}\"/>",
                points.join(" ")
            )
            .unwrap();
        }
    }
}
