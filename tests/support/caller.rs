//! Callers of the shop: customers, staff, strangers, each over a way that survives the shop's restarts.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use souk_mesh::client::Bearer;
use souk_proto::cart::v1::cart_service_client::CartServiceClient;
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use souk_proto::catalog::v1::{GetInventoryRequest, Inventory, ListProductsRequest, Product};
use souk_proto::google::r#type::Money;
use souk_proto::order::v1::order_service_client::OrderServiceClient;
use souk_proto::order::v1::{
    CancelOrderRequest, GetOrderRequest, Order, OrderState, PlaceOrderLine, PlaceOrderRequest,
    PlaceOrderResponse,
};
use souk_proto::payment::v1::payment_service_client::PaymentServiceClient;
use souk_proto::user::v1::user_service_client::UserServiceClient;
use souk_proto::user::v1::{PostalAddress, RegisterRequest};
use souk_proto::workflow::v1::workflow_service_client::WorkflowServiceClient;
use souk_proto::workflow::v1::{DescribeWorkflowRequest, WorkflowState};
use tonic::Status;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

/// How long a call may go unanswered: an order is answered after 2 s, however it stands.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Products of the demonstration shop, and some.
const ALL_PRODUCTS: i32 = 500;

/// A port that only the system could take.
const NOWHERE: &str = "http://127.0.0.1:1";

/// The way to a port of the shop, wherever it is now.
#[derive(Clone)]
pub struct Way(Arc<RwLock<(String, Channel)>>);

impl Way {
    /// The way to `url`.
    pub fn new(url: &str) -> Self {
        Self(Arc::new(RwLock::new((url.to_owned(), connection(url)))))
    }

    /// From now on, the way to `url`.
    pub fn lead_to(&self, url: &str) {
        *self.0.write().unwrap() = (url.to_owned(), connection(url));
    }

    /// From now on, the way to a port on which nobody ever listens.
    pub fn lead_nowhere(&self) {
        self.lead_to(NOWHERE);
    }

    /// Where it leads, `http://host:port`.
    pub fn url(&self) -> String {
        self.0.read().unwrap().0.clone()
    }

    /// A connection there, made when it is first used.
    pub fn channel(&self) -> Channel {
        self.0.read().unwrap().1.clone()
    }
}

fn connection(url: &str) -> Channel {
    Endpoint::from_shared(url.to_owned()).unwrap().timeout(ANSWER_LIMIT).connect_lazy()
}

/// A connection with a token.
pub type Signed = InterceptedService<Channel, Bearer>;

/// Somebody who calls the shop.
#[derive(Clone)]
pub struct Caller {
    way: Way,
    bearer: Bearer,
    /// UUID of a customer; empty for others.
    pub user_id: String,
    /// E-mail of a customer; empty for others.
    pub email: String,
}

impl Caller {
    /// A new customer.
    pub async fn register(way: &Way) -> Self {
        let id = Uuid::new_v4();
        let email = format!("{}@souk.example", id.simple());
        let request = RegisterRequest {
            request_id: id.to_string(),
            email: email.clone(),
            password: id.to_string(),
            display_name: "A Customer".to_owned(),
        };
        let registered = Self::stranger(way).users().register(request).await.unwrap().into_inner();
        let user_id = registered.user.unwrap().user_id;
        Self { user_id, email, ..Self::with_token(way, &registered.access_token) }
    }

    /// Somebody without a token.
    pub fn stranger(way: &Way) -> Self {
        Self {
            way: way.clone(),
            bearer: Bearer::none(),
            user_id: String::new(),
            email: String::new(),
        }
    }

    /// Who has `token`.
    pub fn with_token(way: &Way, token: &str) -> Self {
        let bearer = Bearer::new(token).unwrap();
        Self { bearer, ..Self::stranger(way) }
    }

    /// The same person by another way.
    pub fn by(&self, way: &Way) -> Self {
        Self { way: way.clone(), ..self.clone() }
    }

    /// A connection that shows the caller's token.
    pub fn signed(&self) -> Signed {
        InterceptedService::new(self.way.channel(), self.bearer.clone())
    }

    pub fn users(&self) -> UserServiceClient<Signed> {
        UserServiceClient::new(self.signed())
    }

    pub fn catalog(&self) -> CatalogServiceClient<Signed> {
        CatalogServiceClient::new(self.signed())
    }

    pub fn carts(&self) -> CartServiceClient<Signed> {
        CartServiceClient::new(self.signed())
    }

