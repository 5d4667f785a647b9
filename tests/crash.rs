//! The shop is killed at any moment, again and again, under load. What it acknowledged it keeps: sold and paid once, or
//! given up and free; and stock adds up to the piece.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use souk_bench::invariants::Rule;

use crate::support::{Load, Shop, pause};

/// Times that the shop is killed, and how often to prove it.
const KILLS: usize = 24;
const KILLS_OF_PROOF: usize = 240;
/// Of so many kills one comes while the shop is still starting.
const ONE_OF_KILLS_AT_START: u32 = 4;
/// How long the shop lives between two kills, in milliseconds.
const LIFE_MS: std::ops::Range<u64> = 100..1_500;
/// When it is killed while starting, in milliseconds after its process began.
const BIRTH_MS: std::ops::Range<u64> = 0..600;
/// A load that is less than this proves little.
const LEAST_ORDERS: usize = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_under_load_the_shop_keeps_its_word() {
    let seed = crate::support::seed();
    let mut chance = StdRng::seed_from_u64(seed);
    let mut shop = Shop::start().await;
    let baseline = shop.baseline().await;
    let load = Load::start(&shop.edge, &shop.ledger, seed).await;

    for _ in 0..souk_backends::rounds(KILLS, KILLS_OF_PROOF) {
        pause(chance.random_range(LIFE_MS)).await;
        shop.kill_9();
        shop.reopen();
        while chance.random_ratio(1, ONE_OF_KILLS_AT_START) {
            pause(chance.random_range(BIRTH_MS)).await;
            shop.kill_9();
            shop.reopen();
        }
        shop.opened().await;
    }
    let acknowledged = load.finish().await;

    let verdict = shop.settle(&baseline, &acknowledged).await;
    assert!(acknowledged.len() >= LEAST_ORDERS, "only {} orders", acknowledged.len());
    for rule in [Rule::SoldIsPaidOnce, Rule::CancelledIsFree] {
        assert!(verdict.checked(rule) >= LEAST_ORDERS / 5, "too few to tell: {verdict}");
    }
}
