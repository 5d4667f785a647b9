//! Do and undo serialize on the reservation's id, whatever gets lost, repeated or reordered.

use async_trait::async_trait;
use souk_mesh::testing::do_undo::{self, Participant};
use souk_proto::catalog::v1::{
    CommitReservationRequest, CreateProductRequest, GetInventoryRequest, ReleaseReservationRequest,
    ReserveInventoryRequest, StockLine,
};
use tonic::Status;
use uuid::Uuid;

use crate::grpc::{Client, Shop, euro};
use crate::support::cql::APART;
use crate::support::unique;

const STOCK: i64 = 10;
const WANTED: i32 = 3;

/// Every key has a product of its own, so that its stock shows what was done under that key.
struct Stock {
    shop: Shop,
    category_id: String,
    /// Whether the do goes on to commit.
    commits: bool,
}

impl Stock {
    async fn new(commits: bool) -> Stock {
        Stock::of(Shop::open().await, commits).await
    }

    async fn of(shop: Shop, commits: bool) -> Stock {
        let category_id = shop.category(&unique("things")).await;
        Stock { shop, category_id, commits }
    }

    fn client(&self) -> Client {
        self.shop.service()
    }

    async fn product(&self, key: Uuid) -> String {
        let request = CreateProductRequest {
            request_id: key.to_string(),
            product_id: key.to_string(),
            sku: key.to_string(),
            name: "Thing".into(),
            category_id: self.category_id.clone(),
            price: Some(euro(5)),
            initial_quantity: STOCK,
            ..CreateProductRequest::default()
        };
        self.client().create_product(request).await.unwrap();
        key.to_string()
    }

    async fn counts(&self, key: Uuid) -> (i64, i64) {
        let product_id = self.product(key).await;
        let answer = self.client().get_inventory(GetInventoryRequest { product_id }).await;
        let inventory = answer.unwrap().into_inner().inventory.unwrap();
        (inventory.on_hand, inventory.reserved)
    }
}

#[async_trait]
impl Participant for Stock {
    async fn forward(&self, key: Uuid) -> Result<(), Status> {
        let product_id = self.product(key).await;
        let request = ReserveInventoryRequest {
            request_id: key.to_string(),
            reservation_id: key.to_string(),
            order_id: key.to_string(),
            lines: vec![StockLine { product_id, quantity: WANTED }],
            ..ReserveInventoryRequest::default()
        };
        self.client().reserve_inventory(request).await?;
        if self.commits {
            let request = CommitReservationRequest {
                request_id: key.to_string(),
                reservation_id: key.to_string(),
                not_after: None,
            };
            self.client().commit_reservation(request).await?;
        }
        Ok(())
    }

    async fn undo(&self, key: Uuid) -> Result<(), Status> {
        let request = ReleaseReservationRequest {
            request_id: key.to_string(),
            reservation_id: key.to_string(),
            ..ReleaseReservationRequest::default()
        };
        self.client().release_reservation(request).await.map(|_| ())
    }

    async fn is_clean(&self, key: Uuid) -> bool {
        self.counts(key).await == (STOCK, 0)
    }

    async fn is_done(&self, key: Uuid) -> bool {
        let wanted = i64::from(WANTED);
        let done = if self.commits { (STOCK - wanted, 0) } else { (STOCK, wanted) };
        self.counts(key).await == done
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reserve_and_release_keep_the_contract() {
    do_undo::run(&Stock::new(false).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reserve_with_commit_and_release_keep_the_contract() {
    do_undo::run(&Stock::new(true).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_keep_it_on_cql_too() {
    let Some(config) = APART.config() else { return };
    for commits in [false, true] {
        let shop = Shop::with(config.clone()).await;
        do_undo::run(&Stock::of(shop, commits).await).await;
    }
}
