//! Several statements of one partition, sent as one.

use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch as DriverBatch, BatchType};

use super::statement::{Kind, Prepared, settle};

/// Statements and their values. All of one partition, and of one table where one of them is conditional.
pub struct Batch {
    statements: DriverBatch,
    values: Vec<Box<dyn SerializeRow + Send + Sync>>,
}

impl Batch {
    /// For [`Session::conditional_batch`](super::Session::conditional_batch).
    #[must_use]
    pub fn conditional() -> Batch {
        Batch::of(Kind::Conditional)
    }

    /// For [`Session::write_batch`](super::Session::write_batch).
    #[must_use]
    pub fn plain() -> Batch {
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

    /// How many statements it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(super) fn into_parts(self) -> (DriverBatch, Vec<Box<dyn SerializeRow + Send + Sync>>) {
        (self.statements, self.values)
    }
}
