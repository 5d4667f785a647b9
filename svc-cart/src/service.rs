//! `souk.cart.v1.CartService`: wire → domain → wire.

use std::sync::Arc;

use souk_mesh::clock::SharedClock;
use souk_mesh::identity::{Caller, Role};
use souk_proto::cart::v1::cart_service_server::CartService;
use souk_proto::cart::v1::{
    AddItemRequest, AddItemResponse, ClearCartRequest, ClearCartResponse, GetCartRequest,
    GetCartResponse, RemoveItemRequest, RemoveItemResponse, UpdateItemRequest, UpdateItemResponse,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::domain::{Cart, Change, Ordered};
use crate::error::Error;
use crate::pricing::{Pricing, unpriced};
use crate::store::{CartStore, Edit, RequestKey};

/// The service over any store.
pub struct Service {
    store: Arc<dyn CartStore>,
    pricing: Pricing,
    clock: SharedClock,
    lifetime_ms: i64,
}

impl Service {
    /// Puts the parts together.
    pub fn new(
        store: Arc<dyn CartStore>,
        pricing: Pricing,
        clock: SharedClock,
        lifetime_ms: i64,
    ) -> Self {
        Self { store, pricing, clock, lifetime_ms }
    }

    async fn edit(
        &self,
        user_id: Uuid,
        change: Change,
        key: Option<RequestKey>,
    ) -> Result<Cart, Error> {
        let (now_ms, lifetime_ms) = (self.clock.now_ms(), self.lifetime_ms);
        self.store.edit(Edit { user_id, change, key, now_ms, lifetime_ms }).await
    }
}

#[tonic::async_trait]
impl CartService for Service {
    async fn get_cart(
        &self,
        request: Request<GetCartRequest>,
    ) -> Result<Response<GetCartResponse>, Status> {
        let caller = Caller::of(&request);
        let user_id = owner(&caller, &request.get_ref().user_id)?;
        let cart = self.store.cart(user_id, self.clock.now_ms()).await?;
        let cart = self.pricing.price(user_id, cart).await?;
        Ok(Response::new(GetCartResponse { cart: Some(cart) }))
    }

    async fn add_item(
        &self,
        request: Request<AddItemRequest>,
    ) -> Result<Response<AddItemResponse>, Status> {
        let caller = Caller::of(&request);
        let user_id = caller.user_id()?;
        let request = request.into_inner();
        let product_id = uuid(&request.product_id);
        let before = self.store.cart(user_id, self.clock.now_ms()).await?;
        self.pricing.check_sold(&before, product_id).await?;
        let key = RequestKey::if_any(&caller, "AddItem", &request.request_id, &request);
        let change =
            Change::Add { product_id, item_id: Uuid::now_v7(), quantity: request.quantity };
        let cart = self.edit(user_id, change, key).await?;
        let cart = self.pricing.price(user_id, cart).await?;
        Ok(Response::new(AddItemResponse { cart: Some(cart) }))
    }

    async fn update_item(
        &self,
        request: Request<UpdateItemRequest>,
    ) -> Result<Response<UpdateItemResponse>, Status> {
        let caller = Caller::of(&request);
        let user_id = caller.user_id()?;
        let request = request.into_inner();
        let key = RequestKey::if_any(&caller, "UpdateItem", &request.request_id, &request);
        let change = Change::Set { item_id: uuid(&request.item_id), quantity: request.quantity };
        let cart = self.edit(user_id, change, key).await?;
        let cart = self.pricing.price(user_id, cart).await?;
        Ok(Response::new(UpdateItemResponse { cart: Some(cart) }))
    }

    async fn remove_item(
        &self,
        request: Request<RemoveItemRequest>,
    ) -> Result<Response<RemoveItemResponse>, Status> {
        let caller = Caller::of(&request);
        let user_id = caller.user_id()?;
        let request = request.into_inner();
        let key = RequestKey::if_any(&caller, "RemoveItem", &request.request_id, &request);
        let change = Change::Remove { item_id: uuid(&request.item_id) };
        let cart = self.edit(user_id, change, key).await?;
        let cart = self.pricing.price(user_id, cart).await?;
        Ok(Response::new(RemoveItemResponse { cart: Some(cart) }))
    }

    async fn clear_cart(
        &self,
        request: Request<ClearCartRequest>,
    ) -> Result<Response<ClearCartResponse>, Status> {
        let caller = Caller::of(&request);
        let user_id = owner(&caller, &request.get_ref().user_id)?;
        let request = request.into_inner();
        let key = RequestKey::if_any(&caller, "ClearCart", &request.request_id, &request);
        let lines = request
            .lines
            .iter()
            .map(|line| Ordered { product_id: uuid(&line.product_id), quantity: line.quantity });
        let version = (request.cart_version > 0).then_some(request.cart_version);
        let change = Change::Clear { version, lines: lines.collect() };
        let cart = self.edit(user_id, change, key).await?;
        let cart = match caller.has(Role::Service) {
            true => unpriced(user_id, &cart),
            false => self.pricing.price(user_id, cart).await?,
        };
        Ok(Response::new(ClearCartResponse { cart: Some(cart) }))
    }
}

/// Whose cart is meant, once it is clear that the caller may open it.
fn owner(caller: &Caller, named: &str) -> Result<Uuid, Status> {
    if !named.is_empty() {
        let user_id = uuid(named);
        caller.may_act_for(&user_id)?;
        return Ok(user_id);
    }
    if caller.has(Role::Service) {
        return Err(Error::UserRequired.into());
    }
    caller.user_id()
}

/// The contract checks the form of every id before a handler sees it.
fn uuid(text: &str) -> Uuid {
    text.parse().unwrap_or_default()
}
