//! The trio on every way that an order can take.

use std::time::Duration;

use souk_proto::payment::v1::PaymentState;

use super::faults::Faults;
use super::trio::{
    Finished, Subject, every_step_fails_in_turn, every_step_is_repeated, every_undo_is_repeated,
};
use super::world::{PIECES, World, order};

/// An order by a card that needs no challenge, or by one that does.
struct PlaceOrder {
    token: &'static str,
}

impl Subject for PlaceOrder {
    const BEST_EFFORT: &'static [&'static str] = &["ClearCart"];

    async fn run(&self, strike: impl Fn(&Faults)) -> Finished {
        let world = World::new(1).await;
        strike(&world.shop.faults);
        world.place(&order(self.token)).await;
        if self.token == "tok_3ds" {
            let answer = world.answer().await;
            if answer["placement"] == "CHALLENGE" {
                world.shop.decide_payment(PaymentState::Authorized);
            }
        }
        // What svc-order would tell once the order is paid; an order that is undone does not come to hear it.
        for name in ["shipped", "delivered"] {
            let _ = world.signal(name, name).await;
        }
        let outcome = world.end().await;
        world.pass(Duration::from_secs(600)).await;
        let history = world.history().await;
        let books = world.shop.books();
        let (is_clean, is_done) = (books.is_clean(), books.is_done(PIECES));
        Finished { state: outcome.state, history, is_clean, is_done }
    }
}

const PLAIN: PlaceOrder = PlaceOrder { token: "tok_visa" };
const CHALLENGED: PlaceOrder = PlaceOrder { token: "tok_3ds" };

#[tokio::test(start_paused = true)]
async fn each_step_that_fails_for_good_leaves_nothing_behind() {
    // Seven steps; the challenge adds the extension of the hold.
    assert_eq!(every_step_fails_in_turn(&PLAIN).await, 7 * 5);
    assert_eq!(every_step_fails_in_turn(&CHALLENGED).await, 8 * 5);
}

#[tokio::test(start_paused = true)]
async fn each_step_that_is_repeated_happens_once() {
    assert_eq!(every_step_is_repeated(&PLAIN).await, 7 * 5);
    assert_eq!(every_step_is_repeated(&CHALLENGED).await, 8 * 5);
}

#[tokio::test(start_paused = true)]
async fn each_undo_that_is_repeated_undoes_once() {
    // One undo after the first step, two after the second, three after all others but the best effort at the end.
    let undos = 2 + 3 * 5;
    assert_eq!(every_undo_is_repeated(&PLAIN).await, undos * 5);
    assert_eq!(every_undo_is_repeated(&CHALLENGED).await, (undos + 3) * 5);
}
