//! The times of a schedule: which comes next after a given one.
//!
//! Cron expressions mean wall-clock time. Where a clock goes forward, an expression whose minute and hour are single
//! numbers fires at the first moment after the gap, others leave the gap out; where it goes back, the former fires once, in
//! the first of the two hours, others in both. That is the rule of the library (the Open Cron Pattern Specification).

use croner::Cron as Expression;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::cron;
use super::definition::{
    Cron, Interval, MAX_CRONS, MAX_INTERVALS, MAX_SPAN_MS, MIN_INTERVAL_MS, Spec,
};

/// What is wrong with a specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The path of the field within the specification, for example `crons[0].time_zone`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

/// A specification that can be asked for its times. Making one reads the time zone database.
#[derive(Debug)]
pub struct Calendar {
    crons: Vec<(Expression, TimeZone)>,
    intervals: Vec<Interval>,
    start_ms: i64,
    end_ms: i64,
}

impl Calendar {
    /// Checks a specification, and prepares it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn of(spec: &Spec) -> Result<Calendar, Vec<Problem>> {
        let mut problems = Vec::new();
        check_spans(spec, &mut problems);
        let mut crons = Vec::new();
        for (place, cron) in spec.crons.iter().enumerate() {
            match compile(cron) {
                Ok(compiled) => crons.push(compiled),
                Err((field, description)) => {
                    let field = format!("crons[{place}].{field}");
                    problems.push(Problem { field, description });
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Calendar {
            crons,
            intervals: spec.intervals.clone(),
            start_ms: spec.start_ms.unwrap_or(i64::MIN),
            end_ms: spec.end_ms.unwrap_or(i64::MAX),
        })
    }

    /// The first time after `after_ms`, in unix milliseconds; `None` if there is none any more.
    pub fn next_after(&self, after_ms: i64) -> Option<i64> {
        let after_ms = after_ms.max(self.start_ms.saturating_sub(1));
        let crons = self.crons.iter().filter_map(|(expression, zone)| {
            let after = Timestamp::from_millisecond(after_ms).ok()?.to_zoned(zone.clone());
            let next = expression.find_next_occurrence(&after, false).ok()?;
            Some(next.timestamp().as_millisecond())
        });
        let intervals =
            self.intervals.iter().filter_map(|interval| next_multiple(interval, after_ms));
        crons.chain(intervals).min().filter(|next| *next <= self.end_ms)
    }
}

impl Calendar {
    /// The times from `from_ms` to `to_ms`, both included, in order.
    pub fn between(&self, from_ms: i64, to_ms: i64) -> impl Iterator<Item = i64> + '_ {
        let first = self.next_after(from_ms.saturating_sub(1));
        let times = std::iter::successors(first, |time| self.next_after(*time));
        times.take_while(move |time| *time <= to_ms)
    }
}

/// The first time of an interval after `after_ms`.
fn next_multiple(interval: &Interval, after_ms: i64) -> Option<i64> {
    let since = after_ms.checked_sub(interval.phase_ms)?;
    let rest = since.rem_euclid(interval.every_ms);
    after_ms.checked_sub(rest)?.checked_add(interval.every_ms)
}

fn compile(cron: &Cron) -> Result<(Expression, TimeZone), (&'static str, String)> {
    let expression = cron::parse(&cron.expression).map_err(|problem| ("expression", problem))?;
    let zone = match cron.time_zone.as_str() {
        "" => TimeZone::UTC,
        name => TimeZone::get(name).map_err(|_| {
            let told =
                format!("{name:?} is no time zone of the IANA database (Europe/Berlin, UTC, …)");
            ("time_zone", told)
        })?,
    };
    Ok((expression, zone))
}

fn check_spans(spec: &Spec, problems: &mut Vec<Problem>) {
    let mut wrong = |field: &str, description: String| {
        problems.push(Problem { field: field.to_owned(), description });
    };
    if spec.crons.is_empty() && spec.intervals.is_empty() {
        wrong("crons", "a schedule needs a cron expression or an interval".to_owned());
    }
    if spec.crons.len() > MAX_CRONS {
        wrong("crons", format!("{}, at most {MAX_CRONS}", spec.crons.len()));
    }
    if spec.intervals.len() > MAX_INTERVALS {
        wrong("intervals", format!("{}, at most {MAX_INTERVALS}", spec.intervals.len()));
    }
    for (place, Interval { every_ms, phase_ms }) in spec.intervals.iter().enumerate() {
        if !(MIN_INTERVAL_MS..=MAX_SPAN_MS).contains(every_ms) {
            let told = format!("{every_ms} ms, must be {MIN_INTERVAL_MS} to {MAX_SPAN_MS}");
            wrong(&format!("intervals[{place}].every"), told);
        } else if !(0..*every_ms).contains(phase_ms) {
            let told = format!("{phase_ms} ms, must be 0 or more, and less than {every_ms}");
            wrong(&format!("intervals[{place}].phase"), told);
        }
    }
    if !(0..=MAX_SPAN_MS).contains(&spec.jitter_ms) {
        wrong("jitter", format!("{} ms, must be 0 to {MAX_SPAN_MS}", spec.jitter_ms));
    }
    if let (Some(start_ms), Some(end_ms)) = (spec.start_ms, spec.end_ms)
        && end_ms < start_ms
    {
        wrong("end_time", "is before start_time".to_owned());
    }
}
