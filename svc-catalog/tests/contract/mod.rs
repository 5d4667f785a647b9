//! What every store of the catalog must do. Each check takes any store; the lists below run them all
//! on each implementation.

mod products;
mod reservations;
mod stock;

use crate::support;

/// Runs checks of a module on a new SQLite store each, and on CQL: `apart` in a keyspace that others use at the same
/// time, `swept` alone in one that has no holds.
macro_rules! on_each_store {
    ($checks:ident on $keyspace:ident: $($check:ident),* $(,)?) => {
        $(
            mod $check {
                use super::{$checks, support};

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_sqlite() {
                    let (_folder, store) = support::sqlite();
                    $checks::$check(store).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_cql() {
                    let Some(cql) = support::cql::$keyspace().await else { return };
                    $checks::$check(cql.store()).await;
                }
            }
        )*
    };
}

on_each_store!(products on apart:
    a_product_is_found_with_what_is_available,
    skus_slugs_and_ids_are_unique,
    a_category_must_exist,
    an_update_needs_the_present_etag,
    a_repeated_request_gets_its_first_answer,
    a_repeated_category_is_the_first_one,
    one_of_many_gets_a_sku,
    a_renamed_product_is_listed_under_its_new_name_only,
    of_two_updates_at_once_one_wins,
    pages_go_through_all_names_once,
    archived_products_are_listed_on_demand_only,
);
on_each_store!(stock on apart:
    a_correction_stops_at_what_is_reserved,
    a_repeated_correction_counts_once,
    stock_of_an_unknown_product_is_an_error,
);
on_each_store!(reservations on apart:
    all_lines_are_held_or_none,
    lines_of_many_products_are_sold_and_come_back,
    a_thousand_buyers_of_a_hundred_pieces,
    buyers_of_the_same_pairs_get_whole_pairs,
    a_repeat_gets_the_same_reservation,
    a_thousand_equal_reserves_hold_once,
    the_same_id_for_other_lines_is_refused,
    a_late_reserve_is_refused,
    release_works_from_every_state,
);
on_each_store!(reservations on swept:
    a_hold_runs_out_and_its_pieces_are_for_sale,
    an_expired_hold_is_committed_if_it_can_be_had_again,
    an_expired_hold_that_was_sold_is_refused,
    extending_moves_the_end_and_brings_back_what_expired,
    a_tombstone_refuses_the_late_reserve_until_it_may_go,
    the_sweeper_takes_the_oldest_first_and_in_pages,
);
