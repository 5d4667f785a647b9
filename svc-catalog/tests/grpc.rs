//! The catalog as callers meet it: behind the mesh's server stack, in process.

use std::sync::Arc;

use prost_types::FieldMask;
use souk_catalog::{Config, seed};
use souk_mesh::client::Channel;
use souk_mesh::clock::ManualClock;
use souk_mesh::error::{metadata_of, reason_of, violations_of};
use souk_mesh::identity::Role;
use souk_mesh::platform::Platform;
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use souk_proto::catalog::v1::*;
use souk_proto::google::r#type::Money;
use souk_proto::time::{duration, timestamp};
use tempfile::TempDir;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::support::NOW;

/// How long a token of a test is good.
const HOUR: std::time::Duration = std::time::Duration::from_secs(3_600);

pub type Client = CatalogServiceClient<Channel>;

/// A running catalog.
pub struct Shop {
    platform: Platform,
    clock: ManualClock,
    _folder: TempDir,
}

pub fn euro(units: i64) -> Money {
    Money { currency_code: "EUR".into(), units, nanos: 0 }
}

fn id() -> String {
    Uuid::new_v4().to_string()
}

impl Shop {
    pub async fn open() -> Shop {
        Shop::with(Config::default()).await
    }

    pub async fn with(config: Config) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(NOW);
        let platform = Platform::for_tests_at(folder.path(), Arc::new(clock.clone()));
        let routes = souk_catalog::start(&platform, config).await.unwrap();
        platform.directory.bind_local(souk_catalog::NAME, routes);
        Shop { platform, clock, _folder: folder }
    }

    /// A client that calls as a service of the shop.
    pub fn service(&self) -> Client {
        Client::new(self.platform.directory.for_service("order").channel(souk_catalog::NAME))
    }

    /// A client that calls as nobody.
    fn nobody(&self) -> Client {
        Client::new(self.platform.directory.forwarding_channel(souk_catalog::NAME))
    }

    pub async fn category(&self, slug: &str) -> String {
        let request = CreateCategoryRequest {
            slug: slug.into(),
            name: slug.into(),
            ..CreateCategoryRequest::default()
        };
        let answer = self.service().create_category(request).await.unwrap().into_inner();
        answer.category.unwrap().category_id
    }

    /// A product of which there are so many.
    async fn stocked(&self, initial_quantity: i64) -> Product {
        let category_id = self.category(&format!("c-{}", Uuid::new_v4().simple())).await;
        let request = CreateProductRequest { initial_quantity, ..new_product(&category_id) };
        let answer = self.service().create_product(request).await.unwrap();
        answer.into_inner().product.unwrap()
    }
}

fn new_product(category_id: &str) -> CreateProductRequest {
    CreateProductRequest {
        request_id: id(),
        sku: id(),
        name: "Thing".into(),
        category_id: category_id.into(),
        price: Some(euro(5)),
        ..CreateProductRequest::default()
    }
}

fn reserve(product_id: &str, quantity: i32) -> ReserveInventoryRequest {
    ReserveInventoryRequest {
        request_id: id(),
        reservation_id: id(),
        order_id: id(),
        lines: vec![StockLine { product_id: product_id.into(), quantity }],
        ..ReserveInventoryRequest::default()
    }
}

fn told(status: &Status) -> (Code, String) {
    (status.code(), reason_of(status).unwrap_or_default())
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    told(&answer.unwrap_err())
}

