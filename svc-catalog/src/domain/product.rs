//! What is sold: products, what may be changed of them, and the categories that they stand in.

use souk_mesh::money::Money;
use uuid::Uuid;

/// Something to buy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Its id.
    pub id: Uuid,
    /// The shop's own article number, unique.
    pub sku: String,
    /// Short name.
    pub name: String,
    /// Long text, plain.
    pub description: String,
    /// The category that it stands in.
    pub category_id: Uuid,
    /// Price of one piece, tax included.
    pub price: Money,
    /// URL path of its picture.
    pub picture: String,
    /// No longer sold; kept because orders name it.
    pub archived: bool,
    /// Rises by one with each change of the product, from 1. Stock does not count.
    pub version: i64,
    /// When it was made, in unix milliseconds.
    pub created_at_ms: i64,
    /// When it last changed, in unix milliseconds.
    pub updated_at_ms: i64,
}

/// A product and how many of it could be ordered when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The product.
    pub product: Product,
    /// Pieces on hand that nobody has reserved.
    pub available: i64,
}

/// A product that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProduct {
    /// Its id.
    pub id: Uuid,
    /// The shop's own article number.
    pub sku: String,
    /// Short name.
    pub name: String,
    /// Long text, plain.
    pub description: String,
    /// The category that it will stand in.
    pub category_id: Uuid,
    /// Price of one piece, tax included.
    pub price: Money,
    /// URL path of its picture; empty for the one that the shop draws.
    pub picture: String,
    /// Pieces on hand at the start.
    pub initial_quantity: i64,
}

impl NewProduct {
    /// The product as it is made at `now_ms`.
    pub fn make(self, now_ms: i64) -> Product {
        let picture = if self.picture.is_empty() { drawn_picture(self.id) } else { self.picture };
        Product {
            id: self.id,
            sku: self.sku,
            name: self.name,
            description: self.description,
            category_id: self.category_id,
            price: self.price,
            picture,
            archived: false,
            version: 1,
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
        }
    }
}

/// The URL path under which the picture that the shop draws of a product is served.
pub fn drawn_picture(product_id: Uuid) -> String {
    format!("/pictures/{product_id}.svg")
}

/// What is to change of a product; `None` leaves a part as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProductPatch {
    /// A new name.
    pub name: Option<String>,
    /// A new text.
    pub description: Option<String>,
    /// Another category.
    pub category_id: Option<Uuid>,
    /// A new price.
    pub price: Option<Money>,
    /// A new picture; empty for the one that the shop draws.
    pub picture: Option<String>,
    /// Out of sale, or back.
    pub archived: Option<bool>,
}

impl Product {
    /// Names this version of the product.
    pub fn etag(&self) -> String {
        self.version.to_string()
    }

    /// The product after `patch`: the next version, or as it was if nothing differs.
    pub fn patched(&self, patch: ProductPatch, now_ms: i64) -> Product {
        let mut next = self.clone();
        set(&mut next.name, patch.name);
        set(&mut next.description, patch.description);
        set(&mut next.category_id, patch.category_id);
        set(&mut next.price, patch.price);
        set(&mut next.archived, patch.archived);
        let drawn = |picture: String| {
            if picture.is_empty() { drawn_picture(self.id) } else { picture }
        };
        set(&mut next.picture, patch.picture.map(drawn));
        if next != *self {
            next.version += 1;
            next.updated_at_ms = now_ms;
        }
        next
    }
}

fn set<T>(part: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *part = value;
    }
}

/// A shelf of the shop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    /// Its id.
    pub id: Uuid,
    /// Name in URLs, unique.
    pub slug: String,
    /// Name for people.
    pub name: String,
    /// The category that it is part of.
    pub parent_id: Option<Uuid>,
    /// When it was made, in unix milliseconds.
    pub created_at_ms: i64,
}

#[cfg(test)]
mod tests {
    use souk_mesh::money::Currency;

    use super::*;

    fn mug() -> Product {
        let new = NewProduct {
            id: Uuid::from_u128(7),
            sku: "mug".into(),
            name: "Mug".into(),
            description: "A mug.".into(),
            category_id: Uuid::from_u128(1),
            price: Money::new(1800, Currency::EUR),
            picture: String::new(),
            initial_quantity: 3,
        };
        new.make(1_000)
    }

    #[test]
    fn a_new_product_gets_the_picture_that_the_shop_draws() {
        assert_eq!(mug().picture, "/pictures/00000000-0000-0000-0000-000000000007.svg");
        assert_eq!(mug().version, 1);
    }

    #[test]
    fn a_patch_changes_what_it_names_and_counts_once() {
        let patch = ProductPatch {
            price: Some(Money::new(2000, Currency::EUR)),
            picture: Some("/elsewhere.png".into()),
            ..ProductPatch::default()
        };
        let patched = mug().patched(patch, 2_000);
        assert_eq!((patched.version, patched.updated_at_ms), (2, 2_000));
        assert_eq!((patched.price.minor, patched.name.as_str()), (2000, "Mug"));

        let back = ProductPatch { picture: Some(String::new()), ..ProductPatch::default() };
        assert_eq!(patched.patched(back, 3_000).picture, mug().picture);
    }

    #[test]
    fn a_patch_that_changes_nothing_is_no_new_version() {
        let same = ProductPatch { name: Some("Mug".into()), ..ProductPatch::default() };
        assert_eq!(mug().patched(same, 2_000), mug());
    }
}
