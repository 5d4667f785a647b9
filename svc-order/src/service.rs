//! OrderService: from messages to the domain and back. Decides nothing but who may see what.

use std::sync::Arc;

use souk_mesh::clock::SharedClock;
use souk_mesh::context::CallContext;
use souk_mesh::identity::{Caller, Role};
use souk_mesh::page;
use souk_proto::order::v1::order_service_server::OrderService;
use souk_proto::order::v1::{
    AppendOrderEventRequest, AppendOrderEventResponse, CancelOrderRequest, CancelOrderResponse,
    DeliverOrderRequest, DeliverOrderResponse, GetOrderRequest, GetOrderResponse,
    GetTrackingRequest, GetTrackingResponse, ListOrdersRequest, ListOrdersResponse,
    PlaceOrderRequest, PlaceOrderResponse, ShipOrderRequest, ShipOrderResponse, WatchOrderRequest,
    WatchOrderResponse,
};
use souk_proto::time::unix_ms;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::domain::{Cancellation, Change, Order, Shipment, State};
use crate::history::Histories;
use crate::hub::Hub;
use crate::placing::Placer;
use crate::store::{Append, Filter, MAX_PAGE, OrderStore, Page, RequestKey};
use crate::watch::Watches;
use crate::workflow::step;
use crate::{Error, wire};

/// Orders on a page when the caller does not say.
const DEFAULT_PAGE: u32 = 50;

/// The gRPC service.
pub struct Service {
    /// Where orders are kept.
    pub store: Arc<dyn OrderStore>,
    /// Places orders.
    pub placer: Placer,
    /// Follows orders.
    pub watches: Watches,
    /// Tells watchers of changes.
    pub hub: Hub,
    /// Tells whether an order is paid.
    pub histories: Histories,
    /// Signs page tokens.
    pub pages: page::Tokens,
    /// The time.
    pub clock: SharedClock,
}

impl Service {
    /// The order, if the caller may see it.
    async fn visible(&self, caller: &Caller, order_id: &str) -> Result<Order, Status> {
        let order = self.store.get(wire::uuid_from("order_id", order_id)?).await?;
        caller.may_act_for(&order.user_id)?;
        Ok(order)
    }

    async fn append(&self, append: Append) -> Result<Order, Error> {
        let order = self.store.append(append).await?;
        self.hub.changed(order.id);
        Ok(order)
    }

    /// A change as asked for by the request of `key`; not absorbed, without conditions.
    fn change(&self, key: RequestKey, order_id: Uuid, change: Change) -> Append {
        let trace_parent =
            CallContext::current().map(|call| call.trace.to_string()).unwrap_or_default();
        Append {
            order_id,
            change,
            payment_id: None,
            key,
            absorb: false,
            expected_version: None,
            not_after_ms: None,
            trace_parent,
            now_ms: self.clock.now_ms(),
        }
    }
}

#[tonic::async_trait]
impl OrderService for Service {
    async fn place_order(
        &self,
        request: Request<PlaceOrderRequest>,
    ) -> Result<Response<PlaceOrderResponse>, Status> {
        let caller = Caller::of(&request);
        self.placer.place(&caller, request.into_inner()).await.map(Response::new)
    }

    async fn get_order(
        &self,
        request: Request<GetOrderRequest>,
    ) -> Result<Response<GetOrderResponse>, Status> {
        let order = self.visible(&Caller::of(&request), &request.get_ref().order_id).await?;
        Ok(Response::new(GetOrderResponse { order: Some(wire::order(&order)) }))
    }

    async fn list_orders(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let user_id = match request.user_id.as_str() {
            "" if caller.has(Role::Staff) || caller.has(Role::Service) => None,
            "" => Some(caller.user_id()?),
            named => Some(wire::uuid_from("user_id", named)?),
        };
        if let Some(user_id) = &user_id {
            caller.may_act_for(user_id)?;
        }
        let state = wire::state_from(request.state)?;
        // A token goes on with the list that it was made for, and with no other.
        let list = format!("ListOrders {user_id:?} {state:?}");
        let before = self.pages.decode::<Uuid>(&request.page_token, &list)?;
        let limit = page::size(request.page_size, DEFAULT_PAGE, MAX_PAGE)?;
        let Page { orders, next } =
            self.store.list(Filter { user_id, state, before, limit }).await?;
        let next_page_token =
            next.map(|next| self.pages.encode(&next, &list)).transpose()?.unwrap_or_default();
        let orders = orders.iter().map(wire::order).collect();
        Ok(Response::new(ListOrdersResponse { orders, next_page_token }))
    }

