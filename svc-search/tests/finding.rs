//! What is found, in which order, and what filters let through.

use souk_mesh::error::{reason_of, violations_of};
use souk_proto::catalog::v1::Product;
use souk_proto::search::v1::{CategoryCount, SearchRequest};
use tonic::Code;

use crate::shop::{CLOTHING, KITCHEN, Shop, euros, names, product, shelf, typed};

#[tokio::test]
async fn a_hit_in_the_name_comes_before_one_in_the_description() {
    let temp = tempfile::tempdir().unwrap();
    let shop = Shop::open(temp.path(), shelf()).await;
    assert_eq!(shop.names("teapot").await, ["Stoneware teapot", "Tea strainer"]);
    assert_eq!(shop.names("coat").await, ["Rain coat", "Red wool coat"]);
    // "Rain coat" is red too, but does not say so in its name.
    assert_eq!(shop.names("red coat").await, ["Red wool coat", "Rain coat"]);
    let found = shop.search(typed("red coat")).await.unwrap();
    assert!(found.hits[0].score > found.hits[1].score);
    assert_eq!(shop.names("tea ").await, ["Tea strainer", "Café mug", "Linen shirt"]);
}

#[tokio::test]
async fn words_are_found_in_every_text_and_form() {
    let temp = tempfile::tempdir().unwrap();
    let shop = Shop::open(temp.path(), shelf()).await;
    assert_eq!(shop.names("KIT-1003").await, ["Café mug"], "by article number");
    assert!(shop.names("KIT-1009").await.is_empty(), "a number is taken at its word");
    assert_eq!(shop.names("cafe").await, ["Café mug"], "without the accent");
    assert_eq!(shop.names("teapots ").await, ["Stoneware teapot", "Tea strainer"], "by stem");
    assert_eq!(shop.names("clothing shirt").await, ["Linen shirt"], "by category");
    assert_eq!(shop.names("a coat with deep pockets").await, ["Red wool coat"]);
    assert_eq!(shop.names("the thermos for the way to it").await, ["Thermos flask"], "fillers");
}

#[tokio::test]
async fn typing_errors_are_tolerated_where_nothing_fits_as_typed() {
    let temp = tempfile::tempdir().unwrap();
    let shop = Shop::open(temp.path(), shelf()).await;
    for typed in ["teepot", "taepot", "teapt", "teaspot", "stonware teepot"] {
        assert_eq!(shop.names(typed).await[0], "Stoneware teapot", "{typed}");
    }
    assert_eq!(shop.names("sotnewrae ").await, ["Stoneware teapot"], "two errors in a long word");
    assert!(shop.names("shrti linne").await.contains(&"Linen shirt".to_owned()));
    assert!(shop.names("mgu ").await.is_empty(), "none in a short one");
    // "coat" is found as typed, so that "cost", "boat" and the like play no part.
    let other = product(9, "Model boat", "Sails.");
    shop.tell(crate::shop::told(&other, 1, true)).await;
    shop.eventually_sells(9).await;
    assert_eq!(shop.names("coat").await, ["Rain coat", "Red wool coat"]);
    assert!(shop.names("xylophone").await.is_empty());
}

#[tokio::test]
async fn the_last_word_may_be_unfinished() {
    let temp = tempfile::tempdir().unwrap();
    let shop = Shop::open(temp.path(), shelf()).await;
    assert_eq!(shop.names("ther").await, ["Thermos flask"]);
    assert_eq!(shop.names("cast sk").await, ["Cast iron skillet"]);
    assert_eq!(shop.names("tea").await[0], "Tea strainer", "the whole word comes first");
    assert!(shop.names("therm ").await.is_empty(), "it is finished");
}

#[tokio::test]
async fn where_no_product_has_all_words_those_with_any_are_found() {
    let temp = tempfile::tempdir().unwrap();
    let shop = Shop::open(temp.path(), shelf()).await;
    let found = shop.names("purple wool hat").await;
    assert_eq!(found[0], "Red wool coat");
}

