//! Payments as the shop knows them: pure rules, no provider, no storage, no wire.
//!
//! The provider is the authority on money. What it says is a [`Snapshot`]; [`Payment::learn`] brings
//! a payment up to a snapshot, by the transitions that [`State::next`] allows, and tells what
//! happened on the way.

mod refund;
mod state;

use souk_mesh::money::Money;
use uuid::Uuid;

pub use refund::{NewRefund, Refund};
pub use state::{Illegal, Observed, State};

/// A payment of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Chosen by the caller.
    pub payment_id: Uuid,
    /// What it pays for.
    pub order_id: Uuid,
    /// Who pays, if it was said.
    pub user_id: Option<Uuid>,
    /// Where it stands.
    pub state: State,
    /// What is to be paid; more than nothing.
    pub amount: Money,
    /// Minor units taken.
    pub captured: i64,
    /// Minor units given back; never beyond `captured`.
    pub refunded: i64,
    /// The name of the provider's token; never a card number.
    pub token: String,
    /// The provider's id, once known.
    pub provider_id: Option<String>,
    /// Where the customer passes the challenge, while there is one.
    pub challenge_url: Option<String>,
    /// Why the provider refused, if it did.
    pub decline_code: Option<String>,
    /// Grows with every change, from 1.
    pub version: i64,
    /// Unix milliseconds.
    pub created_ms: i64,
    /// Unix milliseconds.
    pub updated_ms: i64,
}

/// What the provider says about a payment at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The provider's id.
    pub provider_id: String,
    /// Where it stands.
    pub seen: Observed,
    /// What is to be paid.
    pub amount: Money,
    /// Minor units taken.
    pub captured: i64,
    /// Minor units given back.
    pub refunded: i64,
    /// Where the customer passes the challenge, while there is one.
    pub challenge_url: Option<String>,
    /// Why it refused, if it did.
    pub decline_code: Option<String>,
}

/// Something that happened to a payment and that others are told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// The customer passed a challenge: the money is set aside.
    Authorized,
    /// The money is taken.
    Succeeded,
    /// The provider refused.
    Failed,
    /// Money was given back.
    Refunded(Refund),
}

/// A changed payment, and what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The version that the change starts from.
    pub from_version: i64,
    /// The state that it starts from.
    pub from_state: State,
    /// The payment after the change; its version has grown by one for each thing that happened,
    /// and by one at least; a note ([`Change::is_note`]) leaves it.
    pub payment: Payment,
    /// What happened, in order; the last has the payment's version.
    pub happened: Vec<Happened>,
}

impl Change {
    /// Whether it only notes what the provider knows anyway, and what asking it again would tell:
    /// its id of the payment, or that money is set aside. Nothing is decided by it, so it needs no
    /// version of its own, and may come late or never.
    pub fn is_note(&self) -> bool {
        self.from_version == self.payment.version
    }
}

/// Why a snapshot does not fit a payment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The provider's state cannot follow ours.
    #[error(transparent)]
    Illegal(#[from] Illegal),
    /// The provider holds another payment under our id.
    #[error("the provider's {what} is {theirs}, ours is {ours}")]
    Differs {
        /// Which fact.
        what: &'static str,
        /// The provider's.
        theirs: String,
        /// Ours.
        ours: String,
    },
}

impl Payment {
    /// The payment brought up to what the provider says; `None` when that is nothing new.
    ///
    /// # Errors
    /// [`Misfit`] when the snapshot contradicts what is known for certain.
    pub fn learn(&self, seen: &Snapshot, now_ms: i64) -> Result<Option<Change>, Misfit> {
        self.check_same(seen)?;
        let mut next = self.clone();
        next.state = self.state.next(seen.seen)?;
        next.provider_id = Some(seen.provider_id.clone());
        next.captured = self.captured.max(seen.captured);
        next.refunded = self.refunded.max(seen.refunded);
        next.challenge_url =
            seen.challenge_url.clone().filter(|_| next.state == State::RequiresAction);
        if let Some(code) = &seen.decline_code {
            next.decline_code = Some(code.clone());
        }
        if next == *self {
            return Ok(None);
        }
        let mut happened = Vec::new();
        if self.state == State::RequiresAction && next.state == State::Authorized {
            happened.push(Happened::Authorized);
        }
        if next.state == State::Declined && self.state != State::Declined {
            happened.push(Happened::Failed);
        }
        if next.captured > self.captured {
            happened.push(Happened::Succeeded);
        }
        let mut change = self.changed(next, happened, now_ms);
        if self.only_notes(&change.payment) {
            change.payment.version = self.version;
        }
        Ok(Some(change))
    }

