//! Several statements sent as one.

use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch as DriverBatch, BatchType};

use super::statement::{Kind, Prepared, settle};

/// Statements and their values.
pub struct Batch {
    statements: DriverBatch,
    values: Vec<Box<dyn SerializeRow + Send + Sync>>,
}

impl Batch {
    /// For [`Session::conditional_batch`](super::Session::conditional_batch): all of one partition of one table.
    #[must_use]
    pub fn conditional() -> Batch {
        Batch::of(Kind::Conditional)
    }

    /// Plain writes, each of which happens or not by itself.
    pub(super) fn plain() -> Batch {
        Batch::of(Kind::Write)
    }

    fn of(kind: Kind) -> Batch {
        // Unlogged: one partition needs no log of batches to be atomic.
        let mut statements = DriverBatch::new(BatchType::Unlogged);
        settle!(statements, kind);
        Batch { statements, values: Vec::new() }
    }

    /// Adds a statement.
    pub fn add(&mut self, statement: &Prepared, values: impl SerializeRow + Send + Sync + 'static) {
        self.statements.append_statement(statement.driver().clone());
        self.values.push(Box::new(values));
    }

    pub(super) fn into_parts(self) -> (DriverBatch, Vec<Box<dyn SerializeRow + Send + Sync>>) {
        (self.statements, self.values)
    }
}
