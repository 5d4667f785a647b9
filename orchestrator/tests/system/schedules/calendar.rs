//! The times of a specification: cron in time zones through the changes of clocks, intervals, bounds, what is refused.

use souk_orchestrator::system::schedule::Calendar;
use souk_orchestrator::system::schedule::definition::{Cron, Interval, Spec};

const DAY_MS: i64 = 24 * 3_600_000;

pub fn cron(expression: &str, time_zone: &str) -> Spec {
    let cron = Cron { expression: expression.into(), time_zone: time_zone.into() };
    Spec { crons: vec![cron], ..Spec::default() }
}

pub fn every(every_ms: i64, phase_ms: i64) -> Spec {
    Spec { intervals: vec![Interval { every_ms, phase_ms }], ..Spec::default() }
}

pub fn ms(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

/// The first `count` times after `after`, in UTC.
fn times(spec: &Spec, after: &str, count: usize) -> Vec<String> {
    let calendar = Calendar::of(spec).unwrap();
    let times = calendar.between(ms(after) + 1, i64::MAX).take(count);
    times.map(|time| jiff::Timestamp::from_millisecond(time).unwrap().to_string()).collect()
}

#[test]
fn where_the_clock_goes_forward_a_fixed_time_comes_right_after_the_gap() {
    // 2027-03-28, 02:00 CET becomes 03:00 CEST, which is 01:00 UTC.
    let berlin = times(&cron("30 2 * * *", "Europe/Berlin"), "2027-03-26T12:00:00Z", 3);
    assert_eq!(berlin, ["2027-03-27T01:30:00Z", "2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"]);
    // 2027-03-14, 02:00 EST becomes 03:00 EDT, which is 07:00 UTC.
    let new_york = times(&cron("30 2 * * *", "America/New_York"), "2027-03-12T12:00:00Z", 3);
    assert_eq!(new_york, ["2027-03-13T07:30:00Z", "2027-03-14T07:00:00Z", "2027-03-15T06:30:00Z"]);
}

#[test]
fn where_the_clock_goes_forward_a_recurring_time_leaves_the_gap_out() {
    let berlin = times(&cron("*/30 * * * *", "Europe/Berlin"), "2027-03-28T00:00:00Z", 4);
    let expected = ["00:30", "01:00", "01:30", "02:00"].map(|at| format!("2027-03-28T{at}:00Z"));
    assert_eq!(berlin, expected);
    let listed = times(&cron("15 2,5 * * *", "Europe/Berlin"), "2027-03-27T12:00:00Z", 2);
    assert_eq!(listed, ["2027-03-28T03:15:00Z", "2027-03-29T00:15:00Z"]);
    let new_york = times(&cron("15 */1 * * *", "America/New_York"), "2027-03-14T06:00:00Z", 3);
    assert_eq!(new_york, ["2027-03-14T06:15:00Z", "2027-03-14T07:15:00Z", "2027-03-14T08:15:00Z"]);
}

#[test]
fn where_the_clock_goes_back_a_fixed_time_comes_once_in_the_first_of_the_two_hours() {
    // 2027-10-31, 03:00 CEST becomes 02:00 CET, which is 01:00 UTC.
    let berlin = times(&cron("30 2 * * *", "Europe/Berlin"), "2027-10-30T12:00:00Z", 2);
    assert_eq!(berlin, ["2027-10-31T00:30:00Z", "2027-11-01T01:30:00Z"]);
    // 2027-11-07, 02:00 EDT becomes 01:00 EST, which is 06:00 UTC.
    let new_york = times(&cron("30 1 * * *", "America/New_York"), "2027-11-06T12:00:00Z", 2);
    assert_eq!(new_york, ["2027-11-07T05:30:00Z", "2027-11-08T06:30:00Z"]);
}

#[test]
fn where_the_clock_goes_back_a_recurring_time_comes_in_both_hours() {
    let berlin = times(&cron("0,30 * * * *", "Europe/Berlin"), "2027-10-30T23:30:00Z", 5);
    let expected = ["00:00", "00:30", "01:00", "01:30", "02:00"];
    assert_eq!(berlin, expected.map(|at| format!("2027-10-31T{at}:00Z")));
    let new_york = times(&cron("30 * * * *", "America/New_York"), "2027-11-07T05:00:00Z", 3);
    assert_eq!(new_york, ["2027-11-07T05:30:00Z", "2027-11-07T06:30:00Z", "2027-11-07T07:30:00Z"]);
}

#[test]
fn months_and_weekdays_end_where_the_calendar_says() {
    let last = times(&cron("0 0 L * *", ""), "2028-01-15T00:00:00Z", 3);
    assert_eq!(last, ["2028-01-31T00:00:00Z", "2028-02-29T00:00:00Z", "2028-03-31T00:00:00Z"]);
    let friday = times(&cron("0 8 * * 5L", ""), "2027-01-01T00:00:00Z", 2);
    assert_eq!(friday, ["2027-01-29T08:00:00Z", "2027-02-26T08:00:00Z"]);
    let leap = times(&cron("0 0 29 2 *", ""), "2028-03-01T00:00:00Z", 1);
    assert_eq!(leap, ["2032-02-29T00:00:00Z"]);
}

#[test]
fn intervals_are_counted_from_the_epoch_with_their_phase() {
    let spec = every(DAY_MS, 3 * 3_600_000);
    let found = times(&spec, "2027-05-04T03:00:00Z", 2);
    assert_eq!(found, ["2027-05-05T03:00:00Z", "2027-05-06T03:00:00Z"]);
    assert_eq!(times(&spec, "1969-12-30T04:00:00Z", 1), ["1969-12-31T03:00:00Z"]);
}

#[test]
fn several_give_each_time_once_and_bounds_are_kept() {
    let mut spec = cron("0 6 * * *", "UTC");
    spec.crons.push(Cron { expression: "0 6,18 * * *".into(), time_zone: String::new() });
    spec.intervals.push(Interval { every_ms: DAY_MS, phase_ms: 6 * 3_600_000 });
    spec.start_ms = Some(ms("2027-05-02T06:00:00Z"));
    spec.end_ms = Some(ms("2027-05-03T06:00:00Z"));
    let found = times(&spec, "2027-01-01T00:00:00Z", 9);
    assert_eq!(found, ["2027-05-02T06:00:00Z", "2027-05-02T18:00:00Z", "2027-05-03T06:00:00Z"]);
}

#[test]
fn what_never_comes_is_found_out_quickly() {
    let started = std::time::Instant::now();
    for never in ["0 0 30 2 *", "0 0 31 4,6,9,11 *"] {
        assert!(times(&cron(never, "Europe/Berlin"), "2027-01-01T00:00:00Z", 1).is_empty());
    }
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

#[test]
fn everything_that_is_wrong_is_told_at_once_with_its_place() {
    let mut spec = cron("0 25 * * *", "");
    spec.crons.push(Cron { expression: "0 3 * * *".into(), time_zone: "Europe/Atlantis".into() });
    spec.intervals = vec![
        Interval { every_ms: 999, phase_ms: 0 },
        Interval { every_ms: 5_000, phase_ms: 5_000 },
    ];
    spec.jitter_ms = -1;
    (spec.start_ms, spec.end_ms) = (Some(2), Some(1));
    let problems = Calendar::of(&spec).unwrap_err();
    let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
    let expected = [
        "intervals[0].every",
        "intervals[1].phase",
        "jitter",
        "end_time",
        "crons[0].expression",
        "crons[1].time_zone",
    ];
    assert_eq!(fields, expected);
    assert!(problems[4].description.contains("hour (field 2, character 3)"), "{problems:?}");
    assert!(problems[5].description.contains("Europe/Atlantis"), "{problems:?}");
    assert_eq!(Calendar::of(&Spec::default()).unwrap_err()[0].field, "crons");
    let intervals = vec![Interval { every_ms: 5_000, phase_ms: 0 }; 21];
    let many = Calendar::of(&Spec { intervals, ..Spec::default() });
    assert_eq!(many.unwrap_err()[0].field, "intervals");
}
