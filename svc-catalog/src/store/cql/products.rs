//! Products: made, changed, found and listed.
//!
//! A creation claims its request id and its article number first; each claim names the product, so a creation that was
//! cut off is finished by its repeat, under the same id. Somebody else who wants the number first makes sure that the
//! product can never come about any more, and takes the claim over.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use souk_mesh::cql::Error as CqlError;
use uuid::Uuid;

use super::READ_AT_ONCE;
use super::categories::Categories;
use super::claims::{Claimed, Claims};
use super::draft;
use super::group::{Groups, asked};
use super::listing::{ALL_PRODUCTS, Listing, Place};
use super::operation::{Operation, Reply, Update};
use super::partition::{Answered, Entry, Facts, Loaded, Partitions};
use crate::domain::{Inventory, Listed, NewProduct, Product, ProductPatch, Stock};
use crate::error::Error;
use crate::store::answers::Answer as _;
use crate::store::{NameCursor, ProductFilter, RequestKey};

/// How often a claim that leads nowhere is taken over, or a write of unknown outcome repeated.
const MAX_TRIES: usize = 4;

/// The products of the store.
pub(super) struct Products {
    pub(super) groups: Groups,
    pub(super) partitions: Arc<Partitions>,
    pub(super) categories: Arc<Categories>,
    pub(super) claims: Arc<Claims>,
    pub(super) listing: Arc<Listing>,
}

impl Products {
    pub(super) async fn create(
        &self,
        mut new: NewProduct,
        request: RequestKey,
        now_ms: i64,
    ) -> Result<Listed, Error> {
        let category = self.categories.category(new.category_id).await?;
        new.id = self.claims.request(&request, new.id).await?;
        let loaded = self.load(new.id, &request, false).await?;
        if let Some(answer) = answered(&loaded, &request)? {
            return Ok(answer);
        }
        self.claim_sku(&new).await?;
        let stock = Stock::new(new.initial_quantity, 0)
            .ok_or_else(|| Error::field("initial_quantity", "must not be negative"))?;
        let product = new.make(now_ms);
        let listing = Uuid::new_v4();
        self.list_at(&product, listing).await?;
        let made = draft::made(&product, stock, listing, &asked(now_ms), &category.name);
        let listed = Listed { available: stock.available(), product };
        self.write_new(made, listed, &request).await
    }

    /// Writes a new product with its answer, if its id is free.
    async fn write_new(
        &self,
        mut made: super::partition::Changes,
        listed: Listed,
        request: &RequestKey,
    ) -> Result<Listed, Error> {
        let id = listed.product.id;
        let answer = Answered::new(&request.fingerprint, listed.to_bytes());
        made.answers.insert(request.digest(), answer);
        for _ in 0..MAX_TRIES {
            let refused = match self.partitions.write(id, made.clone()).await {
                Ok(true) => return Ok(listed),
                Ok(false) => true,
                Err(CqlError::Unknown(_)) => false,
                Err(error) => return Err(error.into()),
            };
            let loaded = self.load(id, request, true).await?;
            if let Some(answer) = answered(&loaded, request)? {
                return Ok(answer);
            }
            match loaded.head {
                Some(_) => return self.taken(&listed.product).await,
                // Voided by whoever took the number over.
                None if refused => return Err(Error::SkuTaken(listed.product.sku)),
                None => {}
            }
        }
        Err(CqlError::Unknown("a product that was not kept".to_owned()).into())
    }

    /// The id is another product's: the number that was claimed under it is free again.
    async fn taken(&self, product: &Product) -> Result<Listed, Error> {
        let there = self.partitions.facts(product.id, true).await?;
        if there.is_some_and(|there| there.product.sku != product.sku) {
            self.claims.free(Claimed::Sku, &product.sku, product.id).await?;
        }
        Err(Error::IdTaken(product.id))
    }

    /// Makes the article number this product's; takes it over from one that never came about.
    ///
    /// Of many who take it from each other at once one keeps it: whoever took it over last, as nobody gives up after he
    /// has made another one impossible without looking whether it is his now.
    async fn claim_sku(&self, new: &NewProduct) -> Result<(), Error> {
        let mut owner = self.claims.take(Claimed::Sku, &new.sku, new.id).await?;
        for _ in 0..MAX_TRIES {
            if owner == new.id {
                break;
            }
            if !self.partitions.void(owner).await? {
                let there = self.partitions.facts(owner, true).await?;
                if there.is_some_and(|there| there.product.sku == new.sku) {
                    break;
                }
            }
            self.claims.pass(Claimed::Sku, &new.sku, owner, new.id).await?;
            owner = self.claims.take(Claimed::Sku, &new.sku, new.id).await?;
        }
        if owner == new.id { Ok(()) } else { Err(Error::SkuTaken(new.sku.clone())) }
    }

    async fn load(&self, id: Uuid, request: &RequestKey, settled: bool) -> Result<Loaded, Error> {
        let entries = BTreeSet::from([Entry::Answer(request.digest())]);
        self.partitions.load(id, &entries, settled).await
    }

