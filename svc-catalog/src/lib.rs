//! Products, prices and stock: reservations that never oversell.
