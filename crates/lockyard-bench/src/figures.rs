//! What was measured: samples by case and contestant, their medians, and how they compare.
//!
//! A median is given with the least and the most, never alone. Ratios are those of medians of one
//! run; nothing is ever compared with a figure of another run.

use std::time::Duration;

use crate::{
    clock,
    contestant::{Contestant, Kind},
    failure::Outcome,
    process::Server,
};

/// What a sample's value is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// 10⁹ bytes per second.
    GbPerSecond,
    /// Per second.
    PerSecond,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// 2²⁰ bytes.
    Mebibytes,
}

/// One measurement.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// In the case's unit.
    pub(crate) value: f64,
    /// CPU seconds of the server, per GiB or per thousand requests or in all.
    pub(crate) server_cpu: Option<f64>,
    /// The same of the client.
    pub(crate) client_cpu: Option<f64>,
    /// Half of the requests took no more milliseconds.
    pub(crate) p50: Option<f64>,
    /// 99 of 100 requests took no more milliseconds.
    pub(crate) p99: Option<f64>,
}

/// All measurements of one case with one contestant.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What was done.
    pub(crate) case: String,
    /// With whom.
    pub(crate) contestant: Kind,
    pub(crate) unit: Unit,
    pub(crate) samples: Vec<Sample>,
}

/// All that was measured in a run.
#[derive(Debug)]
pub(crate) struct Figures {
    /// Whether sizes are those that the targets are for.
    pub(crate) are_for_targets: bool,
    pub(crate) rows: Vec<Row>,
    /// What a reader should know.
    pub(crate) notes: Vec<String>,
}

/// The middle of some values, with the extremes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Unit {
    /// How tables write it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::GbPerSecond => "GB/s",
            Self::PerSecond => "/s",
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Mebibytes => "MiB",
        }
    }

    /// What CPU time is given for.
    pub(crate) fn cpu_word(self) -> &'static str {
        match self {
            Self::GbPerSecond => "CPU s/GiB",
            Self::PerSecond => "CPU s/1000",
            _ => "CPU s",
        }
    }
}

impl Figures {
    /// Nothing measured yet.
    pub(crate) fn new(are_for_targets: bool) -> Self {
        Self { are_for_targets, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a measurement and tells it.
    pub(crate) fn add(&mut self, case: &str, contestant: Kind, unit: Unit, sample: Sample) {
        crate::report::tell(case, contestant, unit, &sample);
        let same = |row: &&mut Row| row.case == case && row.contestant == contestant;
        if let Some(row) = self.rows.iter_mut().find(same) {
            row.samples.push(sample);
        } else {
            let (case, samples) = (case.to_owned(), vec![sample]);
            self.rows.push(Row { case, contestant, unit, samples });
        }
    }

    /// Adds a sentence for the reader.
    pub(crate) fn note(&mut self, sentence: impl Into<String>) {
        let sentence = sentence.into();
        if !self.notes.contains(&sentence) {
            self.notes.push(sentence);
        }
    }

    /// Returns what one contestant did in a case.
    pub(crate) fn row(&self, case: &str, contestant: Kind) -> Option<&Row> {
        self.rows.iter().find(|row| row.case == case && row.contestant == contestant)
    }
}

impl Row {
    /// The values.
    pub(crate) fn value(&self) -> Option<Spread> {
        self.spread(|sample| Some(sample.value))
    }

    /// CPU of both sides.
    pub(crate) fn cpu(&self) -> Option<Spread> {
        self.spread(|sample| Some(sample.server_cpu? + sample.client_cpu?))
    }

    /// One thing of all samples.
    pub(crate) fn spread(&self, what: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.samples.iter().filter_map(what).collect())
    }
}

impl Spread {
    /// Returns the spread of some values; `None` if there are none.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, least, most })
    }
}

/// Clocks that run while something is measured.
pub(crate) struct Meter<'c> {
    server: Option<&'c Server>,
    server_before: Duration,
    client_before: Duration,
    begun: std::time::Instant,
}

/// What a measurement took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    pub(crate) elapsed: Duration,
    server: Option<Duration>,
    client: Duration,
}

