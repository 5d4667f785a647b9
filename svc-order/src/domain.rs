//! What an order is and how it may change: pure data and total functions, no I/O.
//!
//! An order is a versioned record. Every change is one [`Change`] appended to it: it moves the state,
//! raises the version by one and adds one [`Entry`] to the timeline. Of two changes that compete
//! (a customer cancels while staff ships) the store lets exactly one be appended to a version; the
//! other is judged again against what the winner left, and [`State::after`] refuses it.

use souk_mesh::money::Money;
use uuid::Uuid;

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Recorded; stock and payment are being arranged.
    Pending,
    /// Stock is held and the payment is authorized: being captured, then packed.
    Processing,
    /// Handed to the carrier: no longer cancellable.
    Shipped,
    /// Final: with the customer.
    Delivered,
    /// Final: stock and money have gone back, or are on their way back.
    Cancelled,
}

impl State {
    /// Every state, in the order of its stored number.
    pub const ALL: [State; 5] =
        [State::Pending, State::Processing, State::Shipped, State::Delivered, State::Cancelled];

    /// The state that `change` leads to.
    ///
    /// # Errors
    /// [`Illegal`] when an order in this state cannot change so; nothing is a silent no-op.
    pub fn after(self, change: ChangeKind) -> Result<State, Illegal> {
        match (self, change) {
            (State::Pending, ChangeKind::Process)
            | (State::Processing, ChangeKind::Ship)
            | (State::Shipped, ChangeKind::Deliver)
            | (State::Pending | State::Processing, ChangeKind::Cancel) => Ok(change.target()),
            (State::Pending, ChangeKind::Ship | ChangeKind::Deliver)
            | (State::Processing, ChangeKind::Process | ChangeKind::Deliver)
            | (State::Shipped, ChangeKind::Process | ChangeKind::Ship | ChangeKind::Cancel)
            | (State::Delivered | State::Cancelled, _) => Err(Illegal { state: self, change }),
        }
    }

    /// Whether no change can follow.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, State::Delivered | State::Cancelled)
    }

    /// The number under which the state is stored; stable for ever.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            State::Pending => 0,
            State::Processing => 1,
            State::Shipped => 2,
            State::Delivered => 3,
            State::Cancelled => 4,
        }
    }

    /// The state stored under `number`.
    #[must_use]
    pub fn from_number(number: i64) -> Option<State> {
        State::ALL.into_iter().find(|state| state.number() == number)
    }

    /// The state's name in messages and errors.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Processing => "processing",
            State::Shipped => "shipped",
            State::Delivered => "delivered",
            State::Cancelled => "cancelled",
        }
    }
}

/// What may happen to an order, without its particulars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// Stock is held and the payment authorized.
    Process,
    /// Staff handed the parcel to the carrier.
    Ship,
    /// The carrier delivered it.
    Deliver,
    /// The customer, staff or the workflow's undo gave the order up.
    Cancel,
}

impl ChangeKind {
    /// Every kind of change.
    pub const ALL: [ChangeKind; 4] =
        [ChangeKind::Process, ChangeKind::Ship, ChangeKind::Deliver, ChangeKind::Cancel];

    /// The state that a change of this kind leads to.
    #[must_use]
    pub fn target(self) -> State {
        match self {
            ChangeKind::Process => State::Processing,
            ChangeKind::Ship => State::Shipped,
            ChangeKind::Deliver => State::Delivered,
            ChangeKind::Cancel => State::Cancelled,
        }
    }

    /// What was tried, for messages: "cannot be …".
    #[must_use]
    pub fn done(self) -> &'static str {
        match self {
            ChangeKind::Process => "processed",
            ChangeKind::Ship => "shipped",
            ChangeKind::Deliver => "delivered",
            ChangeKind::Cancel => "cancelled",
        }
    }
}