    pub fn orders(&self) -> OrderServiceClient<Signed> {
        OrderServiceClient::new(self.signed())
    }

    pub fn payments(&self) -> PaymentServiceClient<Signed> {
        PaymentServiceClient::new(self.signed())
    }

    pub fn workflows(&self) -> WorkflowServiceClient<Signed> {
        WorkflowServiceClient::new(self.signed())
    }

    /// All products.
    pub async fn products(&self) -> Vec<Product> {
        let request = ListProductsRequest { page_size: ALL_PRODUCTS, ..Default::default() };
        self.catalog().list_products(request).await.unwrap().into_inner().products
    }

    /// Some product of which there is plenty.
    pub async fn product(&self) -> Product {
        let products = self.products().await;
        products.into_iter().max_by_key(|product| product.available_quantity).unwrap()
    }

    /// The stock of a product.
    pub async fn stock(&self, product_id: &str) -> Inventory {
        let request = GetInventoryRequest { product_id: product_id.to_owned() };
        let answer = self.catalog().get_inventory(request).await.unwrap();
        answer.into_inner().inventory.unwrap()
    }

    /// An order of `lines`, not sent yet.
    pub fn order(&self, payment_token: &str, lines: &[(&Product, i32)]) -> PlaceOrderRequest {
        PlaceOrderRequest {
            request_id: Uuid::new_v4().to_string(),
            shipping_address: Some(address()),
            payment_token: payment_token.to_owned(),
            expected_total: Some(total(lines)),
            email: self.email.clone(),
            lines: self::lines(lines),
            ..Default::default()
        }
    }

    /// What PlaceOrder answers.
    pub async fn place(&self, request: PlaceOrderRequest) -> Result<PlaceOrderResponse, Status> {
        self.orders().place_order(request).await.map(tonic::Response::into_inner)
    }

    /// An order as it stands.
    pub async fn read(&self, order_id: &str) -> Order {
        let request = GetOrderRequest { order_id: order_id.to_owned() };
        self.orders().get_order(request).await.unwrap().into_inner().order.unwrap()
    }

    /// An order once it is in `state`.
    pub async fn until(&self, order_id: &str, state: OrderState) -> Order {
        super::eventually(&format!("order {order_id} is {state:?}"), async || {
            Some(self.read(order_id).await).filter(|order| order.state() == state)
        })
        .await
    }

    /// What CancelOrder answers.
    pub async fn cancel(&self, order_id: &str) -> Result<Order, Status> {
        let request = CancelOrderRequest {
            request_id: Uuid::new_v4().to_string(),
            order_id: order_id.to_owned(),
            reason: "changed my mind".to_owned(),
        };
        self.orders().cancel_order(request).await.map(|answer| answer.into_inner().order.unwrap())
    }

    /// Where an order's run stands; staff and services only.
    pub async fn run_state(&self, order_id: &str) -> WorkflowState {
        let request = DescribeWorkflowRequest {
            workflow_id: format!("order/{order_id}"),
            ..Default::default()
        };
        let answer = self.workflows().describe_workflow(request).await.unwrap().into_inner();
        answer.workflow.unwrap().summary.unwrap().state()
    }
}

/// One piece of `product`.
pub fn one(product: &Product) -> [(&Product, i32); 1] {
    [(product, 1)]
}

/// What to buy, as it goes over the wire.
pub fn lines(lines: &[(&Product, i32)]) -> Vec<PlaceOrderLine> {
    let line = |(product, quantity): &(&Product, i32)| PlaceOrderLine {
        product_id: product.product_id.clone(),
        quantity: *quantity,
    };
    lines.iter().map(line).collect()
}

/// What `lines` cost.
fn total(lines: &[(&Product, i32)]) -> Money {
    let mut sum: Option<souk_mesh::money::Money> = None;
    for (product, quantity) in lines {
        let price = souk_mesh::money::Money::try_from(product.price.as_ref().unwrap()).unwrap();
        let line = price.checked_mul(u32::try_from(*quantity).unwrap()).unwrap();
        sum = Some(sum.map_or(line, |sum| sum.checked_add(line).unwrap()));
    }
    sum.unwrap().into()
}

/// Where parcels go.
pub fn address() -> PostalAddress {
    PostalAddress {
        recipient: "A Customer".to_owned(),
        line1: "1 Market Street".to_owned(),
        city: "Lisbon".to_owned(),
        postal_code: "1100-053".to_owned(),
        country: "PT".to_owned(),
        ..Default::default()
    }
}
