//! Starts: on an index that is there, on one that is damaged, on none.

use std::fs;
use std::path::{Path, PathBuf};

use souk_proto::catalog::v1::Product;

use crate::shop::{Catalog, Shop, product, shelf, told};

/// The files of the index.
fn index_files(folder: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(folder.join("search")).unwrap().map(|entry| entry.unwrap().path());
    let index = folders.filter(|path| path.is_dir()).collect::<Vec<_>>();
    assert_eq!(index.len(), 1, "one index: {index:?}");
    let files = fs::read_dir(&index[0]).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_restart_keeps_the_index() {
    let temp = tempfile::tempdir().unwrap();
    Shop::open(temp.path(), shelf()).await.close().await;
    let shop = Shop::open_with(temp.path(), None).await;
    assert_eq!(shop.names("teapot").await, ["Stoneware teapot", "Tea strainer"]);
}

#[tokio::test]
async fn what_can_be_found_survives_a_crash() {
    let temp = tempfile::tempdir().unwrap();
    let shop = Shop::open(temp.path(), Vec::new()).await;
    shop.tell(told(&product(1, "Cup", ""), 1, true)).await;
    shop.eventually_finds("cup", &["Cup"]).await;
    // The disk at this moment, without the bus that could tell again.
    let crashed = tempfile::tempdir().unwrap();
    for file in index_files(temp.path()) {
        let to = crashed.path().join(file.strip_prefix(temp.path()).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&file, to).unwrap();
    }
    let again = Shop::open_with(crashed.path(), None).await;
    assert_eq!(again.names("cup").await, ["Cup"]);
}

#[tokio::test]
async fn a_damaged_index_is_made_anew_from_the_catalog() {
    let temp = tempfile::tempdir().unwrap();
    Shop::open(temp.path(), shelf()).await.close().await;
    let count = index_files(temp.path()).len();
    assert!(count > 5, "there is something to damage");
    for at in 0..count {
        // A restart may have merged segments, so there may be fewer files than at first.
        let Some(file) = index_files(temp.path()).into_iter().nth(at) else { break };
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        match bytes.get_mut(middle) {
            Some(byte) => *byte ^= 0x40,
            None => continue,
        }
        fs::write(&file, bytes).unwrap();
        let shop = Shop::open(temp.path(), shelf()).await;
        let found = shop.names("teapot").await;
        assert_eq!(found, ["Stoneware teapot", "Tea strainer"], "{}", file.display());
        shop.close().await;
    }
    for file in index_files(temp.path()) {
        fs::write(file, "").unwrap();
    }
    Shop::open(temp.path(), shelf()).await.close().await;
    fs::remove_file(index_files(temp.path()).iter().find(|path| ends_with(path, "store")).unwrap())
        .unwrap();
    let shop = Shop::open(temp.path(), shelf()).await;
    assert_eq!(shop.names("teapot").await, ["Stoneware teapot", "Tea strainer"]);
}

fn ends_with(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

#[tokio::test]
async fn an_index_of_another_form_is_made_anew() {
    let temp = tempfile::tempdir().unwrap();
    let other = temp.path().join("search").join("index-v0");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("meta.json"), "{}").unwrap();
    let shop = Shop::open(temp.path(), shelf()).await;
    assert_eq!(shop.names("skillet").await, ["Cast iron skillet"]);
    assert!(!other.exists());
}

#[tokio::test]
async fn a_start_finds_what_events_did_not_tell() {
    let temp = tempfile::tempdir().unwrap();
    Shop::open(temp.path(), shelf()).await.close().await;
    let mut products = shelf();
    products[0].name = "Porcelain pot".to_owned();
    products[0].version = 2;
    (products[3].archived, products[3].version) = (true, 2);
    products[4].available_quantity = Some(0);
    products.push(product(9, "Crepe pan", "Flat."));
    let catalog = Catalog::default();
    *catalog.products.lock().unwrap() = products;
    let shop = Shop::open_with(temp.path(), Some(catalog)).await;
    shop.eventually_finds("porcelain", &["Porcelain pot"]).await;
    shop.eventually_finds("thermos", &[]).await;
    shop.eventually_finds("crepe", &["Crepe pan"]).await;
    let found = shop.search(crate::shop::typed("skillet")).await.unwrap();
    let skillet: Product = found.hits[0].product.clone().unwrap();
    assert_eq!(skillet.available_quantity, Some(0));
}

#[tokio::test]
async fn a_catalog_that_comes_late_is_waited_for() {
    let temp = tempfile::tempdir().unwrap();
    let shop = Shop::open_with(temp.path(), None).await;
    assert!(shop.names("").await.is_empty());
    let catalog = Catalog::default();
    *catalog.products.lock().unwrap() = shelf();
    let server =
        souk_proto::catalog::v1::catalog_service_server::CatalogServiceServer::new(catalog);
    shop.platform.directory.bind_local("catalog", tonic::service::Routes::new(server));
    shop.eventually_sells(8).await;
}