impl<'c> Meter<'c> {
    /// Starts the clocks.
    pub(crate) fn start(contestant: &'c Contestant) -> Self {
        let server = contestant.own_server();
        let server_before = server.map_or(Duration::ZERO, Server::cpu);
        let (client_before, begun) = (clock::own_cpu(), clock::now());
        Self { server, server_before, client_before, begun }
    }

    /// Runs `work` between start and stop.
    pub(crate) fn measure<T>(
        contestant: &'c Contestant,
        work: impl FnOnce() -> Outcome<T>,
    ) -> Outcome<(T, Spent)> {
        let meter = Self::start(contestant);
        let result = work()?;
        Ok((result, meter.stop()))
    }

    /// Stops the clocks.
    pub(crate) fn stop(self) -> Spent {
        let elapsed = self.begun.elapsed();
        let client = clock::own_cpu().saturating_sub(self.client_before);
        let server = self.server.map(|server| server.cpu().saturating_sub(self.server_before));
        Spent { elapsed, server, client }
    }
}

impl Spent {
    /// The sample of having moved some bytes.
    pub(crate) fn bytes(self, bytes: u64) -> Sample {
        let gibibytes = number(bytes) / number(1 << 30);
        Sample { value: number(bytes) / 1e9 / self.seconds(), ..self.cpu(gibibytes) }
    }

    /// The sample of having done something some times.
    pub(crate) fn count(self, count: usize) -> Sample {
        let count = number(count as u64);
        Sample { value: count / self.seconds(), ..self.cpu(count / 1000.0) }
    }

    /// The sample of having done one thing, with a client that is another process.
    pub(crate) fn once(self, client: Duration) -> Sample {
        Sample { value: self.seconds(), ..Self { client, ..self }.cpu(1.0) }
    }

    fn seconds(self) -> f64 {
        self.elapsed.as_secs_f64()
    }

    fn cpu(self, amount: f64) -> Sample {
        let per = |time: Duration| time.as_secs_f64() / amount;
        let (server_cpu, client_cpu) = (self.server.map(per), Some(per(self.client)));
        Sample { server_cpu, client_cpu, ..Sample::default() }
    }
}

impl Sample {
    /// Adds percentiles of sorted latencies.
    pub(crate) fn with_latencies(mut self, sorted: &[Duration]) -> Self {
        self.p50 = percentile(sorted, 50).map(milliseconds);
        self.p99 = percentile(sorted, 99).map(milliseconds);
        self
    }
}

/// Returns the latency that `percent` of 100 do not exceed.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

/// Returns a duration in milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Returns bytes in mebibytes.
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    number(bytes) / number(1 << 20)
}

/// Returns bytes in units of 10⁹.
pub(crate) fn gigabytes(bytes: u64) -> f64 {
    number(bytes) / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "no count here comes near 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_stands_in_the_middle() {
        let spread = |values: &[f64]| Spread::of(values.to_vec()).map(|spread| spread.median);
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[3.0]), Some(3.0));
        assert_eq!(spread(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
        let all = Spread::of(vec![9.0, 1.0, 2.0]);
        assert_eq!(all, Some(Spread { median: 2.0, least: 1.0, most: 9.0 }));
    }

    #[test]
    fn percentiles_are_by_the_nearest_rank() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&sorted, 50), Some(Duration::from_millis(100)));
        assert_eq!(percentile(&sorted, 99), Some(Duration::from_millis(198)));
        assert_eq!(percentile(&sorted[..1], 99), Some(Duration::from_millis(1)));
        assert_eq!(percentile(&[], 99), None);
    }

    #[test]
    fn cpu_time_is_given_per_gibibyte() {
        let second = Duration::from_secs(1);
        let spent = Spent { elapsed: second, server: Some(second), client: second / 2 };
        let sample = spent.bytes(2 << 30);
        assert!((sample.value - 2.147_483_648).abs() < 1e-9);
        assert_eq!((sample.server_cpu, sample.client_cpu), (Some(0.5), Some(0.25)));
    }
}
