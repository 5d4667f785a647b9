//! The gRPC service: reads a request, asks the store, answers.

use std::collections::HashSet;
use std::sync::Arc;

use souk_mesh::clock::SharedClock;
use souk_mesh::identity::{Caller, Role};
use souk_mesh::page::{self, Tokens};
use souk_proto::catalog::v1 as proto;
use souk_proto::catalog::v1::catalog_service_server::CatalogService;
use souk_proto::time::{duration_ms, unix_ms};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::domain::{Category, Inventory, Listed};
use crate::error::Error;
use crate::store::{NameCursor, ProductFilter, RequestKey, Store};
use crate::{pictures, requests, wire};

/// How many items a page has when the caller does not say.
const DEFAULT_PAGE: u32 = 50;
/// The most items of a page.
const MAX_PAGE: u32 = 500;

/// The catalog behind its gRPC interface.
pub struct Catalog<S> {
    store: Arc<S>,
    clock: SharedClock,
    pages: Tokens,
}

impl<S: Store> Catalog<S> {
    /// A catalog on a store.
    pub fn new(store: Arc<S>, clock: SharedClock, pages: Tokens) -> Self {
        Self { store, clock, pages }
    }

    async fn product(&self, product_id: &str) -> Result<Listed, Error> {
        let id = requests::id("product_id", product_id)?;
        let found = self.store.products(vec![id]).await?;
        found.into_iter().next().ok_or_else(|| Error::ProductNotFound(vec![id]))
    }

    async fn adjust(
        &self,
        product_id: &str,
        delta: i64,
        key: RequestKey,
    ) -> Result<proto::Inventory, Error> {
        let product_id = requests::id("product_id", product_id)?;
        let now_ms = self.clock.now_ms();
        let inventory = self.store.adjust_inventory(product_id, delta, key, now_ms).await?;
        Ok(wire::inventory(&inventory))
    }

    /// Cuts the row off that was read to see whether there is a next page, and makes that page's token.
    fn next_page<T: Named>(
        &self,
        rows: &mut Vec<T>,
        size: usize,
        scope: &str,
    ) -> Result<String, Status> {
        if rows.len() <= size {
            return Ok(String::new());
        }
        rows.truncate(size);
        let last = rows.last().map(Named::cursor);
        last.map_or_else(|| Ok(String::new()), |cursor| self.pages.encode(&cursor, scope))
    }
}

/// What is listed in order of name.
trait Named {
    fn cursor(&self) -> NameCursor;
}

impl Named for Listed {
    fn cursor(&self) -> NameCursor {
        NameCursor { name: self.product.name.clone(), id: self.product.id }
    }
}

impl Named for Category {
    fn cursor(&self) -> NameCursor {
        NameCursor { name: self.name.clone(), id: self.id }
    }
}

fn page_size(asked: i32) -> Result<usize, Status> {
    page::size(asked, DEFAULT_PAGE, MAX_PAGE).map(|size| size as usize)
}

