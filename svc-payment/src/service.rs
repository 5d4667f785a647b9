//! The gRPC service: from the wire to [`Payments`] and back, and who may see what.

use souk_mesh::error::FieldViolation;
use souk_mesh::idempotency::fingerprint;
use souk_mesh::identity::{Caller, Role};
use souk_mesh::money::Money;
use souk_mesh::page;
use souk_proto::google::r#type::Money as WireMoney;
use souk_proto::payment::v1 as proto;
use souk_proto::payment::v1::payment_service_server::PaymentService;
use souk_proto::time::unix_ms;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::domain::{Payment, State};
use crate::error::Error;
use crate::payments::{AskedRefund, Call, Cancel, Payments};
use crate::store::{Filter, NewPayment, Place};
use crate::wire;

/// Payments on a page when the caller does not say.
const DEFAULT_PAGE_SIZE: usize = 50;

/// Implements `souk.payment.v1.PaymentService`; reviews, disputes and webhooks are not built.
pub struct Service {
    payments: Payments,
    pages: page::Tokens,
    clock: souk_mesh::clock::SharedClock,
}

impl Service {
    /// The service over `payments`.
    pub fn new(
        payments: Payments,
        pages: page::Tokens,
        clock: souk_mesh::clock::SharedClock,
    ) -> Service {
        Service { payments, pages, clock }
    }

    fn new_payment(&self, payment_id: Uuid, asked: &mut Asked) -> Result<Payment, Error> {
        let now_ms = self.clock.now_ms();
        Ok(Payment {
            payment_id,
            order_id: id("order_id", &asked.order_id)?,
            user_id: optional_id("user_id", &asked.user_id)?,
            state: State::Opening,
            amount: money(asked.amount.as_ref())?,
            captured: 0,
            refunded: 0,
            token: std::mem::take(&mut asked.payment_token),
            provider_id: None,
            challenge_url: None,
            decline_code: None,
            version: 1,
            created_ms: now_ms,
            updated_ms: now_ms,
        })
    }

    /// The payment, if the caller may see it.
    async fn visible(&self, caller: &Caller, payment_id: Uuid) -> Result<Payment, Status> {
        let payment = self.payments.get(payment_id).await?;
        // Nobody has the nil UUID: a payment without a user is for staff and services alone.
        caller.may_act_for(&payment.user_id.unwrap_or(Uuid::nil()))?;
        Ok(payment)
    }
}