#[tokio::test]
async fn products_are_made_read_and_changed() {
    let shop = Shop::open().await;
    let made = shop.stocked(7).await;
    assert_eq!((made.available_quantity, made.version), (Some(7), 1));
    let get = GetProductRequest { product_id: made.product_id.clone() };
    let read = shop.nobody().get_product(get.clone()).await.unwrap().into_inner().product.unwrap();
    assert_eq!(read, made);

    let update = UpdateProductRequest {
        product_id: made.product_id.clone(),
        name: "Better thing".into(),
        description: "not in the mask".into(),
        price: Some(euro(6)),
        update_mask: Some(FieldMask { paths: vec!["name".into(), "price".into()] }),
        etag: made.etag.clone(),
        ..UpdateProductRequest::default()
    };
    let updated = shop.service().update_product(update.clone()).await.unwrap().into_inner();
    let updated = updated.product.unwrap();
    assert_eq!((updated.name.as_str(), updated.description.as_str()), ("Better thing", ""));
    assert_eq!((updated.price.clone(), updated.version), (Some(euro(6)), 2));

    let stale = UpdateProductRequest { name: "Stale".into(), ..update.clone() };
    let refused = shop.service().update_product(stale).await.unwrap_err();
    assert_eq!(told(&refused), (Code::Aborted, "ETAG_MISMATCH".into()));
    assert_eq!(metadata_of(&refused, "etag"), Some(updated.etag.clone()));
    let read = shop.nobody().get_product(get).await.unwrap().into_inner().product.unwrap();
    assert_eq!(read, updated);

    let mask = |path: &str| Some(FieldMask { paths: vec![path.into()] });
    for (path, field) in [("stock", "update_mask"), ("name", "name")] {
        let bad = UpdateProductRequest {
            name: String::new(),
            etag: String::new(),
            update_mask: mask(path),
            ..update.clone()
        };
        let refused = shop.service().update_product(bad).await.unwrap_err();
        assert_eq!(told(&refused), (Code::InvalidArgument, "INVALID_FIELDS".into()));
        assert_eq!(violations_of(&refused)[0].field, field);
    }
}

#[tokio::test]
async fn a_batch_names_what_is_unknown() {
    let shop = Shop::open().await;
    let (one, two) = (shop.stocked(1).await, shop.stocked(2).await);
    let unknown = id();
    let product_ids = vec![
        two.product_id.clone(),
        unknown.clone(),
        one.product_id.clone(),
        two.product_id.clone(),
    ];
    let batch = BatchGetProductsRequest { product_ids };
    let answer = shop.nobody().batch_get_products(batch).await.unwrap().into_inner();
    assert_eq!(answer.products, [two, one]);
    assert_eq!(answer.missing_product_ids, [unknown]);

    let too_many = BatchGetProductsRequest { product_ids: (0..201).map(|_| id()).collect() };
    assert_eq!(refusal(shop.nobody().batch_get_products(too_many).await).0, Code::InvalidArgument);
}

#[tokio::test]
async fn pages_lead_through_all_products_and_their_tokens_are_sealed() {
    let shop = Shop::with(Config { seed: true, ..Config::default() }).await;
    let kitchen = seed::category_id("kitchen").to_string();
    let mut list = ListProductsRequest { page_size: 4, category_id: kitchen, ..Default::default() };
    let mut names = Vec::new();
    let second = loop {
        let page = shop.nobody().list_products(list.clone()).await.unwrap().into_inner();
        assert!(page.products.len() <= 4);
        names.extend(page.products.into_iter().map(|product| product.name));
        if page.next_page_token.is_empty() {
            break list.page_token.clone();
        }
        list.page_token = page.next_page_token;
    };
    assert_eq!(names.len(), 11);
    assert!(names.is_sorted());

    for forged in [format!("{second}x"), "nonsense".into()] {
        let request = ListProductsRequest { page_token: forged, ..list.clone() };
        let refused = refusal(shop.nobody().list_products(request).await);
        assert_eq!(refused, (Code::InvalidArgument, "INVALID_PAGE_TOKEN".into()));
    }
    let other_list = ListProductsRequest { page_token: second, ..Default::default() };
    let refused = refusal(shop.nobody().list_products(other_list).await);
    assert_eq!(refused, (Code::InvalidArgument, "INVALID_PAGE_TOKEN".into()));

    let categories = ListCategoriesRequest { page_size: 5, ..Default::default() };
    let page = shop.nobody().list_categories(categories).await.unwrap().into_inner();
    assert_eq!(page.categories.len(), 5);
    let rest = ListCategoriesRequest { page_size: 5, page_token: page.next_page_token };
    let page = shop.nobody().list_categories(rest).await.unwrap().into_inner();
    assert_eq!((page.categories.len(), page.next_page_token.as_str()), (1, ""));
}

#[tokio::test]
async fn a_product_has_a_picture() {
    let shop = Shop::with(Config { seed: true, ..Config::default() }).await;
    let product_id = seed::product_id("sage-stoneware-mug").to_string();
    let picture = GetProductPictureRequest { product_id: product_id.clone() };
    let answer = shop.nobody().get_product_picture(picture).await.unwrap().into_inner();
    assert_eq!(answer.content_type, "image/svg+xml");
    assert!(answer.content.starts_with(b"<svg "));
    let get = GetProductRequest { product_id: product_id.clone() };
    let product = shop.nobody().get_product(get).await.unwrap().into_inner().product.unwrap();
    assert_eq!(product.picture, format!("/pictures/{product_id}.svg"));
}