    async fn cancel_order(
        &self,
        request: Request<CancelOrderRequest>,
    ) -> Result<Response<CancelOrderResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let order = self.visible(&caller, &request.order_id).await?;
        let own = caller.user_id().is_ok_and(|user_id| user_id == order.user_id);
        let key = RequestKey::of(&caller, "CancelOrder", &request.request_id, &request);
        let cancellation = Cancellation {
            reason: if own { "CUSTOMER" } else { "STAFF" }.to_owned(),
            note: request.reason.clone(),
        };
        let change = self.change(key, order.id, Change::Cancel(cancellation));
        let order = self.append(Append { absorb: true, ..change }).await?;
        Ok(Response::new(CancelOrderResponse { order: Some(wire::order(&order)) }))
    }

    async fn get_tracking(
        &self,
        request: Request<GetTrackingRequest>,
    ) -> Result<Response<GetTrackingResponse>, Status> {
        let order_id = wire::uuid_from("order_id", &request.get_ref().order_id)?;
        let (order, entries) = self.store.timeline(order_id, 0).await?;
        Caller::of(&request).may_act_for(&order.user_id)?;
        Ok(Response::new(GetTrackingResponse {
            order_id: order.id.to_string(),
            state: wire::state(order.state).into(),
            tracking: order.parcel.as_ref().map(wire::tracking),
            timeline: entries.iter().map(wire::entry).collect(),
        }))
    }

    async fn watch_order(
        &self,
        request: Request<WatchOrderRequest>,
    ) -> Result<Response<BoxStream<WatchOrderResponse>>, Status> {
        let position = request.get_ref().resume_token.parse()?;
        let order = self.visible(&Caller::of(&request), &request.get_ref().order_id).await?;
        Ok(Response::new(self.watches.stream(order.id, last_step(&order), position)?))
    }

    async fn ship_order(
        &self,
        request: Request<ShipOrderRequest>,
    ) -> Result<Response<ShipOrderResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let order = self.visible(&caller, &request.order_id).await?;
        // Money first: once captured it stays so until the order is cancelled, which the append
        // rules out. Any other state the append answers or refuses by itself.
        if order.state == State::Processing && !self.histories.is_paid(order.id).await? {
            return Err(Error::NotPaid(order.id).into());
        }
        let key = RequestKey::of(&caller, "ShipOrder", &request.request_id, &request);
        let ShipOrderRequest { carrier, tracking_number, .. } = request.clone();
        let change = Change::Ship(Shipment { carrier, tracking_number });
        let order = self.append(self.change(key, order.id, change)).await?;
        Ok(Response::new(ShipOrderResponse { order: Some(wire::order(&order)) }))
    }

    async fn deliver_order(
        &self,
        request: Request<DeliverOrderRequest>,
    ) -> Result<Response<DeliverOrderResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let order_id = wire::uuid_from("order_id", &request.order_id)?;
        let key = RequestKey::of(&caller, "DeliverOrder", &request.request_id, &request);
        let order = self.append(self.change(key, order_id, Change::Deliver)).await?;
        Ok(Response::new(DeliverOrderResponse { order: Some(wire::order(&order)) }))
    }

    async fn append_order_event(
        &self,
        request: Request<AppendOrderEventRequest>,
    ) -> Result<Response<AppendOrderEventResponse>, Status> {
        let caller = Caller::of(&request);
        let mut request = request.into_inner();
        let not_after_ms = request.not_after.take().as_ref().map(unix_ms);
        // Without not_after, which may differ between tries of one step.
        let key = RequestKey::of(&caller, "AppendOrderEvent", &request.request_id, &request);
        let change = match wire::state_from(request.state)? {
            Some(State::Processing) => Change::Process,
            Some(State::Cancelled) => {
                let (reason, note) = (request.reason, request.message);
                Change::Cancel(Cancellation { reason, note })
            }
            Some(State::Pending | State::Shipped | State::Delivered) | None => {
                return Err(Error::field("state", "must be PROCESSING or CANCELLED").into());
            }
        };
        let payment_id = match request.payment_id.as_str() {
            "" => None,
            payment_id => Some(wire::uuid_from("payment_id", payment_id)?),
        };
        let order_id = wire::uuid_from("order_id", &request.order_id)?;
        let append = Append {
            payment_id,
            absorb: true,
            expected_version: u64::try_from(request.expected_version).ok().filter(|at| *at > 0),
            not_after_ms,
            ..self.change(key, order_id, change)
        };
        let order = self.append(append).await?;
        Ok(Response::new(AppendOrderEventResponse { order: Some(wire::order(&order)) }))
    }
}

/// The last step that the order's workflow does by itself: after it, the warehouse has its turn.
fn last_step(order: &Order) -> &'static str {
    match order.cart_version {
        Some(_) => step::CLEAR_CART,
        None => step::CAPTURE_PAYMENT,
    }
}
