//! The engine knows nothing of commerce, of gRPC or of the shop's other crates.

use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn the_engine_imports_nothing_of_commerce() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine");
    let files = sources(&folder);
    assert!(files.len() > 30, "{}", files.len());
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            let foreign =
                ["souk_proto", "souk_mesh", "tonic", "crate::workflows", "crate::service"];
            let found = foreign.iter().find(|word| line.contains(*word));
            assert!(found.is_none(), "{}: {line}", path.display());
            // Within the crate the engine knows only itself.
            let own = line.split("crate::").skip(1).all(|rest| rest.starts_with("engine"));
            assert!(own, "{}: {line}", path.display());
        }
    }
}

#[test]
fn the_engines_page_names_every_part() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine/mod.rs");
    let text = std::fs::read_to_string(page).unwrap();
    let table: Vec<&str> = text.lines().filter(|line| line.starts_with("//! |")).collect();
    let modules = text
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    let missing: Vec<&str> = modules
        .filter(|module| !table.iter().any(|row| row.contains(&format!("`{module}`"))))
        .collect();
    assert!(missing.is_empty(), "not in the table of mod.rs: {missing:?}");
}
