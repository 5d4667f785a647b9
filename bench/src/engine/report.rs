//! The figures of a scenario, for people and for scripts.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::contender::{Lag, Round};
use crate::statistics::Distribution;

/// Everything that a scenario found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What was done.
    what: String,
    /// Cores that this process may use.
    cores: usize,
    /// Single figures, a line each.
    facts: Vec<Fact>,
    /// A line each.
    figures: Vec<Figures>,
    /// Our engine beside another.
    comparisons: Vec<Versus>,
    /// What a reader must know: settings of others, and who is missing.
    remarks: Vec<String>,
}

/// One figure.
#[derive(Debug, Serialize)]
pub struct Fact {
    what: String,
    figure: f64,
    unit: &'static str,
}

/// Our engine beside a peer at one load: medians of the ratios of rounds side by side.
#[derive(Debug, Serialize)]
pub struct Versus {
    load: String,
    peer: String,
    /// Ours by the peer's.
    orders_per_second_times: f64,
    /// The peer's by ours.
    p50_times: f64,
}

/// Medians over the rounds of one contender at one load.
#[derive(Debug, Serialize)]
pub struct Figures {
    load: String,
    contender: String,
    orders_per_second: f64,
    /// Median of the rounds' ratios to the round of the reference beside it.
    of_reference: f64,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    cpu_us_per_order: Option<f64>,
    written_bytes_per_order: Option<f64>,
    syncs_per_second: Option<f64>,
    events_per_sync: Option<f64>,
    greatest_lag: Option<Lag>,
}

impl Report {
    /// Nothing yet.
    pub fn new(what: String) -> Report {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        Report {
            what,
            cores,
            facts: Vec::new(),
            figures: Vec::new(),
            comparisons: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// Adds a line.
    pub fn add(&mut self, figures: Figures) {
        self.figures.push(figures);
    }

    /// Adds a single figure.
    pub fn tell(&mut self, fact: Fact) {
        self.facts.push(fact);
    }

    /// Adds a comparison.
    pub fn compare(&mut self, versus: Versus) {
        self.comparisons.push(versus);
    }

    /// Adds a remark.
    pub fn remark(&mut self, remark: String) {
        self.remarks.push(remark);
    }
}

impl Fact {
    /// So much of what, in which unit.
    pub fn new(what: impl Into<String>, figure: f64, unit: &'static str) -> Fact {
        Fact { what: what.into(), figure, unit }
    }
}

impl Versus {
    /// Of all rounds of our engine, and of the peer's beside them.
    pub fn of(load: String, peer: String, own: &[Round], of_peer: &[Round]) -> Versus {
        let p50 = |round: &Round| in_ms(Distribution::of(round.waits.clone()).percentile(50.0));
        let of_pairs = |ratio: fn(f64, f64) -> f64, figure: &dyn Fn(&Round) -> f64| {
            let pairs = own.iter().zip(of_peer);
            median(pairs.map(|(own, peer)| ratio(figure(own), figure(peer)))).unwrap_or(0.0)
        };
        Versus {
            load,
            peer,
            orders_per_second_times: of_pairs(|own, peer| own / peer, &Round::rate),
            p50_times: of_pairs(|own, peer| peer / own, &p50),
        }
    }
}

impl Figures {
    /// Of all rounds of a contender, and of the reference's rounds beside them.
    pub fn of(load: String, contender: String, rounds: &[Round], reference: &[Round]) -> Figures {
        let percentile = |percent| {
            let of_round =
                |round: &Round| Distribution::of(round.waits.clone()).percentile(percent);
            median(rounds.iter().map(|round| in_ms(of_round(round)))).unwrap_or(0.0)
        };
        let ratio = |(round, beside): (&Round, &Round)| round.rate() / beside.rate();
        let lags = rounds.iter().filter_map(|round| round.lag);
        Figures {
            load,
            contender,
            orders_per_second: median(rounds.iter().map(Round::rate)).unwrap_or(0.0),
            of_reference: median(rounds.iter().zip(reference).map(ratio)).unwrap_or(0.0),
            p50_ms: percentile(50.0),
            p95_ms: percentile(95.0),
            p99_ms: percentile(99.0),
            cpu_us_per_order: median(
                rounds.iter().filter_map(|round| round.cpu_per_order.map(|cpu| in_ms(cpu) * 1e3)),
            ),
            written_bytes_per_order: median(
                rounds.iter().filter_map(|round| round.written_per_order),
            ),
            syncs_per_second: median(rounds.iter().filter_map(|round| round.syncs_per_second)),
            events_per_sync: median(rounds.iter().filter_map(|round| round.events_per_sync)),
            greatest_lag: lags.reduce(Lag::max),
        }
    }
}

fn in_ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The middle one, or the mean of the middle two.
fn median(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = figures.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}; {} cores\n", self.what, self.cores)?;
        self.facts.iter().try_for_each(|fact| write!(out, "{fact}"))?;
        if !self.figures.is_empty() {
            self.table(out)?;
        }
        if !self.remarks.is_empty() {
            writeln!(out)?;
        }
        self.remarks.iter().try_for_each(|remark| writeln!(out, "{remark}"))
    }
}

