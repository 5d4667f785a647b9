//! Lists and counts of runs, page by page.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use souk_mesh::error::{FieldViolation, invalid_argument};
use souk_mesh::page::{self, Tokens};
use souk_proto::time::timestamp;
use souk_proto::workflow::v1::{
    CountWorkflowsRequest, CountWorkflowsResponse, ListWorkflowsRequest, ListWorkflowsResponse,
    WorkflowCount,
};
use tonic::Status;
use uuid::Uuid;

use crate::engine::ids::RunId;
use crate::engine::row::RunState;
use crate::engine::{Engine, Filter};
use crate::error::refusal;
use crate::wire;

/// Runs on a page when the caller names no size, and at most.
pub(super) const DEFAULT_PAGE_SIZE: u32 = 50;
pub(super) const MAX_PAGE_SIZE: u32 = 500;

/// Where a page begins.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Place {
    /// Behind this run; the first page has none in front.
    before: Option<Uuid>,
    /// What `now` in the filter means on all pages, in unix milliseconds.
    now_ms: i64,
}

impl Place {
    fn behind(self, run_id: RunId) -> Place {
        Place { before: Some(run_id.0), ..self }
    }

    fn before(self) -> Option<RunId> {
        self.before.map(RunId)
    }
}

/// One page of runs.
pub(super) async fn list(
    engine: &Engine,
    pages: &Tokens,
    request: ListWorkflowsRequest,
) -> Result<ListWorkflowsResponse, Status> {
    let size = page::size(request.page_size, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)? as usize;
    let scope = format!("workflows/{}", request.filter);
    let place = place(engine, pages, &request.page_token, &scope)?;
    let filter = filter(&request.filter, place.now_ms)?;
    // One more than asked for tells whether there is a next page.
    let page = engine.list(&filter, place.before(), size + 1).await.map_err(refusal)?;
    let mut rows = page.rows;
    let has_more = rows.len() > size;
    rows.truncate(size);
    let next = if has_more { rows.last().map(|last| last.id()) } else { page.next };
    Ok(ListWorkflowsResponse {
        workflows: rows.iter().map(wire::summary).collect(),
        next_page_token: token(pages, place, next, &scope)?,
        as_of: Some(timestamp(page.as_of_ms)),
    })
}

/// How many runs there are, as far as one call counts.
pub(super) async fn count(
    engine: &Engine,
    pages: &Tokens,
    request: CountWorkflowsRequest,
) -> Result<CountWorkflowsResponse, Status> {
    let scope = format!("workflow-counts/{}", request.filter);
    let place = place(engine, pages, &request.page_token, &scope)?;
    let filter = filter(&request.filter, place.now_ms)?;
    let counted = engine.count(&filter, place.before()).await.map_err(refusal)?;
    Ok(CountWorkflowsResponse {
        counts: counts(counted.runs),
        next_page_token: token(pages, place, counted.next, &scope)?,
        as_of: Some(timestamp(counted.as_of_ms)),
    })
}

/// Counts as callers see them: stuck runs are shown as parked ones.
pub(super) fn counts(runs: BTreeMap<(String, RunState), u64>) -> Vec<WorkflowCount> {
    let mut shown: BTreeMap<(String, i32), i64> = BTreeMap::new();
    for ((workflow_type, state), runs) in runs {
        *shown.entry((workflow_type, wire::state(state).into())).or_default() += runs as i64;
    }
    let count = |((workflow_type, state), runs)| WorkflowCount { workflow_type, state, runs };
    shown.into_iter().map(count).collect()
}

/// The filter that a caller wrote; `now_ms` is what `now` in it means.
///
/// # Errors
/// INVALID_ARGUMENT, reason `INVALID_FILTER`: where it is wrong.
pub(super) fn filter(text: &str, now_ms: i64) -> Result<Filter, Status> {
    Filter::parse(text, now_ms).map_err(|invalid| {
        let violation = FieldViolation::new("filter", invalid.to_string());
        invalid_argument("INVALID_FILTER", vec![violation])
    })
}

fn place(engine: &Engine, pages: &Tokens, token: &str, scope: &str) -> Result<Place, Status> {
    let first = || Place { before: None, now_ms: engine.now_ms() };
    Ok(pages.decode(token, scope)?.unwrap_or_else(first))
}

fn token(pages: &Tokens, place: Place, next: Option<RunId>, scope: &str) -> Result<String, Status> {
    match next {
        Some(run_id) => pages.encode(&place.behind(run_id), scope),
        None => Ok(String::new()),
    }
}
