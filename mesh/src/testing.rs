//! Contract tests that services and back ends run from their own tests. Nothing here is called
//! by a running shop.

pub mod do_undo;
