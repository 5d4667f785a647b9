//! How consistent a statement is, and whether it may be sent twice.

use std::sync::Arc;

use scylla::policies::retry::{DefaultRetryPolicy, FallthroughRetryPolicy};
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};

/// What a statement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A read of a quorum: it sees every plain write that was answered, and every conditional one. Sent again where that
    /// may help.
    Read,
    /// A read at SERIAL: it finishes or voids conditional writes of its partition that are under way, so that what it
    /// finds is final. Costs as much as a conditional write.
    SettledRead,
    /// A plain write to a quorum, idempotent: sent again where that may help.
    Write,
    /// A conditional write (`IF`): a lightweight transaction, decided at SERIAL over all datacenters and kept by a
    /// quorum. Never sent again by itself: a second try could meet the first one's effect and be refused.
    Conditional,
}

impl Kind {
    /// As metrics name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Read => "read",
            Kind::SettledRead => "settled_read",
            Kind::Write => "write",
            Kind::Conditional => "conditional",
        }
    }

    pub(super) fn consistency(self) -> Consistency {
        match self {
            Kind::SettledRead => Consistency::Serial,
            Kind::Read | Kind::Write | Kind::Conditional => Consistency::Quorum,
        }
    }

    pub(super) fn is_idempotent(self) -> bool {
        self != Kind::Conditional
    }
}

/// Gives a statement or a batch, whose setters are alike, what its kind says.
macro_rules! settle {
    ($statement:expr, $kind:expr) => {{
        use $crate::cql::statement as own;
        $statement.set_consistency($kind.consistency());
        $statement.set_serial_consistency(Some(own::SERIAL));
        $statement.set_is_idempotent($kind.is_idempotent());
        $statement.set_retry_policy(Some(own::retries($kind)));
    }};
}
pub(super) use settle;

/// Over all datacenters: a reservation in one region must count in the others.
pub(super) const SERIAL: SerialConsistency = SerialConsistency::Serial;

pub(super) fn retries(kind: Kind) -> Arc<dyn scylla::policies::retry::RetryPolicy> {
    if kind.is_idempotent() {
        Arc::new(DefaultRetryPolicy::new())
    } else {
        Arc::new(FallthroughRetryPolicy::new())
    }
}

/// A statement that the servers know already. Clones share it.
#[derive(Clone)]
pub struct Prepared {
    statement: PreparedStatement,
    kind: Kind,
}

impl Prepared {
    pub(super) fn new(mut statement: PreparedStatement, kind: Kind) -> Prepared {
        settle!(statement, kind);
        Prepared { statement, kind }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn driver(&self) -> &PreparedStatement {
        &self.statement
    }
}

/// Declares a struct of statements, each with its kind and text, and `prepare`, which makes them known to the servers:
/// `statements! { /// … pub struct Statements { head: Read = "SELECT …"; } }`.
#[macro_export]
macro_rules! cql_statements {
    ($(#[$about:meta])* $seen:vis struct $all:ident {
        $($(#[$documentation:meta])* $name:ident: $kind:ident = $text:expr;)*
    }) => {
        $(#[$about])*
        $seen struct $all {
            $($(#[$documentation])* $seen $name: $crate::cql::Prepared,)*
        }

        impl $all {
            /// Makes them known to the servers.
            $seen async fn prepare(
                session: &$crate::cql::Session,
            ) -> Result<Self, $crate::cql::Error> {
                // Boxed: whoever waits for all of them need not have room for each.
                Ok(Self {
                    $($name: Box::pin(session.prepare($crate::cql::Kind::$kind, $text)).await?,)*
                })
            }
        }
    };
}
