//! docs/FILTERS.md says what is so.

use std::path::Path;

use souk_orchestrator::engine::Filter;
use souk_orchestrator::engine::limits::{
    MAX_COUNTED_PAGES, MAX_FILTER_BYTES, MAX_FILTER_COMPARISONS, MAX_FILTER_DEPTH, MAX_PAGE_ROWS,
    MAX_SCANNED_ROWS,
};

/// The lines of all blocks of a kind.
fn blocks<'a>(page: &'a str, kind: &str) -> Vec<&'a str> {
    let mut lines = page.lines();
    let mut found = Vec::new();
    while lines.by_ref().any(|line| line.strip_prefix("```") == Some(kind)) {
        found.extend(lines.by_ref().take_while(|line| *line != "```"));
    }
    found
}

#[test]
fn every_example_of_the_page_is_so() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/FILTERS.md");
    let page = std::fs::read_to_string(path).unwrap();
    let right = blocks(&page, "filter");
    assert_eq!(right.len(), 14);
    for text in right {
        Filter::parse(text, 0).unwrap_or_else(|why| panic!("{text}: {why}"));
    }
    let wrong = blocks(&page, "wrong");
    assert_eq!(wrong.len(), 8);
    for pair in wrong.chunks(2) {
        assert_eq!(Filter::parse(pair[0], 0).unwrap_err().to_string(), pair[1]);
    }
    let counted = MAX_COUNTED_PAGES * MAX_PAGE_ROWS;
    for (bound, named) in [
        (MAX_FILTER_BYTES, "4,096 bytes"),
        (MAX_FILTER_DEPTH, "32 levels"),
        (MAX_FILTER_COMPARISONS, "200 comparisons"),
        (MAX_SCANNED_ROWS, "at most 5,000"),
        (counted, "up to 10,000 runs"),
    ] {
        assert!(named.replace(',', "").contains(&bound.to_string()) && page.contains(named));
    }
}