#[tonic::async_trait]
impl<S: Store> CatalogService for Catalog<S> {
    async fn create_product(
        &self,
        request: Request<proto::CreateProductRequest>,
    ) -> Result<Response<proto::CreateProductResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let key = RequestKey::of(&caller, "CreateProduct", &request.request_id, &request);
        let product = requests::product(request)?;
        let made = self.store.create_product(product, key, self.clock.now_ms()).await?;
        let product = Some(wire::listed(&made));
        Ok(Response::new(proto::CreateProductResponse { product }))
    }

    async fn get_product(
        &self,
        request: Request<proto::GetProductRequest>,
    ) -> Result<Response<proto::GetProductResponse>, Status> {
        let found = self.product(&request.get_ref().product_id).await?;
        let product = Some(wire::listed(&found));
        Ok(Response::new(proto::GetProductResponse { product }))
    }

    async fn get_product_picture(
        &self,
        request: Request<proto::GetProductPictureRequest>,
    ) -> Result<Response<proto::GetProductPictureResponse>, Status> {
        let product = self.product(&request.get_ref().product_id).await?.product;
        let category = self.store.category(product.category_id).await?;
        let content = pictures::svg(&product, &category.slug).into();
        let content_type = String::from("image/svg+xml");
        Ok(Response::new(proto::GetProductPictureResponse { content, content_type }))
    }

    async fn batch_get_products(
        &self,
        request: Request<proto::BatchGetProductsRequest>,
    ) -> Result<Response<proto::BatchGetProductsResponse>, Status> {
        let asked = request.into_inner().product_ids;
        let mut seen = HashSet::with_capacity(asked.len());
        let mut ids: Vec<Uuid> = Vec::with_capacity(asked.len());
        for text in &asked {
            let id = requests::id("product_ids", text)?;
            if seen.insert(id) {
                ids.push(id);
            }
        }
        let found = self.store.products(ids.clone()).await?;
        let known: HashSet<Uuid> = found.iter().map(|listed| listed.product.id).collect();
        let missing = ids.iter().filter(|id| !known.contains(id));
        Ok(Response::new(proto::BatchGetProductsResponse {
            missing_product_ids: missing.map(Uuid::to_string).collect(),
            products: found.iter().map(wire::listed).collect(),
        }))
    }

    async fn list_products(
        &self,
        request: Request<proto::ListProductsRequest>,
    ) -> Result<Response<proto::ListProductsResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let insider = caller.has(Role::Staff) || caller.has(Role::Service);
        let filter = ProductFilter {
            category_id: requests::optional_id("category_id", &request.category_id)?,
            include_archived: request.include_archived && insider,
        };
        let scope = format!("ListProducts {filter:?}");
        let after = self.pages.decode::<NameCursor>(&request.page_token, &scope)?;
        let size = page_size(request.page_size)?;
        let mut found = self.store.list_products(filter, after, size + 1).await?;
        let next_page_token = self.next_page(&mut found, size, &scope)?;
        let products = found.iter().map(wire::listed).collect();
        Ok(Response::new(proto::ListProductsResponse { products, next_page_token }))
    }

    async fn update_product(
        &self,
        request: Request<proto::UpdateProductRequest>,
    ) -> Result<Response<proto::UpdateProductResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let key = RequestKey::if_any(&caller, "UpdateProduct", &request.request_id, &request);
        let id = requests::id("product_id", &request.product_id)?;
        let etag = Some(request.etag.clone()).filter(|etag| !etag.is_empty());
        let patch = requests::patch(request)?;
        let now_ms = self.clock.now_ms();
        let updated = self.store.update_product(id, patch, etag, key, now_ms).await?;
        let product = Some(wire::listed(&updated));
        Ok(Response::new(proto::UpdateProductResponse { product }))
    }

    async fn list_categories(
        &self,
        request: Request<proto::ListCategoriesRequest>,
    ) -> Result<Response<proto::ListCategoriesResponse>, Status> {
        const SCOPE: &str = "ListCategories";
        let request = request.into_inner();
        let after = self.pages.decode::<NameCursor>(&request.page_token, SCOPE)?;
        let size = page_size(request.page_size)?;
        let mut found = self.store.list_categories(after, size + 1).await?;
        let next_page_token = self.next_page(&mut found, size, SCOPE)?;
        let categories = found.iter().map(wire::category).collect();
        Ok(Response::new(proto::ListCategoriesResponse { categories, next_page_token }))
    }

    async fn create_category(
        &self,
        request: Request<proto::CreateCategoryRequest>,
    ) -> Result<Response<proto::CreateCategoryResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let key = RequestKey::if_any(&caller, "CreateCategory", &request.request_id, &request);
        let category = requests::category(request, self.clock.now_ms())?;
        let made = self.store.create_category(category, key).await?;
        let category = Some(wire::category(&made));
        Ok(Response::new(proto::CreateCategoryResponse { category }))
    }

    async fn get_inventory(
        &self,
        request: Request<proto::GetInventoryRequest>,
    ) -> Result<Response<proto::GetInventoryResponse>, Status> {
        let id = requests::id("product_id", &request.get_ref().product_id)?;
        let inventory: Inventory = self.store.inventory(id).await?;
        let inventory = Some(wire::inventory(&inventory));
        Ok(Response::new(proto::GetInventoryResponse { inventory }))
    }

    async fn adjust_inventory(
        &self,
        request: Request<proto::AdjustInventoryRequest>,
    ) -> Result<Response<proto::AdjustInventoryResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        if request.delta == 0 {
            return Err(Error::field("delta", "must not be 0").into());
        }
        let key = RequestKey::of(&caller, "AdjustInventory", &request.request_id, &request);
        let inventory = Some(self.adjust(&request.product_id, request.delta, key).await?);
        Ok(Response::new(proto::AdjustInventoryResponse { inventory }))
    }

    async fn restock(
        &self,
        request: Request<proto::RestockRequest>,
    ) -> Result<Response<proto::RestockResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let key = RequestKey::of(&caller, "Restock", &request.request_id, &request);
        let delta = i64::from(request.quantity);
        let inventory = Some(self.adjust(&request.product_id, delta, key).await?);
        Ok(Response::new(proto::RestockResponse { inventory }))
    }

    async fn reserve_inventory(
        &self,
        request: Request<proto::ReserveInventoryRequest>,
    ) -> Result<Response<proto::ReserveInventoryResponse>, Status> {
        let hold = requests::hold(request.into_inner())?;
        let held = self.store.reserve(hold, self.clock.now_ms()).await?;
        let reservation = Some(wire::reservation(&held));
        Ok(Response::new(proto::ReserveInventoryResponse { reservation }))
    }

    async fn extend_reservation(
        &self,
        request: Request<proto::ExtendReservationRequest>,
    ) -> Result<Response<proto::ExtendReservationResponse>, Status> {
        let request = request.into_inner();
        let id = requests::id("reservation_id", &request.reservation_id)?;
        let hold_ms = requests::hold_ms(request.hold.as_ref().map_or(0, duration_ms))?;
        let held = self.store.extend(id, hold_ms, self.clock.now_ms()).await?;
        let reservation = Some(wire::reservation(&held));
        Ok(Response::new(proto::ExtendReservationResponse { reservation }))
    }

    async fn commit_reservation(
        &self,
        request: Request<proto::CommitReservationRequest>,
    ) -> Result<Response<proto::CommitReservationResponse>, Status> {
        let request = request.into_inner();
        let id = requests::id("reservation_id", &request.reservation_id)?;
        let not_after_ms = request.not_after.as_ref().map(unix_ms);
        let sold = self.store.commit(id, not_after_ms, self.clock.now_ms()).await?;
        let reservation = Some(wire::reservation(&sold));
        Ok(Response::new(proto::CommitReservationResponse { reservation }))
    }

    async fn release_reservation(
        &self,
        request: Request<proto::ReleaseReservationRequest>,
    ) -> Result<Response<proto::ReleaseReservationResponse>, Status> {
        let release = requests::release(request.into_inner())?;
        let released = self.store.release(release, self.clock.now_ms()).await?;
        let reservation = Some(wire::reservation(&released));
        Ok(Response::new(proto::ReleaseReservationResponse { reservation }))
    }
}
