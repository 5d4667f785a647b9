//! Every RPC is bound to HTTP, at the routes of the design, without two claiming one route.

use std::collections::BTreeMap;

use prost_reflect::{DynamicMessage, MethodDescriptor, Value};

use crate::contract::{INTERNAL, methods};

/// The routes that the design also asks for below /api, and the RPC of each.
const SHORT_ROUTES: &str = "
    post users/register Register
    post users/login Login
    post users/password/reset RequestPasswordReset
    post users/password/reset/confirm ResetPassword
    get users/{user_id} GetUser
    put users/{user_id} UpdateUser
    get products ListProducts
    post products CreateProduct
    get products/{product_id} GetProduct
    put products/{product_id} UpdateProduct
    get products/{product_id}/inventory GetInventory
    post products/{product_id}/inventory/reserve ReserveInventory
    get cart GetCart
    delete cart ClearCart
    post cart/items AddItem
    put cart/items/{item_id} UpdateItem
    delete cart/items/{item_id} RemoveItem
    post orders PlaceOrder
    get orders ListOrders
    get orders/{order_id} GetOrder
    put orders/{order_id}/cancel CancelOrder
    get orders/{order_id}/tracking GetTracking
    post payments/intent CreatePaymentIntent
    post payments/confirm ConfirmPayment
    post payments/refund RefundPayment
    get payments/{payment_id} GetPayment
    post notifications/email SendEmail
    post notifications/sms SendSms
    post notifications/push SendPush
    get search Search
    get search/suggestions Suggest
    get recommendations/{user_id} Recommend";

/// The verb and path of a method's bindings, the main one first.
fn bindings(method: &MethodDescriptor) -> Vec<(String, String)> {
    let extension = souk_proto::pool().get_extension_by_name("google.api.http").expect("declared");
    let options = method.options();
    let value = options.get_extension(&extension);
    let rule = value.as_message().expect("an HttpRule");
    let more = rule.get_field_by_name("additional_bindings").expect("a field of HttpRule");
    let more = more.as_list().unwrap_or_default().iter().filter_map(Value::as_message);
    std::iter::once(rule).chain(more).filter_map(route).collect()
}

fn route(rule: &DynamicMessage) -> Option<(String, String)> {
    ["get", "put", "post", "delete", "patch"].into_iter().find_map(|verb| {
        let path = rule.get_field_by_name(verb)?.as_str()?.to_owned();
        rule.has_field_by_name(verb).then(|| (verb.to_owned(), path))
    })
}

/// The names between braces.
fn variables(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

#[test]
fn every_rpc_has_a_route_below_api_v1_first() {
    for method in methods() {
        let routes = bindings(&method);
        if method.parent_service().full_name() == INTERNAL {
            assert!(routes.is_empty(), "{} is nobody's business outside", method.name());
            continue;
        }
        let first = routes.first().unwrap_or_else(|| panic!("{} has no route", method.name()));
        assert!(first.1.starts_with("/api/v1/"), "{}: {first:?}", method.name());
    }
}

#[test]
fn the_short_routes_of_the_design_are_bound() {
    let mut expected: Vec<(String, String, String)> = Vec::new();
    for line in SHORT_ROUTES.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        for base in ["/api", "/api/v1"] {
            expected.push((words[0].into(), format!("{base}/{}", words[1]), words[2].into()));
        }
    }
    let mut found = Vec::new();
    for method in methods() {
        for (verb, path) in bindings(&method) {
            found.push((verb, path, method.name().to_owned()));
        }
    }
    for route in expected {
        assert!(found.contains(&route), "{route:?} is not bound");
    }
}

#[test]
fn no_two_rpcs_claim_one_route() {
    let mut owners = BTreeMap::new();
    for method in methods() {
        for (verb, path) in bindings(&method) {
            let shape: Vec<&str> = path
                .split('/')
                .map(|part| if part.starts_with('{') { "{}" } else { part })
                .collect();
            let key = format!("{verb} {}", shape.join("/"));
            if let Some(other) = owners.insert(key.clone(), method.full_name().to_owned()) {
                panic!("{key} is claimed by {other} and {}", method.full_name());
            }
        }
    }
}

#[test]
fn path_variables_are_fields_of_the_request() {
    for method in methods() {
        for (_, path) in bindings(&method) {
            for variable in variables(&path) {
                let mut message = method.input();
                let mut names = variable.split('.').peekable();
                while let Some(name) = names.next() {
                    let field = message.get_field_by_name(name);
                    let field = field.unwrap_or_else(|| panic!("{path}: {variable} is no field"));
                    if names.peek().is_some() {
                        message = field.kind().as_message().expect("a message").clone();
                    }
                }
            }
        }
    }
}
