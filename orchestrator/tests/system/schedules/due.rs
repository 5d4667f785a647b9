//! Which firings are due: properties that hold for any calendar, place and time.

use proptest::prelude::*;
use souk_orchestrator::system::schedule::definition::{Cron, Interval, Spec};
use souk_orchestrator::system::schedule::{Calendar, Firing, Lens, Look};

use super::calendar::{cron, every, ms};

const ZONES: [&str; 4] = ["", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"];
const EXPRESSIONS: [&str; 5] =
    ["*/20 * * * *", "30 2 * * *", "0 0,12 * * *", "15 3 * * SUN", "0 9 L * *"];

fn lens(jitter_ms: i64, catch_up_ms: i64) -> Lens<'static> {
    Lens { schedule_id: "nightly", jitter_ms, catch_up_ms }
}

/// Looks until everything is seen, as the schedule's run does.
fn look_through(lens: Lens<'_>, calendar: &Calendar, mut cursor_ms: i64, now_ms: i64) -> Look {
    let mut whole = Look::default();
    loop {
        let look = lens.look(calendar, cursor_ms, now_ms);
        whole.due.extend(look.due);
        whole.missed += look.missed;
        cursor_ms = look.cursor_ms;
        if look.is_complete {
            return Look { cursor_ms, next: look.next, is_complete: true, ..whole };
        }
    }
}

fn specs() -> impl Strategy<Value = Spec> {
    let cron = (prop::sample::select(&EXPRESSIONS[..]), prop::sample::select(&ZONES[..]));
    let cron = cron.prop_map(|(expression, zone)| Cron {
        expression: expression.into(),
        time_zone: zone.into(),
    });
    let interval = (60_000i64..7_200_000, 0i64..60_000)
        .prop_map(|(every_ms, phase_ms)| Interval { every_ms, phase_ms });
    let crons = prop::collection::vec(cron, 0..3);
    let intervals = prop::collection::vec(interval, 1..3);
    (crons, intervals, 0i64..3_600_000).prop_map(|(crons, intervals, jitter_ms)| Spec {
        crons,
        intervals,
        jitter_ms,
        ..Spec::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// However the time until now is cut into looks, each firing is due in exactly one of them.
    #[test]
    fn no_firing_is_lost_or_doubled_by_looking_at_other_times(
        spec in specs(),
        // Around the end of summer time in Europe and in America.
        start_ms in ms("2027-10-30T00:00:00Z")..ms("2027-11-07T00:00:00Z"),
        mut cuts in prop::collection::vec(0i64..2 * 24 * 3_600_000, 1..6),
    ) {
        let calendar = Calendar::of(&spec).unwrap();
        let lens = lens(spec.jitter_ms, i64::MAX);
        cuts.sort_unstable();
        let until_ms = start_ms + cuts.last().unwrap();
        let mut pieces = Vec::new();
        let mut cursor_ms = start_ms;
        for cut in &cuts {
            let look = look_through(lens, &calendar, cursor_ms, start_ms + cut);
            cursor_ms = look.cursor_ms;
            pieces.extend(look.due);
        }
        let whole = look_through(lens, &calendar, start_ms, until_ms);
        prop_assert_eq!(&pieces, &whole.due);
        prop_assert!(pieces.is_sorted_by_key(|firing| firing.at_ms));
        let nominal: Vec<i64> = pieces.iter().map(|firing| firing.nominal_ms).collect();
        prop_assert!(nominal.is_sorted_by(|one, next| one < next));
        for Firing { nominal_ms, at_ms } in pieces {
            prop_assert!((0..=spec.jitter_ms).contains(&(at_ms - nominal_ms)));
        }
        prop_assert!(whole.next.is_none_or(|next| next.at_ms > until_ms));
    }

    /// The window parts what is due from what is missed, and nothing falls between.
    #[test]
    fn what_is_too_late_is_counted(
        catch_up_ms in 0i64..4 * 3_600_000,
        late_ms in 0i64..6 * 3_600_000,
    ) {
        let start_ms = ms("2027-05-01T00:00:00Z");
        let now_ms = start_ms + late_ms;
        let calendar = Calendar::of(&every(60_000, 0)).unwrap();
        let all = look_through(lens(0, i64::MAX), &calendar, start_ms, now_ms);
        let some = look_through(lens(0, catch_up_ms), &calendar, start_ms, now_ms);
        prop_assert_eq!(some.missed + some.due.len() as u64, all.due.len() as u64);
        prop_assert_eq!(some.cursor_ms, all.cursor_ms);
        prop_assert!(some.due.iter().all(|firing| now_ms - firing.at_ms <= catch_up_ms));
    }
}

#[test]
fn jitter_differs_between_firings_and_schedules_and_never_between_looks() {
    let calendar = Calendar::of(&cron("0 3 * * *", "")).unwrap();
    let start_ms = ms("2027-01-01T00:00:00Z");
    let delays = |schedule_id: &str| -> Vec<i64> {
        let lens = Lens { schedule_id, jitter_ms: 600_000, catch_up_ms: 0 };
        let firings = lens.firings(&calendar, start_ms).take(50);
        firings.map(|firing| firing.at_ms - firing.nominal_ms).collect()
    };
    assert_eq!(delays("one"), delays("one"));
    assert_ne!(delays("one"), delays("two"));
    assert!(delays("one").iter().any(|delay| *delay > 300_000));
    assert!(delays("one").iter().any(|delay| *delay < 300_000));
}

#[test]
fn one_look_is_bounded() {
    let calendar = Calendar::of(&every(1_000, 0)).unwrap();
    let (start_ms, year_ms) = (ms("2027-01-01T00:00:00Z"), 365 * 24 * 3_600_000);
    let due = lens(0, i64::MAX).look(&calendar, start_ms, start_ms + year_ms);
    assert_eq!((due.due.len(), due.is_complete), (200, false));
    let missed = lens(0, 0).look(&calendar, start_ms, start_ms + year_ms);
    assert_eq!((missed.missed, missed.is_complete), (10_000, false));
}

#[test]
fn after_the_last_time_there_is_no_next() {
    let start_ms = ms("2027-01-01T00:00:00Z");
    let spec = Spec { end_ms: Some(start_ms + 5_000), ..every(1_000, 0) };
    let calendar = Calendar::of(&spec).unwrap();
    let look = lens(0, 60_000).look(&calendar, start_ms, start_ms + 10_000);
    assert_eq!((look.due.len(), look.next, look.is_complete), (5, None, true));
}
