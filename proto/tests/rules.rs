//! Each kind of field rule, on requests that carry it.

use prost_types::{Duration, FieldMask, Timestamp};
use souk_proto::catalog::v1::{
    BatchGetProductsRequest, CreateCategoryRequest, CreateProductRequest, ReserveInventoryRequest,
    StockLine, UpdateProductRequest,
};
use souk_proto::google::r#type::Money;
use souk_proto::order::v1::{
    AppendOrderEventRequest, CartReference, OrderState, PlaceOrderLine, PlaceOrderRequest,
};
use souk_proto::user::v1::{PostalAddress, RegisterRequest};
use souk_proto::validate::{MAX_VIOLATIONS, Validate};
use souk_proto::workflow::v1::StartWorkflowRequest;

pub const ID: &str = "018f3c2a-7b1d-7c3e-9f00-0123456789ab";

/// The fields that break a rule.
fn broken(message: &impl Validate) -> Vec<String> {
    match message.validate() {
        Ok(()) => Vec::new(),
        Err(violations) => violations.as_slice().iter().map(|v| v.field.clone()).collect(),
    }
}

/// What is said about the only broken rule.
fn complaint(message: &impl Validate) -> String {
    let violations = message.validate().expect_err("a rule is broken");
    let [only] = violations.as_slice() else { panic!("not one violation: {violations:?}") };
    format!("{} {}", only.field, only.description)
}

fn money(units: i64, nanos: i32) -> Money {
    Money { currency_code: "EUR".into(), units, nanos }
}

pub fn register() -> RegisterRequest {
    RegisterRequest {
        request_id: ID.into(),
        email: "ada@example.org".into(),
        password: "correct horse".into(),
        display_name: "Ada".into(),
    }
}

fn place_order() -> PlaceOrderRequest {
    PlaceOrderRequest {
        request_id: ID.into(),
        lines: vec![PlaceOrderLine { product_id: ID.into(), quantity: 1 }; 3],
        shipping_address: Some(PostalAddress {
            recipient: "Ada".into(),
            line1: "1 Main Street".into(),
            city: "Turin".into(),
            country: "IT".into(),
            ..PostalAddress::default()
        }),
        payment_token: "tok_visa".into(),
        expected_total: Some(money(12, 500_000_000)),
        ..PlaceOrderRequest::default()
    }
}

fn reserve() -> ReserveInventoryRequest {
    ReserveInventoryRequest {
        request_id: ID.into(),
        reservation_id: ID.into(),
        order_id: ID.into(),
        lines: vec![StockLine { product_id: ID.into(), quantity: 1 }],
        hold: Some(Duration { seconds: 900, nanos: 0 }),
        not_after: Some(Timestamp { seconds: 1_764_000_000, nanos: 0 }),
        ..ReserveInventoryRequest::default()
    }
}

#[test]
fn well_formed_requests_pass() {
    assert_eq!(broken(&register()), [] as [&str; 0]);
    assert_eq!(broken(&place_order()), [] as [&str; 0]);
    assert_eq!(broken(&reserve()), [] as [&str; 0]);
}

#[test]
fn required_fields_must_be_set() {
    let empty = PlaceOrderRequest::default();
    assert_eq!(broken(&empty), ["request_id", "payment_token", "expected_total"]);
    let append = AppendOrderEventRequest {
        request_id: ID.into(),
        order_id: ID.into(),
        ..AppendOrderEventRequest::default()
    };
    assert_eq!(complaint(&append), "state is required");
}

#[test]
fn uuids_are_lower_case_and_hyphenated() {
    let wrong = [
        "x",
        "018F3C2A-7B1D-7C3E-9F00-0123456789AB",
        "018f3c2a7b1d7c3e9f000123456789ab",
        "018f3c2a-7b1d-7c3e-9f00-0123456789ab ",
        "018f3c2a-7b1d-7c3e-9f00-0123456789ag",
        "018f3c2a-7b1d-7c3e-9f0-00123456789ab",
    ];
    for request_id in wrong {
        let request = RegisterRequest { request_id: request_id.into(), ..register() };
        assert_eq!(broken(&request), ["request_id"], "{request_id:?}");
    }
    let none = RegisterRequest { request_id: String::new(), ..register() };
    assert_eq!(broken(&none), [] as [&str; 0], "an optional id may be left out");
}

