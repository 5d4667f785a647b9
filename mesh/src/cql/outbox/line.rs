//! Events on their way from a change to the bus, in memory: in order per aggregate, and bounded.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use metrics::Gauge;
use parking_lot::Mutex;
use souk_proto::event::v1::Event;
use tokio::sync::Notify;

use super::markers::Share;

/// Events that may wait for the bus in memory. More are left to the sweeper, which finds them in the store: a bus that
/// is away for long costs neither memory nor orders.
const MAX_WAITING: usize = 16_384;

/// The events of one change, and its part of the marker.
pub(super) struct Told {
    pub events: Vec<Event>,
    pub share: Share,
}

/// Where the events of a process wait.
pub(super) struct Line {
    state: Mutex<State>,
    /// Something is ready, or nobody is expected any more.
    news: Notify,
    backlog: Gauge,
}

#[derive(Default)]
struct State {
    next_ticket: u64,
    /// Changes under way, and those that wait for an earlier one of the same aggregate.
    expected: HashMap<String, Vec<Expected>>,
    ready: VecDeque<Told>,
    ready_events: usize,
    /// Events that a sweep has found and not yet published.
    swept_events: usize,
}

struct Expected {
    ticket: u64,
    from_version: i64,
    told: Option<Told>,
}

impl Expected {
    fn version(&self) -> i64 {
        let first = self.told.as_ref().and_then(|told| told.events.first());
        first.map_or(self.from_version, |event| event.aggregate_version)
    }
}

impl Line {
    pub fn new(backlog: Gauge) -> Line {
        Line { state: Mutex::default(), news: Notify::new(), backlog }
    }

    /// A change of `aggregate` to `from_version` or later is about to be made.
    pub fn join(self: &Arc<Self>, aggregate: &str, from_version: i64) -> Ticket {
        let mut state = self.state.lock();
        state.next_ticket += 1;
        let ticket = state.next_ticket;
        let expected = Expected { ticket, from_version, told: None };
        state.expected.entry(aggregate.to_owned()).or_default().push(expected);
        Ticket { line: Arc::clone(self), aggregate: aggregate.to_owned(), ticket, is_told: false }
    }

    /// Up to so many events that are ready, in their order; at least one change's, if any.
    pub fn take(&self, limit: usize) -> Vec<Told> {
        let mut state = self.state.lock();
        let mut count = 0;
        let mut taken = Vec::new();
        while let Some(next) = state.ready.front() {
            count += next.events.len();
            if count > limit && !taken.is_empty() {
                break;
            }
            taken.extend(state.ready.pop_front());
        }
        taken
    }

    /// That events which were taken are with the bus, or given up.
    pub fn left(&self, events: usize) {
        let mut state = self.state.lock();
        state.ready_events -= events;
        self.show(&state);
    }

    /// How many events a sweep has in hand.
    pub fn swept(&self, events: usize) {
        let mut state = self.state.lock();
        state.swept_events = events;
        self.show(&state);
    }

    fn show(&self, state: &State) {
        self.backlog.set((state.ready_events + state.swept_events) as f64);
    }

    /// Whether neither events nor changes under way are in line.
    pub fn is_empty(&self) -> bool {
        let state = self.state.lock();
        state.expected.is_empty() && state.ready.is_empty()
    }

    /// Until there is something new.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    fn change(&self, aggregate: &str, change: impl FnOnce(&mut Vec<Expected>)) {
        let mut state = self.state.lock();
        let Some(expected) = state.expected.get_mut(aggregate) else { return };
        change(expected);
        let ready = release(expected);
        if expected.is_empty() {
            state.expected.remove(aggregate);
        }
        let mut left = Vec::new();
        for told in ready {
            if state.ready_events + told.events.len() > MAX_WAITING {
                left.push(told);
            } else {
                state.ready_events += told.events.len();
                state.ready.push_back(told);
            }
        }
        self.show(&state);
        drop(state);
        if !left.is_empty() {
            tracing::debug!(changes = left.len(), "too many events wait: left to the sweeper");
        }
        self.news.notify_one();
    }
}

/// Takes out what no earlier change can come before, in the order of versions.
///
/// A change under way that was marked from the version just told, or a later one, cannot be an earlier one: that
/// version has been won.
fn release(expected: &mut Vec<Expected>) -> Vec<Told> {
    let untold = expected.iter().filter(|one| one.told.is_none());
    let first_untold = untold.map(|one| one.from_version).min().unwrap_or(i64::MAX);
    let mut ready: Vec<_> = expected
        .extract_if(.., |one| one.told.is_some() && one.version() <= first_untold)
        .collect();
    ready.sort_by_key(Expected::version);
    ready.into_iter().filter_map(|one| one.told).collect()
}

/// A place in the line, given up when it is dropped.
pub(super) struct Ticket {
    line: Arc<Line>,
    aggregate: String,
    ticket: u64,
    is_told: bool,
}

impl Ticket {
    /// The change was made, and told this.
    pub fn tell(mut self, events: Vec<Event>, share: Share) {
        self.is_told = true;
        self.line.change(&self.aggregate, |expected| {
            if let Some(own) = expected.iter_mut().find(|one| one.ticket == self.ticket) {
                own.told = Some(Told { events, share });
            }
        });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_told {
            self.line.change(&self.aggregate, |expected| {
                expected.retain(|one| one.ticket != self.ticket);
            });
        }
    }
}
