//! A shop at rest, and what the check says to each way of spoiling it.

use super::*;
use crate::invariants::SeenStock;

/// Two sold orders, a cancelled one whose payment was refunded, one whose card was declined.
fn at_rest() -> (Baseline, Vec<String>, Observation) {
    let order = |id: &str, standing, total, lines: &[(&str, i64)]| SeenOrder {
        order_id: id.to_owned(),
        standing,
        total,
        lines: lines.iter().map(|(product, pieces)| ((*product).to_owned(), *pieces)).collect(),
    };
    let intent = |number: u8, order: &str, status: &str, captured, refunded| SeenIntent {
        id: format!("pi_{number}"),
        order_id: order.to_owned(),
        payment_id: format!("payment of {order}"),
        status: status.to_owned(),
        captured,
        refunded,
    };
    let seen = Observation {
        orders: vec![
            order("a", Standing::Sold, 500, &[("tea", 2), ("cup", 1)]),
            order("b", Standing::Sold, 100, &[("tea", 1)]),
            order("c", Standing::Cancelled, 300, &[("cup", 1)]),
            order("d", Standing::Cancelled, 100, &[("tea", 1)]),
        ],
        payments: [("a", 500, 0), ("b", 100, 0), ("c", 300, 300), ("d", 0, 0)]
            .map(|(order, captured, refunded)| SeenPayment {
                payment_id: format!("payment of {order}"),
                order_id: order.to_owned(),
                captured,
                refunded,
            })
            .to_vec(),
        intents: vec![
            intent(1, "a", "succeeded", 500, 0),
            intent(2, "b", "succeeded", 100, 0),
            intent(3, "c", "succeeded", 300, 300),
            intent(4, "d", "requires_payment_method", 0, 0),
        ],
        stock: [("tea", 7), ("cup", 9)]
            .map(|(id, on_hand)| (id.to_owned(), SeenStock { on_hand, reserved: 0 }))
            .into(),
        ..Observation::default()
    };
    let on_hand = [("tea".to_owned(), 10), ("cup".to_owned(), 10)].into();
    let acknowledged = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    (Baseline { on_hand, newest_order: None }, acknowledged, seen)
}

/// The rules that break when the shop is spoiled like this.
fn broken_by(spoil: impl FnOnce(&mut Observation)) -> Vec<Rule> {
    let (baseline, acknowledged, mut seen) = at_rest();
    spoil(&mut seen);
    check(&baseline, &acknowledged, &seen).broken_rules()
}

#[test]
fn a_shop_at_rest_holds_and_everything_was_looked_at() {
    let (baseline, acknowledged, seen) = at_rest();
    let verdict = check(&baseline, &acknowledged, &seen);
    assert!(verdict.holds(), "{verdict}");
    for rule in Rule::ALL {
        assert!(verdict.checked(rule) > 0, "{rule:?} was not looked at");
    }
}

#[test]
fn an_acknowledged_order_that_is_lost_with_all_its_traces_is_missed() {
    let broken = broken_by(|seen| {
        seen.orders.remove(1);
        seen.payments.remove(1);
        seen.intents.remove(1);
        seen.stock.insert("tea".to_owned(), SeenStock { on_hand: 8, reserved: 0 });
    });
    assert_eq!(broken, [Rule::AcknowledgedExists]);
}

#[test]
fn a_second_charge_breaks_paid_once_and_the_books() {
    let broken = broken_by(|seen| {
        let mut twice = seen.intents[0].clone();
        twice.id = "pi_5".to_owned();
        seen.intents.push(twice);
    });
    assert_eq!(broken, [Rule::SoldIsPaidOnce, Rule::LedgersAgree]);
}

#[test]
fn a_sold_order_that_is_not_or_wrongly_charged_breaks_paid_once() {
    let spoils: [fn(&mut Observation); 3] = [
        |seen| (seen.intents[0].captured, seen.payments[0].captured) = (0, 0),
        |seen| (seen.intents[0].captured, seen.payments[0].captured) = (499, 499),
        |seen| (seen.intents[0].refunded, seen.payments[0].refunded) = (1, 1),
    ];
    for spoil in spoils {
        assert_eq!(broken_by(spoil), [Rule::SoldIsPaidOnce]);
    }
}

#[test]
fn money_kept_or_held_for_a_cancelled_order_is_found() {
    let kept = broken_by(|seen| (seen.intents[2].refunded, seen.payments[2].refunded) = (0, 0));
    assert_eq!(kept, [Rule::CancelledIsFree]);
    let held = broken_by(|seen| seen.intents[3].status = "requires_capture".to_owned());
    assert_eq!(held, [Rule::CancelledIsFree]);
}

#[test]
fn books_that_differ_are_found_on_either_side() {
    let ours = broken_by(|seen| seen.payments[2].refunded = 0);
    assert_eq!(ours, [Rule::LedgersAgree]);
    let theirs_alone = broken_by(|seen| drop(seen.payments.remove(0)));
    assert_eq!(theirs_alone, [Rule::LedgersAgree]);
}

#[test]
fn a_charge_without_an_order_is_found_in_a_shop_that_was_new() {
    let stray = |seen: &mut Observation| {
        let mut stray = seen.intents[0].clone();
        stray.order_id = "x".to_owned();
        seen.intents.push(stray);
    };
    assert_eq!(broken_by(stray), [Rule::ChargesHaveOrders]);
}

#[test]
fn oversold_lost_and_held_pieces_are_found() {
    let stock = |on_hand, reserved| {
        move |seen: &mut Observation| {
            seen.stock.insert("tea".to_owned(), SeenStock { on_hand, reserved });
        }
    };
    assert_eq!(broken_by(stock(8, 0)), [Rule::StockAddsUp]);
    assert_eq!(broken_by(stock(6, 0)), [Rule::StockAddsUp]);
    assert_eq!(broken_by(stock(7, 1)), [Rule::NothingHeld]);
    assert_eq!(broken_by(|seen| seen.stock.clear()), [Rule::StockAddsUp]);
}

#[test]
fn open_orders_undoing_and_parked_workflows_are_found() {
    let open = broken_by(|seen| seen.orders[3].standing = Standing::Open);
    assert_eq!(open, [Rule::AtRest]);
    let undoing = broken_by(|seen| seen.compensating.push("order/c".to_owned()));
    assert_eq!(undoing, [Rule::AtRest]);
    let parked = broken_by(|seen| seen.parked.push("order/a".to_owned()));
    assert_eq!(parked, [Rule::NothingParked]);
}

#[test]
fn the_table_names_what_is_broken() {
    let (baseline, mut acknowledged, seen) = at_rest();
    acknowledged.push("lost".to_owned());
    let table = check(&baseline, &acknowledged, &seen).to_string();
    assert!(table.contains("order lost is lost"), "{table}");
}
