//! Pictures of products, drawn by the shop itself: one SVG per product, always the same for the same
//! product, made of a backdrop for its category and a motif for what its name says it is.
//!
//! The name also chooses the colour ("Sage Stoneware Mug" is sage); without a colour word the
//! product's id does. Nothing of the input is copied into the SVG, so a name cannot inject markup.

mod clothing;
mod electronics;
mod frame;
mod home;
mod kitchen;
mod outdoor;
mod stationery;

use std::fmt::Write;

use crate::domain::Product;

/// What a kind of product looks like, in the classes and the 800 × 800 space of [`frame`].
struct Motif {
    /// Words of a name that mean this kind, lower-case.
    words: &'static [&'static str],
    /// SVG elements.
    drawing: &'static str,
}

/// The motifs of one category and what they stand before.
struct Shelf {
    /// The slug of the category.
    category: &'static str,
    backdrop: frame::Backdrop,
    motifs: &'static [Motif],
}

const SHELVES: [Shelf; 6] = [
    Shelf { category: "kitchen", backdrop: frame::KITCHEN, motifs: kitchen::MOTIFS },
    Shelf { category: "home", backdrop: frame::HOME, motifs: home::MOTIFS },
    Shelf { category: "electronics", backdrop: frame::ELECTRONICS, motifs: electronics::MOTIFS },
    Shelf { category: "outdoor", backdrop: frame::OUTDOOR, motifs: outdoor::MOTIFS },
    Shelf { category: "stationery", backdrop: frame::STATIONERY, motifs: stationery::MOTIFS },
    Shelf { category: "clothing", backdrop: frame::CLOTHING, motifs: clothing::MOTIFS },
];

/// A parcel: for what no motif fits.
const PARCEL: &str = r#"<path class="o" d="M180 330l220-90 220 90v230l-220 90-220-90z"/><path class="p" d="M400 420l220-90v230l-220 90z" opacity=".6"/><path class="l" d="M180 330l220-90 220 90-220 90z" opacity=".35"/><path class="w" d="M276 290l220 92v70l48-20v-70L324 270z" opacity=".85"/>"#;

/// The picture of `product`, whose category has the slug `category`, as an SVG document.
pub fn svg(product: &Product, category: &str) -> String {
    draw(product.id.as_u128(), &product.name, category)
}

fn draw(seed: u128, name: &str, category: &str) -> String {
    let name = name.to_lowercase();
    // Hyphens stay inside words ("t-shirt"); everything else that is no letter ends one.
    let words: Vec<&str> = name
        .split(|c: char| !(c.is_alphanumeric() || c == '-'))
        .filter(|word| !word.is_empty())
        .collect();
    let own = SHELVES.iter().find(|shelf| shelf.category == category);
    let others = SHELVES.iter().filter(|shelf| shelf.category != category);
    let drawing =
        own.into_iter().chain(others).find_map(|shelf| shelf.find(&words)).unwrap_or(PARCEL);
    let backdrop = own.map_or(&frame::PLAIN, |shelf| &shelf.backdrop);
    let tone = frame::Tone::named(&words).unwrap_or_else(|| frame::Tone::of(seed));

    let mut out = String::with_capacity(8 * 1024);
    frame::open(&mut out, backdrop, tone);
    let _ = write!(out, "<g filter=\"url(#sh)\">{drawing}</g></svg>");
    out
}

impl Shelf {
    /// The last word that names a thing decides: an "Oak Desk Organizer" is an organizer.
    fn find(&self, words: &[&str]) -> Option<&'static str> {
        let named = |word: &&str| self.motifs.iter().find(|motif| motif.words.contains(word));
        words.iter().rev().find_map(named).map(|motif| motif.drawing)
    }
}
