//! Puts news into the index, a batch at a time.

use std::collections::HashMap;
use std::sync::Arc;

use tantivy::IndexWriter;
use tantivy::indexer::IndexWriterOptions;
use uuid::Uuid;

use super::ProductIndex;
use crate::domain::{Entry, News, merge};
use crate::error::Error;

/// Memory in which a batch becomes a segment; what is more is written to disk earlier.
const MEMORY_BYTES: usize = 50_000_000;
/// Threads that make segments, and that merge them.
const THREADS: usize = 1;

/// The only writer of an index.
pub struct Writer {
    index: Arc<ProductIndex>,
    /// Opened by the first batch, and again by the first one after a failure.
    writer: Option<IndexWriter>,
}

impl Writer {
    /// The writer of `index`; there can be one at a time.
    #[must_use]
    pub fn new(index: Arc<ProductIndex>) -> Self {
        Self { index, writer: None }
    }

    /// Takes in what is new of a batch: says how many products changed. When it returns, the batch is durable
    /// and can be found; after an error nothing of it is, and it can be given again.
    ///
    /// # Errors
    /// When the index cannot be read or written.
    pub fn apply(&mut self, batch: Vec<News>) -> Result<usize, Error> {
        let mut changed: HashMap<Uuid, Entry> = HashMap::new();
        for news in batch {
            let product_id = news.product_id;
            let entry = match changed.get(&product_id) {
                Some(known) => merge(Some(known), news),
                None => merge(self.index.entry(product_id)?.as_ref(), news),
            };
            if let Some(entry) = entry {
                changed.insert(product_id, entry);
            }
        }
        if changed.is_empty() {
            return Ok(0);
        }
        let written = self.write(&changed);
        if written.is_err() {
            // Dropped with all that is not committed: a writer that failed once refuses all further work.
            self.writer = None;
        }
        written.map(|()| changed.len())
    }

    fn write(&mut self, changed: &HashMap<Uuid, Entry>) -> Result<(), Error> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(open(&self.index)?),
        };
        for entry in changed.values() {
            writer.delete_term(self.index.fields.product_term(entry.product_id));
            writer.add_document(self.index.fields.document(entry))?;
        }
        writer.commit()?;
        self.index.reader.reload()?;
        Ok(())
    }
}

fn open(index: &ProductIndex) -> Result<IndexWriter, Error> {
    let options = IndexWriterOptions::builder()
        .num_worker_threads(THREADS)
        .num_merge_threads(THREADS)
        .memory_budget_per_thread(MEMORY_BYTES)
        .build();
    Ok(index.index.writer_with_options(options)?)
}