#[tokio::test]
async fn whatever_is_typed_is_words() {
    let temp = tempfile::tempdir().unwrap();
    let shop = Shop::open(temp.path(), shelf()).await;
    for typed in ["\"", "name:(", "+-&&||!(){}[]^~*?:\\/", "\u{0}", "🫖", "AND OR NOT)"] {
        let found = shop.search(crate::shop::typed(typed)).await.unwrap();
        assert_eq!(found.total, found.hits.len() as i64, "{typed}");
    }
    assert_eq!(shop.names("+(teapot~ AND \"one litre").await, ["Stoneware teapot"]);
    let longest = "teapot ".repeat(28);
    assert_eq!(shop.names(&longest).await, ["Stoneware teapot", "Tea strainer"]);
}

#[tokio::test]
async fn filters_let_through_what_fits() {
    let temp = tempfile::tempdir().unwrap();
    let mut products = shelf();
    products[1].available_quantity = Some(0);
    let shop = Shop::open(temp.path(), products).await;
    let found = async |request| names(&shop.search(request).await.unwrap());

    let clothing = SearchRequest { category_id: CLOTHING.to_string(), ..typed("tea") };
    assert_eq!(found(clothing).await, ["Linen shirt"]);
    let dear = SearchRequest { min_price: Some(euros(700)), ..typed("") };
    assert_eq!(found(dear).await, ["Linen shirt", "Rain coat"], "7.00 is within");
    let between =
        SearchRequest { min_price: Some(euros(400)), max_price: Some(euros(500)), ..typed("") };
    assert_eq!(found(between).await, ["Cast iron skillet", "Thermos flask"]);
    let none = SearchRequest { min_price: Some(euros(2)), max_price: Some(euros(1)), ..typed("") };
    assert!(found(none).await.is_empty());
    let in_stock = SearchRequest { in_stock: true, ..typed("teapot") };
    assert_eq!(found(in_stock).await, ["Stoneware teapot"]);
}

#[tokio::test]
async fn a_price_in_another_currency_matches_nothing_and_what_is_no_price_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let shop = Shop::open(temp.path(), shelf()).await;
    let dollars = souk_proto::google::r#type::Money { currency_code: "USD".into(), ..euros(100) };
    let other = SearchRequest { min_price: Some(dollars.clone()), ..typed("") };
    assert_eq!(shop.search(other).await.unwrap().total, 0);
    let mixed =
        SearchRequest { min_price: Some(euros(1)), max_price: Some(dollars.clone()), ..typed("") };
    assert_eq!(shop.search(mixed).await.unwrap().total, 0);

    let half_cent = souk_proto::google::r#type::Money { nanos: 5_000_000, ..euros(100) };
    let refused = SearchRequest { max_price: Some(half_cent), ..typed("") };
    let refused = shop.search(refused).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(reason_of(&refused).as_deref(), Some("INVALID_FIELDS"));
    assert_eq!(violations_of(&refused)[0].field, "max_price");
}

#[tokio::test]
async fn hits_are_counted_by_category_and_carry_the_product() {
    let temp = tempfile::tempdir().unwrap();
    let mut products = shelf();
    products[1].available_quantity = Some(0);
    let shop = Shop::open(temp.path(), products.clone()).await;
    let found = shop.search(SearchRequest { page_size: 1, ..typed("tea ") }).await.unwrap();
    assert_eq!((found.total, found.hits.len()), (3, 1));
    let count = |category_id: uuid::Uuid, count| CategoryCount {
        category_id: category_id.to_string(),
        count,
    };
    assert_eq!(found.categories, [count(KITCHEN, 2), count(CLOTHING, 1)]);
    let hit = found.hits[0].product.clone().unwrap();
    assert_eq!(hit, products[1], "sold out, and it says so");
    let found = shop.search(typed("skillet")).await.unwrap();
    let hit = found.hits[0].product.clone().unwrap();
    assert_eq!(hit, Product { available_quantity: None, ..products[4].clone() });
}
