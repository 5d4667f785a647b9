//! What the catalog is about, free of gRPC and SQL: products and their prices, the arithmetic of
//! stock, and the life of a reservation. Everything here is a pure, total function.

mod change;
mod product;
mod reservation;
mod stock;

pub use change::{Change, Hold, Release};
pub use product::{Category, Listed, NewProduct, Product, ProductPatch, drawn_picture};
pub use reservation::{
    DEFAULT_HOLD_MS, Illegal, Line, MAX_HOLD_MS, MAX_LINES, MAX_QUANTITY, Reservation, State, Step,
    StockEffect, TOMBSTONE_MARGIN_MS, merge_lines, next,
};
pub use stock::{Inventory, MAX_ON_HAND, Refusal, Stock};