#[tokio::test]
async fn what_is_unknown_is_not_found() {
    let shop = Shop::open().await;
    let product_id = id();
    let not_found = (Code::NotFound, String::from("PRODUCT_NOT_FOUND"));
    let get = GetProductRequest { product_id: product_id.clone() };
    let refused = shop.nobody().get_product(get).await.unwrap_err();
    assert_eq!(told(&refused), not_found);
    assert_eq!(metadata_of(&refused, "product_ids"), Some(product_id.clone()));
    let inventory = GetInventoryRequest { product_id: product_id.clone() };
    assert_eq!(refusal(shop.nobody().get_inventory(inventory).await), not_found);
    let reserve = reserve(&product_id, 1);
    assert_eq!(refusal(shop.service().reserve_inventory(reserve).await), not_found);
    let commit = CommitReservationRequest {
        request_id: id(),
        reservation_id: id(),
        ..CommitReservationRequest::default()
    };
    let refused = refusal(shop.service().commit_reservation(commit).await);
    assert_eq!(refused, (Code::NotFound, "RESERVATION_NOT_FOUND".into()));
    let refused = refusal(shop.service().create_product(new_product(&id())).await);
    assert_eq!(refused, (Code::NotFound, "CATEGORY_NOT_FOUND".into()));
}