type Asked = proto::CreatePaymentIntentRequest;
type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl PaymentService for Service {
    async fn create_payment_intent(
        &self,
        request: Request<proto::CreatePaymentIntentRequest>,
    ) -> Answer<proto::CreatePaymentIntentResponse> {
        let caller = Caller::of(&request);
        let mut asked = request.into_inner();
        let request_id = std::mem::take(&mut asked.request_id);
        let not_after_ms = asked.not_after.take().as_ref().map(unix_ms);
        let payment_id = id("payment_id", &asked.payment_id)?;
        let new = NewPayment {
            request_key: request_key(&caller, "CreatePaymentIntent", &request_id),
            fingerprint: fingerprint(&asked),
            payment: self.new_payment(payment_id, &mut asked)?,
            not_after_ms,
        };
        let payment = self.payments.create(new).await?;
        let payment = Some(wire::payment(&payment));
        Ok(Response::new(proto::CreatePaymentIntentResponse { payment }))
    }

    async fn confirm_payment(
        &self,
        request: Request<proto::ConfirmPaymentRequest>,
    ) -> Answer<proto::ConfirmPaymentResponse> {
        let caller = Caller::of(&request);
        let asked = request.into_inner();
        let call = Call {
            payment_id: id("payment_id", &asked.payment_id)?,
            request_key: request_key(&caller, "ConfirmPayment", &asked.request_id),
            not_after_ms: asked.not_after.as_ref().map(unix_ms),
        };
        if !sees_everything(&caller) {
            self.visible(&caller, call.payment_id).await?;
        }
        let payment = self.payments.confirm(call).await?;
        let payment = Some(view(&caller, &payment));
        Ok(Response::new(proto::ConfirmPaymentResponse { payment }))
    }

    async fn capture_payment(
        &self,
        request: Request<proto::CapturePaymentRequest>,
    ) -> Answer<proto::CapturePaymentResponse> {
        let caller = Caller::of(&request);
        let asked = request.into_inner();
        let call = Call {
            payment_id: id("payment_id", &asked.payment_id)?,
            request_key: request_key(&caller, "CapturePayment", &asked.request_id),
            not_after_ms: asked.not_after.as_ref().map(unix_ms),
        };
        let payment = Some(wire::payment(&self.payments.capture(call).await?));
        Ok(Response::new(proto::CapturePaymentResponse { payment }))
    }

    async fn cancel_payment(
        &self,
        request: Request<proto::CancelPaymentRequest>,
    ) -> Answer<proto::CancelPaymentResponse> {
        let caller = Caller::of(&request);
        let asked = request.into_inner();
        let payment_id = id("payment_id", &asked.payment_id)?;
        let cancel = Cancel {
            call: Call {
                payment_id,
                request_key: request_key(&caller, "CancelPayment", &asked.request_id),
                not_after_ms: None,
            },
            reason: asked.reason,
            undoes_not_after_ms: asked.undoes_not_after.as_ref().map(unix_ms),
            only_if_unpaid: asked.only_if_unpaid,
        };
        let payment = match self.payments.cancel(cancel).await? {
            Some(payment) => wire::payment(&payment),
            None => wire::tombstone(payment_id, &asked.order_id),
        };
        Ok(Response::new(proto::CancelPaymentResponse { payment: Some(payment) }))
    }

    async fn refund_payment(
        &self,
        request: Request<proto::RefundPaymentRequest>,
    ) -> Answer<proto::RefundPaymentResponse> {
        let caller = Caller::of(&request);
        let mut asked = request.into_inner();
        let request_id = std::mem::take(&mut asked.request_id);
        let refund = AskedRefund {
            payment_id: id("payment_id", &asked.payment_id)?,
            request_key: request_key(&caller, "RefundPayment", &request_id),
            fingerprint: fingerprint(&asked),
            amount: asked.amount.as_ref().map(|amount| money(Some(amount))).transpose()?,
            reason: asked.reason,
        };
        Ok(Response::new(self.payments.refund(refund).await?))
    }

    async fn get_payment(
        &self,
        request: Request<proto::GetPaymentRequest>,
    ) -> Answer<proto::GetPaymentResponse> {
        let caller = Caller::of(&request);
        let payment_id = id("payment_id", &request.get_ref().payment_id)?;
        let payment = self.visible(&caller, payment_id).await?;
        let refunds = self.payments.store().refunds(payment_id).await?;
        Ok(Response::new(proto::GetPaymentResponse {
            payment: Some(view(&caller, &payment)),
            refunds: refunds.iter().map(wire::refund).collect(),
        }))
    }

    async fn list_payments(
        &self,
        request: Request<proto::ListPaymentsRequest>,
    ) -> Answer<proto::ListPaymentsResponse> {
        let caller = Caller::of(&request);
        let asked = request.into_inner();
        let user_id = match optional_id("user_id", &asked.user_id)? {
            Some(user_id) => {
                caller.may_act_for(&user_id)?;
                Some(user_id)
            }
            None if sees_everything(&caller) => None,
            None => Some(caller.user_id()?),
        };
        let Some(states) = wire::states(asked.state()) else {
            return Ok(Response::new(proto::ListPaymentsResponse::default()));
        };
        let order_id = optional_id("order_id", &asked.order_id)?;
        let scope =
            format!("ListPayments/{}/{order_id:?}/{user_id:?}/{}", caller.scope(), asked.state);
        let before: Option<Place> = self.pages.decode(&asked.page_token, &scope)?;
        let size = match usize::try_from(asked.page_size) {
            Ok(size @ 1..) => size,
            Ok(0) | Err(_) => DEFAULT_PAGE_SIZE,
        };
        let filter = Filter { order_id, user_id, states };
        let found = self.payments.store().list(filter, before, size).await?;
        let next_page_token = match &found.next {
            Some(place) => self.pages.encode(place, &scope)?,
            None => String::new(),
        };
        let payments = found.payments.iter().map(|payment| view(&caller, payment)).collect();
        Ok(Response::new(proto::ListPaymentsResponse { payments, next_page_token }))
    }
}

fn sees_everything(caller: &Caller) -> bool {
    caller.has(Role::Staff) || caller.has(Role::Service)
}

fn view(caller: &Caller, payment: &Payment) -> proto::Payment {
    if sees_everything(caller) {
        wire::payment(payment)
    } else {
        wire::payment_for_customer(payment)
    }
}

/// A digest of who asks for what under which id: another caller's same id is unrelated.
fn request_key(caller: &Caller, method: &str, request_id: &str) -> Uuid {
    let name = format!("{}\n{method}\n{request_id}", caller.scope());
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

fn id(field: &'static str, text: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(text).map_err(|_| Error::Field(FieldViolation::new(field, "must be a UUID")))
}

fn optional_id(field: &'static str, text: &str) -> Result<Option<Uuid>, Error> {
    if text.is_empty() { Ok(None) } else { id(field, text).map(Some) }
}

fn money(wire: Option<&WireMoney>) -> Result<Money, Error> {
    let refuse = |problem: String| Error::Field(FieldViolation::new("amount", problem));
    let wire = wire.ok_or_else(|| refuse("is required".to_owned()))?;
    let amount = Money::try_from(wire).map_err(|error| refuse(error.to_string()))?;
    if amount.minor > 0 { Ok(amount) } else { Err(refuse("must be more than nothing".to_owned())) }
}
