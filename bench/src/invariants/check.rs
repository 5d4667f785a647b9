//! The judgement: pure, over what was seen.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::verdict::{Rule, Verdict};
use super::{Baseline, Observation, SeenIntent, SeenOrder, SeenPayment, Standing};

/// The provider has set money aside.
const HELD: &str = "requires_capture";

/// Judges `seen` against how the shop stood before and which orders it has acknowledged since.
pub fn check(baseline: &Baseline, acknowledged: &[String], seen: &Observation) -> Verdict {
    let mut verdict = Verdict::default();
    let known: HashSet<&str> = seen.orders.iter().map(|order| order.order_id.as_str()).collect();
    for order_id in acknowledged {
        let lost = !known.contains(order_id.as_str());
        verdict.note(Rule::AcknowledgedExists, lost.then(|| format!("order {order_id} is lost")));
    }
    check_rest(&mut verdict, seen);
    check_money(&mut verdict, baseline, seen, &known);
    check_stock(&mut verdict, baseline, seen);
    verdict
}

fn check_rest(verdict: &mut Verdict, seen: &Observation) {
    for order in &seen.orders {
        let open = order.standing == Standing::Open;
        let broken = open.then(|| format!("order {} is still open", order.order_id));
        verdict.note(Rule::AtRest, broken);
    }
    for workflow in &seen.compensating {
        verdict.note(Rule::AtRest, Some(format!("workflow {workflow} is still undoing")));
    }
    for workflow in &seen.parked {
        verdict.note(Rule::NothingParked, Some(format!("workflow {workflow}")));
    }
    if seen.parked.is_empty() {
        verdict.note(Rule::NothingParked, None);
    }
}

fn check_money(
    verdict: &mut Verdict,
    baseline: &Baseline,
    seen: &Observation,
    known: &HashSet<&str>,
) {
    let mut of_order: HashMap<&str, Vec<&SeenIntent>> = HashMap::new();
    for intent in &seen.intents {
        of_order.entry(&intent.order_id).or_default().push(intent);
    }
    for order in &seen.orders {
        let intents = of_order.get(order.order_id.as_str()).map_or(&[][..], Vec::as_slice);
        match order.standing {
            Standing::Sold => verdict.note(Rule::SoldIsPaidOnce, wrongly_paid(order, intents)),
            Standing::Cancelled => verdict.note(Rule::CancelledIsFree, not_free(order, intents)),
            Standing::Open => {}
        }
    }
    // Of a shop that was not new, older orders are not looked at, so that their charges cannot be told from strays.
    if baseline.newest_order.is_none() {
        for intent in &seen.intents {
            let stray = !known.contains(intent.order_id.as_str());
            let broken =
                stray.then(|| format!("{} of unknown order {}", intent.id, intent.order_id));
            verdict.note(Rule::ChargesHaveOrders, broken);
        }
    }
    check_ledgers(verdict, seen, known);
}

fn wrongly_paid(order: &SeenOrder, intents: &[&SeenIntent]) -> Option<String> {
    let paid: Vec<_> = intents.iter().filter(|intent| intent.captured != 0).collect();
    let [intent] = paid.as_slice() else {
        return Some(format!("order {} has {} captured charges", order.order_id, paid.len()));
    };
    let (captured, refunded) = (intent.captured, intent.refunded);
    (captured != order.total || refunded != 0).then(|| {
        let SeenOrder { order_id, total, .. } = order;
        format!("order {order_id} over {total}: {captured} captured, {refunded} refunded")
    })
}

fn not_free(order: &SeenOrder, intents: &[&SeenIntent]) -> Option<String> {
    let costly =
        |intent: &&&SeenIntent| intent.captured != intent.refunded || intent.status == HELD;
    intents.iter().find(costly).map(|intent| {
        let SeenIntent { id, status, captured, refunded, .. } = intent;
        let order = &order.order_id;
        format!("order {order}: {id} is {status}, {captured} captured, {refunded} refunded")
    })
}

/// Both sides' books, line by line, of the orders that are looked at.
fn check_ledgers(verdict: &mut Verdict, seen: &Observation, known: &HashSet<&str>) {
    let mut theirs: HashMap<&str, (i64, i64)> = HashMap::new();
    for intent in seen.intents.iter().filter(|intent| known.contains(intent.order_id.as_str())) {
        let entry = theirs.entry(&intent.payment_id).or_default();
        *entry = (entry.0 + intent.captured, entry.1 + intent.refunded);
    }
    for payment in &seen.payments {
        let SeenPayment { payment_id, captured, refunded, .. } = payment;
        let (their_captured, their_refunded) =
            theirs.remove(payment_id.as_str()).unwrap_or_default();
        let differs = (*captured, *refunded) != (their_captured, their_refunded);
        let broken = differs.then(|| {
            format!(
                "payment {payment_id}: {captured} captured, {refunded} refunded; \
                 the provider: {their_captured} captured, {their_refunded} refunded"
            )
        });
        verdict.note(Rule::LedgersAgree, broken);
    }
    // What is left the shop has no payment of.
    for (payment_id, (captured, refunded)) in theirs {
        let broken = (captured != 0)
            .then(|| format!("payment {payment_id} is the provider's alone: {captured} captured, {refunded} refunded"));
        verdict.note(Rule::LedgersAgree, broken);
    }
}

fn check_stock(verdict: &mut Verdict, baseline: &Baseline, seen: &Observation) {
    let mut sold: BTreeMap<&str, i64> = BTreeMap::new();
    for order in seen.orders.iter().filter(|order| order.standing == Standing::Sold) {
        for (product, quantity) in &order.lines {
            *sold.entry(product).or_default() += quantity;
        }
    }
    for (product, before) in &baseline.on_hand {
        let sold = sold.get(product.as_str()).copied().unwrap_or(0);
        let Some(stock) = seen.stock.get(product) else {
            verdict.note(Rule::StockAddsUp, Some(format!("product {product} is gone")));
            continue;
        };
        let off = (before - sold != stock.on_hand).then(|| {
            format!("product {product}: {before} - {sold} sold, {} on hand", stock.on_hand)
        });
        verdict.note(Rule::StockAddsUp, off);
        let held = (stock.reserved != 0)
            .then(|| format!("product {product}: {} still held", stock.reserved));
        verdict.note(Rule::NothingHeld, held);
    }
}

#[cfg(test)]
mod tests;
