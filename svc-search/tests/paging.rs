//! Pages: each hit once, whatever is indexed between two of them.

use souk_mesh::error::reason_of;
use souk_proto::catalog::v1::Product;
use souk_proto::search::v1::SearchRequest;
use tonic::Code;

use crate::shop::{CLOTHING, Shop, names, product, shelf, told, typed};

fn many() -> Vec<Product> {
    // Few different names, so that many hits score alike.
    (1..=37).map(|n| product(n, ["Blue cup", "Green cup", "Cup"][n as usize % 3], "")).collect()
}

/// All names by pages of `size`; `between` happens after each page.
async fn all_pages(shop: &Shop, request: SearchRequest, between: impl AsyncFn()) -> Vec<String> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let page = SearchRequest { page_token, ..request.clone() };
        let page = shop.search(page).await.unwrap();
        assert!(page.hits.len() <= request.page_size as usize);
        found.extend(page.hits.into_iter().map(|hit| hit.product.unwrap().product_id));
        page_token = page.next_page_token;
        assert!(found.len() <= 200, "pages come to an end");
        if page_token.is_empty() {
            return found;
        }
        between().await;
    }
}

#[tokio::test]
async fn pages_hold_every_hit_once_and_in_order() {
    let temp = tempfile::tempdir().unwrap();
    let shop = Shop::open(temp.path(), many()).await;
    for words in ["", "cup", "green cup", "cpu"] {
        let whole = shop.search(typed(words)).await.unwrap();
        let expected: Vec<String> =
            whole.hits.into_iter().map(|hit| hit.product.unwrap().product_id).collect();
        assert_eq!(expected.len() as i64, whole.total);
        for page_size in [1, 5, 12, 36, 37, 38] {
            let request = SearchRequest { page_size, ..typed(words) };
            assert_eq!(all_pages(&shop, request, async || ()).await, expected, "{words}");
        }
    }
}

#[tokio::test]
async fn what_is_indexed_meanwhile_neither_hides_nor_repeats_a_hit() {
    let temp = tempfile::tempdir().unwrap();
    let shop = Shop::open(temp.path(), many()).await;
    let expected = shop.search(typed("cup")).await.unwrap().total;
    let request = SearchRequest { page_size: 5, ..typed("cup") };
    let next = std::cell::Cell::new(100);
    let mut found = all_pages(&shop, request, async || {
        let number = next.replace(next.get() + 1);
        shop.tell(told(&product(number, "Aardvark cup", ""), 1, true)).await;
        let sells = expected + i64::try_from(number).unwrap() - 99;
        shop.eventually_sells(usize::try_from(sells).unwrap()).await;
    })
    .await;
    assert!(next.get() > 106, "something was indexed between the pages");
    let before = found.len();
    found.sort();
    found.dedup();
    assert_eq!(found.len(), before, "no hit twice");
    let known = many().into_iter().filter(|one| found.contains(&one.product_id)).count();
    assert_eq!(known, 37, "no hit missed");
}

#[tokio::test]
async fn a_token_of_another_query_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let shop = Shop::open(temp.path(), shelf()).await;
    let first = SearchRequest { page_size: 1, ..typed("tea") };
    let page_token = shop.search(first.clone()).await.unwrap().next_page_token;
    let same = SearchRequest { page_token: page_token.clone(), page_size: 2, ..first.clone() };
    assert_eq!(shop.search(same).await.unwrap().hits.len(), 2, "the size may change");
    let others = [
        SearchRequest { q: "coat".to_owned(), ..first.clone() },
        SearchRequest { category_id: CLOTHING.to_string(), ..first.clone() },
        SearchRequest { in_stock: true, ..first.clone() },
    ];
    for other in others {
        let refused = shop.search(SearchRequest { page_token: page_token.clone(), ..other }).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(reason_of(&refused).as_deref(), Some("INVALID_PAGE_TOKEN"));
    }
}

#[tokio::test]
async fn all_is_listed_by_name() {
    let temp = tempfile::tempdir().unwrap();
    let shop = Shop::open(temp.path(), shelf()).await;
    let mut expected: Vec<String> = shelf().into_iter().map(|one| one.name).collect();
    expected.sort();
    assert_eq!(names(&shop.search(typed("  ")).await.unwrap()), expected);
}
