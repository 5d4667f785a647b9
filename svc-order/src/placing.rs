//! PlaceOrder: from a wish to a recorded order whose workflow runs, once per request id.
//!
//! The path of one order is one catalog read, one write and one workflow start. Whether the request
//! placed an order before is learned from that write (or, when the wish is refused, looked up then).

use std::sync::Arc;
use std::time::Duration;

use souk_mesh::clock::SharedClock;
use souk_mesh::context::{CallContext, TraceContext};
use souk_mesh::identity::Caller;
use souk_proto::order::v1::{PlaceOrderRequest, Placement};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::answering::{Outcome, answer_from_state, answered, respond};
use crate::domain::{Order, State};
use crate::flights::{Flights, Pilot, Seat};
use crate::preparing::Neighbours;
use crate::starter::Starter;
use crate::store::{OrderStore, Placed, Recording, RequestKey, Start};
use crate::workflow::PlaceOrderInput;
use crate::{Config, Error};

/// How long placing may go on although every caller may have left.
const PLACING_LIMIT: Duration = Duration::from_secs(10);

/// Places orders. Clones share everything.
#[derive(Clone)]
pub struct Placer {
    store: Arc<dyn OrderStore>,
    clock: SharedClock,
    neighbours: Neighbours,
    starter: Starter,
    flights: Flights<Outcome>,
    answer_wait_ms: u64,
}

impl Placer {
    /// Places orders into `store`.
    #[must_use]
    pub fn new(
        store: Arc<dyn OrderStore>,
        clock: SharedClock,
        neighbours: Neighbours,
        starter: Starter,
        config: &Config,
    ) -> Placer {
        Placer {
            store,
            clock,
            neighbours,
            starter,
            flights: Flights::default(),
            answer_wait_ms: config.answer_wait_ms,
        }
    }

    /// Places the order that `request` asks for, or answers as the first equal request was answered.
    ///
    /// The work goes on when the caller leaves: a recorded order's workflow is started all the same.
    pub async fn place(&self, caller: &Caller, request: PlaceOrderRequest) -> Outcome {
        let user_id = caller.user_id()?;
        let key = RequestKey::of(caller, "PlaceOrder", &request.request_id, &request);
        let passenger = match self.flights.board(&key)? {
            Seat::Passenger(passenger) => passenger,
            Seat::Pilot(pilot, passenger) => {
                let placer = self.clone();
                let trace =
                    CallContext::current().map_or_else(TraceContext::new_root, |call| call.trace);
                let deadline = Some(tokio::time::Instant::now() + PLACING_LIMIT);
                // Boxed, because everything around it moves it, and it is kilobytes large.
                let flight = Box::pin(placer.fly(pilot, user_id, key, request, trace));
                let flight = CallContext { trace, deadline }.scope(flight).in_current_span();
                tokio::spawn(flight);
                passenger
            }
        };
        passenger.arrive().await?
    }

    async fn fly(
        self,
        pilot: Pilot<Outcome>,
        user_id: Uuid,
        key: RequestKey,
        request: PlaceOrderRequest,
        trace: TraceContext,
    ) {
        let placed = match self.record_once(user_id, key, request, trace).await {
            Ok(placed) => placed,
            Err(error) => return pilot.land(Err(error.into())),
        };
        match placed.start {
            Start::Answer(answer) => pilot.land(answered(placed.order, &answer)),
            // The order has moved on and its answer was lost in a crash before anyone got it.
            Start::Input(_) if placed.order.state != State::Pending => {
                let answer = answer_from_state(&placed.order);
                pilot.land(Ok(respond(placed.order, Some(answer))));
            }
            Start::Input(input) => self.settle(pilot, placed.order, input).await,
        }
    }

    /// Starts or joins the workflow and lands with its answer. The answer is noted before the flight
    /// is over: until then everyone who asks boards it.
    async fn settle(&self, pilot: Pilot<Outcome>, order: Order, input: Vec<u8>) {
        let order_id = order.id;
        let answer = match self.starter.start(order_id, input, self.answer_wait_ms).await {
            Ok(answer) => answer,
            Err(status) => {
                // The order is recorded and will be carried out; an error would invite the
                // customer to order again.
                tracing::warn!(%order_id, %status, "workflow not started, left to the sweeper");
                return pilot.land(Ok(respond(order, None)));
            }
        };
        let Some(answer) = answer else {
            pilot.land(Ok(respond(order, None)));
            // The next request asks the workflow again.
            drop(pilot);
            return self.starter.note(order_id, None).await;
        };
        let outcome = answered(order, &answer);
        // What an order's state cannot tell later is noted before anyone hears of it; that an order
        // was placed, its state tells.
        if outcome.as_ref().is_ok_and(|response| response.placement() == Placement::Placed) {
            pilot.land(outcome);
            self.starter.note(order_id, Some(answer)).await;
        } else {
            self.starter.note(order_id, Some(answer)).await;
            pilot.land(outcome);
        }
    }

    /// Prices and records the order; or finds the one that the request placed before, even when the
    /// same wish would be refused by now.
    async fn record_once(
        &self,
        user_id: Uuid,
        key: RequestKey,
        request: PlaceOrderRequest,
        trace: TraceContext,
    ) -> Result<Placed, Error> {
        match self.neighbours.prepare(user_id, request, self.clock.now_ms()).await {
            Ok((order, payment_token)) => {
                let input = serde_json::to_vec(&PlaceOrderInput::of(&order, payment_token))
                    .map_err(|problem| Error::corrupt("workflow input", problem))?;
                let trace_parent = trace.to_string();
                self.store.record(Recording { order, input, key, trace_parent }).await
            }
            Err(refusal) => self.store.placed(&key).await?.ok_or(refusal),
        }
    }
}
