//! Collects what a query finds in one pass: how many, how many per category, and one page of the best.
//!
//! The order is total and does not depend on the index's segments: score, then name, then id. Scores are
//! whole numbers that depend on query and product only, never on the other products, so a page can begin
//! after the last hit of the page before, whatever was indexed between the two.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Bound;

use serde::{Deserialize, Serialize};
use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::StrColumn;
use tantivy::{DocAddress, DocId, Score, SegmentOrdinal, SegmentReader};

use super::schema::{CATEGORY, ORDER};

/// Where a hit stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Higher is better, so it comes first.
    pub score: Reverse<u32>,
    /// Orders what scores alike.
    pub order: String,
}

/// What was found.
#[derive(Default)]
pub struct Collected {
    /// In all, before and after the page too.
    pub total: u64,
    /// The same by category.
    pub categories: BTreeMap<String, u64>,
    /// The page, best first.
    pub hits: Vec<(Place, DocAddress)>,
}

/// Collects at most `limit` hits, those behind `after`.
pub struct Page {
    /// The last hit of the page before.
    pub after: Option<Place>,
    /// Hits on the page.
    pub limit: usize,
}

impl Collector for Page {
    type Fruit = Collected;
    type Child = SegmentPage;

    fn for_segment(
        &self,
        ordinal: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<SegmentPage> {
        // A segment of tombstones has neither column, and no hits.
        let columns = segment.fast_fields();
        let categories = columns.str(CATEGORY)?;
        let order = columns.str(ORDER)?;
        let after = match (&self.after, &order) {
            (Some(place), Some(order)) => Some((place.score, first_behind(order, &place.order)?)),
            _ => None,
        };
        let counts = vec![0; categories.as_ref().map_or(0, |column| column.num_terms())];
        let (limit, best) = (self.limit, BinaryHeap::new());
        Ok(SegmentPage { ordinal, categories, order, after, limit, total: 0, counts, best })
    }

    fn requires_scoring(&self) -> bool {
        true
    }

    fn merge_fruits(
        &self,
        segments: Vec<tantivy::Result<Collected>>,
    ) -> tantivy::Result<Collected> {
        let mut all = Collected::default();
        for segment in segments {
            let segment = segment?;
            all.total += segment.total;
            for (category, count) in segment.categories {
                *all.categories.entry(category).or_default() += count;
            }
            all.hits.extend(segment.hits);
        }
        all.hits.sort_unstable();
        all.hits.truncate(self.limit);
        Ok(all)
    }
}

/// The ordinal of the first value behind `value`.
fn first_behind(order: &StrColumn, value: &str) -> tantivy::Result<u64> {
    let behind = Bound::Excluded(value.as_bytes());
    let (first, _) = order.dictionary().term_bounds_to_ord(behind, Bound::Unbounded)?;
    Ok(match first {
        Bound::Included(ordinal) => ordinal,
        Bound::Excluded(ordinal) => ordinal.saturating_add(1),
        Bound::Unbounded => 0,
    })
}

/// The part of the page in one segment.
pub struct SegmentPage {
    ordinal: SegmentOrdinal,
    categories: Option<StrColumn>,
    order: Option<StrColumn>,
    /// Score, and the ordinal from which on hits of that score are behind the page before.
    after: Option<(Reverse<u32>, u64)>,
    limit: usize,
    total: u64,
    counts: Vec<u64>,
    /// The worst of the best on top.
    best: BinaryHeap<(Reverse<u32>, u64, DocId)>,
}

impl SegmentPage {
    fn resolve(self) -> tantivy::Result<Collected> {
        let mut categories = BTreeMap::new();
        for (ordinal, count) in (0_u64..).zip(self.counts) {
            if let Some(column) = self.categories.as_ref().filter(|_| count > 0) {
                let mut category = String::new();
                column.ord_to_str(ordinal, &mut category)?;
                categories.insert(category, count);
            }
        }
        let mut hits = Vec::with_capacity(self.best.len());
        for (score, ordinal, document) in self.best {
            let mut order = String::new();
            if let Some(column) = &self.order {
                column.ord_to_str(ordinal, &mut order)?;
            }
            hits.push((Place { score, order }, DocAddress::new(self.ordinal, document)));
        }
        Ok(Collected { total: self.total, categories, hits })
    }
}

impl SegmentCollector for SegmentPage {
    type Fruit = tantivy::Result<Collected>;

    fn collect(&mut self, document: DocId, score: Score) {
        self.total += 1;
        let first = |column: &StrColumn| column.ords().first(document);
        if let Some(category) = self.categories.as_ref().and_then(first)
            && let Some(count) =
                usize::try_from(category).ok().and_then(|at| self.counts.get_mut(at))
        {
            *count += 1;
        }
        let order = self.order.as_ref().and_then(first).unwrap_or_default();
        // Scores are sums of small whole numbers, which f32 holds exactly.
        let score = Reverse(score as u32);
        if self.after.is_some_and(|after| (score, order) < after) {
            return;
        }
        self.best.push((score, order, document));
        if self.best.len() > self.limit {
            self.best.pop();
        }
    }

    fn harvest(self) -> Self::Fruit {
        self.resolve()
    }
}
