//! `souk schedule show`: what a schedule is told, its next times, and its last runs.

use anyhow::Result;
use clap::Args;
use jiff::Timestamp as Moment;
use jiff::tz::TimeZone;
use prost_types::{Duration, Timestamp};
use souk_proto::time::{duration_ms, unix_ms};
use souk_proto::workflow::v1::{
    Schedule, ScheduleDetail, ScheduleRun, ScheduleSource, ScheduleSpec, WorkflowState,
};

use super::{Client, Output, print_json};
use crate::workflow::{moment, state_name, why};

/// Which schedule, and how to show it.
#[derive(Args)]
pub struct Show {
    /// The schedule's id.
    schedule_id: String,
    /// For people, or as a line of JSON.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Prints one schedule.
pub async fn print(client: &mut Client, show: Show) -> Result<()> {
    let detail = super::describe(client, &show.schedule_id).await?;
    match show.output {
        Output::Json => print_json("souk.workflow.v1.ScheduleDetail", &detail)?,
        Output::Text => print_detail(&detail),
    }
    Ok(())
}

fn print_detail(detail: &ScheduleDetail) {
    let schedule = detail.schedule.clone().unwrap_or_default();
    let (spec, action) =
        (schedule.spec.clone().unwrap_or_default(), schedule.action.clone().unwrap_or_default());
    println!("{}  {}  version {}", detail.schedule_id, action.workflow_type, detail.version);
    if detail.paused {
        println!("paused: {}", detail.note);
    }
    println!("times:");
    for line in spec_text(&spec) {
        println!("  {line}");
    }
    print_policies(&schedule);
    if !action.input.is_empty() {
        println!("input: {}", String::from_utf8_lossy(&action.input));
    }
    println!("next times:{}", if detail.paused { " (held while it is paused)" } else { "" });
    print_times(&detail.next_times, &zone_of(Some(&schedule)));
    let counts = detail.counts.unwrap_or_default();
    println!(
        "so far: {} started, {} skipped, {} missed, {} could not be started; {} waiting",
        counts.started, counts.skipped, counts.missed, counts.failed, detail.waiting
    );
    let mut runs = detail.recent.iter().chain(&detail.running).peekable();
    if runs.peek().is_some() {
        println!("runs:");
    }
    for run in runs {
        print_run(run);
    }
}

fn print_policies(schedule: &Schedule) {
    let policies = schedule.policies.unwrap_or_default();
    let overlap = policies.overlap().as_str_name().to_owned();
    let overlap = overlap.trim_start_matches(OVERLAP_PREFIX).to_lowercase().replace('_', "-");
    let window = policies.catch_up_window.as_ref().map_or_else(String::new, length);
    let on_failure = if policies.pause_on_failure { ", pauses on failure" } else { "" };
    let left = match schedule.limited_actions {
        true => format!(", {} more runs", schedule.remaining_actions),
        false => String::new(),
    };
    println!("overlap: {overlap}, catches up {window}{on_failure}{left}");
}

/// What the names of the policies begin with in the contract.
const OVERLAP_PREFIX: &str = "SCHEDULE_OVERLAP_";

fn print_run(run: &ScheduleRun) {
    let source = match run.source() {
        ScheduleSource::Backfill => " (backfill)",
        ScheduleSource::Trigger => " (trigger)",
        ScheduleSource::Clock | ScheduleSource::Unspecified => "",
    };
    let state = match run.state() {
        WorkflowState::Unspecified => "not started".to_owned(),
        state => state_name(state),
    };
    let started = run.start_time.as_ref().map_or_else(String::new, time_text);
    let why =
        run.failure.as_ref().map_or_else(String::new, |failure| format!("  {}", why(failure)));
    println!("  {started}  {state:<12} {}{source}{why}", run.workflow_id);
}

/// The times of a schedule, a line for each rule.
pub fn spec_text(spec: &ScheduleSpec) -> Vec<String> {
    let crons = spec.crons.iter().map(|cron| match cron.time_zone.as_str() {
        "" => format!("{} UTC", cron.expression),
        zone => format!("{} {zone}", cron.expression),
    });
    let intervals = spec.intervals.iter().map(|interval| {
        let every = interval.every.as_ref().map_or_else(String::new, length);
        match &interval.phase {
            Some(phase) => format!("every {every}, shifted by {}", length(phase)),
            None => format!("every {every}"),
        }
    });
    let mut lines: Vec<String> = crons.chain(intervals).collect();
    let bounds = [("from", &spec.start_time), ("until", &spec.end_time)];
    for (word, time) in bounds {
        lines.extend(time.as_ref().map(|time| format!("{word} {}", time_text(time))));
    }
    lines.extend(spec.jitter.as_ref().map(|jitter| format!("up to {} later", length(jitter))));
    lines
}

/// The zone in which a schedule's times are meant, if it is one.
pub fn zone_of(schedule: Option<&Schedule>) -> Option<TimeZone> {
    let spec = schedule.and_then(|schedule| schedule.spec.as_ref())?;
    let name = spec.crons.first().map(|cron| cron.time_zone.as_str())?;
    TimeZone::get(name).ok()
}

/// Prints times, one to a line, in UTC and in a zone.
pub fn print_times(times: &[Timestamp], zone: &Option<TimeZone>) {
    if times.is_empty() {
        println!("  none");
    }
    for time in times {
        let there = zone.as_ref().and_then(|zone| {
            let moment = Moment::from_millisecond(unix_ms(time)).ok()?;
            Some(moment.to_zoned(zone.clone()).strftime("  %a %H:%M:%S %Z").to_string())
        });
        println!("  {}{}", time_text(time), there.unwrap_or_default());
    }
}

/// A time, in UTC.
pub fn time_text(time: &Timestamp) -> String {
    moment(unix_ms(time))
}

/// A length of time as people write it.
fn length(length: &Duration) -> String {
    let seconds = duration_ms(length) / 1_000;
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let text: String = parts.map(|(count, unit)| format!("{count}{unit}")).collect();
    if text.is_empty() { format!("{}ms", duration_ms(length)) } else { text }
}
