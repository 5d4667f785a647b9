//! The order's stock: held, kept alive, taken; given back by one undo, whatever has become of it.

use serde::{Deserialize, Serialize};
use souk_proto::catalog::v1::{
    CommitReservationRequest, ExtendReservationRequest, ReleaseReservationRequest,
    ReserveInventoryRequest, StockLine,
};
use souk_proto::time;
use uuid::Uuid;

use super::contract::{Line, PlaceOrder, reason_of};
use super::policy;
use crate::engine::Failure;
use crate::engine::step::{Compensation, Policy, Step, StepContext, StepError, UndoneBy};
use crate::workflows::rpc::call;

/// How long stock is held at a time. Longer than the pauses between two extensions; a backstop, not a plan.
const HOLD_MS: i64 = 20 * 60 * 1000;

/// Stock that is held for the order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hold {
    /// The reservation.
    pub reservation_id: Uuid,
}

/// Holds all lines, or none.
#[derive(Serialize, Deserialize)]
pub struct ReserveStock {
    order_id: Uuid,
    lines: Vec<Line>,
}

impl ReserveStock {
    pub(super) fn of(order: &PlaceOrder) -> Self {
        Self { order_id: order.order_id, lines: order.lines.clone() }
    }
}

impl Step for ReserveStock {
    const NAME: &'static str = "ReserveStock";
    type Output = Hold;
    type Undo = ReleaseStock;

    fn policy(&self) -> Policy {
        policy::prompt()
    }

    async fn run(&self, context: &StepContext) -> Result<Hold, StepError> {
        let reservation_id = context.effect_id();
        let lines = self.lines.iter().map(|line| StockLine {
            product_id: line.product_id.to_string(),
            quantity: line.quantity,
        });
        let request = ReserveInventoryRequest {
            request_id: reservation_id.to_string(),
            reservation_id: reservation_id.to_string(),
            order_id: self.order_id.to_string(),
            lines: lines.collect(),
            hold: Some(time::duration(HOLD_MS)),
            not_after: Some(time::timestamp(context.give_up_at_ms())),
            ..ReserveInventoryRequest::default()
        };
        call(context, request, |mut p, r| async move { p.catalog.reserve_inventory(r).await })
            .await?;
        Ok(Hold { reservation_id })
    }
}

/// Gives the stock back: frees what is held, restocks what was taken, and refuses what comes late.
#[derive(Serialize, Deserialize)]
pub struct ReleaseStock {
    order_id: Uuid,
}

impl From<&ReserveStock> for ReleaseStock {
    fn from(step: &ReserveStock) -> Self {
        Self { order_id: step.order_id }
    }
}

impl Compensation for ReleaseStock {
    const NAME: &'static str = "ReleaseStock";

    fn policy(&self) -> Policy {
        policy::patient()
    }

    async fn run(&self, context: &StepContext, cause: &Failure) -> Result<(), StepError> {
        let request = ReleaseReservationRequest {
            request_id: context.effect_id().to_string(),
            reservation_id: context.undone_id().to_string(),
            order_id: self.order_id.to_string(),
            reason: reason_of(cause),
            undoes_not_after: Some(time::timestamp(context.give_up_at_ms())),
        };
        call(context, request, |mut p, r| async move { p.catalog.release_reservation(r).await })
            .await?;
        Ok(())
    }
}

/// Keeps the hold alive while somebody else takes time.
#[derive(Serialize, Deserialize)]
pub struct ExtendHold {
    reservation_id: Uuid,
}

impl ExtendHold {
    pub(super) fn of(hold: &Hold) -> Self {
        Self { reservation_id: hold.reservation_id }
    }
}

impl Step for ExtendHold {
    const NAME: &'static str = "ExtendHold";
    type Output = ();
    type Undo = UndoneBy<ReleaseStock>;

    async fn run(&self, context: &StepContext) -> Result<(), StepError> {
        let request = ExtendReservationRequest {
            request_id: context.effect_id().to_string(),
            reservation_id: self.reservation_id.to_string(),
            hold: Some(time::duration(HOLD_MS)),
        };
        call(context, request, |mut p, r| async move { p.catalog.extend_reservation(r).await })
            .await?;
        Ok(())
    }
}

/// Takes the held stock for good.
#[derive(Serialize, Deserialize)]
pub struct CommitStock {
    reservation_id: Uuid,
}

impl CommitStock {
    pub(super) fn of(hold: &Hold) -> Self {
        Self { reservation_id: hold.reservation_id }
    }
}

impl Step for CommitStock {
    const NAME: &'static str = "CommitStock";
    type Output = ();
    type Undo = UndoneBy<ReleaseStock>;

    fn policy(&self) -> Policy {
        policy::prompt()
    }

    async fn run(&self, context: &StepContext) -> Result<(), StepError> {
        let request = CommitReservationRequest {
            request_id: context.effect_id().to_string(),
            reservation_id: self.reservation_id.to_string(),
            not_after: Some(time::timestamp(context.give_up_at_ms())),
        };
        call(context, request, |mut p, r| async move { p.catalog.commit_reservation(r).await })
            .await?;
        Ok(())
    }
}
