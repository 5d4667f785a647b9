//! A shop of two services: a catalog that a test writes, and search.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use souk_mesh::Platform;
use souk_mesh::client::Channel;
use souk_mesh::money::{Currency, Money};
use souk_proto::catalog::v1::catalog_service_server::{CatalogService, CatalogServiceServer};
use souk_proto::catalog::v1::{
    Category, ListCategoriesRequest, ListCategoriesResponse, ListProductsRequest,
    ListProductsResponse, Product,
};
use souk_proto::event::v1::event::Payload;
use souk_proto::event::v1::{Event, ProductUpdated};
use souk_proto::search::v1::search_service_client::SearchServiceClient;
use souk_proto::search::v1::{SearchRequest, SearchResponse, SuggestRequest, Suggestion};
use souk_search::Config;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use uuid::Uuid;

/// Products on a page of the catalog: few, so that there are pages.
const CATALOG_PAGE: usize = 4;
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

pub const KITCHEN: Uuid = Uuid::from_u128(0xa1);
pub const CLOTHING: Uuid = Uuid::from_u128(0xa2);

/// A catalog whose products a test can change.
#[derive(Clone, Default)]
pub struct Catalog {
    pub products: Arc<Mutex<Vec<Product>>>,
}

#[tonic::async_trait]
impl CatalogService for Catalog {
    async fn list_products(
        &self,
        request: Request<ListProductsRequest>,
    ) -> Result<Response<ListProductsResponse>, Status> {
        let request = request.into_inner();
        let from: usize = request.page_token.parse().unwrap_or_default();
        let products = self.products.lock().unwrap();
        let listed = products.iter().filter(|one| request.include_archived || !one.archived);
        let page: Vec<Product> = listed.skip(from).take(CATALOG_PAGE).cloned().collect();
        let next = from + page.len();
        let next_page_token = if next < products.len() { next.to_string() } else { String::new() };
        Ok(Response::new(ListProductsResponse { products: page, next_page_token }))
    }

    async fn list_categories(
        &self,
        _: Request<ListCategoriesRequest>,
    ) -> Result<Response<ListCategoriesResponse>, Status> {
        let category = |id: Uuid, name: &str| Category {
            category_id: id.to_string(),
            name: name.to_owned(),
            ..Category::default()
        };
        let categories = vec![category(KITCHEN, "Kitchen"), category(CLOTHING, "Clothing")];
        Ok(Response::new(ListCategoriesResponse { categories, ..Default::default() }))
    }
}

/// Search, running.
pub struct Shop {
    pub platform: Platform,
    pub search: SearchServiceClient<Channel>,
}

impl Shop {
    /// Opens on `folder`, with a catalog of these products, and waits until all of them can be found.
    pub async fn open(folder: &Path, products: Vec<Product>) -> Self {
        let sold = products.iter().filter(|one| !one.archived).count();
        let catalog = Catalog { products: Arc::new(Mutex::new(products)) };
        let shop = Self::open_with(folder, Some(catalog)).await;
        shop.eventually_sells(sold).await;
        shop
    }

    /// Opens on `folder`, with a catalog or with one that does not answer.
    pub async fn open_with(folder: &Path, catalog: Option<Catalog>) -> Self {
        let platform = Platform::for_tests(folder).for_service("search");
        if let Some(catalog) = catalog {
            let routes = Routes::new(CatalogServiceServer::new(catalog));
            platform.directory.bind_local("catalog", routes);
        }
        let routes = souk_search::start(&platform, Config::default()).await.unwrap();
        platform.directory.bind_local("search", routes);
        let search = SearchServiceClient::new(platform.directory.channel("search"));
        Self { platform, search }
    }

    pub async fn close(self) {
        self.platform.tasks.drain(PATIENCE).await.unwrap();
    }

    pub async fn search(&self, request: SearchRequest) -> Result<SearchResponse, Status> {
        self.search.clone().search(request).await.map(Response::into_inner)
    }

    /// Names found by words, best first.
    pub async fn names(&self, words: &str) -> Vec<String> {
        names(&self.search(typed(words)).await.unwrap())
    }

    pub async fn suggest(&self, words: &str, limit: i32) -> Vec<Suggestion> {
        let request = SuggestRequest { q: words.to_owned(), limit };
        self.search.clone().suggest(request).await.unwrap().into_inner().suggestions
    }

    pub async fn tell(&self, event: Event) {
        self.platform.bus.publish(vec![event]).await.unwrap();
    }

    pub async fn eventually_sells(&self, products: usize) {
        let all = || async { self.search(typed("")).await.unwrap().total };
        eventually(|| async { all().await == products as i64 }).await;
    }

    pub async fn eventually_finds(&self, words: &str, expected: &[&str]) {
        eventually(|| async { self.names(words).await == expected }).await;
    }
}

/// Waits for what is bound to happen.
pub async fn eventually<F: Future<Output = bool>>(mut happened: impl FnMut() -> F) {
    let waiting = async {
        while !happened().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it happens");
}

pub fn typed(words: &str) -> SearchRequest {
    SearchRequest { q: words.to_owned(), page_size: 100, ..SearchRequest::default() }
}

pub fn names(found: &SearchResponse) -> Vec<String> {
    found.hits.iter().map(|hit| hit.product.clone().unwrap().name).collect()
}

pub fn euros(minor: i64) -> souk_proto::google::r#type::Money {
    Money::new(minor, Currency::EUR).into()
}

/// A product of the kitchen; its number makes its id, article number and price.
pub fn product(number: u128, name: &str, description: &str) -> Product {
    Product {
        product_id: Uuid::from_u128(number).to_string(),
        sku: format!("KIT-{}", 1000 + number),
        name: name.to_owned(),
        description: description.to_owned(),
        category_id: KITCHEN.to_string(),
        price: Some(euros(100 * number as i64)),
        available_quantity: Some(5),
        version: 1,
        ..Product::default()
    }
}

/// The event of a product's change.
pub fn told(product: &Product, event_version: i64, in_stock: bool) -> Event {
    let payload = ProductUpdated {
        product: Some(Product { available_quantity: None, ..product.clone() }),
        category_name: "Kitchen".to_owned(),
        in_stock,
    };
    Event {
        event_id: Uuid::now_v7().to_string(),
        r#type: "product.updated".to_owned(),
        aggregate_id: product.product_id.clone(),
        aggregate_version: event_version,
        payload: Some(Payload::Product(payload)),
        ..Event::default()
    }
}

/// Some things that a shop sells.
pub fn shelf() -> Vec<Product> {
    let clothing = |number, name: &str, description: &str| Product {
        category_id: CLOTHING.to_string(),
        sku: format!("CLO-{}", 1000 + number),
        ..product(number, name, description)
    };
    vec![
        product(1, "Stoneware teapot", "Holds one litre, keeps it warm."),
        product(2, "Tea strainer", "Fits any teapot or mug."),
        product(3, "Café mug", "For tea and coffee, 300 ml."),
        product(4, "Thermos flask", "Steel, for the way."),
        product(5, "Cast iron skillet", "Fries and bakes."),
        clothing(6, "Red wool coat", "Warm, with deep pockets."),
        clothing(7, "Rain coat", "Red on one side, yellow on the other."),
        clothing(8, "Linen shirt", "Cool on hot days, like a cup of mint tea."),
    ]
}