    pub(super) async fn update(
        &self,
        id: Uuid,
        patch: ProductPatch,
        etag: Option<String>,
        request: Option<RequestKey>,
        now_ms: i64,
    ) -> Result<Listed, Error> {
        let before = self.facts(id).await?;
        if let Some(category_id) = patch.category_id {
            self.categories.category(category_id).await?;
        }
        let is_kept = request.is_some();
        if let Some(request) = &request {
            self.claims.request(request, id).await?;
        }
        let request = request.unwrap_or_else(passing_request);
        let after = before.product.patched(patch.clone(), now_ms);
        let listing = Uuid::new_v4();
        let moves = !same_place(&before.product, &after);
        if moves {
            self.list_at(&after, listing).await?;
        }
        let (digest, fingerprint) = (request.digest(), request.fingerprint);
        let update = Update { patch, etag, digest, fingerprint, is_kept, listing };
        let operation = Operation::Update(Box::new(update));
        let updated = match self.groups.ask(id, operation, now_ms).await {
            Ok(Reply::Product(updated)) => updated,
            Ok(_) => return Err(Error::Damaged(format!("an update of product {id}"))),
            Err(error) => {
                if moves && !matches!(error, Error::Cql(_) | Error::Contended(_)) {
                    self.unlist(&after, listing).await?;
                }
                return Err(error);
            }
        };
        if moves && !same_place(&before.product, &updated.product) {
            self.unlist(&before.product, before.listing).await?;
        }
        Ok(updated)
    }

    pub(super) async fn adjust(
        &self,
        id: Uuid,
        delta: i64,
        request: RequestKey,
        now_ms: i64,
    ) -> Result<Inventory, Error> {
        self.claims.request(&request, id).await?;
        match self.groups.ask(id, Operation::Adjust { delta, request }, now_ms).await? {
            Reply::Inventory(inventory) => Ok(inventory),
            _ => Err(Error::Damaged(format!("a correction of product {id}"))),
        }
    }

    pub(super) async fn inventory(&self, id: Uuid) -> Result<Inventory, Error> {
        let loaded = self.partitions.load(id, &BTreeSet::new(), false).await?;
        let head = loaded.head.ok_or_else(|| Error::ProductNotFound(vec![id]))?;
        Ok(head.inventory)
    }

    /// Those of `ids` that are known, in that order.
    pub(super) async fn find(&self, ids: Vec<Uuid>) -> Result<Vec<Listed>, Error> {
        Ok(self.read(ids).await?.into_iter().flatten().map(listed).collect())
    }

    async fn read(&self, ids: Vec<Uuid>) -> Result<Vec<Option<Facts>>, Error> {
        let read = stream::iter(ids).map(|id| self.partitions.facts(id, false));
        read.buffered(READ_AT_ONCE).try_collect().await
    }

    pub(super) async fn list(
        &self,
        filter: ProductFilter,
        mut after: Option<NameCursor>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        let shelf = filter.category_id.unwrap_or(ALL_PRODUCTS);
        let mut found = Vec::new();
        while found.len() < limit {
            let page = self.listing.page(shelf, after.as_ref(), limit - found.len()).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            let read = self.read(page.iter().map(|entry| entry.id).collect()).await?;
            let counts = |(facts, entry): (Option<Facts>, &NameCursor)| {
                facts.filter(|Facts { product, .. }| {
                    product.name == entry.name
                        && filter.category_id.is_none_or(|id| id == product.category_id)
                        && (filter.include_archived || !product.archived)
                })
            };
            found.extend(read.into_iter().zip(&page).filter_map(counts).map(listed));
        }
        Ok(found)
    }

    async fn facts(&self, id: Uuid) -> Result<Facts, Error> {
        let facts = self.partitions.facts(id, false).await?;
        facts.ok_or_else(|| Error::ProductNotFound(vec![id]))
    }

    async fn list_at(&self, product: &Product, listing: Uuid) -> Result<(), Error> {
        for place in places(product, listing) {
            self.listing.put(&place).await?;
        }
        Ok(())
    }

    async fn unlist(&self, product: &Product, listing: Uuid) -> Result<(), Error> {
        for place in places(product, listing) {
            self.listing.delete(&place).await?;
        }
        Ok(())
    }
}

/// Where a product is listed: among all, and in its category.
fn places(product: &Product, listing: Uuid) -> [Place; 2] {
    [ALL_PRODUCTS, product.category_id].map(|shelf| Place {
        shelf,
        name: product.name.clone(),
        item: product.id,
        listing,
    })
}

fn same_place(one: &Product, other: &Product) -> bool {
    (&one.name, one.category_id) == (&other.name, other.category_id)
}

fn listed(facts: Facts) -> Listed {
    Listed { product: facts.product, available: facts.available }
}

fn answered(loaded: &Loaded, request: &RequestKey) -> Result<Option<Listed>, Error> {
    let Some(known) = loaded.answers.get(&request.digest()) else { return Ok(None) };
    let damaged = || Error::Damaged(format!("answer to request {}", request.request_id));
    Listed::from_bytes(&known.answer).map(Some).ok_or_else(damaged)
}

/// Names a request whose caller will not repeat it: only this process looks whether it was done.
fn passing_request() -> RequestKey {
    RequestKey {
        scope: String::new(),
        method: "UpdateProduct",
        request_id: Uuid::new_v4().to_string(),
        fingerprint: [0; 32],
    }
}
