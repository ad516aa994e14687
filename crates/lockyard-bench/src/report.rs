//! Telling a person and a program what was measured.
#![expect(clippy::print_stdout, reason = "the figures are what this program is for")]

use std::io::Write as _;

use serde_json::{Value, json};

use crate::{
    contestant::Kind,
    figures::{Figures, Row, Sample, Spread, Unit},
    machine::Machine,
    target::{self, Measure, Ratio},
};

/// Prints a line at once.
pub(crate) fn say(line: &str) {
    println!("{line}");
    // A closed pipe is the reader's choice.
    drop(std::io::stdout().flush());
}

/// Tells one measurement as it is made.
pub(crate) fn tell(case: &str, contestant: Kind, unit: Unit, sample: &Sample) {
    let (value, word) = (plain(sample.value), unit.word());
    say(&format!("  {case:<32} {:<16} {value:>9} {word}", contestant.name()));
}

/// Returns tables, in Markdown so that they can be kept as they are.
pub(crate) fn tables(machine: &Machine, figures: &Figures) -> Vec<String> {
    let mut lines = vec![String::new(), machine.sentence(), String::new()];
    lines.push("| | | median (least – most) | CPU server + client | p50 / p99 ms |".into());
    lines.push("|---|---|---|---|---|".into());
    lines.extend(figures.rows.iter().map(row));
    let ratios = target::ratios(figures);
    if !ratios.is_empty() {
        lines.push(String::new());
        lines.push("| ratio of medians | | | target |".into());
        lines.push("|---|---|---|---|".into());
        lines.extend(ratios.iter().map(ratio));
    }
    lines.push(String::new());
    lines.extend(figures.notes.iter().map(|note| format!("- {note}")));
    lines
}

/// Returns everything for a program to read.
pub(crate) fn document(machine: &Machine, rounds: usize, small: bool, figures: &Figures) -> Value {
    json!({
        "machine": machine.document(),
        "rounds": rounds,
        "small": small,
        "rows": figures.rows.iter().map(row_document).collect::<Vec<_>>(),
        "ratios": target::ratios(figures).iter().map(ratio_document).collect::<Vec<_>>(),
        "notes": figures.notes,
    })
}

fn row(row: &Row) -> String {
    let unit = row.unit.word();
    let value = row.value().map_or(String::new(), |value| {
        let Spread { median, least, most } = value;
        format!("**{}** ({} – {}) {unit}", plain(median), plain(least), plain(most))
    });
    let median = |what: fn(&Sample) -> Option<f64>| row.spread(what).map(|spread| spread.median);
    let client = median(|sample| sample.client_cpu);
    let cpu = match (median(|sample| sample.server_cpu), client) {
        (Some(server), Some(client)) => {
            format!("{} + {} {}", plain(server), plain(client), row.unit.cpu_word())
        }
        (None, Some(client)) => format!("? + {} {}", plain(client), row.unit.cpu_word()),
        (_, None) => String::new(),
    };
    let latency = match (median(|sample| sample.p50), median(|sample| sample.p99)) {
        (Some(p50), Some(p99)) => format!("{} / {}", plain(p50), plain(p99)),
        _ => String::new(),
    };
    format!("| {} | {} | {value} | {cpu} | {latency} |", row.case, row.contestant.name())
}

fn ratio(ratio: &Ratio) -> String {
    let target = match ratio.target {
        None => String::new(),
        Some(bound) => {
            let verdict = if ratio.is_met() == Some(true) { "met" } else { "**missed**" };
            format!("{} {bound} {verdict}", if ratio.at_least { "≥" } else { "≤" })
        }
    };
    let (case, value) = (&ratio.case, plain(ratio.value));
    format!("| {case} | {} | **{value}** | {target} |", ratio.what)
}

fn row_document(row: &Row) -> Value {
    let spread = |spread: Option<Spread>| {
        spread.map(
            |Spread { median, least, most }| json!({ "median": median, "min": least, "max": most }),
        )
    };
    json!({
        "case": row.case,
        "contestant": row.contestant.name(),
        "unit": row.unit.word(),
        "value": spread(row.value()),
        "values": row.samples.iter().map(|sample| sample.value).collect::<Vec<_>>(),
        "cpuUnit": row.unit.cpu_word(),
        "serverCpu": spread(row.spread(|sample| sample.server_cpu)),
        "clientCpu": spread(row.spread(|sample| sample.client_cpu)),
        "p50Milliseconds": spread(row.spread(|sample| sample.p50)),
        "p99Milliseconds": spread(row.spread(|sample| sample.p99)),
    })
}

fn ratio_document(ratio: &Ratio) -> Value {
    json!({
        "case": ratio.case,
        "what": ratio.what,
        "measure": match ratio.measure {
            Measure::Value => "value",
            Measure::Cpu => "cpu",
            Measure::P99 => "p99",
        },
        "value": ratio.value,
        "target": ratio.target,
        "atLeast": ratio.at_least,
        "met": ratio.is_met(),
    })
}

/// Writes a number with as many digits as mean something.
fn plain(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_they_mean_something() {
        for (value, text) in
            [(1234.56, "1235"), (12.34, "12.3"), (3.276, "3.28"), (0.0123, "0.012")]
        {
            assert_eq!(plain(value), text);
        }
    }
}
