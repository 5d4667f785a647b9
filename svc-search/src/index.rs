//! The index: tantivy on disk, in a folder that may be thrown away at any time, because the catalog has it all.

mod collect;
mod query;
mod schema;
mod suggest;
mod writer;

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tantivy::query::Query;
use tantivy::{
    DocAddress, DocSet, IndexReader, ReloadPolicy, Searcher, TERMINATED, TantivyDocument,
};
use uuid::Uuid;

pub use query::{Breadth, Filter};
pub use suggest::Suggestion;
pub use writer::Writer;

use crate::domain::Entry;
use crate::error::Error;
use crate::text::{self, Word};
use collect::{Collected, Page, Place};
use schema::Fields;

/// What the folders of indexes are called, before the form's version.
const FOLDER_PREFIX: &str = "index-v";

/// Products, to be found.
pub struct ProductIndex {
    index: tantivy::Index,
    reader: IndexReader,
    fields: Fields,
}

/// What to find.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// What the customer typed; blank for all that the filter lets through.
    pub text: String,
    /// What is let through.
    pub filter: Filter,
    /// Most products to return; at least 1.
    pub limit: usize,
    /// Where the page before ended.
    pub after: Option<Cursor>,
}

/// Where a page ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cursor {
    breadth: Breadth,
    place: Place,
}

/// One page of what was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Best first, with their scores.
    pub hits: Vec<(Entry, u32)>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
    /// Products found in all.
    pub total: u64,
    /// The same by category, most first.
    pub categories: Vec<(String, u64)>,
}

impl ProductIndex {
    /// Opens the index below `folder`. What is damaged, or of another form, is thrown away; the index is then
    /// empty.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(format!("{FOLDER_PREFIX}{}", schema::VERSION));
        remove_other_forms(folder, &path)?;
        if path.exists() {
            match Self::open_sound(&path) {
                Ok(index) => return Ok(index),
                Err(damage) => {
                    tracing::warn!(folder = %path.display(), damage, "the search index is damaged: making it anew");
                    fs::remove_dir_all(&path).map_err(in_folder(&path))?;
                }
            }
        }
        fs::create_dir_all(&path).map_err(in_folder(&path))?;
        let (fields, schema) = Fields::new();
        Self::over(tantivy::Index::create_in_dir(&path, schema)?, fields)
    }

    /// The index as it is on disk, if nothing of it is missing or damaged.
    fn open_sound(path: &Path) -> Result<Self, String> {
        let (fields, schema) = Fields::new();
        let index = tantivy::Index::open_in_dir(path).map_err(|error| error.to_string())?;
        if index.schema() != schema {
            return Err("its fields are not those of this version".to_owned());
        }
        let damaged = index.validate_checksum().map_err(|error| error.to_string())?;
        if let Some(file) = damaged.iter().next() {
            return Err(format!("the checksum of {} is wrong", file.display()));
        }
        Self::over(index, fields).map_err(|error| error.to_string())
    }

    fn over(index: tantivy::Index, fields: Fields) -> Result<Self, Error> {
        text::register(index.tokenizers());
        // The writer reloads after each commit, so that what it acknowledges can be found.
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self { index, reader, fields })
    }

    /// Products known, tombstones included.
    #[must_use]
    pub fn known(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    /// What is known of one product.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn entry(&self, product_id: Uuid) -> Result<Option<Entry>, Error> {
        let searcher = self.reader.searcher();
        let term = self.fields.product_term(product_id);
        for (ordinal, segment) in (0..).zip(searcher.segment_readers()) {
            let inverted = segment.inverted_index(term.field())?;
            let option = tantivy::schema::IndexRecordOption::Basic;
            let found =
                inverted.read_postings(&term, option).map_err(tantivy::TantivyError::from)?;
            let Some(mut postings) = found else { continue };
            while postings.doc() != TERMINATED {
                if !segment.is_deleted(postings.doc()) {
                    let address = DocAddress::new(ordinal, postings.doc());
                    return self.load(&searcher, address).map(Some);
                }
                postings.advance();
            }
        }
        Ok(None)
    }

    /// Finds products.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn search(&self, wanted: &Wanted) -> Result<Found, Error> {
        let words = text::query_words(&wanted.text);
        if words.is_empty() && !wanted.text.trim().is_empty() {
            return Ok(Found::default());
        }
        let searcher = self.reader.searcher();
        let breadths = match &wanted.after {
            Some(cursor) => std::slice::from_ref(&cursor.breadth),
            None => Breadth::ALL.as_slice(),
        };
        for breadth in breadths {
            let page = Page {
                after: wanted.after.as_ref().map(|cursor| cursor.place.clone()),
                // One more than asked for tells whether there is a next page.
                limit: wanted.limit + 1,
            };
            let query = self.query(&words, *breadth, &wanted.filter);
            let collected = searcher.search(&query, &page)?;
            if collected.total > 0 {
                return self.found(&searcher, collected, *breadth, wanted.limit);
            }
        }
        Ok(Found::default())
    }

    fn query(&self, words: &[Word], breadth: Breadth, filter: &Filter) -> impl Query {
        query::query(&self.fields, &self.fields.texts, words, breadth, filter)
    }

    fn found(
        &self,
        searcher: &Searcher,
        mut collected: Collected,
        breadth: Breadth,
        limit: usize,
    ) -> Result<Found, Error> {
        let more = collected.hits.len() > limit;
        collected.hits.truncate(limit);
        let last = collected.hits.last().filter(|_| more);
        let next = last.map(|(place, _)| Cursor { breadth, place: place.clone() });
        let hits = collected.hits.iter();
        let hits = hits.map(|(place, at)| Ok((self.load(searcher, *at)?, place.score.0)));
        let hits = hits.collect::<Result<_, Error>>()?;
        let mut categories: Vec<_> = collected.categories.into_iter().collect();
        // Stable: of equal counts, in order of id.
        categories.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Ok(Found { hits, next, total: collected.total, categories })
    }

    fn load(&self, searcher: &Searcher, address: DocAddress) -> Result<Entry, Error> {
        self.fields.entry(&searcher.doc::<TantivyDocument>(address)?)
    }
}

/// Indexes of other forms are of no use, and the catalog has what they hold.
fn remove_other_forms(folder: &Path, current: &Path) -> Result<(), Error> {
    for found in fs::read_dir(folder).map_err(in_folder(folder))? {
        let found = found.map_err(in_folder(folder))?;
        let is_index = found.file_name().to_string_lossy().starts_with(FOLDER_PREFIX);
        if is_index && found.path() != current {
            let path = found.path();
            tracing::warn!(folder = %path.display(), "the search index is of another version: making it anew");
            fs::remove_dir_all(&path).map_err(in_folder(&path))?;
        }
    }
    Ok(())
}

fn in_folder(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path: PathBuf = path.to_owned();
    |source| Error::Folder { path, source }
}