impl Report {
    fn table(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{:<15} {:<10} {:>9} {:>6} {:>8} {:>8} {:>8} {:>8} {:>9} {:>8} {:>11} {:>16}",
            "load",
            "",
            "orders/s",
            "ratio",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "CPU µs",
            "written B",
            "syncs/s",
            "events/sync",
            "lag at most"
        )?;
        self.figures.iter().try_for_each(|figures| write!(out, "{figures}"))?;
        if !self.comparisons.is_empty() {
            writeln!(out)?;
        }
        self.comparisons.iter().try_for_each(|versus| write!(out, "{versus}"))
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{:<32} {:>12.2} {}", self.what, self.figure, self.unit)
    }
}

impl fmt::Display for Versus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{:<15} souk beside {:<8} {:>6.1} × its orders/s, 1/{:.1} of its p50",
            self.load, self.peer, self.orders_per_second_times, self.p50_times
        )
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |figure: Option<f64>| figure.map_or("-".to_owned(), |it| format!("{it:.0}"));
        let lag = self.greatest_lag.map_or("-".to_owned(), |lag| {
            format!("{:.1} MB {} ms", lag.bytes as f64 / 1e6, lag.age_ms)
        });
        writeln!(
            out,
            "{:<15} {:<10} {:>9.0} {:>6.2} {:>8.2} {:>8.2} {:>8.2} {:>8} {:>9} {:>8} {:>11} {:>16}",
            self.load,
            self.contender,
            self.orders_per_second,
            self.of_reference,
            self.p50_ms,
            self.p95_ms,
            self.p99_ms,
            whole(self.cpu_us_per_order),
            whole(self.written_bytes_per_order),
            whole(self.syncs_per_second),
            whole(self.events_per_sync),
            lag
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(orders: usize, ms: u64) -> Round {
        Round {
            waits: vec![Duration::from_millis(ms); orders],
            measured: Duration::from_secs(1),
            ..Round::default()
        }
    }

    #[test]
    fn figures_are_medians_and_ratios_are_those_of_rounds_side_by_side() {
        // The machine was slow in the second round, for both.
        let own = [round(50, 2), round(6, 9), round(40, 4)];
        let raw = [round(100, 1), round(10, 5), round(100, 1)];
        let figures = Figures::of("8 in flight".into(), "souk".into(), &own, &raw);
        assert_eq!((figures.orders_per_second, figures.of_reference), (40.0, 0.5));
        assert_eq!((figures.p50_ms, figures.cpu_us_per_order), (4.0, None));
    }

    #[test]
    fn a_peer_is_compared_round_by_round() {
        let own = [round(50, 2), round(6, 9), round(40, 4)];
        let peer = [round(5, 20), round(2, 18), round(10, 20)];
        let versus = Versus::of("8 in flight".into(), "Restate".into(), &own, &peer);
        // Pairs: 10, 3 and 4 times as many; 10, 2 and 5 times as fast.
        assert_eq!((versus.orders_per_second_times, versus.p50_times), (4.0, 5.0));
        let line = "8 in flight     souk beside Restate     4.0 × its orders/s, 1/5.0 of its p50\n";
        assert_eq!(versus.to_string(), line);
    }

    #[test]
    fn a_median_of_two_is_between_them_and_of_none_is_none() {
        assert_eq!(median([1.0, 4.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }

    #[test]
    fn lines_of_the_table_are_as_wide_as_its_head() {
        let mut report = Report::new("test".into());
        report.add(Figures::of("to 1000000".into(), "souk".into(), &[round(9, 1)], &[round(9, 1)]));
        let text = report.to_string();
        let widths: Vec<usize> = text.lines().skip(2).map(|line| line.chars().count()).collect();
        assert_eq!(widths.len(), 2);
        assert_eq!(widths[0], widths[1]);
    }
}
