//! Ratios and what they should be.
//!
//! The targets are for two cores and one configuration for all rows. A ratio is stated whether or
//! not it meets its target; meeting it decides nothing here.

use crate::{
    contestant::Kind,
    figures::{Figures, Row, Unit},
};

/// What of a row is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Its value.
    Value,
    /// The CPU time of both sides.
    Cpu,
    /// The latency that one of 100 requests exceeds; not a ratio but milliseconds of ours.
    P99,
}

/// One comparison.
#[derive(Clone, Debug)]
pub(crate) struct Ratio {
    pub(crate) case: String,
    /// What is divided by what.
    pub(crate) what: String,
    pub(crate) measure: Measure,
    pub(crate) value: f64,
    /// The bound, if there is one.
    pub(crate) target: Option<f64>,
    /// Whether the bound is a least one.
    pub(crate) at_least: bool,
}

struct Target {
    case: &'static str,
    peer: Kind,
    measure: Measure,
    bound: f64,
}

const fn of(case: &'static str, peer: Kind, measure: Measure, bound: f64) -> Target {
    Target { case, peer, measure, bound }
}

const TARGETS: [Target; 23] = [
    of("pull-1", Kind::DockerRegistry, Measure::Value, 1.3),
    of("pull-8", Kind::DockerRegistry, Measure::Value, 1.2),
    of("pull-1", Kind::Nginx, Measure::Value, 1.1),
    of("pull-8", Kind::Nginx, Measure::Value, 1.0),
    of("pull-1", Kind::DockerRegistry, Measure::Cpu, 0.9),
    of("pull-8", Kind::DockerRegistry, Measure::Cpu, 0.9),
    of("tls-pull", Kind::Nginx, Measure::Value, 1.25),
    of("push-1", Kind::DockerRegistry, Measure::Value, 3.5),
    of("push-8", Kind::DockerRegistry, Measure::Value, 3.5),
    of("small-push, 1 connections", Kind::DockerRegistry, Measure::Value, 5.0),
    of("small-push, 8 connections", Kind::DockerRegistry, Measure::Value, 10.0),
    of("manifest GET, 2 connections", Kind::DockerRegistry, Measure::Value, 12.0),
    of("manifest GET, 8 connections", Kind::DockerRegistry, Measure::Value, 40.0),
    of("manifest GET, 64 connections", Kind::DockerRegistry, Measure::Value, 50.0),
    of("manifest HEAD, 2 connections", Kind::DockerRegistry, Measure::Value, 12.0),
    of("manifest HEAD, 8 connections", Kind::DockerRegistry, Measure::Value, 40.0),
    of("manifest HEAD, 64 connections", Kind::DockerRegistry, Measure::Value, 50.0),
    of("memory, peak of 8 pulls", Kind::DockerRegistry, Measure::Value, 0.5),
    of("memory, after work", Kind::DockerRegistry, Measure::Value, 1.0),
    of("memory, idle", Kind::DockerRegistry, Measure::Value, 1.0),
    of("manifest GET, 64 connections", Kind::Lockyard, Measure::P99, 5.0),
    of("manifest HEAD, 64 connections", Kind::Lockyard, Measure::P99, 5.0),
    of("manifest GET, 8 connections", Kind::Lockyard, Measure::P99, 5.0),
];

/// How much dearer a page of a large repository may be.
const PAGE_RATIO_MAX: f64 = 1.2;
const PAGES: [&str; 2] = ["tags, first page", "tags, next page"];

impl Ratio {
    /// Whether the target is met, if there is one.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let value = self.value;
        self.target.map(|bound| if self.at_least { value >= bound } else { value <= bound })
    }
}

/// Returns how this registry compares with its peers, and with itself when it is full.
pub(crate) fn ratios(figures: &Figures) -> Vec<Ratio> {
    let mut ratios = all_ratios(figures);
    if !figures.are_for_targets {
        for ratio in &mut ratios {
            ratio.target = None;
        }
    }
    ratios
}

fn all_ratios(figures: &Figures) -> Vec<Ratio> {
    let ours = figures.rows.iter().filter(|row| row.contestant == Kind::Lockyard);
    let mut ratios = Vec::new();
    for row in ours {
        for peer in [Kind::DockerRegistry, Kind::Nginx] {
            if let Some(other) = figures.row(&row.case, peer) {
                ratios.extend(ratio(row, other, Measure::Value));
                ratios.extend(ratio(row, other, Measure::Cpu));
            }
        }
        ratios.extend(p99(row));
    }
    for page in PAGES {
        ratios.extend(pages(figures, page));
    }
    ratios
}

