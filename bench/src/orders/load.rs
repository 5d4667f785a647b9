//! The load itself: orders sent by a schedule or by a fixed number of hands, and what became of each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use souk_mesh::error::reason_of;
use souk_proto::order::v1::{PlaceOrderResponse, Placement};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tonic::Status;

use super::customers::Customers;
use crate::cpu;
use crate::metrics::{Counted, Sources};
use crate::schedule::Schedule;

/// Orders that wait for their answer at once at most in an open loop; what is due beyond that is not sent, and counted.
const MAX_WAITING: usize = 50_000;

/// How orders follow each other.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// The next is sent when one was answered.
    Closed {
        /// How many wait at a time.
        in_flight: usize,
    },
    /// At a fixed rate, whatever happens to those before.
    Open {
        /// Orders a second.
        per_second: f64,
    },
}

/// Processes whose CPU time is charged to the orders; those that are not ours are not known.
#[derive(Clone, Debug, Default)]
pub struct Processes {
    /// The shop's, each with its name.
    pub shop: Vec<(&'static str, u32)>,
    /// The payment provider.
    pub provider: Option<u32>,
    /// The backends, where they are on this machine, each with its name.
    pub backends: Vec<(String, u32)>,
    /// Those of the shop's that tell what they count.
    pub metrics: Sources,
}

/// What is to be done to the shop.
pub struct Load {
    pub pace: Pace,
    pub warm_up: Duration,
    pub measured: Duration,
    pub processes: Processes,
}

/// CPU time by process.
#[derive(Clone, Debug, Default)]
pub struct CpuTimes {
    /// Of the shop's processes, each with its name.
    pub shop: Vec<(&'static str, Option<Duration>)>,
    pub provider: Option<Duration>,
    /// Of the backends, each with its name.
    pub backends: Vec<(String, Option<Duration>)>,
    pub load: Option<Duration>,
}

/// What became of the orders.
#[derive(Default)]
pub struct Outcome {
    /// Ids of every order that was acknowledged, in the warm-up too.
    pub acknowledged: Vec<String>,
    /// How long customers waited whose order was due while it was measured and was acknowledged.
    pub waits: Vec<Duration>,
    /// Acknowledgements that came while it was measured.
    pub answered: usize,
    /// Orders due while it was measured, by placement, or by error code and reason.
    pub endings: BTreeMap<String, usize>,
    /// Due and not sent, because too many were waiting.
    pub unsent: usize,
    /// Used while it was measured.
    pub cpu: CpuTimes,
    /// Counted by the shop's processes while it was measured, if they tell.
    pub counted: Option<Counted>,
}

/// One order's way, times counted from the start.
struct Sample {
    due: Duration,
    answered: Duration,
    answer: Result<PlaceOrderResponse, Status>,
}

impl Load {
    /// Loads the shop and waits for the last answer.
    pub async fn run(&self, customers: Customers) -> Outcome {
        let (samples, received) = unbounded_channel();
        let hand = Hand { customers: Arc::new(customers), start: Instant::now(), samples };
        let end = self.warm_up + self.measured;
        let used = tokio::spawn(self.used_while_measured(hand.start));
        let collected = tokio::spawn(collect(received, self.warm_up, end));
        let unsent = match self.pace {
            Pace::Closed { in_flight } => hand.keep_in_flight(in_flight, end).await,
            Pace::Open { per_second } => hand.follow(Schedule::new(per_second, end)).await,
        };
        let mut outcome = collected.await.unwrap_or_default();
        outcome.unsent = unsent;
        (outcome.cpu, outcome.counted) = used.await.unwrap_or_default();
        outcome
    }

    fn used_while_measured(
        &self,
        start: Instant,
    ) -> impl Future<Output = (CpuTimes, Option<Counted>)> + use<> {
        let (processes, from) = (self.processes.clone(), start + self.warm_up);
        let until = from + self.measured;
        async move {
            sleep_until(from).await;
            let before = CpuTimes::now(&processes);
            let counted_before = processes.metrics.read().await.ok();
            sleep_until(until).await;
            let cpu = CpuTimes::now(&processes).since(before);
            let counted = processes.metrics.read().await.ok();
            (cpu, counted.zip(counted_before).map(|(now, before)| now.since(&before)))
        }
    }
}

impl CpuTimes {
    fn now(processes: &Processes) -> Self {
        let shop = processes.shop.iter();
        Self {
            shop: shop.map(|(name, pid)| (*name, cpu::used(*pid))).collect(),
            provider: processes.provider.and_then(cpu::used),
            backends: (processes.backends.iter())
                .map(|(name, pid)| (name.clone(), cpu::used(*pid)))
                .collect(),
            load: cpu::used(std::process::id()),
        }
    }

