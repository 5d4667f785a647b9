//! The fields of the index, and how an [`Entry`] becomes a document and back.

use prost::Message;
use souk_proto::event::v1::ProductUpdated;
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STORED, STRING, Schema, SchemaBuilder,
    TextFieldIndexing, TextOptions, Value,
};
use tantivy::{TantivyDocument, Term};
use uuid::Uuid;

use crate::domain::{Entry, News, Source};
use crate::error::Error;
use crate::text::{self, STEMS, WORDS};

/// Of this form is the index; part of its folder's name. Grows when fields or tokenizers change, so that an
/// index of another form is made anew.
pub const VERSION: u32 = 1;
/// The fast field by whose words facets are counted.
pub const CATEGORY: &str = "category_id";
/// The fast field that orders what scores alike: by name, then id.
pub const ORDER: &str = "order";
/// Letters of the name that the order looks at.
const ORDER_CHARS: usize = 32;

/// A text that is searched.
#[derive(Clone, Copy)]
pub struct SearchedText {
    /// Its words.
    pub words: Field,
    /// Their stems. A text without them, as article numbers, is taken as typed.
    pub stems: Option<Field>,
    /// How much a hit in it counts.
    pub weight: f32,
}

/// The fields.
pub struct Fields {
    product_id: Field,
    live: Field,
    /// What is searched, the weightiest first: that is the name.
    pub texts: [SearchedText; 4],
    category_id: Field,
    /// Minor units.
    pub price: Field,
    currency: Field,
    in_stock: Field,
    order: Field,
    record: Field,
    event_version: Field,
    heard_ms: Field,
}

impl Fields {
    /// The fields and their schema.
    pub fn new() -> (Self, Schema) {
        let mut builder = Schema::builder();
        let texts = [
            text_field(&mut builder, "name", true, 8.0),
            text_field(&mut builder, "sku", false, 4.0),
            text_field(&mut builder, "category", true, 2.0),
            text_field(&mut builder, "description", true, 1.0),
        ];
        let fields = Self {
            product_id: builder.add_text_field("product_id", STRING),
            live: builder.add_bool_field("live", INDEXED),
            texts,
            category_id: builder.add_text_field(CATEGORY, STRING | FAST),
            price: builder.add_i64_field("price", FAST),
            currency: builder.add_text_field("currency", STRING),
            in_stock: builder.add_bool_field("in_stock", INDEXED),
            order: builder.add_text_field(ORDER, FAST),
            record: builder.add_bytes_field("record", STORED),
            event_version: builder.add_i64_field("event_version", STORED),
            heard_ms: builder.add_i64_field("heard_ms", STORED),
        };
        (fields, builder.build())
    }

    /// Finds one product, tombstones too.
    pub fn product_term(&self, product_id: Uuid) -> Term {
        Term::from_field_text(self.product_id, &product_id.to_string())
    }

    /// Finds what is sold.
    pub fn live_term(&self) -> Term {
        Term::from_field_bool(self.live, true)
    }

    /// Finds what could be ordered.
    pub fn in_stock_term(&self) -> Term {
        Term::from_field_bool(self.in_stock, true)
    }

    /// Finds a category's products.
    pub fn category_term(&self, category_id: Uuid) -> Term {
        Term::from_field_text(self.category_id, &category_id.to_string())
    }

    /// Finds what is sold in a currency.
    pub fn currency_term(&self, code: &str) -> Term {
        Term::from_field_text(self.currency, code)
    }

    /// The document of an entry; a tombstone has nothing to be found by but its id.
    pub fn document(&self, entry: &Entry) -> TantivyDocument {
        let mut document = TantivyDocument::new();
        let product = &entry.product;
        document.add_text(self.product_id, entry.product_id.to_string());
        document.add_bool(self.live, !product.archived);
        document.add_bytes(self.record, &record(entry));
        document.add_i64(self.event_version, entry.event_version);
        document.add_i64(self.heard_ms, entry.heard_ms);
        if product.archived {
            return document;
        }
        let contents = [&product.name, &product.sku, &entry.category_name, &product.description];
        for (field, content) in self.texts.iter().zip(contents) {
            document.add_text(field.words, content);
            if let Some(stems) = field.stems {
                document.add_text(stems, content);
            }
        }
        document.add_text(self.category_id, &product.category_id);
        document.add_i64(self.price, entry.price.minor);
        document.add_text(self.currency, entry.price.currency.code());
        document.add_bool(self.in_stock, entry.in_stock);
        document.add_text(self.order, order(entry));
        document
    }

    /// The entry of a document.
    pub fn entry(&self, document: &TantivyDocument) -> Result<Entry, Error> {
        let bytes = document.get_first(self.record).and_then(|value| value.as_bytes());
        let record = ProductUpdated::decode(bytes.unwrap_or_default())?;
        let number =
            |field| document.get_first(field).and_then(|value| value.as_i64()).unwrap_or_default();
        let source =
            Source::Event { version: number(self.event_version), heard_ms: number(self.heard_ms) };
        let product = record.product.unwrap_or_default();
        let news = News::new(product, record.category_name, record.in_stock, source)?;
        Ok(Entry::from(news))
    }
}

fn text_field(builder: &mut SchemaBuilder, name: &str, stemmed: bool, weight: f32) -> SearchedText {
    let options = |tokenizer| {
        let indexing = TextFieldIndexing::default()
            .set_tokenizer(tokenizer)
            .set_fieldnorms(false)
            .set_index_option(IndexRecordOption::Basic);
        TextOptions::default().set_indexing_options(indexing)
    };
    let words = builder.add_text_field(name, options(WORDS));
    let stems = stemmed.then(|| builder.add_text_field(&format!("{name}_stems"), options(STEMS)));
    SearchedText { words, stems, weight }
}

fn record(entry: &Entry) -> Vec<u8> {
    let record = ProductUpdated {
        product: Some(entry.product.clone()),
        category_name: entry.category_name.clone(),
        in_stock: entry.in_stock,
    };
    record.encode_to_vec()
}

fn order(entry: &Entry) -> String {
    let name: String = text::fold(&entry.product.name).join(" ");
    let name: String = name.chars().take(ORDER_CHARS).collect();
    format!("{name} {}", entry.product_id)
}