fn ratio(ours: &Row, other: &Row, measure: Measure) -> Option<Ratio> {
    let of = |row: &Row| match measure {
        Measure::Cpu => row.cpu(),
        Measure::Value | Measure::P99 => row.value(),
    };
    let (mine, theirs) = (of(ours)?.median, of(other)?.median);
    let name = other.contestant.name();
    let word = if measure == Measure::Cpu { "CPU, ours" } else { "ours" };
    // Without a resolution of ten milliseconds on the other side there is nothing to divide by.
    (theirs > 0.0).then(|| Ratio {
        case: ours.case.clone(),
        what: format!("{word} ÷ {name}"),
        measure,
        value: mine / theirs,
        target: bound(&ours.case, other.contestant, measure),
        at_least: measure == Measure::Value
            && matches!(ours.unit, Unit::GbPerSecond | Unit::PerSecond),
    })
}

fn p99(row: &Row) -> Option<Ratio> {
    let target = bound(&row.case, Kind::Lockyard, Measure::P99)?;
    let value = row.spread(|sample| sample.p99)?.median;
    let (case, what) = (row.case.clone(), "p99, ms".to_owned());
    let (measure, target, at_least) = (Measure::P99, Some(target), false);
    Some(Ratio { case, what, measure, value, target, at_least })
}

fn bound(case: &str, peer: Kind, measure: Measure) -> Option<f64> {
    let same =
        |target: &&Target| target.case == case && target.peer == peer && target.measure == measure;
    TARGETS.iter().find(same).map(|target| target.bound)
}

/// Compares a page of each larger repository with that of the smallest.
fn pages(figures: &Figures, page: &str) -> Vec<Ratio> {
    let is_one = |row: &&Row| row.contestant == Kind::Lockyard && row.case.starts_with(page);
    let mut rows = figures.rows.iter().filter(is_one);
    let Some((smallest, least)) = rows.next().and_then(|row| Some((row, row.value()?.median)))
    else {
        return Vec::new();
    };
    let compare = |row: &Row| {
        Some(Ratio {
            case: row.case.clone(),
            what: format!("÷ {}", smallest.case),
            measure: Measure::Value,
            value: row.value()?.median / least,
            target: Some(PAGE_RATIO_MAX),
            at_least: false,
        })
    };
    rows.filter_map(compare).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Sample;

    fn figures(rows: &[(&str, Kind, Unit, f64)]) -> Figures {
        let mut figures = Figures::new(true);
        for (case, kind, unit, value) in rows {
            figures.add(case, *kind, *unit, Sample { value: *value, ..Sample::default() });
        }
        figures
    }

    #[test]
    fn ours_is_divided_by_theirs_and_held_to_the_target() {
        let figures = figures(&[
            ("pull-1", Kind::Lockyard, Unit::GbPerSecond, 3.0),
            ("pull-1", Kind::DockerRegistry, Unit::GbPerSecond, 2.0),
            ("pull-1", Kind::Nginx, Unit::GbPerSecond, 3.0),
            ("memory, peak of 8 pulls", Kind::Lockyard, Unit::Mebibytes, 30.0),
            ("memory, peak of 8 pulls", Kind::DockerRegistry, Unit::Mebibytes, 100.0),
        ]);
        let found: Vec<_> =
            ratios(&figures).iter().map(|ratio| (ratio.value, ratio.is_met())).collect();
        assert_eq!(found, [(1.5, Some(true)), (1.0, Some(false)), (0.3, Some(true))]);
    }

    #[test]
    fn pages_of_a_full_repository_are_held_against_those_of_a_small_one() {
        let unit = Unit::Milliseconds;
        let figures = figures(&[
            ("tags, first page, 100 tags", Kind::Lockyard, unit, 0.2),
            ("tags, first page, 100000 tags", Kind::Lockyard, unit, 0.4),
        ]);
        let [ratio] = &ratios(&figures)[..] else { panic!("one ratio") };
        assert_eq!((ratio.value, ratio.is_met()), (2.0, Some(false)));
    }
}
