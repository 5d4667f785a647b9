//! Carts: kept for seven days since last activity, priced by the catalog.
