//! Payloads as in `bench/src/engine/workload.rs`: letters and digits by chance, which compress as badly as ids and names.

use rand::distr::{Alphanumeric, SampleString as _};
use serde::{Deserialize, Serialize};

/// Bytes of every payload.
const PAYLOAD_BYTES: usize = 256;
/// Bytes from which payloads are cut: more than an order has, so that none can be compressed into another's.
const POOL_BYTES: usize = 64 * 1024;

/// What is ordered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Which order it is; its payloads follow from it.
    pub number: u64,
    /// The first payload.
    pub text: String,
}

/// Where payloads come from.
pub struct Payloads {
    pool: String,
}

impl Payloads {
    /// A new pool.
    pub fn new() -> Payloads {
        Payloads { pool: Alphanumeric.sample_string(&mut rand::rng(), POOL_BYTES) }
    }

    /// The input of an order.
    pub fn order(&self, number: u64) -> Order {
        Order { number, text: self.text(number, 0).to_owned() }
    }

    /// One of the texts of an order: the input is part 0, the answers of the steps are those after it.
    pub fn text(&self, number: u64, part: u64) -> &str {
        let places = (POOL_BYTES - PAYLOAD_BYTES) as u64;
        let place = number.wrapping_mul(7_919).wrapping_add(part.wrapping_mul(4_099)) % places;
        let place = place as usize;
        &self.pool[place..place + PAYLOAD_BYTES]
    }
}
