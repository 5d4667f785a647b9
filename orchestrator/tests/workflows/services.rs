//! The participants' wire: which call belongs to which step, and what of it goes into the books.

use souk_orchestrator::engine::step::effect_id;
use souk_proto::cart::v1::cart_service_server::CartService;
use souk_proto::cart::v1::{ClearCartRequest, ClearCartResponse};
use souk_proto::catalog::v1::catalog_service_server::CatalogService;
use souk_proto::catalog::v1::{
    CommitReservationRequest, CommitReservationResponse, ExtendReservationRequest,
    ExtendReservationResponse, ReleaseReservationRequest, ReleaseReservationResponse,
    ReserveInventoryRequest, ReserveInventoryResponse,
};
use souk_proto::order::v1::order_service_server::OrderService;
use souk_proto::order::v1::{AppendOrderEventRequest, AppendOrderEventResponse, OrderState};
use souk_proto::payment::v1::payment_service_server::PaymentService;
use souk_proto::payment::v1::{
    CancelPaymentRequest, CancelPaymentResponse, CapturePaymentRequest, CapturePaymentResponse,
    ConfirmPaymentRequest, ConfirmPaymentResponse, CreatePaymentIntentRequest,
    CreatePaymentIntentResponse, Payment as WirePayment, PaymentState,
};
use souk_proto::time::{duration_ms, unix_ms};
use tonic::{Request, Response, Status};

use super::books::{Order, Payment};
use super::shop::Shop;

#[tonic::async_trait]
impl CatalogService for Shop {
    async fn reserve_inventory(
        &self,
        request: Request<ReserveInventoryRequest>,
    ) -> Result<Response<ReserveInventoryResponse>, Status> {
        self.serve(
            request,
            "ReserveStock",
            |q| &q.request_id,
            |books, q, now_ms| {
                let pieces = q.lines.iter().map(|line| i64::from(line.quantity)).sum();
                let hold_ms = q.hold.as_ref().map_or(0, duration_ms);
                let limit = q.not_after.as_ref().map(unix_ms);
                books.reserve(&q.reservation_id, pieces, hold_ms, limit, now_ms)?;
                Ok(ReserveInventoryResponse::default())
            },
        )
        .await
    }

    async fn extend_reservation(
        &self,
        request: Request<ExtendReservationRequest>,
    ) -> Result<Response<ExtendReservationResponse>, Status> {
        self.serve(
            request,
            "ExtendHold",
            |q| &q.request_id,
            |books, q, now_ms| {
                let hold_ms = q.hold.as_ref().map_or(0, duration_ms);
                books.extend(&q.reservation_id, hold_ms, now_ms)?;
                Ok(ExtendReservationResponse::default())
            },
        )
        .await
    }

    async fn commit_reservation(
        &self,
        request: Request<CommitReservationRequest>,
    ) -> Result<Response<CommitReservationResponse>, Status> {
        self.serve(
            request,
            "CommitStock",
            |q| &q.request_id,
            |books, q, now_ms| {
                books.commit(&q.reservation_id, q.not_after.as_ref().map(unix_ms), now_ms)?;
                Ok(CommitReservationResponse::default())
            },
        )
        .await
    }

    async fn release_reservation(
        &self,
        request: Request<ReleaseReservationRequest>,
    ) -> Result<Response<ReleaseReservationResponse>, Status> {
        self.serve(
            request,
            "ReleaseStock",
            |q| &q.request_id,
            |books, q, _| {
                books.release(&q.reservation_id);
                Ok(ReleaseReservationResponse::default())
            },
        )
        .await
    }
}

fn wire(payment: &Payment) -> Option<WirePayment> {
    let is_open = payment.state == PaymentState::RequiresAction;
    let decline_code = match (payment.state, payment.token.as_str()) {
        (PaymentState::Declined, "tok_insufficient_funds") => "insufficient_funds",
        (PaymentState::Declined, _) => "card_declined",
        _ => "",
    };
    Some(WirePayment {
        state: payment.state.into(),
        challenge_url: if is_open { "http://bank/challenge".into() } else { String::new() },
        decline_code: decline_code.into(),
        ..WirePayment::default()
    })
}

