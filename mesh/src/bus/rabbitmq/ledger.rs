//! What a consumer holds of a queue, unacknowledged: in which order, since how many failures, until when.
//!
//! Everything that has arrived has a position, by which it is named and kept in order. When the
//! connection is lost, the broker gives all of it out again; what comes back to this consumer is
//! recognised by the event's id and takes its old place, with its attempts, even while its handler
//! still runs.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use souk_proto::event::v1::Event;

use crate::bus::{Delivery, DeliveryTag, aggregate_of};

/// Events that were acted on but could not be acknowledged, remembered at most.
const REMEMBERED: usize = 4096;

#[derive(Default)]
pub(super) struct Ledger {
    last: i64,
    held: BTreeMap<i64, Held>,
    /// Positions that are not handed out.
    waiting: BTreeSet<i64>,
    /// By event id, what the broker has not given again since the connection was lost.
    orphans: HashMap<String, VecDeque<i64>>,
    /// Ids of events that are done, and the connection was lost before the broker knew.
    done: VecDeque<String>,
}

/// An event that is held.
#[derive(Clone)]
pub(super) struct Held {
    pub event: Arc<Event>,
    pub failed_attempts: u32,
    /// By which the broker knows it; `None` for an orphan.
    pub broker_tag: Option<u64>,
    /// Earliest time, in unix milliseconds; while it is handed out that of before.
    not_before_ms: i64,
}

/// What came of an arrival.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is held.
    Held,
    /// It was acted on: to be acknowledged at once.
    Done,
}

impl Ledger {
    /// The connection was lost: nothing of what is held can be acknowledged by the tag it had.
    pub(super) fn lost(&mut self) {
        // What did not come back since the loss before is somewhere else.
        for position in std::mem::take(&mut self.orphans).into_values().flatten() {
            if self.waiting.remove(&position) {
                self.held.remove(&position);
            }
        }
        for (position, held) in &mut self.held {
            held.broker_tag = None;
            self.orphans.entry(held.event.event_id.clone()).or_default().push_back(*position);
        }
    }

    /// An event from the broker, `again` when somebody was given it before.
    pub(super) fn arrive(&mut self, event: Event, broker_tag: u64, again: bool) -> Arrival {
        if again {
            if let Some(at) = self.done.iter().position(|done| *done == event.event_id) {
                self.done.remove(at);
                return Arrival::Done;
            }
            if self.adopt(&event.event_id, broker_tag) {
                return Arrival::Held;
            }
        }
        self.give_up_orphans_of(aggregate_of(&event));
        self.last += 1;
        let held = Held {
            event: Arc::new(event),
            failed_attempts: 0,
            broker_tag: Some(broker_tag),
            not_before_ms: i64::MIN,
        };
        self.held.insert(self.last, held);
        self.waiting.insert(self.last);
        Arrival::Held
    }

    fn adopt(&mut self, event_id: &str, broker_tag: u64) -> bool {
        let Some(positions) = self.orphans.get_mut(event_id) else { return false };
        while let Some(position) = positions.pop_front() {
            if let Some(held) = self.held.get_mut(&position) {
                held.broker_tag = Some(broker_tag);
                return true;
            }
        }
        self.orphans.remove(event_id);
        false
    }

    /// The broker gives out in order, and what came back first of all: when a later event of the
    /// aggregate is here, its orphans were acted on by another consumer.
    fn give_up_orphans_of(&mut self, aggregate: &str) {
        if self.orphans.is_empty() {
            return;
        }
        let gone: Vec<i64> = self
            .waiting
            .iter()
            .copied()
            .filter(|position| {
                let held = &self.held[position];
                held.broker_tag.is_none() && aggregate_of(&held.event) == aggregate
            })
            .collect();
        for position in gone {
            self.waiting.remove(&position);
            self.held.remove(&position);
        }
    }

    /// Hands out what is due, in order, at most so many. An event that is not due holds back those
    /// behind it of its aggregate.
    pub(super) fn take(&mut self, now_ms: i64, limit: usize) -> Vec<Delivery> {
        let mut blocked = HashSet::new();
        let mut taken = Vec::new();
        for position in &self.waiting {
            if taken.len() == limit {
                break;
            }
            let held = &self.held[position];
            let aggregate = aggregate_of(&held.event);
            if blocked.contains(aggregate) {
                continue;
            }
            if held.broker_tag.is_none() || held.not_before_ms > now_ms {
                blocked.insert(aggregate);
                continue;
            }
            taken.push(Delivery {
                tag: DeliveryTag(*position),
                event: (*held.event).clone(),
                attempt: held.failed_attempts + 1,
            });
        }
        for delivery in &taken {
            self.waiting.remove(&delivery.tag.0);
        }
        taken
    }

