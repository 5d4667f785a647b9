//! The ways that an order can take, as subjects of the trio.

use std::collections::{BTreeMap, BTreeSet};

use souk_orchestrator::engine::Error;
use souk_orchestrator::testing::saga::{Subject, Trio};
use souk_orchestrator::testing::{Fault, Faults, TestEnvironment};
use souk_proto::order::v1::OrderState;
use souk_proto::payment::v1::PaymentState;

use super::world::{PIECES, World, id, order};

/// A way that an order takes.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    pub token: &'static str,
    /// This step loses all its replies.
    pub broken: Option<&'static str>,
    pub is_cancelled: bool,
    /// Whether the run is told what the bank has decided; otherwise it must ask.
    pub is_told: bool,
    /// Where faults strike: between the engine and its steps, or at the participants, behind the mesh.
    pub strikes_at_engine: bool,
}

/// An order that is paid and delivered, among participants that fail as they are told.
pub const PLAIN: Story = Story {
    token: "tok_visa",
    broken: None,
    is_cancelled: false,
    is_told: false,
    strikes_at_engine: false,
};

/// A story in a world of its own.
pub struct Told {
    story: Story,
    world: World,
}

impl Story {
    /// The trio on this story.
    pub fn trio(self) -> Trio<impl AsyncFn() -> Told> {
        let seed = std::cell::Cell::new(0);
        let tell = async move || {
            seed.set(seed.get() + 1);
            let world = World::new(seed.get()).await;
            if let Some(step) = self.broken {
                world.shop.faults.always(step, Fault::LoseReply);
            }
            Told { story: self, world }
        };
        Trio::new(id(), tell).best_effort(["ClearCart"])
    }
}

impl Told {
    async fn tell(&self, name: &'static str) {
        match self.world.signal(name, name).await {
            // An order that is undone does not come to hear it.
            Ok(_) | Err(Error::Closed { .. }) => {}
            Err(error) => panic!("{name}: {error}"),
        }
    }

    /// Whatever goes wrong, a step has one key, so that its participant knows it again.
    fn has_one_key_each(&self) -> Result<(), String> {
        let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for call in self.world.shop.calls() {
            keys.entry(call.step).or_default().insert(call.request_id);
        }
        let is_asked_again = |step: &str| {
            self.story.token == "tok_3ds" && ["ConfirmPayment", "ExtendHold"].contains(&step)
        };
        match keys.iter().find(|(step, keys)| keys.len() > 1 && !is_asked_again(step)) {
            Some((step, keys)) => Err(format!("{step} under {keys:?}")),
            None => Ok(()),
        }
    }
}

impl Subject for Told {
    fn environment(&mut self) -> &mut TestEnvironment {
        &mut self.world.environment
    }

    fn faults(&mut self) -> Faults {
        match self.story.strikes_at_engine {
            true => self.world.environment.faults.clone(),
            false => self.world.shop.faults.clone(),
        }
    }

    /// What customer, bank and warehouse do.
    async fn play(&self) {
        let (story, world) = (self.story, &self.world);
        world.place(&order(story.token)).await;
        if story.token == "tok_3ds" && world.answer().await["placement"] == "CHALLENGE" {
            let waits = |state: &PaymentState| *state == PaymentState::RequiresAction;
            if world.shop.books().payments.values().any(|payment| waits(&payment.state)) {
                world.shop.decide_payment(PaymentState::Authorized);
            }
            if story.is_told {
                self.tell("payment_resolved").await;
            }
        }
        if story.is_cancelled {
            world.until("completed CapturePayment").await;
            world.shop.move_order(order("").order_id, OrderState::Cancelled, "CUSTOMER");
            self.tell("cancelled").await;
        } else {
            self.tell("shipped").await;
            self.tell("delivered").await;
        }
        world.end().await;
    }

    fn is_done(&self) -> Result<(), String> {
        self.world.shop.books().is_done(PIECES)?;
        self.has_one_key_each()
    }

    fn is_undone(&self) -> Result<(), String> {
        self.world.shop.books().is_clean()?;
        self.has_one_key_each()
    }
}
