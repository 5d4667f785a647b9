//! `ListWorkflowTurns`: the runs under one workflow id.

use souk_mesh::page::{self, Tokens};
use souk_proto::workflow::v1::{ListWorkflowTurnsRequest, ListWorkflowTurnsResponse};
use tonic::Status;
use uuid::Uuid;

use super::list::{DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE};
use crate::engine::Engine;
use crate::engine::ids::RunId;
use crate::error::refusal;
use crate::wire;

/// One page, newest first.
pub async fn page(
    engine: &Engine,
    pages: &Tokens,
    request: ListWorkflowTurnsRequest,
) -> Result<ListWorkflowTurnsResponse, Status> {
    let ListWorkflowTurnsRequest { workflow_id, page_size, page_token } = request;
    let size = page::size(page_size, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)? as usize;
    let scope = format!("turns/{workflow_id}");
    let before: Option<Uuid> = pages.decode(&page_token, &scope)?;
    // One more than asked for tells whether there is a next page.
    let found = engine.turns(&workflow_id, before.map(RunId), size + 1).await;
    let mut rows = found.map_err(refusal)?;
    let more = rows.len() > size;
    rows.truncate(size);
    let next_page_token = match rows.last() {
        Some(last) if more => pages.encode(&last.id().0, &scope)?,
        _ => String::new(),
    };
    let turns = rows.iter().map(wire::summary).collect();
    Ok(ListWorkflowTurnsResponse { turns, next_page_token })
}
