//! The architecture's invariants that sources can be asked for. docs/ARCHITECTURE.md says why each is one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file of this size serves more than one purpose.
const MAX_FILE_BYTES: usize = 20 * 1024;

/// Folders of the tree that hold no sources of ours.
const NOT_OURS: [&str; 4] = ["target", ".git", "node_modules", ".ci"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `folder`: its path from the root, and its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !NOT_OURS.contains(&name.as_str()) {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

/// Lines of code that have one of `words`; what comments and tests say is free.
fn code_with(sources: &[(PathBuf, String)], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    found
}

/// Our own crates that a crate depends on, for its tests or not, by the crate's folder.
fn our_dependencies() -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(root()).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(text) = std::fs::read_to_string(folder.join("Cargo.toml")) else { continue };
        let manifest: toml::Table = text.parse().unwrap();
        let sections = ["dependencies", "dev-dependencies", "build-dependencies"];
        let tables = sections.iter().filter_map(|section| manifest.get(*section)?.as_table());
        // A crate that switches features of its own on for its tests names itself.
        let itself = manifest["package"]["name"].as_str().unwrap_or_default().to_owned();
        let ours = tables
            .flat_map(toml::Table::keys)
            .filter(|name| name.starts_with("souk-") && **name != itself);
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        all.insert(name, ours.cloned().collect());
    }
    all
}

#[test]
fn services_meet_only_through_the_contract() {
    let dependencies = our_dependencies();
    let services: Vec<_> = dependencies.keys().filter(|name| name.starts_with("svc-")).collect();
    assert_eq!(services.len(), 7, "{services:?}");
    for service in services {
        for dependency in &dependencies[service] {
            let allowed = ["souk-proto", "souk-mesh"].contains(&dependency.as_str());
            // The provider is no service: svc-payment's tests run a real one.
            let provider = service == "svc-payment" && dependency == "souk-sandbox-provider";
            // Starts the real stores for tests; that it is used by nothing else is another test's.
            let backends = dependency == "souk-backends";
            assert!(allowed || provider || backends, "{service} depends on {dependency}");
        }
    }
    for part in ["orchestrator", "edge-gateway"] {
        let others = ["souk-proto", "souk-mesh", "souk-web", "souk-backends"];
        let on_service = |name: &&String| !others.contains(&name.as_str());
        let found: Vec<_> = dependencies[part].iter().filter(on_service).collect();
        assert!(found.is_empty(), "{part} depends on {found:?}");
    }
}

#[test]
fn what_is_shipped_starts_real_backends_in_tests_alone() {
    let folders = our_dependencies().into_keys().map(|name| root().join(name));
    for folder in folders.chain([root().to_owned()]).filter(|folder| !folder.ends_with("xtask")) {
        let text = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        let dependencies = manifest["dependencies"].as_table().unwrap();
        assert!(!dependencies.contains_key("souk-backends"), "{}", folder.display());
    }
}

#[test]
fn one_file_knows_the_client_library_of_redis() {
    let mut others = sources("mesh/src");
    for (name, _) in our_dependencies() {
        others.extend(sources(&format!("{name}/src")));
    }
    others.retain(|(path, _)| path != Path::new("mesh/src/redis/link.rs"));
    let found = code_with(&others, &["fred::", "use fred"]);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_engine_knows_nothing_of_commerce() {
    let engine = sources("orchestrator/src/engine");
    let strangers = [
        "souk_proto",
        "souk_mesh",
        "tonic",
        "workflows::",
        "place_order",
        "catalog",
        "payment",
        "inventory",
        "reservation",
        "customer",
        "product",
    ];
    let found = code_with(&engine, &strangers);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn workflows_perform_no_io() {
    let mut workflows = sources("orchestrator/src/workflows");
    // The two that carry steps to their services; a workflow reaches them only through its steps.
    workflows.retain(|(path, _)| !path.ends_with("rpc.rs") && !path.ends_with("participants.rs"));
    assert!(workflows.iter().any(|(path, _)| path.ends_with("place_order.rs")));
    let ambient = [
        "tokio::",
        "reqwest",
        "std::net",
        "std::fs",
        "std::thread",
        "SystemTime",
        "Instant",
        "rand::",
        "Uuid::new_v4",
        "Uuid::now_v7",
        "println!",
        "thread_local!",
    ];
    let found = code_with(&workflows, &ambient);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn only_svc_payment_knows_the_provider() {
    let mut others = Vec::new();
    for (name, _) in our_dependencies() {
        if !["svc-payment", "sandbox-provider", "bench"].contains(&name.as_str()) {
            others.extend(sources(&format!("{name}/src")));
        }
    }
    let found = code_with(&others, &["/v1/payment_intents", "/v1/refunds", "/v1/ledger"]);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn only_the_edge_sees_browsers() {
    let mut others = Vec::new();
    for (name, _) in our_dependencies() {
        if name != "edge-gateway" {
            others.extend(sources(&format!("{name}/src")));
        }
    }
    let found = code_with(&others, &["tonic_web", "GrpcWebLayer", "CorsLayer"]);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn files_serve_one_purpose() {
    let large: Vec<String> = sources("")
        .iter()
        .filter(|(_, text)| text.len() > MAX_FILE_BYTES)
        .map(|(path, text)| format!("{}: {} bytes", path.display(), text.len()))
        .collect();
    assert!(large.is_empty(), "over {MAX_FILE_BYTES} bytes:\n{}", large.join("\n"));
}