    /// The payment after the provider refused to make it, with the provider's code.
    ///
    /// # Errors
    /// [`Illegal`] when the provider has made it before.
    pub fn refused(&self, code: &str, now_ms: i64) -> Result<Change, Illegal> {
        let mut next = self.clone();
        next.state = self.state.next(Observed::Declined)?;
        next.decline_code = Some(code.to_owned());
        Ok(self.changed(next, vec![Happened::Failed], now_ms))
    }

    /// The payment after it was given up, where the provider has nothing to cancel.
    ///
    /// # Errors
    /// [`Illegal`] when money was taken.
    pub fn given_up(&self, now_ms: i64) -> Result<Change, Illegal> {
        let mut next = self.clone();
        next.state = self.state.next(Observed::Cancelled)?;
        Ok(self.changed(next, vec![], now_ms))
    }

    /// The payment after `refund`, which brought all that was given back to `total_refunded`.
    ///
    /// # Errors
    /// [`Illegal`] when nothing was taken.
    pub fn gave_back(
        &self,
        refund: &Refund,
        total_refunded: i64,
        now_ms: i64,
    ) -> Result<Change, Illegal> {
        let mut next = self.clone();
        next.refunded = self.refunded.max(total_refunded);
        let seen =
            if next.refunded >= self.captured { Observed::Refunded } else { Observed::Captured };
        next.state = self.state.next(seen)?;
        Ok(self.changed(next, vec![Happened::Refunded(refund.clone())], now_ms))
    }

    /// Minor units that were taken and not given back.
    pub fn net_captured(&self) -> i64 {
        self.captured - self.refunded
    }

    fn changed(&self, mut next: Payment, happened: Vec<Happened>, now_ms: i64) -> Change {
        next.version = self.version + (happened.len() as i64).max(1);
        // The clock may have been set back; a payment's times never run backwards.
        next.updated_ms = now_ms.max(self.updated_ms);
        Change { from_version: self.version, from_state: self.state, payment: next, happened }
    }

    /// Whether `next` only notes what the provider knows: see [`Change::is_note`]. A challenge is
    /// more than that, since passing it is told.
    fn only_notes(&self, next: &Payment) -> bool {
        matches!(self.state, State::Opening | State::Created)
            && matches!(next.state, State::Created | State::Authorized)
            && next.captured == self.captured
            && next.refunded == self.refunded
            && next.decline_code == self.decline_code
    }

