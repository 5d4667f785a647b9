//! Lists: filtered, paged, and bounded in what they read.

use bytes::Bytes;
use souk_orchestrator::engine::Filter;
use souk_orchestrator::engine::attribute::{Attribute, Value};
use souk_orchestrator::engine::ids::RunId;
use souk_orchestrator::engine::limits::MAX_SCANNED_ROWS;
use souk_orchestrator::engine::row::{RunRow, RunState};
use souk_orchestrator::engine::tables::Tables;
use uuid::Uuid;

use super::{change, listed, row, run_id, step};
use crate::forms::Form;

pub(super) async fn lists_are_filtered_and_paged(mut form: impl Form) {
    let tables = form.open().await.tables;
    let states = [RunState::Running, RunState::Completed, RunState::Parked, RunState::Failed];
    // One type's name begins with another's.
    let types = ["place", "place_order", "return"];
    let rows: Vec<RunRow> = (0..60_u128)
        .map(|number| {
            let at = usize::try_from(number).unwrap();
            row(number, types[at % types.len()], states[at / 2 % states.len()])
        })
        .collect();
    for (slot, rows) in rows.chunks(7).enumerate() {
        let runs = rows.iter().cloned().map(change).collect();
        tables.apply(step(slot as u64, runs)).await.unwrap();
    }
    let some_types = types.iter().map(|name| format!("type = {name}")).chain([
        "type = pl".to_owned(),
        "type = place*".to_owned(),
        "NOT type = return".to_owned(),
    ]);
    let some_states = states.map(|state| format!("state = {}", state.name()));
    let texts = some_types
        .chain(some_states)
        .chain(["", "state = cancelled", "state = open AND type = place"].map(str::to_owned));
    for text in texts {
        let filter = Filter::parse(&text, 0).unwrap();
        let expected: Vec<RunRow> =
            rows.iter().rev().filter(|row| filter.matches(row)).cloned().collect();
        assert_eq!(listed(&*tables, &filter).await, expected, "{text}");
        assert_eq!(paged(&*tables, &filter, 4).await, expected, "{text}");
    }
}

/// Goes from page to page to the end.
async fn paged(tables: &dyn Tables, filter: &Filter, limit: usize) -> Vec<RunRow> {
    let (mut rows, mut before) = (Vec::new(), None);
    loop {
        let page = tables.list(filter, before, limit).await.unwrap();
        assert!(page.rows.len() <= limit);
        rows.extend(page.rows);
        assert!(page.next.is_none_or(|next| before.is_none_or(|before| next < before)));
        before = page.next;
        if before.is_none() {
            return rows;
        }
    }
}

const HOUR_MS: i64 = 3_600_000;

/// A run of each hour, some of which wait for a while, and end in different ways.
fn hourly(hour: u128) -> RunRow {
    let started_at_ms = 1_800_000_000_000 + i64::try_from(hour).unwrap() * HOUR_MS;
    let id = RunId(Uuid::from_u128(RunId::first_at(started_at_ms).0.as_u128() | hour));
    let states = [RunState::Running, RunState::Failed, RunState::Completed, RunState::Parked];
    let state = states[usize::try_from(hour % 4).unwrap()];
    let attribute = |name: &str, value| Attribute { name: name.into(), value: Some(value) };
    RunRow {
        run_id: Bytes::copy_from_slice(id.as_bytes()),
        started_at_ms,
        updated_at_ms: started_at_ms + 5 * HOUR_MS,
        closed_at_ms: if state.is_closed() { started_at_ms + 5 * HOUR_MS } else { 0 },
        attributes: vec![attribute("total", Value::Integer(i64::try_from(hour % 7).unwrap()))],
        ..row(hour, if hour.is_multiple_of(3) { "return" } else { "place" }, state)
    }
}

/// What the indexes leave out is what the filter does not mean.
pub(super) async fn filters_are_answered_as_if_every_row_was_read(mut form: impl Form) {
    let tables = form.open().await.tables;
    let rows: Vec<RunRow> = (0..200).map(hourly).collect();
    tables.apply(step(1, rows.iter().cloned().map(change).collect())).await.unwrap();
    let now_ms = rows[199].started_at_ms;
    for (text, count) in [
        ("started_at > now - 10h", 10),
        ("started_at >= -10h AND started_at < -8h", 2),
        ("NOT started_at >= -10h", 189),
        ("closed_at < -100h", 47),
        ("updated_at <= -100h AND type = place", 63),
        ("started_at = \"2027-01-15T08:00:00Z\"", 1),
        ("(state = parked OR type = return) AND started_at > -1d", 12),
        ("state != open", 100),
        ("total >= 5 AND NOT (state = running OR state = parked)", 28),
        ("closed_at:*", 100),
        ("type = teleport", 0),
        ("started_at > now", 0),
    ] {
        let filter = Filter::parse(text, now_ms).unwrap();
        let expected: Vec<RunRow> =
            rows.iter().rev().filter(|row| filter.matches(row)).cloned().collect();
        assert_eq!(expected.len(), count, "{text}");
        assert_eq!(paged(&*tables, &filter, 7).await, expected, "{text}");
    }
}

pub(super) async fn a_page_reads_a_bounded_number_of_rows(mut form: impl Form) {
    let tables = form.open().await.tables;
    let count = MAX_SCANNED_ROWS as u128 + 10;
    let runs = (0..count).map(|number| change(row(number, "place", RunState::Running)));
    tables.apply(step(1, runs.collect())).await.unwrap();
    let oldest = Filter::parse("workflow_id = \"order/3\"", 0).unwrap();
    let first = tables.list(&oldest, None, 5).await.unwrap();
    assert_eq!((first.rows.len(), first.next), (0, Some(run_id(10))));
    let rest = tables.list(&oldest, first.next, 5).await.unwrap();
    assert_eq!((rest.rows.len(), rest.next), (1, None));
}
