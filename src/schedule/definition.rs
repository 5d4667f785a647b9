//! What a schedule is told, as flags.

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use jiff::{Span, SpanRelativeTo, Timestamp};
use souk_proto::time::{duration, timestamp};
use souk_proto::workflow::v1::{
    Schedule, ScheduleCron, ScheduleInterval, ScheduleOverlap, ScheduleSpec,
};

/// What happens when it is time and the run before has not ended.
#[derive(Clone, Copy, ValueEnum)]
pub enum Overlap {
    /// The firing is skipped.
    Skip,
    /// One firing waits for the run's end.
    BufferOne,
    /// All firings wait, and run one after another.
    BufferAll,
    /// The run is cancelled, and the newest firing follows.
    CancelOther,
    /// The run is ended by force, and the newest firing follows.
    TerminateOther,
    /// Runs run side by side.
    AllowAll,
}

impl Overlap {
    /// As it travels.
    pub fn wire(self) -> ScheduleOverlap {
        match self {
            Overlap::Skip => ScheduleOverlap::Skip,
            Overlap::BufferOne => ScheduleOverlap::BufferOne,
            Overlap::BufferAll => ScheduleOverlap::BufferAll,
            Overlap::CancelOther => ScheduleOverlap::CancelOther,
            Overlap::TerminateOther => ScheduleOverlap::TerminateOther,
            Overlap::AllowAll => ScheduleOverlap::AllowAll,
        }
    }
}

/// When to start what. Lengths of time are written like 90s, 15m, 1h30m, 7d.
#[derive(Args)]
pub struct Definition {
    /// A cron expression: minute, hour, day of month, month, day of week; or @daily and the like. May be repeated.
    #[arg(long = "cron", value_name = "EXPRESSION")]
    crons: Vec<String>,
    /// The time zone of the cron expressions, for example Europe/Berlin [default: UTC].
    #[arg(long, value_name = "ZONE", requires = "crons")]
    time_zone: Option<String>,
    /// An interval, and by how much it is shifted: 6h or 24h/3h. May be repeated.
    #[arg(long = "every", value_name = "LENGTH[/SHIFT]", value_parser = interval)]
    intervals: Vec<ScheduleInterval>,
    /// Nothing before this time, for example 2027-03-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    start: Option<Timestamp>,
    /// Nothing after this time.
    #[arg(long, value_name = "TIME")]
    end: Option<Timestamp>,
    /// Each start is late by its own share of this.
    #[arg(long, value_name = "LENGTH", value_parser = length_ms)]
    jitter: Option<i64>,
    /// The workflow to start.
    #[arg(long = "type", value_name = "TYPE")]
    workflow_type: Option<String>,
    /// JSON to start it with.
    #[arg(long, value_name = "JSON")]
    input: Option<String>,
    /// What the ids of the runs begin with [default: the schedule's id].
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// What happens when it is time and the run before has not ended [default: skip].
    #[arg(long, value_enum)]
    overlap: Option<Overlap>,
    /// How late a start may be that the node or a pause has kept from happening [default: 1d].
    #[arg(long, value_name = "LENGTH", value_parser = length_ms)]
    catch_up: Option<i64>,
    /// The schedule pauses itself when a run of it fails.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pause_on_failure: Option<bool>,
    /// How many more runs it may start by itself.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(i64).range(0..))]
    remaining: Option<i64>,
    /// It may start runs without a limit again.
    #[arg(long, conflicts_with = "remaining")]
    unlimited: bool,
}

impl Definition {
    /// A schedule of nothing but this.
    pub fn make(self) -> Result<Schedule> {
        self.workflow_type
            .as_ref()
            .context("--type is missing: which workflow is to be started?")?;
        self.change(Schedule::default())
    }