/// A change with its particulars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// See [`ChangeKind::Process`].
    Process,
    /// See [`ChangeKind::Ship`].
    Ship(Shipment),
    /// See [`ChangeKind::Deliver`].
    Deliver,
    /// See [`ChangeKind::Cancel`]; carries why.
    Cancel(Cancellation),
}

impl Change {
    /// The kind of this change.
    #[must_use]
    pub fn kind(&self) -> ChangeKind {
        match self {
            Change::Process => ChangeKind::Process,
            Change::Ship(_) => ChangeKind::Ship,
            Change::Deliver => ChangeKind::Deliver,
            Change::Cancel(_) => ChangeKind::Cancel,
        }
    }
}

/// How a parcel travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipment {
    /// The carrier's name, as staff gave it.
    pub carrier: String,
    /// The carrier's number for the parcel.
    pub tracking_number: String,
}

/// A parcel on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// How it travels.
    pub shipment: Shipment,
    /// When it was handed to the carrier, unix milliseconds.
    pub shipped_at_ms: i64,
    /// When the customer got it, unix milliseconds.
    pub delivered_at_ms: Option<i64>,
}

/// Why an order was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// UPPER_SNAKE reason for machines: `CUSTOMER`, `CARD_DECLINED`, `SOLD_OUT`, …
    pub reason: String,
    /// The same for people; may be empty.
    pub note: String,
}

/// A change that the order's state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an order that is {} cannot be {}", state.name(), change.done())]
pub struct Illegal {
    /// Where the order stands.
    pub state: State,
    /// What was tried.
    pub change: ChangeKind,
}

impl Illegal {
    /// The UPPER_SNAKE reason that callers get: it names the state that was in the way.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self.state {
            State::Pending => "ORDER_PENDING",
            State::Processing => "ORDER_PROCESSING",
            State::Shipped => "ORDER_SHIPPED",
            State::Delivered => "ORDER_DELIVERED",
            State::Cancelled => "ORDER_CANCELLED",
        }
    }
}

/// One line of an order, priced when it was placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The product.
    pub product_id: Uuid,
    /// Its article number when it was ordered.
    pub sku: String,
    /// Its name when it was ordered.
    pub name: String,
    /// URL path of its picture; may be empty.
    pub picture: String,
    /// How many, at least 1.
    pub quantity: u32,
    /// The price of one.
    pub unit_price: Money,
    /// `unit_price` × `quantity`.
    pub subtotal: Money,
}

/// Where the parcel goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// Who receives it.
    pub recipient: String,
    /// Street and number.
    pub line1: String,
    /// Floor, company and the like; may be empty.
    pub line2: String,
    /// Town.
    pub city: String,
    /// State or region; may be empty.
    pub region: String,
    /// Postal code; may be empty where a country has none.
    pub postal_code: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// Phone number for the carrier; may be empty.
    pub phone: String,
}

/// An order as it stands at `version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// UUIDv7: sorts by the time of placing.
    pub id: Uuid,
    /// Whose order it is.
    pub user_id: Uuid,
    /// Where it stands.
    pub state: State,
    /// 1 when placed, one more with every change.
    pub version: u64,
    /// What was ordered; never changes.
    pub lines: Vec<Line>,
    /// The sum of the lines; never changes.
    pub total: Money,
    /// Where it goes.
    pub address: Option<Address>,
    /// Where to write to about this order; empty when the caller gave none.
    pub email: String,
    /// The cart that it was placed from, at that version.
    pub cart_version: Option<u64>,
    /// The payment, once the workflow has named it.
    pub payment_id: Option<Uuid>,
    /// Set once shipped.
    pub parcel: Option<Parcel>,
    /// Set once cancelled.
    pub cancellation: Option<Cancellation>,
    /// Unix milliseconds.
    pub created_at_ms: i64,
    /// Unix milliseconds of the latest change.
    pub updated_at_ms: i64,
}

