//! Categories: made once, never changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use scylla::DeserializeRow;
use souk_mesh::cql::{Error as CqlError, Kind, Prepared, Session};
use uuid::Uuid;

use super::READ_AT_ONCE;
use super::claims::{Claimed, Claims};
use super::listing::{CATEGORIES, Listing, Place};
use crate::domain::Category;
use crate::error::Error;
use crate::store::{NameCursor, RequestKey};

/// Names that are remembered.
const MAX_NAMES: usize = 4_096;
/// How often a claim that leads nowhere is taken over before the creation is given up.
const MAX_TAKE_OVERS: usize = 4;

#[derive(DeserializeRow)]
struct Row {
    slug: Option<String>,
    name: Option<String>,
    parent_id: Option<Uuid>,
    created_at_ms: Option<i64>,
    maker: Option<Vec<u8>>,
}

/// The statements of the table `category`.
pub(super) struct Categories {
    session: Session,
    claims: Arc<Claims>,
    listing: Arc<Listing>,
    read: Prepared,
    settled: Prepared,
    make: Prepared,
    names: Mutex<HashMap<Uuid, String>>,
}

impl Categories {
    pub(super) async fn prepare(
        session: &Session,
        claims: Arc<Claims>,
        listing: Arc<Listing>,
    ) -> Result<Categories, CqlError> {
        let read = "SELECT slug, name, parent_id, created_at_ms, maker FROM {}.category
            WHERE category_id = ?";
        let make = "INSERT INTO {}.category
            (category_id, slug, name, parent_id, created_at_ms, maker) VALUES (?, ?, ?, ?, ?, ?)
            IF NOT EXISTS";
        Ok(Categories {
            read: session.prepare(Kind::Read, read).await?,
            settled: session.prepare(Kind::SettledRead, read).await?,
            make: session.prepare(Kind::Conditional, make).await?,
            names: Mutex::default(),
            session: session.clone(),
            claims,
            listing,
        })
    }

    pub(super) async fn create(
        &self,
        mut category: Category,
        request: Option<RequestKey>,
    ) -> Result<Category, Error> {
        if let Some(parent_id) = category.parent_id {
            self.category(parent_id).await?;
        }
        let mut maker = Uuid::new_v4().as_bytes().to_vec();
        if let Some(request) = request {
            category.id = self.claims.request(&request, category.id).await?;
            maker = request.digest().to_vec();
        }
        self.claim_slug(&category).await?;
        let Category { id, name, .. } = category.clone();
        self.listing.put(&Place { shelf: CATEGORIES, name, item: id, listing: id }).await?;
        if self.make(&category, &maker).await? {
            return Ok(category);
        }
        match self.row(&self.settled, id).await? {
            Some(row) if row.maker.as_ref() == Some(&maker) => row.category(id),
            Some(row) if row.slug.as_ref() != Some(&category.slug) => {
                self.claims.free(Claimed::Slug, &category.slug, id).await?;
                match row.slug {
                    Some(_) => Err(Error::IdTaken(id)),
                    None => Err(Error::SlugTaken(category.slug)),
                }
            }
            Some(_) => Err(Error::IdTaken(id)),
            None => Err(CqlError::Unknown("a category that was not kept".to_owned()).into()),
        }
    }

    /// Makes the slug this category's; takes it over from one that never came about.
    async fn claim_slug(&self, category: &Category) -> Result<(), Error> {
        let (id, slug) = (category.id, category.slug.as_str());
        for _ in 0..MAX_TAKE_OVERS {
            let owner = self.claims.take(Claimed::Slug, slug, id).await?;
            if owner == id {
                return Ok(());
            }
            self.void(owner).await?;
            let found = self.row(&self.settled, owner).await?;
            match found {
                Some(row) if row.slug.as_deref() == Some(slug) => break,
                Some(_) => self.claims.pass(Claimed::Slug, slug, owner, id).await?,
                None => {}
            }
        }
        Err(Error::SlugTaken(slug.to_owned()))
    }

    async fn make(&self, category: &Category, maker: &[u8]) -> Result<bool, Error> {
        let Category { id, slug, name, parent_id, created_at_ms } = category;
        let values = (id, slug, name, parent_id, created_at_ms, maker);
        match self.session.conditional(&self.make, values).await {
            Ok(is_new) => Ok(is_new),
            Err(CqlError::Unknown(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes sure that a category which is not there never will be, under this id.
    async fn void(&self, id: Uuid) -> Result<(), Error> {
        let nothing: (Option<&str>, Option<&str>) = (None, None);
        let rest: (Option<Uuid>, Option<i64>, Option<&[u8]>) = (None, None, None);
        let values = (id, nothing.0, nothing.1, rest.0, rest.1, rest.2);
        match self.session.conditional(&self.make, values).await {
            Ok(_) | Err(CqlError::Unknown(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn category(&self, id: Uuid) -> Result<Category, Error> {
        self.find(id).await?.ok_or(Error::CategoryNotFound(id))
    }

    /// Its name, which never changes; empty if there is no such category.
    pub(super) async fn name(&self, id: Uuid) -> Result<String, Error> {
        let known = self.names.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if let Some(name) = known {
            return Ok(name);
        }
        let Some(Category { name, .. }) = self.find(id).await? else { return Ok(String::new()) };
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= MAX_NAMES {
            names.clear();
        }
        names.insert(id, name.clone());
        Ok(name)
    }

    pub(super) async fn list(
        &self,
        mut after: Option<NameCursor>,
        limit: usize,
    ) -> Result<Vec<Category>, Error> {
        let mut found = Vec::new();
        while found.len() < limit {
            let page = self.listing.page(CATEGORIES, after.as_ref(), limit - found.len()).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            let ids: Vec<Uuid> = page.iter().map(|entry| entry.id).collect();
            let read = stream::iter(ids).map(|id| self.find(id));
            let read: Vec<_> = read.buffered(READ_AT_ONCE).try_collect().await?;
            let counts = |(category, entry): (Option<Category>, &NameCursor)| {
                category.filter(|category| category.name == entry.name)
            };
            found.extend(read.into_iter().zip(&page).filter_map(counts));
        }
        Ok(found)
    }

    async fn find(&self, id: Uuid) -> Result<Option<Category>, Error> {
        let row = self.row(&self.read, id).await?.filter(|row| row.slug.is_some());
        row.map(|row| row.category(id)).transpose()
    }

    async fn row(&self, statement: &Prepared, id: Uuid) -> Result<Option<Row>, CqlError> {
        self.session.row(statement, (id,)).await
    }
}

impl Row {
    fn category(self, id: Uuid) -> Result<Category, Error> {
        let damaged = || Error::Damaged(format!("category {id}"));
        Ok(Category {
            id,
            slug: self.slug.ok_or_else(damaged)?,
            name: self.name.ok_or_else(damaged)?,
            parent_id: self.parent_id,
            created_at_ms: self.created_at_ms.ok_or_else(damaged)?,
        })
    }
}