    /// A schedule with this instead of what it had. Times replace all times that it had.
    pub fn change(self, mut schedule: Schedule) -> Result<Schedule> {
        self.change_spec(schedule.spec.get_or_insert_default());
        let action = schedule.action.get_or_insert_default();
        if let Some(workflow_type) = self.workflow_type {
            action.workflow_type = workflow_type;
        }
        if let Some(input) = self.input {
            serde_json::from_str::<serde_json::Value>(&input).context("--input is not JSON")?;
            action.input = input.into();
        }
        if let Some(prefix) = self.prefix {
            action.workflow_id_prefix = prefix;
        }
        let policies = schedule.policies.get_or_insert_default();
        if let Some(overlap) = self.overlap {
            policies.set_overlap(overlap.wire());
        }
        if let Some(catch_up_ms) = self.catch_up {
            policies.catch_up_window = Some(duration(catch_up_ms));
        }
        if let Some(pause_on_failure) = self.pause_on_failure {
            policies.pause_on_failure = pause_on_failure;
        }
        if let Some(remaining) = self.remaining {
            (schedule.limited_actions, schedule.remaining_actions) = (true, remaining);
        }
        if self.unlimited {
            (schedule.limited_actions, schedule.remaining_actions) = (false, 0);
        }
        Ok(schedule)
    }

    fn change_spec(&self, spec: &mut ScheduleSpec) {
        if !self.crons.is_empty() || !self.intervals.is_empty() {
            let time_zone = self.time_zone.clone().unwrap_or_default();
            let cron = |expression: &String| ScheduleCron {
                expression: expression.clone(),
                time_zone: time_zone.clone(),
            };
            spec.crons = self.crons.iter().map(cron).collect();
            spec.intervals = self.intervals.clone();
        }
        if let Some(start) = self.start {
            spec.start_time = Some(timestamp(start.as_millisecond()));
        }
        if let Some(end) = self.end {
            spec.end_time = Some(timestamp(end.as_millisecond()));
        }
        if let Some(jitter_ms) = self.jitter {
            spec.jitter = Some(duration(jitter_ms));
        }
    }
}

/// A length of time, in milliseconds. A day has 24 hours.
fn length_ms(text: &str) -> Result<i64, String> {
    let span: Span = text.parse().map_err(|error| format!("{error}; write 90s, 15m, 1h30m, 7d"))?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours());
    let length = length.map_err(|error| error.to_string())?;
    i64::try_from(length.as_millis()).map_err(|error| error.to_string())
}

fn interval(text: &str) -> Result<ScheduleInterval, String> {
    let (every, phase) = match text.split_once('/') {
        Some((every, phase)) => (every, Some(phase)),
        None => (text, None),
    };
    let phase = phase.map(length_ms).transpose()?;
    Ok(ScheduleInterval { every: Some(duration(length_ms(every)?)), phase: phase.map(duration) })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        definition: Definition,
    }

    fn parse(line: &str) -> Definition {
        let words = std::iter::once("souk").chain(line.split(' '));
        Line::try_parse_from(words).unwrap().definition
    }

    #[test]
    fn what_is_not_named_stays() {
        let made = parse("--type report --every 24h/3h --jitter 15m --catch-up 2d").make().unwrap();
        let spec = made.spec.clone().unwrap();
        let hours = |hours: i64| Some(duration(hours * 3_600_000));
        assert_eq!(spec.intervals, [ScheduleInterval { every: hours(24), phase: hours(3) }]);
        assert_eq!(spec.jitter, Some(duration(900_000)));
        assert_eq!(made.policies.unwrap().catch_up_window, hours(48));

        let changed = parse("--overlap buffer-all --remaining 3 --pause-on-failure");
        let changed = changed.change(made.clone()).unwrap();
        assert_eq!((&changed.spec, &changed.action), (&made.spec, &made.action));
        assert_eq!(changed.policies.unwrap().overlap(), ScheduleOverlap::BufferAll);
        assert_eq!((changed.limited_actions, changed.remaining_actions), (true, 3));
        assert!(changed.policies.unwrap().pause_on_failure);

        let daily = parse("--cron @daily --time-zone Europe/Berlin").change(made).unwrap();
        let spec = daily.spec.unwrap();
        assert_eq!((spec.crons.len(), spec.intervals.len()), (1, 0));
        assert_eq!(spec.crons[0].time_zone, "Europe/Berlin");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert!(parse("--every 6h").make().is_err(), "no type");
        for wrong in ["--every soon", "--jitter 5", "--start tomorrow", "--remaining -1"] {
            let words = std::iter::once("souk").chain(wrong.split(' '));
            assert!(Line::try_parse_from(words).is_err(), "{wrong}");
        }
    }
}