/// One line of an order's timeline: the change that made `version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The version that this entry made; 1 is the placing itself.
    pub version: u64,
    /// The state since then.
    pub state: State,
    /// Unix milliseconds.
    pub at_ms: i64,
    /// UPPER_SNAKE reason of a cancellation, else empty.
    pub reason: String,
    /// Words for people; may be empty.
    pub note: String,
    /// Who made the change: a user's UUID or `service:<name>`.
    pub actor: String,
}

impl Order {
    /// The order after `change`, and the timeline entry that tells of it.
    ///
    /// # Errors
    /// [`Illegal`] when the state does not allow it; the order is as it was.
    pub fn append(
        &self,
        change: Change,
        actor: &str,
        now_ms: i64,
    ) -> Result<(Order, Entry), Illegal> {
        let state = self.state.after(change.kind())?;
        let mut after = self.clone();
        after.state = state;
        after.version += 1;
        // A wall clock may step back; an order's own time never does.
        let at_ms = now_ms.max(self.updated_at_ms);
        after.updated_at_ms = at_ms;
        let (mut reason, mut note) = (String::new(), String::new());
        match change {
            Change::Process => {}
            Change::Ship(shipment) => {
                note = format!("{} {}", shipment.carrier, shipment.tracking_number);
                after.parcel =
                    Some(Parcel { shipment, shipped_at_ms: at_ms, delivered_at_ms: None });
            }
            Change::Deliver => {
                if let Some(parcel) = &mut after.parcel {
                    parcel.delivered_at_ms = Some(at_ms);
                }
            }
            Change::Cancel(cancellation) => {
                reason.clone_from(&cancellation.reason);
                note.clone_from(&cancellation.note);
                after.cancellation = Some(cancellation);
            }
        }
        let actor = actor.to_owned();
        let entry = Entry { version: after.version, state, at_ms, reason, note, actor };
        Ok((after, entry))
    }

    /// The timeline entry of the placing.
    #[must_use]
    pub fn first_entry(&self) -> Entry {
        Entry {
            version: 1,
            state: State::Pending,
            at_ms: self.created_at_ms,
            reason: String::new(),
            note: String::new(),
            actor: self.user_id.to_string(),
        }
    }

    /// The order as it was when `entry`, one of its own, had just been appended: what a repeat of
    /// that change answers with, however far the order has come meanwhile.
    #[must_use]
    pub fn as_of(mut self, entry: &Entry) -> Order {
        self.state = entry.state;
        self.version = entry.version;
        self.updated_at_ms = entry.at_ms;
        if entry.version == 1 {
            self.payment_id = None;
        }
        match (entry.state, &mut self.parcel) {
            (State::Delivered, _) | (_, None) => {}
            (State::Shipped, Some(parcel)) => parcel.delivered_at_ms = None,
            (_, parcel) => *parcel = None,
        }
        if entry.state != State::Cancelled {
            self.cancellation = None;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_answers_every_change() {
        use ChangeKind::{Cancel, Deliver, Process, Ship};
        let allowed: Vec<_> = State::ALL
            .into_iter()
            .flat_map(|state| ChangeKind::ALL.map(|change| (state, change)))
            .filter_map(|(state, change)| Some((state, change, state.after(change).ok()?)))
            .collect();
        assert_eq!(
            allowed,
            vec![
                (State::Pending, Process, State::Processing),
                (State::Pending, Cancel, State::Cancelled),
                (State::Processing, Ship, State::Shipped),
                (State::Processing, Cancel, State::Cancelled),
                (State::Shipped, Deliver, State::Delivered),
            ]
        );
    }

    #[test]
    fn final_states_have_no_successor() {
        for state in State::ALL {
            let stuck = ChangeKind::ALL.into_iter().all(|change| state.after(change).is_err());
            assert_eq!(stuck, state.is_final(), "{state:?}");
        }
    }

    #[test]
    fn stored_numbers_return_their_state() {
        for state in State::ALL {
            assert_eq!(State::from_number(state.number()), Some(state));
        }
        assert_eq!(State::from_number(5), None);
    }
}
