//! `souk.search.v1.SearchService`: wire → domain → wire. The index is read on threads that may block.

use std::sync::Arc;

use souk_mesh::money::Money;
use souk_mesh::page::{self, Tokens};
use souk_proto::catalog::v1::Product;
use souk_proto::google::r#type::Money as WireMoney;
use souk_proto::search::v1 as proto;
use souk_proto::search::v1::search_service_server::SearchService;
use souk_proto::search::v1::{
    CategoryCount, SearchHit, SearchRequest, SearchResponse, SuggestRequest, SuggestResponse,
};
use tonic::{Request, Response, Status};

use crate::domain::Entry;
use crate::error::Error;
use crate::index::{Filter, ProductIndex, Wanted};

/// Products on a page when the caller names no size, and at most.
const DEFAULT_PAGE_SIZE: u32 = 20;
const MAX_PAGE_SIZE: u32 = 100;
/// Suggestions when the caller names no number, and at most.
const DEFAULT_SUGGESTIONS: u32 = 8;
const MAX_SUGGESTIONS: u32 = 20;

/// The service over an index.
pub struct Service {
    index: Arc<ProductIndex>,
    pages: Tokens,
}

impl Service {
    /// Puts the parts together.
    pub fn new(index: Arc<ProductIndex>, pages: Tokens) -> Self {
        Self { index, pages }
    }

    /// Runs `work` on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ProductIndex) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let index = Arc::clone(&self.index);
        tokio::task::spawn_blocking(move || work(&index)).await?
    }
}

#[tonic::async_trait]
impl SearchService for Service {
    async fn search(
        &self,
        request: Request<SearchRequest>,
    ) -> Result<Response<SearchResponse>, Status> {
        let request = request.into_inner();
        let filter = filter(&request)?;
        let scope = format!("Search {:?} {filter:?}", request.q);
        let limit = page::size(request.page_size, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)?;
        let wanted = Wanted {
            after: self.pages.decode(&request.page_token, &scope)?,
            text: request.q,
            filter,
            limit: limit as usize,
        };
        let found = self.read(move |index| index.search(&wanted)).await?;
        let next_page_token = match found.next {
            Some(cursor) => self.pages.encode(&cursor, &scope)?,
            None => String::new(),
        };
        let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
        let categories = found.categories.into_iter();
        let categories = categories
            .map(|(category_id, found)| CategoryCount { category_id, count: count(found) });
        Ok(Response::new(SearchResponse {
            hits: found.hits.into_iter().map(hit).collect(),
            next_page_token,
            total: count(found.total),
            categories: categories.collect(),
        }))
    }

    async fn suggest(
        &self,
        request: Request<SuggestRequest>,
    ) -> Result<Response<SuggestResponse>, Status> {
        let SuggestRequest { q, limit } = request.into_inner();
        let limit = page::size(limit, DEFAULT_SUGGESTIONS, MAX_SUGGESTIONS)? as usize;
        let suggestions = self.read(move |index| index.suggest(&q, limit)).await?;
        let suggestions = suggestions.into_iter().map(|suggestion| proto::Suggestion {
            text: suggestion.text,
            product_id: suggestion.product_id.map(|id| id.to_string()).unwrap_or_default(),
        });
        Ok(Response::new(SuggestResponse { suggestions: suggestions.collect() }))
    }
}

fn filter(request: &SearchRequest) -> Result<Filter, Error> {
    Ok(Filter {
        // The contract's rules let only UUIDs and nothing through.
        category_id: request.category_id.parse().ok(),
        min_price: price("min_price", request.min_price.as_ref())?,
        max_price: price("max_price", request.max_price.as_ref())?,
        in_stock: request.in_stock,
    })
}

fn price(field: &'static str, wire: Option<&WireMoney>) -> Result<Option<Money>, Error> {
    let price = wire.map(Money::try_from).transpose();
    price.map_err(|source| Error::Price { field, source })
}

/// How many pieces there are is not known here, only whether there are none.
fn hit((entry, score): (Entry, u32)) -> SearchHit {
    let available_quantity = (!entry.in_stock).then_some(0);
    let product = Product { available_quantity, ..entry.product };
    // Scores are small whole numbers, which f32 holds exactly.
    SearchHit { product: Some(product), score: score as f32 }
}