#[tonic::async_trait]
impl PaymentService for Shop {
    async fn create_payment_intent(
        &self,
        request: Request<CreatePaymentIntentRequest>,
    ) -> Result<Response<CreatePaymentIntentResponse>, Status> {
        self.serve(
            request,
            "CreatePayment",
            |q| &q.request_id,
            |books, q, now_ms| {
                let amount = q.amount.clone().unwrap_or_default();
                let payment = Payment {
                    state: PaymentState::Created,
                    amount: amount.units * 100 + i64::from(amount.nanos / 10_000_000),
                    token: q.payment_token.clone(),
                    ..Payment::default()
                };
                let limit = q.not_after.as_ref().map(unix_ms);
                books.create_payment(&q.payment_id, payment, limit, now_ms)?;
                Ok(CreatePaymentIntentResponse::default())
            },
        )
        .await
    }

    async fn confirm_payment(
        &self,
        request: Request<ConfirmPaymentRequest>,
    ) -> Result<Response<ConfirmPaymentResponse>, Status> {
        self.serve(
            request,
            "ConfirmPayment",
            |q| &q.request_id,
            |books, q, now_ms| {
                let limit = q.not_after.as_ref().map(unix_ms);
                let payment = books.confirm(&q.payment_id, limit, now_ms)?;
                Ok(ConfirmPaymentResponse { payment: wire(&payment) })
            },
        )
        .await
    }

    async fn capture_payment(
        &self,
        request: Request<CapturePaymentRequest>,
    ) -> Result<Response<CapturePaymentResponse>, Status> {
        self.serve(
            request,
            "CapturePayment",
            |q| &q.request_id,
            |books, q, now_ms| {
                let limit = q.not_after.as_ref().map(unix_ms);
                let payment = books.capture(&q.payment_id, limit, now_ms)?;
                Ok(CapturePaymentResponse { payment: wire(&payment) })
            },
        )
        .await
    }

    async fn cancel_payment(
        &self,
        request: Request<CancelPaymentRequest>,
    ) -> Result<Response<CancelPaymentResponse>, Status> {
        let is_step = request.get_ref().only_if_unpaid;
        let step = if is_step { "CancelIfUnpaid" } else { "ReturnPayment" };
        self.serve(
            request,
            step,
            |q| &q.request_id,
            |books, q, _| {
                let payment = books.cancel_payment(&q.payment_id, q.only_if_unpaid);
                Ok(CancelPaymentResponse { payment: wire(&payment) })
            },
        )
        .await
    }
}

/// Two of the run's steps cancel an order; the key tells which one calls.
fn step_of(request: &AppendOrderEventRequest) -> &'static str {
    let withdraws = effect_id(&format!("order/{}/WithdrawOrder/1", request.order_id));
    match request.state() {
        OrderState::Processing => "RecordOrder",
        _ if request.request_id == withdraws.to_string() => "WithdrawOrder",
        _ => "CancelOrder",
    }
}

#[tonic::async_trait]
impl OrderService for Shop {
    async fn append_order_event(
        &self,
        request: Request<AppendOrderEventRequest>,
    ) -> Result<Response<AppendOrderEventResponse>, Status> {
        let step = step_of(request.get_ref());
        self.serve(
            request,
            step,
            |q| &q.request_id,
            |books, q, now_ms| {
                let next = Order {
                    state: q.state(),
                    reason: q.reason.clone(),
                    message: q.message.clone(),
                    payment_id: q.payment_id.clone(),
                    changes: 0,
                };
                books.append(&q.order_id, next, q.not_after.as_ref().map(unix_ms), now_ms)?;
                Ok(AppendOrderEventResponse::default())
            },
        )
        .await
    }
}

#[tonic::async_trait]
impl CartService for Shop {
    async fn clear_cart(
        &self,
        request: Request<ClearCartRequest>,
    ) -> Result<Response<ClearCartResponse>, Status> {
        self.serve(
            request,
            "ClearCart",
            |q| &q.request_id,
            |books, q, _| {
                books.clearings.insert(q.request_id.clone(), q.cart_version);
                Ok(ClearCartResponse::default())
            },
        )
        .await
    }
}
