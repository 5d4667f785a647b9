//! The participants' books: stock, money, orders and carts, under the rules that each of them owes the saga.
//!
//! A thing is known by the id that its caller chose, so whoever repeats a call under another id does it twice, and the
//! books show it.

use std::collections::BTreeMap;

use souk_mesh::error::status;
use souk_proto::order::v1::OrderState;
use souk_proto::payment::v1::PaymentState;
use tonic::{Code, Status};

/// Pieces on the shelf at the beginning.
pub const STOCK: i64 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    Held,
    Committed,
    Released,
}

#[derive(Clone, Debug)]
pub struct Reservation {
    pub state: Hold,
    pub pieces: i64,
    pub expires_ms: i64,
    pub extensions: u32,
}

#[derive(Clone, Debug, Default)]
pub struct Payment {
    pub state: PaymentState,
    pub amount: i64,
    pub captured: i64,
    pub refunded: i64,
    pub token: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Order {
    pub state: OrderState,
    pub reason: String,
    pub message: String,
    pub payment_id: String,
    /// How often its state changed.
    pub changes: u32,
}

#[derive(Default)]
pub struct Books {
    pub on_hand: i64,
    pub reservations: BTreeMap<String, Reservation>,
    pub payments: BTreeMap<String, Payment>,
    pub orders: BTreeMap<String, Order>,
    /// The keys under which a cart was cleared.
    pub clearings: BTreeMap<String, i64>,
}

pub fn refused(reason: &'static str) -> Status {
    status(Code::FailedPrecondition, reason, reason.to_lowercase())
}

fn in_time(not_after_ms: Option<i64>, now_ms: i64) -> Result<(), Status> {
    match not_after_ms {
        Some(limit) if now_ms <= limit => Ok(()),
        Some(_) => Err(refused("TOO_LATE")),
        None => Err(status(Code::InvalidArgument, "NO_LIMIT", "a do says until when")),
    }
}

impl Books {
    pub fn new() -> Books {
        Books { on_hand: STOCK, ..Books::default() }
    }

    fn available(&self, now_ms: i64) -> i64 {
        let held = self
            .reservations
            .values()
            .filter(|hold| hold.state == Hold::Held && hold.expires_ms > now_ms);
        self.on_hand - held.map(|hold| hold.pieces).sum::<i64>()
    }

    pub fn reserve(
        &mut self,
        id: &str,
        pieces: i64,
        hold_ms: i64,
        not_after_ms: Option<i64>,
        now_ms: i64,
    ) -> Result<(), Status> {
        match self.reservations.get(id).map(|known| known.state) {
            Some(Hold::Released) => return Err(refused("UNDONE")),
            Some(Hold::Held | Hold::Committed) => return Ok(()),
            None => {}
        }
        in_time(not_after_ms, now_ms)?;
        if self.available(now_ms) < pieces {
            return Err(refused("SOLD_OUT"));
        }
        let expires_ms = now_ms + hold_ms;
        let hold = Reservation { state: Hold::Held, pieces, expires_ms, extensions: 0 };
        self.reservations.insert(id.to_owned(), hold);
        Ok(())
    }

    fn held(&mut self, id: &str, now_ms: i64) -> Result<&mut Reservation, Status> {
        let available = self.available(now_ms);
        let Some(hold) = self.reservations.get_mut(id) else {
            return Err(status(Code::NotFound, "RESERVATION_NOT_FOUND", "no such reservation"));
        };
        match hold.state {
            Hold::Released => Err(refused("UNDONE")),
            Hold::Held if hold.expires_ms <= now_ms && available < hold.pieces => {
                Err(refused("RESERVATION_EXPIRED"))
            }
            Hold::Held | Hold::Committed => Ok(hold),
        }
    }

    pub fn extend(&mut self, id: &str, hold_ms: i64, now_ms: i64) -> Result<(), Status> {
        let hold = self.held(id, now_ms)?;
        hold.expires_ms = hold.expires_ms.max(now_ms + hold_ms);
        hold.extensions += 1;
        Ok(())
    }

    pub fn commit(
        &mut self,
        id: &str,
        not_after_ms: Option<i64>,
        now_ms: i64,
    ) -> Result<(), Status> {
        let hold = self.held(id, now_ms)?;
        if hold.state == Hold::Held {
            in_time(not_after_ms, now_ms)?;
            hold.state = Hold::Committed;
            let pieces = hold.pieces;
            self.on_hand -= pieces;
        }
        Ok(())
    }

    pub fn release(&mut self, id: &str) {
        let tombstone =
            Reservation { state: Hold::Released, pieces: 0, expires_ms: 0, extensions: 0 };
        let hold = self.reservations.entry(id.to_owned()).or_insert(tombstone);
        if hold.state == Hold::Committed {
            self.on_hand += hold.pieces;
        }
        hold.state = Hold::Released;
    }

    pub fn create_payment(
        &mut self,
        id: &str,
        payment: Payment,
        not_after_ms: Option<i64>,
        now_ms: i64,
    ) -> Result<(), Status> {
        match self.payments.get(id).map(|known| known.state) {
            Some(PaymentState::Cancelled | PaymentState::Refunded) => Err(refused("UNDONE")),
            Some(_) => Ok(()),
            None => {
                in_time(not_after_ms, now_ms)?;
                self.payments.insert(id.to_owned(), payment);
                Ok(())
            }
        }
    }

