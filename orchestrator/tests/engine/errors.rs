//! Each code has its page.

use std::path::Path;

use souk_orchestrator::engine::error::{NODE_CODES, StuckCode};

#[test]
fn each_code_has_a_page_that_says_what_it_means_and_what_to_do() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors");
    let codes = StuckCode::ALL.iter().map(|code| code.code()).chain(NODE_CODES);
    for code in codes {
        let path = folder.join(format!("{code}.md"));
        let page = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{code}: {error}"));
        assert!(page.starts_with(&format!("# {code}: ")), "{code}");
        assert!(page.contains("**What it means.**") && page.contains("**What to do.**"), "{code}");
    }
}