    /// Whether there is something that time alone will bring.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What is handed out under a tag.
    pub(super) fn handed_out(&self, tag: DeliveryTag) -> Option<&Held> {
        self.held.get(&tag.0).filter(|_| !self.waiting.contains(&tag.0))
    }

    /// Done or dead; `acknowledged` tells whether the broker was told.
    pub(super) fn remove(&mut self, tag: DeliveryTag, acknowledged: bool) {
        let Some(held) = self.held.remove(&tag.0) else { return };
        if !acknowledged {
            if self.done.len() == REMEMBERED {
                self.done.pop_front();
            }
            self.done.push_back(held.event.event_id.clone());
        }
    }

    /// To be handed out again, not before a time.
    pub(super) fn put_back(&mut self, tag: DeliveryTag, failed_attempts: u32, not_before_ms: i64) {
        let Some(held) = self.held.get_mut(&tag.0) else { return };
        held.failed_attempts = failed_attempts;
        held.not_before_ms = not_before_ms;
        self.waiting.insert(tag.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(aggregate: &str, version: i64) -> Event {
        Event {
            event_id: format!("{aggregate}/{version}"),
            aggregate_id: aggregate.into(),
            ..Event::default()
        }
    }

    fn ids(deliveries: &[Delivery]) -> Vec<&str> {
        deliveries.iter().map(|delivery| &*delivery.event.event_id).collect()
    }

    /// A ledger with a/1, b/1, a/2, all handed out.
    fn three() -> (Ledger, Vec<Delivery>) {
        let mut ledger = Ledger::default();
        for (at, event) in [event("a", 1), event("b", 1), event("a", 2)].into_iter().enumerate() {
            ledger.arrive(event, at as u64, false);
        }
        let out = ledger.take(0, 10);
        assert_eq!(ids(&out), ["a/1", "b/1", "a/2"]);
        (ledger, out)
    }

    #[test]
    fn what_failed_holds_back_its_aggregate_alone() {
        let (mut ledger, out) = three();
        ledger.put_back(out[0].tag, 1, 100);
        ledger.put_back(out[2].tag, 0, 0);
        ledger.arrive(event("a", 3), 3, false);
        ledger.arrive(event("b", 2), 4, false);
        assert_eq!(ids(&ledger.take(99, 10)), ["b/2"]);
        let due = ledger.take(100, 10);
        assert_eq!(ids(&due), ["a/1", "a/2", "a/3"]);
        assert_eq!(due[0].attempt, 2);
    }

    #[test]
    fn what_comes_back_takes_its_place_with_its_attempts() {
        let (mut ledger, out) = three();
        ledger.put_back(out[0].tag, 3, 100);
        ledger.put_back(out[2].tag, 0, 0);
        ledger.lost();
        assert!(ledger.take(1_000, 10).is_empty(), "the broker has them now");
        for (at, event) in [event("a", 1), event("b", 1), event("a", 2)].into_iter().enumerate() {
            assert_eq!(ledger.arrive(event, at as u64, true), Arrival::Held);
        }
        let due = ledger.take(1_000, 10);
        assert_eq!(ids(&due), ["a/1", "a/2"], "the handler of b/1 still runs");
        assert_eq!(due[0].attempt, 4);
        assert_eq!(ledger.handed_out(out[1].tag).unwrap().broker_tag, Some(1));
    }

    #[test]
    fn what_was_done_while_the_broker_was_away_is_not_done_again() {
        let (mut ledger, out) = three();
        ledger.lost();
        ledger.remove(out[0].tag, false);
        assert_eq!(ledger.arrive(event("a", 1), 7, true), Arrival::Done);
        // The same id later is another message: one that a person has replayed.
        assert_eq!(ledger.arrive(event("a", 1), 8, true), Arrival::Held);
        assert_eq!(ids(&ledger.take(0, 10)), ["a/1"]);
    }

    #[test]
    fn what_went_to_another_consumer_holds_nothing_back() {
        let (mut ledger, out) = three();
        ledger.put_back(out[0].tag, 1, 100);
        ledger.lost();
        ledger.arrive(event("a", 3), 1, false);
        assert_eq!(ids(&ledger.take(0, 10)), ["a/3"]);
        ledger.lost();
        ledger.lost();
        assert!(!ledger.is_waiting());
    }

    #[test]
    fn two_copies_of_an_event_are_two_deliveries() {
        let mut ledger = Ledger::default();
        ledger.arrive(event("a", 1), 1, false);
        ledger.arrive(event("a", 1), 2, false);
        let out = ledger.take(0, 10);
        assert_eq!(ids(&out), ["a/1", "a/1"]);
        ledger.lost();
        ledger.arrive(event("a", 1), 1, true);
        ledger.arrive(event("a", 1), 2, true);
        assert!(ledger.take(0, 10).is_empty(), "both are with their handlers");
    }
}
