//! Completes what a customer is typing: by words that finish the last one, and by names of products.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use tantivy::collector::Count;
use tantivy::{Searcher, Term};
use uuid::Uuid;

use super::collect::Page;
use super::query::{self, Breadth, Filter, beginning};
use super::schema::SearchedText;
use super::{ProductIndex, text};
use crate::error::Error;
use crate::text::Word;

/// Words of a segment that are looked at for one completion.
const MAX_SCANNED_WORDS: usize = 2_000;
/// Candidates whose products are counted, for each suggestion wanted.
const CANDIDATES_PER_SUGGESTION: usize = 3;
/// The breadths that are tried. That any of several words would do helps nobody to finish one.
const BREADTHS: [Breadth; 2] = [Breadth::Typed, Breadth::Lenient];

/// One completion. Whatever is suggested finds something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// What to search for.
    pub text: String,
    /// The product of that name, if it is one.
    pub product_id: Option<Uuid>,
}

impl ProductIndex {
    /// Completions of what was typed, best first: at most `limit`, up to half of them words.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn suggest(&self, typed: &str, limit: usize) -> Result<Vec<Suggestion>, Error> {
        let words = text::query_words(typed);
        let Some((last, before)) = words.split_last() else { return Ok(Vec::new()) };
        let searcher = self.reader.searcher();
        for breadth in BREADTHS {
            let mut suggestions = Vec::new();
            if last.unfinished {
                suggestions =
                    self.completions(&searcher, before, last, breadth, limit.div_ceil(2))?;
            }
            suggestions.extend(self.names(&searcher, &words, breadth, limit)?);
            let mut seen = HashSet::new();
            suggestions.retain(|suggestion| seen.insert(suggestion.text.to_lowercase()));
            suggestions.truncate(limit);
            if !suggestions.is_empty() {
                return Ok(suggestions);
            }
        }
        Ok(Vec::new())
    }

    /// The texts that suggestions come from: words in passing, as in descriptions, are none.
    fn names_text(&self) -> &[SearchedText] {
        &self.fields.texts[..1]
    }

    /// Finishes the last word, by the words that most names have together with the words before.
    fn completions(
        &self,
        searcher: &Searcher,
        before: &[Word],
        last: &Word,
        breadth: Breadth,
        limit: usize,
    ) -> Result<Vec<Suggestion>, Error> {
        let mut found = Vec::new();
        for candidate in self.candidates(searcher, last, breadth, limit)? {
            let mut words = before.to_vec();
            words.push(Word::whole(&candidate));
            let filter = Filter::default();
            let query =
                query::query(&self.fields, self.names_text(), &words, Breadth::Typed, &filter);
            let count = searcher.search(&query, &Count)?;
            if count > 0 {
                found.push((Reverse(count), candidate));
            }
        }
        found.sort_unstable();
        found.truncate(limit);
        let said: String = before.iter().map(|word| format!("{} ", word.text)).collect();
        let suggestion = |(_, word)| Suggestion { text: format!("{said}{word}"), product_id: None };
        Ok(found.into_iter().map(suggestion).collect())
    }

    /// The most frequent words that begin as `last` does. Frequencies count archived products too, for a
    /// while, so they only choose what is looked at closely.
    fn candidates(
        &self,
        searcher: &Searcher,
        last: &Word,
        breadth: Breadth,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let typos = if breadth == Breadth::Typed { 0 } else { last.typos() };
        let mut frequencies: HashMap<String, u64> = HashMap::new();
        for text in self.names_text() {
            let begins = beginning(Term::from_field_text(text.words, &last.text), typos);
            for segment in searcher.segment_readers() {
                let inverted = segment.inverted_index(text.words)?;
                let words = inverted.terms().search(begins.automaton()?);
                let mut words = words.into_stream().map_err(tantivy::TantivyError::from)?;
                let mut scanned = 0;
                while scanned < MAX_SCANNED_WORDS && words.advance() {
                    scanned += 1;
                    if let Ok(word) = std::str::from_utf8(words.key())
                        && word != last.text
                    {
                        let frequency = frequencies.entry(word.to_owned()).or_default();
                        *frequency += u64::from(words.value().doc_freq);
                    }
                }
            }
        }
        let mut candidates: Vec<_> = frequencies.into_iter().collect();
        candidates.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        candidates.truncate(limit * CANDIDATES_PER_SUGGESTION);
        Ok(candidates.into_iter().map(|(word, _)| word).collect())
    }

    /// Names that have what was typed.
    fn names(
        &self,
        searcher: &Searcher,
        words: &[Word],
        breadth: Breadth,
        limit: usize,
    ) -> Result<Vec<Suggestion>, Error> {
        let filter = Filter::default();
        let query = query::query(&self.fields, self.names_text(), words, breadth, &filter);
        let collected = searcher.search(&query, &Page { after: None, limit })?;
        let entries = collected.hits.iter().map(|(_, at)| self.load(searcher, *at));
        entries
            .map(|entry| {
                let entry = entry?;
                let product_id = Some(entry.product_id);
                Ok(Suggestion { text: entry.product.name, product_id })
            })
            .collect()
    }
}