    fn since(self, before: Self) -> Self {
        let difference = |now: Option<Duration>, then: Option<Duration>| now?.checked_sub(then?);
        Self {
            shop: (self.shop.into_iter().zip(before.shop))
                .map(|((name, now), (_, then))| (name, difference(now, then)))
                .collect(),
            provider: difference(self.provider, before.provider),
            backends: (self.backends.into_iter().zip(before.backends))
                .map(|((name, now), (_, then))| (name, difference(now, then)))
                .collect(),
            load: difference(self.load, before.load),
        }
    }
}

/// Sends orders and hands on what became of them.
#[derive(Clone)]
struct Hand {
    customers: Arc<Customers>,
    start: Instant,
    samples: UnboundedSender<Sample>,
}

impl Hand {
    async fn order(&self, due: Duration) {
        let answer = self.customers.order().await;
        // The receiver lives until the last sender is gone.
        let _ = self.samples.send(Sample { due, answered: self.start.elapsed(), answer });
    }

    /// A closed loop leaves nothing unsent.
    async fn keep_in_flight(self, in_flight: usize, end: Duration) -> usize {
        let mut hands = JoinSet::new();
        for _ in 0..in_flight {
            let hand = self.clone();
            hands.spawn(async move {
                while hand.start.elapsed() < end {
                    hand.order(hand.start.elapsed()).await;
                }
            });
        }
        drop(self);
        hands.join_all().await;
        0
    }

    /// Gives the number of orders that were due and not sent.
    async fn follow(self, schedule: Schedule) -> usize {
        let mut waiting = JoinSet::new();
        let mut unsent = 0;
        for due in (0..).map_while(|index| schedule.due(index)) {
            // Timers are as coarse as a millisecond: what came due meanwhile is sent at once.
            if self.start.elapsed() < due {
                sleep_until(self.start + due).await;
            }
            while waiting.try_join_next().is_some() {}
            if waiting.len() >= MAX_WAITING {
                unsent += 1;
                continue;
            }
            let hand = self.clone();
            waiting.spawn(async move { hand.order(due).await });
        }
        drop(self);
        waiting.join_all().await;
        unsent
    }
}

async fn collect(
    mut samples: UnboundedReceiver<Sample>,
    warm_up: Duration,
    end: Duration,
) -> Outcome {
    let mut outcome = Outcome::default();
    while let Some(Sample { due, answered, answer }) = samples.recv().await {
        let measured = (warm_up..end).contains(&due);
        if measured {
            *outcome.endings.entry(ending(&answer)).or_default() += 1;
        }
        let Some(order) = answer.ok().and_then(|answer| answer.order) else { continue };
        outcome.acknowledged.push(order.order_id);
        if measured {
            outcome.waits.push(answered.saturating_sub(due));
        }
        if (warm_up..end).contains(&answered) {
            outcome.answered += 1;
        }
    }
    outcome
}

/// How an order ended, in a word or two.
fn ending(answer: &Result<PlaceOrderResponse, Status>) -> String {
    match answer {
        Ok(answer) => match answer.placement() {
            Placement::Placed => "placed".to_owned(),
            Placement::Challenge => "challenge".to_owned(),
            Placement::Pending => "pending".to_owned(),
            Placement::Refused => format!("refused {}", answer.refusal_reason),
            Placement::Unspecified => "no placement".to_owned(),
        },
        Err(status) => {
            let reason = reason_of(status).unwrap_or_else(|| status.message().to_owned());
            format!("{:?} {reason}", status.code())
        }
    }
}

#[cfg(test)]
mod tests {
    use souk_proto::order::v1::Order;

    use super::*;

    fn answered(order_id: &str, placement: Placement) -> Result<PlaceOrderResponse, Status> {
        let order = Some(Order { order_id: order_id.to_owned(), ..Default::default() });
        Ok(PlaceOrderResponse { order, placement: placement.into(), ..Default::default() })
    }

    #[tokio::test]
    async fn the_warm_up_counts_for_the_invariants_only_and_waits_run_from_when_orders_were_due() {
        let (send, receive) = unbounded_channel();
        let ms = Duration::from_millis;
        let unavailable = souk_mesh::error::status(tonic::Code::Unavailable, "OVERLOADED", "");
        for (due, done, answer) in [
            (ms(0), ms(10), answered("warm", Placement::Placed)),
            (ms(90), ms(110), answered("across", Placement::Placed)),
            (ms(100), ms(150), answered("in", Placement::Placed)),
            (ms(150), ms(260), answered("late", Placement::Pending)),
            (ms(160), ms(161), Err(unavailable)),
        ] {
            send.send(Sample { due, answered: done, answer }).unwrap();
        }
        drop(send);
        let outcome = collect(receive, ms(100), ms(200)).await;
        assert_eq!(outcome.acknowledged, ["warm", "across", "in", "late"]);
        assert_eq!(outcome.waits, [ms(50), ms(110)]);
        assert_eq!(outcome.answered, 2, "across and in");
        let endings = [("placed", 1), ("pending", 1), ("Unavailable OVERLOADED", 1)];
        assert_eq!(outcome.endings, endings.map(|(name, n)| (name.to_owned(), n)).into());
    }
}