#[test]
fn email_addresses_look_like_ones() {
    let long = format!("{}@example.org", "a".repeat(65));
    let longer = format!("a@{}.org", "b".repeat(250));
    let wrong = [
        "ada",
        "@example.org",
        "ada@",
        "ada@localhost",
        "a da@example.org",
        "a@b@example.org",
        "ada@example..org",
        "ada@-example.org",
        "ada@example.org\r\nBcc: eve@example.org",
        &long,
        &longer,
    ];
    for email in wrong {
        let request = RegisterRequest { email: email.into(), ..register() };
        assert_eq!(broken(&request), ["email"], "{email:?}");
    }
    for email in ["a@b.co", "ada.lovelace+shop@mail.example.org", "ütf@bücher.example"] {
        let request = RegisterRequest { email: email.into(), ..register() };
        assert_eq!(broken(&request), [] as [&str; 0], "{email:?}");
    }
}

#[test]
fn slugs_are_small_letters_digits_and_inner_hyphens() {
    let named = |slug: &str| CreateCategoryRequest {
        slug: slug.into(),
        name: "Tea".into(),
        ..CreateCategoryRequest::default()
    };
    for slug in ["Tea", "-tea", "tea-", "green--tea", "te a", &"a".repeat(65)] {
        assert_eq!(broken(&named(slug)), ["slug"], "{slug:?}");
    }
    assert_eq!(broken(&named("green-tea-2")), [] as [&str; 0]);
}

#[test]
fn currencies_are_three_capitals() {
    for currency in ["eur", "EURO", "E1R", "€"] {
        let request = PlaceOrderRequest { currency: currency.into(), ..place_order() };
        assert_eq!(broken(&request), ["currency"], "{currency:?}");
        let total = Money { currency_code: currency.into(), ..money(1, 0) };
        let request = PlaceOrderRequest { expected_total: Some(total), ..place_order() };
        assert_eq!(broken(&request), ["expected_total.currency_code"], "{currency:?}");
    }
}

#[test]
fn lengths_count_characters() {
    let named = |name: String| RegisterRequest { display_name: name, ..register() };
    assert_eq!(broken(&named("é".repeat(100))), [] as [&str; 0]);
    let long = complaint(&named("é".repeat(101)));
    assert_eq!(long, "display_name must have at most 100 characters");
    let short = RegisterRequest { password: "éééé567".into(), ..register() };
    assert_eq!(complaint(&short), "password must have at least 8 characters");
}

#[test]
fn bytes_are_bounded() {
    let start = |size: usize| StartWorkflowRequest {
        workflow_id: "order/1".into(),
        workflow_type: "place_order".into(),
        input: vec![b' '; size].into(),
        ..StartWorkflowRequest::default()
    };
    assert_eq!(broken(&start(1 << 19)), [] as [&str; 0]);
    assert_eq!(complaint(&start((1 << 19) + 1)), "input must have at most 524288 bytes");
}

#[test]
fn numbers_have_bounds_and_violations_say_which_element() {
    let mut order = place_order();
    order.lines[2].quantity = -1;
    assert_eq!(complaint(&order), "lines[2].quantity must be at least 1");
    order.lines[2].quantity = 1_001;
    assert_eq!(complaint(&order), "lines[2].quantity must be at most 1000");
    let cart = CartReference { cart_version: 0 };
    let order = PlaceOrderRequest { cart: Some(cart), ..place_order() };
    assert_eq!(complaint(&order), "cart.cart_version must be at least 1");
}

