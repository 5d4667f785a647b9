//! Compares the index with the catalog: fills it when it is new, and finds what events could not tell, such
//! as those from before the first subscription.

use std::collections::HashMap;
use std::time::Duration;

use souk_mesh::client::Channel;
use souk_mesh::clock::SharedClock;
use souk_mesh::tasks::Tasks;
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use souk_proto::catalog::v1::{ListCategoriesRequest, ListProductsRequest, Product};

use crate::domain::{News, Source};
use crate::error::Error;
use crate::indexer::Indexer;

/// Products or categories asked for at once.
const PAGE_SIZE: i32 = 500;
/// More pages than this are no catalog: ten million products.
const MAX_PAGES: usize = 20_000;
/// Pause after the catalog did not answer, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Compares index and catalog.
pub struct Comparison {
    /// Where the catalog is asked.
    pub catalog: CatalogServiceClient<Channel>,
    /// Where differences are brought.
    pub indexer: Indexer,
    /// The time.
    pub clock: SharedClock,
    /// Pause between two comparisons.
    pub every: Duration,
}

impl Comparison {
    /// Compares now and again, until the process drains.
    pub fn spawn(self, tasks: &Tasks) {
        let stop = tasks.token();
        tasks.spawn("search-comparison", async move {
            stop.run_until_cancelled(self.run()).await;
        });
    }

    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.compare().await {
                Ok(products) => {
                    tracing::info!(products, "the search index holds what the catalog holds");
                    pause = FIRST_PAUSE;
                    tokio::time::sleep(self.every).await;
                }
                Err(error) => {
                    tracing::info!(%error, "index and catalog could not be compared, trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Brings the whole catalog to the indexer, page by page: says how many products there are.
    async fn compare(&self) -> Result<usize, Error> {
        let categories = self.categories().await?;
        let mut page_token = String::new();
        let mut products = 0;
        for _ in 0..MAX_PAGES {
            let asked_ms = self.clock.now_ms();
            let request = ListProductsRequest {
                page_size: PAGE_SIZE,
                page_token,
                // Events of their end may have been missed.
                include_archived: true,
                ..ListProductsRequest::default()
            };
            let page = self.catalog.clone().list_products(request).await.map_err(Error::Catalog)?;
            let page = page.into_inner();
            products += page.products.len();
            let news = page.products.into_iter();
            let news = news.filter_map(|product| listed(product, &categories, asked_ms));
            self.indexer.bring(news.collect()).await?;
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(products);
            }
        }
        Err(Error::EndlessCatalog(MAX_PAGES))
    }

    /// Names by category id.
    async fn categories(&self) -> Result<HashMap<String, String>, Error> {
        let mut names = HashMap::new();
        let mut page_token = String::new();
        for _ in 0..MAX_PAGES {
            let request = ListCategoriesRequest { page_size: PAGE_SIZE, page_token };
            let page =
                self.catalog.clone().list_categories(request).await.map_err(Error::Catalog)?;
            let page = page.into_inner();
            names.extend(page.categories.into_iter().map(|one| (one.category_id, one.name)));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(names);
            }
        }
        Err(Error::EndlessCatalog(MAX_PAGES))
    }
}

fn listed(product: Product, categories: &HashMap<String, String>, asked_ms: i64) -> Option<News> {
    let category_name = categories.get(&product.category_id).cloned().unwrap_or_default();
    let in_stock = product.available_quantity.unwrap_or_default() > 0;
    let news = News::new(product, category_name, in_stock, Source::Listing { asked_ms });
    news.inspect_err(|error| tracing::warn!(%error, "a product cannot be indexed")).ok()
}
