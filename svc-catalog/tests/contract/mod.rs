//! What every store of the catalog must do. Each check takes any store; the lists below run them all
//! on each implementation.

mod products;
mod reservations;
mod stock;

use crate::support;

/// Runs checks of a module on a new SQLite store each.
macro_rules! on_sqlite {
    ($checks:ident: $($check:ident),* $(,)?) => {
        mod $checks {
            use super::{super::$checks, support};

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $check() {
                    let (_folder, store) = support::sqlite();
                    $checks::$check(store).await;
                }
            )*
        }
    };
}

mod sqlite {
    use super::support;

    on_sqlite!(products:
        a_product_is_found_with_what_is_available,
        skus_slugs_and_ids_are_unique,
        a_category_must_exist,
        an_update_needs_the_present_etag,
        a_repeated_request_gets_its_first_answer,
        pages_go_through_all_names_once,
        archived_products_are_listed_on_demand_only,
    );
    on_sqlite!(stock:
        a_correction_stops_at_what_is_reserved,
        a_repeated_correction_counts_once,
        stock_of_an_unknown_product_is_an_error,
    );
    on_sqlite!(reservations:
        all_lines_are_held_or_none,
        a_thousand_buyers_of_a_hundred_pieces,
        a_repeat_gets_the_same_reservation,
        a_thousand_equal_reserves_hold_once,
        the_same_id_for_other_lines_is_refused,
        a_late_reserve_is_refused,
        a_hold_runs_out_and_its_pieces_are_for_sale,
        an_expired_hold_is_committed_if_it_can_be_had_again,
        an_expired_hold_that_was_sold_is_refused,
        extending_moves_the_end_and_brings_back_what_expired,
        release_works_from_every_state,
        a_tombstone_refuses_the_late_reserve_until_it_may_go,
        the_sweeper_takes_the_oldest_first_and_in_pages,
    );
}