#[test]
fn nested_messages_are_judged() {
    let mut order = place_order();
    order.shipping_address =
        Some(PostalAddress { country: "ITA".into(), ..PostalAddress::default() });
    let fields = ["recipient", "line1", "city", "country"].map(|f| format!("shipping_address.{f}"));
    assert_eq!(broken(&order), fields);
}

#[test]
fn lists_are_bounded_and_their_elements_judged() {
    let ids = |ids: Vec<String>| BatchGetProductsRequest { product_ids: ids };
    assert_eq!(complaint(&ids(vec![])), "product_ids must have at least 1 elements");
    assert_eq!(broken(&ids(vec![ID.into(); 200])), [] as [&str; 0]);
    assert_eq!(broken(&ids(vec![ID.into(); 201])), ["product_ids"]);
    let second = ids(vec![ID.into(), "x".into(), String::new()]);
    assert_eq!(broken(&second), ["product_ids[1]", "product_ids[2]"]);
}

#[test]
fn money_is_judged_to_the_billionth() {
    let priced = |price: Option<Money>| CreateProductRequest {
        request_id: ID.into(),
        sku: "TEA-1".into(),
        name: "Tea".into(),
        category_id: ID.into(),
        price,
        ..CreateProductRequest::default()
    };
    assert_eq!(broken(&priced(Some(money(0, 10_000_000)))), [] as [&str; 0]);
    assert_eq!(complaint(&priced(None)), "price is required");
    assert_eq!(complaint(&priced(Some(money(0, 0)))), "price must be greater than 0");
    assert_eq!(complaint(&priced(Some(money(0, -1)))), "price must be greater than 0");
    for price in [money(1, -1), money(-1, 1), money(1, 1_000_000_000), money(0, i32::MIN)] {
        assert_eq!(broken(&priced(Some(price))), ["price.nanos"]);
    }
}

#[test]
fn times_and_durations_are_within_bounds() {
    let held = |seconds, nanos| ReserveInventoryRequest {
        hold: Some(Duration { seconds, nanos }),
        ..reserve()
    };
    assert_eq!(complaint(&held(0, 0)), "hold must be greater than 0");
    assert_eq!(complaint(&held(86_400, 1)), "hold must be at most 86400");
    assert_eq!(broken(&held(86_400, 0)), [] as [&str; 0]);
    assert_eq!(broken(&held(i64::MIN, 0)), ["hold"]);
    assert_eq!(broken(&held(1, -1)), ["hold"]);
    for (seconds, nanos) in [(i64::MAX, 0), (0, -1), (0, 1_000_000_000), (-62_135_596_801, 0)] {
        let not_after = Some(Timestamp { seconds, nanos });
        assert_eq!(broken(&ReserveInventoryRequest { not_after, ..reserve() }), ["not_after"]);
    }
}

#[test]
fn enums_hold_known_values() {
    let append = |state| AppendOrderEventRequest {
        request_id: ID.into(),
        order_id: ID.into(),
        state,
        ..AppendOrderEventRequest::default()
    };
    assert_eq!(broken(&append(OrderState::Cancelled.into())), [] as [&str; 0]);
    assert_eq!(complaint(&append(99)), "state is not a value that is known here");
}

#[test]
fn field_masks_are_bounded() {
    let update = |paths: Vec<String>| UpdateProductRequest {
        product_id: ID.into(),
        update_mask: Some(FieldMask { paths }),
        ..UpdateProductRequest::default()
    };
    assert_eq!(broken(&update(vec!["name".into()])), [] as [&str; 0]);
    assert_eq!(complaint(&update(vec![])), "update_mask is required");
    assert_eq!(broken(&update(vec!["name".into(); 101])), ["update_mask"]);
    assert_eq!(broken(&update(vec!["x".repeat(201)])), ["update_mask"]);
}

#[test]
fn only_so_many_violations_are_told() {
    let request = BatchGetProductsRequest { product_ids: vec!["x".into(); 200] };
    assert_eq!(broken(&request).len(), MAX_VIOLATIONS);
}
