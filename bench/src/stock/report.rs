//! The figures of a run, for people.

use std::fmt;
use std::time::Duration;

use super::callers::Load;
use super::check::Piece;
use crate::statistics::Distribution;

/// What is printed of a load that holds.
pub struct Report<'a> {
    /// The load.
    pub load: &'a Load,
    /// How long it was measured.
    pub measured: Duration,
    /// How many wanted a piece at a time.
    pub callers: u32,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { load, measured, callers } = self;
        let (count, seconds) = (load.waits.len(), measured.as_secs_f64());
        writeln!(out, "one product, {callers} callers, {seconds:.0} s measured")?;
        writeln!(out, "  {:.0} reservations/s", count as f64 / seconds)?;
        let waits = Distribution::of(load.waits.clone());
        let ms = |percent| waits.percentile(percent).as_secs_f64() * 1_000.0;
        let (p50, p95, p99) = (ms(50.0), ms(95.0), ms(99.0));
        let max = waits.max().as_secs_f64() * 1_000.0;
        writeln!(
            out,
            "  wait: p50 {p50:.1} ms, p95 {p95:.1} ms, p99 {p99:.1} ms, max {max:.1} ms"
        )?;
        for (what, piece) in [("refused", Piece::Refused), ("not known", Piece::Unknown)] {
            let wishes = load.tally.of(piece);
            if wishes > 0 {
                writeln!(out, "  {wishes:>9} {what}")?;
            }
        }
        let counted = load.counted.as_ref().filter(|counted| counted.groups > 0.0 && count > 0);
        if let Some(counted) = counted {
            let group = counted.grouped / counted.groups;
            let writes: f64 = counted.conditional.values().sum();
            let each = writes / count as f64;
            let a_second = writes / seconds;
            writeln!(
                out,
                "  {group:.1} share a write; {each:.4} conditional writes a reservation, {a_second:.0}/s"
            )?;
        }
        writeln!(out, "CPU")?;
        for (name, used) in &load.cpu {
            let Some(used) = used.filter(|_| count > 0) else {
                writeln!(out, "  {name:<14} not known")?;
                continue;
            };
            let (each, cores) = (used.as_micros() / count as u128, used.as_secs_f64() / seconds);
            writeln!(out, "  {name:<14} {each:>6} µs a reservation, {cores:.2} cores")?;
        }
        Ok(())
    }
}
