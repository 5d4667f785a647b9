//! Completions of what a customer is typing.

use souk_proto::search::v1::Suggestion;

use crate::shop::{Shop, product, shelf, told};

fn texts(suggestions: &[Suggestion]) -> Vec<&str> {
    suggestions.iter().map(|one| one.text.as_str()).collect()
}

#[tokio::test]
async fn words_and_names_complete_a_beginning() {
    let temp = tempfile::tempdir().unwrap();
    let shop = Shop::open(temp.path(), shelf()).await;
    let suggestions = shop.suggest("te", 0).await;
    assert_eq!(texts(&suggestions), ["tea", "teapot", "Stoneware teapot", "Tea strainer"]);
    assert_eq!(suggestions[0].product_id, "", "a word is no product");
    assert_eq!(suggestions[2].product_id, shelf()[0].product_id);
    assert_eq!(texts(&shop.suggest("red wo", 0).await), ["red wool", "Red wool coat"]);
    assert_eq!(texts(&shop.suggest("te", 2).await), ["tea", "Stoneware teapot"]);
    assert!(shop.suggest("litre", 0).await.is_empty(), "descriptions suggest nothing");
    assert!(shop.suggest("?", 0).await.is_empty());
}

#[tokio::test]
async fn typing_errors_are_tolerated() {
    let temp = tempfile::tempdir().unwrap();
    let shop = Shop::open(temp.path(), shelf()).await;
    assert_eq!(texts(&shop.suggest("teep", 0).await), ["teapot", "Stoneware teapot"]);
    assert_eq!(texts(&shop.suggest("stonewrae t", 0).await), ["Stoneware teapot"]);
}

#[tokio::test]
async fn what_is_suggested_can_be_found() {
    let temp = tempfile::tempdir().unwrap();
    let shop = Shop::open(temp.path(), shelf()).await;
    let mut thermos = product(4, "Thermos flask", "");
    (thermos.archived, thermos.version) = (true, 2);
    shop.tell(told(&thermos, 2, false)).await;
    shop.eventually_sells(7).await;
    assert!(shop.suggest("thermo", 0).await.is_empty(), "nothing of that name is sold any more");
    for typed in ["c", "s", "t", "r"] {
        for suggestion in shop.suggest(typed, 20).await {
            assert!(!shop.names(&suggestion.text).await.is_empty(), "{}", suggestion.text);
        }
    }
}