    fn payment(&mut self, id: &str) -> Result<&mut Payment, Status> {
        let payment = self.payments.get_mut(id);
        let payment = payment
            .ok_or_else(|| status(Code::NotFound, "PAYMENT_NOT_FOUND", "no such payment"))?;
        match payment.state {
            PaymentState::Cancelled | PaymentState::Refunded => Err(refused("UNDONE")),
            _ => Ok(payment),
        }
    }

    pub fn confirm(
        &mut self,
        id: &str,
        not_after_ms: Option<i64>,
        now_ms: i64,
    ) -> Result<Payment, Status> {
        let payment = self.payment(id)?;
        if payment.state == PaymentState::Created {
            in_time(not_after_ms, now_ms)?;
            payment.state = match payment.token.as_str() {
                "tok_3ds" => PaymentState::RequiresAction,
                "tok_review" => PaymentState::InReview,
                "tok_visa" => PaymentState::Authorized,
                _ => PaymentState::Declined,
            };
        }
        Ok(payment.clone())
    }

    pub fn capture(
        &mut self,
        id: &str,
        not_after_ms: Option<i64>,
        now_ms: i64,
    ) -> Result<Payment, Status> {
        let payment = self.payment(id)?;
        match payment.state {
            PaymentState::Captured => {}
            PaymentState::Authorized => {
                in_time(not_after_ms, now_ms)?;
                payment.captured += payment.amount;
                payment.state = PaymentState::Captured;
            }
            _ => return Err(refused("ILLEGAL_STATE")),
        }
        Ok(payment.clone())
    }

    pub fn cancel_payment(&mut self, id: &str, only_if_unpaid: bool) -> Payment {
        let tombstone = Payment { state: PaymentState::Cancelled, ..Payment::default() };
        let payment = self.payments.entry(id.to_owned()).or_insert(tombstone);
        match payment.state {
            PaymentState::Cancelled | PaymentState::Refunded => {}
            PaymentState::Authorized | PaymentState::Captured if only_if_unpaid => {}
            PaymentState::Captured => {
                payment.refunded += payment.captured - payment.refunded;
                payment.state = PaymentState::Refunded;
            }
            _ => payment.state = PaymentState::Cancelled,
        }
        payment.clone()
    }

    pub fn append(
        &mut self,
        id: &str,
        next: Order,
        not_after_ms: Option<i64>,
        now_ms: i64,
    ) -> Result<(), Status> {
        let order = self.orders.get_mut(id);
        let order =
            order.ok_or_else(|| status(Code::NotFound, "ORDER_NOT_FOUND", "no such order"))?;
        if order.state == next.state {
            return Ok(());
        }
        match order.state {
            OrderState::Cancelled => return Err(refused("ORDER_CANCELLED")),
            OrderState::Shipped => return Err(refused("ORDER_SHIPPED")),
            OrderState::Delivered => return Err(refused("ORDER_DELIVERED")),
            _ => {}
        }
        if next.state == OrderState::Processing {
            in_time(not_after_ms, now_ms)?;
        }
        let payment_id = if next.payment_id.is_empty() {
            order.payment_id.clone()
        } else {
            next.payment_id.clone()
        };
        *order = Order { changes: order.changes + 1, payment_id, ..next };
        Ok(())
    }

    /// Whether nothing of the order is left but that it was cancelled, with a reason.
    pub fn is_clean(&self) -> Result<(), String> {
        let lasting = self.reservations.values().any(|hold| hold.state != Hold::Released);
        let kept = self.payments.values().any(|payment| {
            !matches!(payment.state, PaymentState::Cancelled | PaymentState::Refunded)
                || payment.captured != payment.refunded
        });
        let uncancelled = self
            .orders
            .values()
            .any(|order| order.state != OrderState::Cancelled || order.reason.is_empty());
        if self.on_hand != STOCK || lasting || kept || uncancelled {
            return Err(self.told());
        }
        Ok(())
    }

    /// Whether the order has taken its stock and its money, once.
    pub fn is_done(&self, pieces: i64) -> Result<(), String> {
        let one_hold = self.reservations.len() == 1
            && self.reservations.values().all(|hold| hold.state == Hold::Committed);
        let one_payment = self.payments.len() == 1
            && self
                .payments
                .values()
                .all(|paid| paid.captured == paid.amount && paid.refunded == 0);
        let one_change = self.orders.values().all(|order| order.changes == 1);
        let cleared_once = self.clearings.len() <= 1;
        let is_done = self.on_hand == STOCK - pieces && one_hold && one_payment;
        if !is_done || !one_change || !cleared_once {
            return Err(self.told());
        }
        Ok(())
    }

    fn told(&self) -> String {
        format!(
            "{} on hand, {:?}, {:?}, {:?}, cleared {:?}",
            self.on_hand, self.reservations, self.payments, self.orders, self.clearings
        )
    }
}
