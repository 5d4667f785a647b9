//! Contract tests that services and back ends run from their own tests. Nothing here is called
//! by a running shop.

mod bus;
pub mod do_undo;
mod signed;
mod told;

pub use bus::{BusUnderTest, bus_contract};
pub use signed::signed;
pub use told::Told;