    fn check_same(&self, seen: &Snapshot) -> Result<(), Misfit> {
        if let Some(ours) = self.provider_id.as_ref().filter(|ours| **ours != seen.provider_id) {
            let theirs = seen.provider_id.clone();
            return Err(Misfit::Differs { what: "id", theirs, ours: ours.clone() });
        }
        if seen.amount != self.amount {
            return Err(Misfit::Differs {
                what: "amount",
                theirs: format!("{:?}", seen.amount),
                ours: format!("{:?}", self.amount),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use souk_mesh::money::Currency;

    fn euros(minor: i64) -> Money {
        Money { minor, currency: Currency::EUR }
    }

    fn payment(state: State) -> Payment {
        Payment {
            payment_id: Uuid::from_u128(1),
            order_id: Uuid::from_u128(2),
            user_id: None,
            state,
            amount: euros(1_000),
            captured: 0,
            refunded: 0,
            token: "tok_visa".into(),
            provider_id: None,
            challenge_url: None,
            decline_code: None,
            version: 1,
            created_ms: 10,
            updated_ms: 10,
        }
    }

    fn snapshot(seen: Observed) -> Snapshot {
        let captured =
            if matches!(seen, Observed::Captured | Observed::Refunded) { 1_000 } else { 0 };
        Snapshot {
            provider_id: "pi_1".into(),
            seen,
            amount: euros(1_000),
            captured,
            refunded: if seen == Observed::Refunded { 1_000 } else { 0 },
            challenge_url: (seen == Observed::RequiresAction).then(|| "http://bank/c".into()),
            decline_code: (seen == Observed::Declined).then(|| "insufficient_funds".into()),
        }
    }

    fn refund(minor: i64) -> Refund {
        Refund {
            refund_id: Uuid::from_u128(9),
            payment_id: Uuid::from_u128(1),
            amount: euros(minor),
            reason: String::new(),
            created_ms: 10,
        }
    }

    #[test]
    fn learning_the_same_twice_is_nothing_new() {
        let change = payment(State::Opening).learn(&snapshot(Observed::Created), 11);
        let known = change.unwrap().unwrap().payment;
        assert_eq!((known.version, known.state), (1, State::Created));
        assert_eq!(known.learn(&snapshot(Observed::Created), 12), Ok(None));
    }

    #[test]
    fn only_what_the_provider_knows_anyway_is_a_note() {
        let learnt = |state, seen| payment(state).learn(&snapshot(seen), 11).unwrap().unwrap();
        for (state, seen) in [
            (State::Opening, Observed::Created),
            (State::Opening, Observed::Authorized),
            (State::Created, Observed::Authorized),
        ] {
            let note = learnt(state, seen);
            assert!(note.is_note() && note.payment.version == 1, "{note:?}");
        }
        for (state, seen) in [
            (State::Opening, Observed::RequiresAction),
            (State::RequiresAction, Observed::Authorized),
            (State::Opening, Observed::Captured),
            (State::Created, Observed::Declined),
            (State::Created, Observed::Cancelled),
            (State::Authorized, Observed::Captured),
        ] {
            let change = learnt(state, seen);
            assert!(!change.is_note() && change.payment.version == 2, "{change:?}");
        }
        assert!(!payment(State::Opening).given_up(11).unwrap().is_note());
        assert!(!payment(State::Opening).refused("no", 11).unwrap().is_note());
    }

    #[test]
    fn what_others_are_told_follows_from_the_change() {
        let told = |from: State, seen: Observed| {
            payment(from).learn(&snapshot(seen), 11).unwrap().unwrap().happened
        };
        assert_eq!(told(State::Created, Observed::Authorized), []);
        assert_eq!(told(State::RequiresAction, Observed::Authorized), [Happened::Authorized]);
        assert_eq!(told(State::Created, Observed::Declined), [Happened::Failed]);
        assert_eq!(told(State::Authorized, Observed::Captured), [Happened::Succeeded]);
        assert_eq!(told(State::Authorized, Observed::Cancelled), []);
    }

    #[test]
    fn a_challenge_url_lives_as_long_as_the_challenge() {
        let known = payment(State::Created).learn(&snapshot(Observed::RequiresAction), 11);
        let known = known.unwrap().unwrap().payment;
        assert_eq!(known.challenge_url.as_deref(), Some("http://bank/c"));
        let after = known.learn(&snapshot(Observed::Authorized), 12).unwrap().unwrap().payment;
        assert_eq!(after.challenge_url, None);
    }

    #[test]
    fn another_payment_under_our_id_is_no_news_but_a_contradiction() {
        let mut other = snapshot(Observed::Created);
        other.amount = euros(999);
        let misfit = payment(State::Opening).learn(&other, 11).unwrap_err();
        assert!(misfit.to_string().contains("amount"), "{misfit}");
        let mut known = payment(State::Created);
        known.provider_id = Some("pi_2".into());
        let misfit = known.learn(&snapshot(Observed::Created), 11).unwrap_err();
        assert!(misfit.to_string().contains("pi_2"), "{misfit}");
    }

    #[test]
    fn refunds_add_up_to_refunded_and_never_run_back() {
        let paid = payment(State::Authorized).learn(&snapshot(Observed::Captured), 11);
        let paid = paid.unwrap().unwrap().payment;
        let part = paid.gave_back(&refund(400), 400, 12).unwrap().payment;
        assert_eq!((part.state, part.net_captured()), (State::Captured, 600));
        // A late answer about an earlier refund does not take a later one away.
        let late = part.gave_back(&refund(100), 100, 13).unwrap().payment;
        assert_eq!((late.state, late.refunded), (State::Captured, 400));
        let all = part.gave_back(&refund(600), 1_000, 13).unwrap();
        assert_eq!((all.payment.state, all.payment.net_captured()), (State::Refunded, 0));
        assert_eq!(all.payment.version, part.version + 1);
    }

    #[test]
    fn every_event_has_a_version_of_its_own_and_times_do_not_run_back() {
        let change = payment(State::Authorized).learn(&snapshot(Observed::Captured), 5).unwrap();
        let change = change.unwrap();
        assert_eq!((change.from_version, change.payment.version), (1, 2));
        assert_eq!(change.payment.updated_ms, 10);
    }
}
