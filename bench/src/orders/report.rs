//! The figures of a run, for people.

use std::fmt;
use std::time::Duration;

use super::load::{Load, Outcome, Pace};
use crate::metrics::Counted;
use crate::statistics::Distribution;

/// What is printed of a run.
pub struct Report<'a> {
    load: &'a Load,
    outcome: &'a Outcome,
    waits: Distribution,
}

impl<'a> Report<'a> {
    /// Of what became of this load.
    pub fn of(load: &'a Load, outcome: &'a Outcome) -> Self {
        Self { load, outcome, waits: Distribution::of(outcome.waits.clone()) }
    }

    /// Acknowledged orders a second.
    fn rate(&self) -> f64 {
        self.outcome.answered as f64 / self.load.measured.as_secs_f64()
    }

    fn cpu_line(
        &self,
        out: &mut fmt::Formatter<'_>,
        name: &str,
        used: Option<Duration>,
    ) -> fmt::Result {
        let orders = self.outcome.answered;
        match used {
            Some(used) if orders > 0 => {
                let cores = used.as_secs_f64() / self.load.measured.as_secs_f64();
                let each = used.as_micros() / orders as u128;
                writeln!(out, "  {name:<14} {each:>6} µs an order, {cores:.2} cores")
            }
            Some(_) | None => writeln!(out, "  {name:<14} not known"),
        }
    }

    /// What orders cost in statements of CQL, and how long one takes.
    fn statements(&self, out: &mut fmt::Formatter<'_>, counted: &Counted) -> fmt::Result {
        let orders = self.outcome.answered as f64;
        if orders == 0.0 || counted.statements.is_empty() {
            return Ok(());
        }
        writeln!(out, "statements of CQL")?;
        for ((keyspace, kind), statements) in &counted.statements {
            if statements.count > 0.0 {
                let each = statements.count / orders;
                let ms = 1_000.0 * statements.seconds / statements.count;
                writeln!(
                    out,
                    "  {keyspace:<16} {kind:<12} {each:>6.2} an order, {ms:>6.2} ms each"
                )?;
            }
        }
        let all: f64 = counted.statements.values().map(|statements| statements.count).sum();
        let conditional: f64 = counted.conditional.values().sum();
        let (all, conditional) = (all / orders, conditional / orders);
        writeln!(
            out,
            "  together {all:.1} an order, of which conditional writes {conditional:.2}"
        )?;
        if counted.groups > 0.0 {
            let group = counted.grouped / counted.groups;
            writeln!(out, "  {group:.2} operations on stock share a conditional write")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { acknowledged, endings, unsent, cpu, .. } = self.outcome;
        let seconds = self.load.measured.as_secs();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let pace = match self.load.pace {
            Pace::Closed { in_flight } => format!("{in_flight} in flight"),
            Pace::Open { per_second } => format!("{per_second} due a second"),
        };
        writeln!(out, "{pace}, {seconds} s measured, {cores} cores for everything")?;
        writeln!(
            out,
            "  {:.0} orders/s acknowledged ({} in all)",
            self.rate(),
            acknowledged.len()
        )?;
        let ms = |wait: Duration| wait.as_secs_f64() * 1_000.0;
        let [p50, p95, p99] = [50.0, 95.0, 99.0].map(|percent| ms(self.waits.percentile(percent)));
        let max = ms(self.waits.max());
        writeln!(
            out,
            "  wait: p50 {p50:.1} ms, p95 {p95:.1} ms, p99 {p99:.1} ms, max {max:.1} ms"
        )?;
        for (ending, count) in endings {
            writeln!(out, "  {count:>9} {ending}")?;
        }
        if *unsent > 0 {
            writeln!(out, "  {unsent:>9} not sent: too many were waiting")?;
        }
        writeln!(out, "CPU")?;
        for (name, used) in &cpu.shop {
            self.cpu_line(out, name, *used)?;
        }
        for (name, used) in &cpu.backends {
            self.cpu_line(out, name, *used)?;
        }
        self.cpu_line(out, "provider", cpu.provider)?;
        self.cpu_line(out, "load generator", cpu.load)?;
        match &self.outcome.counted {
            Some(counted) => self.statements(out, counted),
            None => Ok(()),
        }
    }
}
