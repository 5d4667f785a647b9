//! Parents whose children are served elsewhere: a node that dies may have recorded the end of a child and told nobody.
//!
//! So whenever partitions have changed hands, every node asks after the children of its own open runs.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};

use super::parts;
use crate::engine::core::Core;
use crate::engine::engine::Engine;
use crate::engine::error::Error;
use crate::engine::limits::{CHILDREN_RETRY_MS, MAX_PAGE_ROWS, RECOVERY_CONCURRENCY};
use crate::engine::row::RunRow;

/// Looks after children until the engine stops.
pub(super) async fn check_all(core: Arc<Core>) {
    let (joined, _) = parts(&core);
    loop {
        tokio::select! {
            biased;
            () = joined.children.notified() => {}
            () = core.stop.cancelled() => return,
        }
        while let Err(error) = check_once(&core).await {
            tracing::debug!(%error, "children could not be asked after; it is tried again");
            tokio::select! {
                biased;
                () = core.seams.clock.sleep(Duration::from_millis(CHILDREN_RETRY_MS)) => {}
                () = core.stop.cancelled() => return,
            }
        }
    }
}

/// Asks after all children once. Fails with the last failure if some could not be asked after.
async fn check_once(core: &Arc<Core>) -> Result<(), Error> {
    // Those that the tables do not know yet, or not as they are, first.
    let mut rows = Vec::new();
    for cell in core.directory.cells() {
        rows.extend(cell.durable_row()?.filter(|row| !row.open_children.is_empty()));
    }
    let mut checked = check_some(core, rows).await;
    let own = core.ownership.serving();
    let mut after = None;
    loop {
        let page = core.tables.open_runs(&own, true, after, MAX_PAGE_ROWS).await?;
        let Some(last) = page.last() else { return checked };
        after = Some(last.id());
        let rows = page.into_iter().filter(|row| !row.open_children.is_empty()).map(Arc::new);
        checked = check_some(core, rows.collect()).await.and(checked);
    }
}

async fn check_some(core: &Arc<Core>, rows: Vec<Arc<RunRow>>) -> Result<(), Error> {
    let checks = stream::iter(rows).map(|row| async move {
        let checked = Engine::of(core.clone()).check_children(&row).await;
        match core.ownership.serving().holds(&row.workflow_id) {
            true => checked,
            // It is another node's by now.
            false => Ok(()),
        }
    });
    let checked: Vec<_> = checks.buffer_unordered(RECOVERY_CONCURRENCY).collect().await;
    checked.into_iter().collect()
}
