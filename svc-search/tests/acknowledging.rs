//! When news counts as taken in.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use souk_mesh::tasks::Tasks;
use souk_search::Error;
use souk_search::domain::{News, Source};
use souk_search::index::{ProductIndex, Writer};
use souk_search::indexer::Indexer;

use crate::shop::product;

fn news(number: u128) -> News {
    let source = Source::Event { version: 1, heard_ms: 1 };
    News::new(product(number, "Cup", ""), "Kitchen".to_owned(), true, source).unwrap()
}

/// The disk at this moment.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_acknowledged_is_durable_and_can_be_found() {
    let (temp, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let index = Arc::new(ProductIndex::open(temp.path()).unwrap());
    let indexer = Indexer::spawn(Arc::clone(&index), &Tasks::new());
    indexer.bring(vec![news(1), news(2)]).await.unwrap();
    copy(temp.path(), crashed.path());
    assert_eq!(index.known(), 2);
    assert_eq!(ProductIndex::open(crashed.path()).unwrap().known(), 2);
    // What is known already is acknowledged too.
    indexer.bring(vec![news(2)]).await.unwrap();
    assert_eq!(index.known(), 2);
}

#[tokio::test]
async fn what_could_not_be_written_is_refused_and_can_be_brought_again() {
    let temp = tempfile::tempdir().unwrap();
    // Only one writer at a time: another one makes this one's batches fail.
    let mut other = Writer::new(Arc::new(ProductIndex::open(temp.path()).unwrap()));
    other.apply(vec![news(1)]).unwrap();
    let index = Arc::new(ProductIndex::open(temp.path()).unwrap());
    let indexer = Indexer::spawn(Arc::clone(&index), &Tasks::new());
    let refused = indexer.bring(vec![news(2)]).await.unwrap_err();
    assert!(matches!(refused, Error::NotIndexed(_)), "{refused}");
    assert_eq!(index.known(), 1);
    drop(other);
    indexer.bring(vec![news(2)]).await.unwrap();
    assert_eq!(index.known(), 2);
}

#[tokio::test]
async fn a_disk_that_fails_for_a_while_is_outlived() {
    let temp = tempfile::tempdir().unwrap();
    let index = Arc::new(ProductIndex::open(temp.path()).unwrap());
    let indexer = Indexer::spawn(Arc::clone(&index), &Tasks::new());
    indexer.bring(vec![news(1)]).await.unwrap();
    let folder = fs::read_dir(temp.path()).unwrap().next().unwrap().unwrap().path();
    let away = temp.path().join("away");
    fs::rename(&folder, &away).unwrap();
    let refused = indexer.bring(vec![news(2)]).await.unwrap_err();
    assert!(matches!(refused, Error::NotIndexed(_)), "{refused}");
    fs::rename(&away, &folder).unwrap();
    indexer.bring(vec![news(2)]).await.unwrap();
    assert_eq!(index.known(), 2);
}

#[tokio::test]
async fn a_drain_waits_for_what_was_brought() {
    let temp = tempfile::tempdir().unwrap();
    let index = Arc::new(ProductIndex::open(temp.path()).unwrap());
    let tasks = Tasks::new();
    let indexer = Indexer::spawn(Arc::clone(&index), &tasks);
    let bringing = tokio::spawn(async move { indexer.bring(vec![news(1)]).await });
    tasks.drain(Duration::from_secs(30)).await.unwrap();
    bringing.await.unwrap().unwrap();
    assert_eq!(index.known(), 1);
}
