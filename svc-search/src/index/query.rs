//! What customers type and choose, as queries of the index.
//!
//! Every word is looked for in every text: as typed, by its stem, as a beginning while it is unfinished, and
//! with typing errors where these are tolerated. What is found scores for each way and each text in which it
//! is found, in whole numbers, so that a hit as typed in the name is worth more than one by stem in the
//! description. Word statistics (BM25) play no part: with them, the score of a product would depend on the
//! others, and pages would shift.

use std::ops::Bound;

use serde::{Deserialize, Serialize};
use souk_mesh::money::Money;
use tantivy::Term;
use tantivy::query::{
    BooleanQuery, ConstScoreQuery, FuzzyTermQuery, Occur, Query, RangeQuery, TermQuery,
};
use tantivy::schema::IndexRecordOption;
use uuid::Uuid;

use super::schema::{Fields, SearchedText};
use crate::text::Word;

/// What a way of finding a word is worth, before the text's weight.
const AS_TYPED: f32 = 16.0;
const BY_STEM: f32 = 8.0;
const AS_BEGINNING: f32 = 4.0;
const WITH_TYPOS: f32 = 1.0;

/// How generously words are taken. The next is tried where one finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Breadth {
    /// All words, as typed.
    Typed,
    /// All words, typing errors tolerated.
    Lenient,
    /// Any word, typing errors tolerated.
    Any,
}

impl Breadth {
    /// From narrow to wide.
    pub const ALL: [Self; 3] = [Self::Typed, Self::Lenient, Self::Any];
}

/// What is let through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this category.
    pub category_id: Option<Uuid>,
    /// At this price or more, in its currency.
    pub min_price: Option<Money>,
    /// At this price or less, in its currency.
    pub max_price: Option<Money>,
    /// What could be ordered.
    pub in_stock: bool,
}

type Clause = (Occur, Box<dyn Query>);

/// Finds what `words` mean, in `texts`, through `filter`. Without words, all that the filter lets through.
pub fn query(
    fields: &Fields,
    texts: &[SearchedText],
    words: &[Word],
    breadth: Breadth,
    filter: &Filter,
) -> BooleanQuery {
    let mut clauses = filters(fields, filter);
    if !words.is_empty() {
        clauses.push((Occur::Must, Box::new(words_query(texts, words, breadth))));
    }
    BooleanQuery::new(clauses)
}

fn words_query(texts: &[SearchedText], words: &[Word], breadth: Breadth) -> BooleanQuery {
    let only_fillers = words.iter().all(Word::is_filler);
    let clauses = words.iter().filter_map(|word| {
        let filler = !only_fillers && word.is_filler();
        let occur = match (breadth, filler) {
            // Any word may do, but not one that is everywhere.
            (Breadth::Any, true) => return None,
            (Breadth::Any, false) | (_, true) => Occur::Should,
            (Breadth::Typed | Breadth::Lenient, false) => Occur::Must,
        };
        let found: Box<dyn Query> = Box::new(word_query(texts, word, breadth));
        Some((occur, found))
    });
    BooleanQuery::new(clauses.collect())
}

fn word_query(texts: &[SearchedText], word: &Word, breadth: Breadth) -> BooleanQuery {
    let ways = texts.iter().flat_map(|text| {
        ways(text, word, breadth).into_iter().map(|(query, worth)| {
            let scored = ConstScoreQuery::new(query, worth * text.weight);
            Box::new(scored) as Box<dyn Query>
        })
    });
    BooleanQuery::union(ways.collect())
}

/// The ways in which `word` is looked for in `text`, and what each is worth there.
fn ways(text: &SearchedText, word: &Word, breadth: Breadth) -> Vec<(Box<dyn Query>, f32)> {
    let term = Term::from_field_text(text.words, &word.text);
    let mut ways = vec![(exactly(term.clone()), AS_TYPED)];
    if word.unfinished {
        ways.push((Box::new(beginning(term.clone(), 0)), AS_BEGINNING));
    }
    let Some(stems) = text.stems else {
        // Half an article number is no reason to show an article.
        return if breadth == Breadth::Any { Vec::new() } else { ways };
    };
    ways.push((exactly(Term::from_field_text(stems, &word.stem)), BY_STEM));
    let typos = word.typos();
    if breadth != Breadth::Typed && typos > 0 {
        let fuzzy = if word.unfinished {
            beginning(term, typos)
        } else {
            FuzzyTermQuery::new(term, typos, SWAP_IS_ONE_TYPO)
        };
        ways.push((Box::new(fuzzy), WITH_TYPOS));
    }
    ways
}

/// Two letters in the wrong order are one error.
const SWAP_IS_ONE_TYPO: bool = true;

/// Finds the words that begin like `term`, but for so many typing errors.
pub fn beginning(term: Term, typos: u8) -> FuzzyTermQuery {
    FuzzyTermQuery::new_prefix(term, typos, SWAP_IS_ONE_TYPO)
}

fn exactly(term: Term) -> Box<dyn Query> {
    Box::new(TermQuery::new(term, IndexRecordOption::Basic))
}

/// Filters decide and do not score.
fn filters(fields: &Fields, filter: &Filter) -> Vec<Clause> {
    let mut clauses = vec![required(exactly(fields.live_term()))];
    if let Some(category_id) = filter.category_id {
        clauses.push(required(exactly(fields.category_term(category_id))));
    }
    if filter.in_stock {
        clauses.push(required(exactly(fields.in_stock_term())));
    }
    // Two currencies let nothing through: a product has one.
    for bound in [filter.min_price, filter.max_price].into_iter().flatten() {
        clauses.push(required(exactly(fields.currency_term(bound.currency.code()))));
    }
    let price = |bound: Option<Money>| {
        bound.map_or(Bound::Unbounded, |price| {
            Bound::Included(Term::from_field_i64(fields.price, price.minor))
        })
    };
    if filter.min_price.is_some() || filter.max_price.is_some() {
        let range = RangeQuery::new(price(filter.min_price), price(filter.max_price));
        clauses.push(required(Box::new(range)));
    }
    clauses
}

fn required(query: Box<dyn Query>) -> Clause {
    (Occur::Must, Box::new(ConstScoreQuery::new(query, 0.0)))
}