#[tokio::test]
async fn malformed_wishes_are_refused_by_field_and_hold_nothing() {
    let shop = Shop::open().await;
    let product = shop.stocked(5).await.product_id;
    let good = reserve(&product, 1);
    let bad = [
        reserve(&product, -1),
        reserve(&product, 0),
        reserve("not-an-id", 1),
        ReserveInventoryRequest { lines: Vec::new(), ..good.clone() },
        ReserveInventoryRequest { reservation_id: String::new(), ..good.clone() },
        ReserveInventoryRequest { hold: Some(duration(0)), ..good.clone() },
        ReserveInventoryRequest { hold: Some(duration(90_000_000)), ..good.clone() },
        ReserveInventoryRequest { product_id: product.clone(), quantity: 0, ..good.clone() },
    ];
    for request in bad {
        let refused = shop.service().reserve_inventory(request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{request:?}");
        assert!(!violations_of(&refused).is_empty(), "{request:?}: {refused:?}");
    }
    let free = CreateProductRequest { price: Some(euro(0)), ..new_product(&id()) };
    assert_eq!(refusal(shop.service().create_product(free).await).0, Code::InvalidArgument);
    let strange = Money { currency_code: "XXQ".into(), units: 1, nanos: 0 };
    let strange = CreateProductRequest { price: Some(strange), ..new_product(&id()) };
    let refused = shop.service().create_product(strange).await.unwrap_err();
    assert_eq!(violations_of(&refused)[0].field, "price");
    let nothing = AdjustInventoryRequest {
        request_id: id(),
        product_id: product.clone(),
        ..AdjustInventoryRequest::default()
    };
    assert_eq!(refusal(shop.service().adjust_inventory(nothing).await).0, Code::InvalidArgument);

    let inventory = GetInventoryRequest { product_id: product };
    let inventory = shop.nobody().get_inventory(inventory).await.unwrap().into_inner();
    assert_eq!(inventory.inventory.unwrap().available, 5);
}

#[tokio::test]
async fn customers_do_not_touch_stock() {
    let shop = Shop::open().await;
    let product = shop.stocked(5).await.product_id;
    let refused = refusal(shop.nobody().reserve_inventory(reserve(&product, 1)).await);
    assert_eq!(refused.0, Code::Unauthenticated);
}

#[tokio::test]
async fn lines_of_one_product_add_up_and_sold_out_names_it() {
    let shop = Shop::open().await;
    let product = shop.stocked(5).await.product_id;
    let mut wish = reserve(&product, 3);
    wish.lines.push(StockLine { product_id: product.clone(), quantity: 3 });
    let refused = shop.service().reserve_inventory(wish.clone()).await.unwrap_err();
    assert_eq!(told(&refused), (Code::FailedPrecondition, "SOLD_OUT".into()));
    let facts = ["product_id", "available", "requested"].map(|key| metadata_of(&refused, key));
    assert_eq!(facts.map(Option::unwrap), [product.clone(), "5".into(), "6".into()]);

    wish.lines.pop();
    wish.product_id = product.clone();
    wish.quantity = 2;
    let held = shop.service().reserve_inventory(wish.clone()).await.unwrap().into_inner();
    let held = held.reservation.unwrap();
    assert_eq!(held.lines, [StockLine { product_id: product, quantity: 5 }]);
    assert_eq!(held.state(), ReservationState::Held);

    let other = ReserveInventoryRequest { quantity: 1, ..wish };
    let refused = refusal(shop.service().reserve_inventory(other).await);
    assert_eq!(refused, (Code::InvalidArgument, "RESERVATION_ID_REUSED".into()));
}

#[tokio::test]
async fn a_reservation_lives_by_the_clock() {
    let shop = Shop::open().await;
    let product = shop.stocked(5).await.product_id;
    let wish = ReserveInventoryRequest {
        hold: Some(duration(1_000)),
        not_after: Some(timestamp(NOW + 500)),
        ..reserve(&product, 5)
    };
    let held = shop.service().reserve_inventory(wish.clone()).await.unwrap().into_inner();
    assert_eq!(held.reservation.unwrap().expire_time, Some(timestamp(NOW + 1_000)));
    shop.clock.advance_ms(600);
    let late = ReserveInventoryRequest { reservation_id: id(), ..wish.clone() };
    let refused = refusal(shop.service().reserve_inventory(late).await);
    assert_eq!(refused, (Code::FailedPrecondition, "TOO_LATE".into()));

    let extend = ExtendReservationRequest {
        request_id: id(),
        reservation_id: wish.reservation_id.clone(),
        hold: Some(duration(1_000)),
    };
    let extended = shop.service().extend_reservation(extend).await.unwrap().into_inner();
    assert_eq!(extended.reservation.unwrap().expire_time, Some(timestamp(NOW + 1_600)));

    let release = ReleaseReservationRequest {
        request_id: id(),
        reservation_id: wish.reservation_id.clone(),
        ..ReleaseReservationRequest::default()
    };
    let released = shop.service().release_reservation(release).await.unwrap().into_inner();
    assert_eq!(released.reservation.unwrap().state(), ReservationState::Released);
    let refused = refusal(shop.service().reserve_inventory(wish).await);
    assert_eq!(refused, (Code::FailedPrecondition, "UNDONE".into()));
}

#[tokio::test]
async fn stock_is_corrected_once_per_request_id() {
    let shop = Shop::open().await;
    let product = shop.stocked(5).await.product_id;
    let restock = RestockRequest {
        request_id: id(),
        product_id: product.clone(),
        quantity: 2,
        ..RestockRequest::default()
    };
    for _ in 0..2 {
        let answer = shop.service().restock(restock.clone()).await.unwrap().into_inner();
        assert_eq!(answer.inventory.unwrap().on_hand, 7);
    }
    let other = RestockRequest { quantity: 3, ..restock.clone() };
    let refused = refusal(shop.service().restock(other).await);
    assert_eq!(refused, (Code::InvalidArgument, "REQUEST_ID_REUSED".into()));

    let take = AdjustInventoryRequest {
        request_id: restock.request_id,
        product_id: product,
        delta: -8,
        reason: String::new(),
    };
    let refused = refusal(shop.service().adjust_inventory(take).await);
    assert_eq!(refused, (Code::FailedPrecondition, "STOCK_NEGATIVE".into()));
}

#[tokio::test]
async fn what_is_not_built_says_so() {
    let shop = Shop::open().await;
    let mut archive = tonic::Request::new(ArchiveProductRequest {
        product_id: id(),
        ..ArchiveProductRequest::default()
    });
    let token = shop.platform.keys.signer.sign(&id(), Role::Staff, HOUR, NOW).unwrap();
    let credentials = format!("Bearer {token}").parse().unwrap();
    archive.metadata_mut().insert("authorization", credentials);
    let refused = refusal(shop.nobody().archive_product(archive).await);
    assert_eq!(refused, (Code::Unimplemented, "NOT_BUILT".into()));
}
