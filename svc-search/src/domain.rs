//! What the index knows of a product, and how news changes it: pure.
//!
//! News comes from two sources that overtake each other. Events carry the number of the event, which orders
//! them; a listing of the catalog carries the product's version, which orders its content, and its stock as
//! it was when asked. Events are delivered at least once; a listing may be older than an event.

use souk_mesh::money::Money;
use souk_proto::catalog::v1::Product;
use uuid::Uuid;

/// What the index knows of one product.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Names the product.
    pub product_id: Uuid,
    /// As last heard, without its available quantity. Archived ones are kept as a tombstone, which nothing
    /// finds, so that news from before the end does not bring them back.
    pub product: Product,
    /// Its price, which filters compare.
    pub price: Money,
    /// The name of its category.
    pub category_name: String,
    /// Whether any piece could be ordered when last heard.
    pub in_stock: bool,
    /// The number of the newest event heard; 0 when known from a listing only.
    pub event_version: i64,
    /// When that event was heard, in unix milliseconds; 0 when known from a listing only.
    pub heard_ms: i64,
}

/// Something new about a product, maybe.
#[derive(Clone, Debug)]
pub struct News {
    /// Names the product.
    pub product_id: Uuid,
    /// The whole product.
    pub product: Product,
    /// Its price.
    pub price: Money,
    /// The name of its category.
    pub category_name: String,
    /// Whether any piece could be ordered.
    pub in_stock: bool,
    /// Who says so.
    pub source: Source,
}

/// Where news comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// An event.
    Event {
        /// The aggregate's version: counts the product's events.
        version: i64,
        /// Now, in unix milliseconds.
        heard_ms: i64,
    },
    /// A listing of the catalog.
    Listing {
        /// When the catalog was asked, in unix milliseconds.
        asked_ms: i64,
    },
}

/// Why something cannot be indexed.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// The product's id is not a UUID.
    #[error("{0:?} is not a product id")]
    ProductId(String),
    /// The product has no price that can be compared.
    #[error("product {product_id} has no valid price: {reason}")]
    Price {
        /// The product.
        product_id: Uuid,
        /// Why.
        reason: String,
    },
}

impl News {
    /// News of a product.
    ///
    /// # Errors
    /// [`Malformed`] when id or price cannot be read.
    pub fn new(
        product: Product,
        category_name: String,
        in_stock: bool,
        source: Source,
    ) -> Result<Self, Malformed> {
        let id = product.product_id.parse();
        let product_id: Uuid = id.map_err(|_| Malformed::ProductId(product.product_id.clone()))?;
        let price = product.price.clone().unwrap_or_default();
        let price = Money::try_from(price)
            .map_err(|error| Malformed::Price { product_id, reason: error.to_string() })?;
        // Pieces change without news: the index keeps whether there are any, nothing more.
        let product = Product { available_quantity: None, ..product };
        Ok(Self { product_id, product, price, category_name, in_stock, source })
    }
}

/// What is known after `news`; `None` when it says nothing new.
pub fn merge(known: Option<&Entry>, news: News) -> Option<Entry> {
    let Some(known) = known else { return Some(Entry::from(news)) };
    match news.source {
        Source::Event { version, heard_ms } => {
            if version <= known.event_version {
                return None;
            }
            let in_stock = news.in_stock;
            // A listing may have told of a later change of the product than this event's.
            let content = if news.product.version < known.product.version {
                known.clone()
            } else {
                Entry::from(news)
            };
            Some(Entry { in_stock, event_version: version, heard_ms, ..content })
        }
        Source::Listing { asked_ms } => {
            if news.product.version < known.product.version {
                return None;
            }
            // The stock of a listing that was asked for before the last event may be older than it.
            let in_stock = if known.heard_ms < asked_ms { news.in_stock } else { known.in_stock };
            let (event_version, heard_ms) = (known.event_version, known.heard_ms);
            let entry = Entry { in_stock, event_version, heard_ms, ..Entry::from(news) };
            (entry != *known).then_some(entry)
        }
    }
}

impl From<News> for Entry {
    /// What is known when nothing was known before.
    fn from(news: News) -> Self {
        let (event_version, heard_ms) = match news.source {
            Source::Event { version, heard_ms } => (version, heard_ms),
            Source::Listing { .. } => (0, 0),
        };
        Self {
            product_id: news.product_id,
            product: news.product,
            price: news.price,
            category_name: news.category_name,
            in_stock: news.in_stock,
            event_version,
            heard_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use souk_mesh::money::Currency;

    fn news(name: &str, version: i64, in_stock: bool, source: Source) -> News {
        let product = Product {
            product_id: Uuid::nil().to_string(),
            name: name.to_owned(),
            version,
            price: Some(Money::new(100, Currency::EUR).into()),
            available_quantity: Some(7),
            ..Product::default()
        };
        News::new(product, "Kitchen".to_owned(), in_stock, source).unwrap()
    }

    fn event(version: i64) -> Source {
        Source::Event { version, heard_ms: 1_000 + version }
    }

    #[test]
    fn an_older_or_repeated_event_says_nothing() {
        let known = merge(None, news("new", 3, true, event(5))).unwrap();
        assert_eq!(known.product.available_quantity, None);
        for version in [1, 4, 5] {
            assert_eq!(merge(Some(&known), news("old", 2, false, event(version))), None);
        }
        let next = merge(Some(&known), news("newer", 4, false, event(6))).unwrap();
        assert_eq!((next.product.name.as_str(), next.in_stock), ("newer", false));
    }

    #[test]
    fn an_event_does_not_undo_what_a_listing_told() {
        let listed = news("listed", 3, true, Source::Listing { asked_ms: 900 });
        let known = merge(None, listed).unwrap();
        let after = merge(Some(&known), news("before", 2, false, event(4))).unwrap();
        assert_eq!(after.product.name, "listed");
        assert!(!after.in_stock, "the stock is the newest event's");
        assert_eq!(after.event_version, 4);
    }

    #[test]
    fn a_listing_fills_in_what_no_event_told() {
        let known = merge(None, news("told", 2, true, event(2))).unwrap();
        let late = Source::Listing { asked_ms: 5_000 };
        assert_eq!(merge(Some(&known), news("older", 1, false, late)), None);
        assert_eq!(merge(Some(&known), news("told", 2, true, late)), None);
        let listed = merge(Some(&known), news("lost", 3, false, late)).unwrap();
        assert_eq!((listed.product.name.as_str(), listed.in_stock), ("lost", false));
        assert_eq!(listed.event_version, 2);
    }

    #[test]
    fn a_listing_asked_for_before_an_event_does_not_undo_its_stock() {
        let known = merge(None, news("told", 2, true, event(2))).unwrap();
        let early = Source::Listing { asked_ms: known.heard_ms };
        assert_eq!(merge(Some(&known), news("told", 2, false, early)), None);
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let product = Product { product_id: "7".to_owned(), ..Product::default() };
        let refused = News::new(product.clone(), String::new(), true, event(1)).unwrap_err();
        assert_eq!(refused.to_string(), "\"7\" is not a product id");
        let product = Product { product_id: Uuid::nil().to_string(), ..product };
        let refused = News::new(product, String::new(), true, event(1)).unwrap_err();
        assert!(refused.to_string().contains("no valid price"), "{refused}");
    }
}
