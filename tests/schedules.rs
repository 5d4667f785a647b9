//! Schedules from the command line: real processes, a real clock, a real kill.

use serde_json::Value;

use crate::support::{PATIENCE, Shop, eventually};

/// An order that nobody has placed: its run ends at once, with everything undone.
const ORDER: &str = r#"{"order_id":"0198c5b2-7d1e-7c3a-9a51-3f0f5f0c9d11",
    "user_id":"5b0e2f64-5b0c-4f0e-8f6f-1f3d0c9a7b21","currency":"EUR","total_minor":100,
    "lines":[{"product_id":"0b8f2f0e-63c8-4f3d-9b36-0d6a2a7e4c55","quantity":1,"unit_price_minor":100}],
    "payment_token":"tok_visa","cart":null,"email":"mara@example.com"}"#;

/// What `souk schedule …` says, or complains.
async fn souk(shop: &Shop, arguments: &[&str]) -> Result<String, String> {
    let internal = format!("listen.internal={}", shop.internal.url().replace("http://", ""));
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_souk"));
    command.arg("--data").arg(shop.data()).args(["--set", &internal, "schedule"]);
    command.args(arguments).env_clear().kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    let said = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(said(output.stdout)) } else { Err(said(output.stderr)) }
}

async fn detail(shop: &Shop) -> Value {
    let json = souk(shop, &["show", "orders", "--output", "json"]).await.unwrap();
    serde_json::from_str(&json).unwrap()
}

/// Waits until so many runs were started by the clock or by hand.
async fn started(shop: &Shop, count: i64) -> Value {
    eventually("the schedule has started its runs", async || {
        let detail = detail(shop).await;
        let so_far = detail["counts"]["started"].as_str().unwrap_or("0").parse::<i64>();
        (so_far.unwrap() >= count).then_some(detail)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_made_by_hand_goes_on_after_a_kill_and_until_it_is_deleted() {
    let mut shop = Shop::start().await;
    let wrong = ["create", "orders", "--type", "place_order", "--cron", "0 25 * * *"];
    let said = souk(&shop, &wrong).await.unwrap_err();
    assert!(said.contains("hour (field 2, character 3)"), "{said}");

    let times = ["--every", "1s", "--overlap", "allow-all", "--remaining", "4"];
    let create = [&["create", "orders", "--type", "place_order", "--input", ORDER], &times[..]];
    let said = souk(&shop, &create.concat()).await.unwrap();
    assert!(said.starts_with("created; next times:"), "{said}");
    started(&shop, 1).await;
    shop.kill_9();
    shop.restart().await;
    let detail = started(&shop, 4).await;
    assert_eq!(detail["schedule"]["remainingActions"].as_str().unwrap_or("0"), "0");

    let said = souk(&shop, &["trigger", "orders"]).await.unwrap();
    assert!(said.starts_with("started orders/") && said.contains("/trigger-1"), "{said}");
    let nightly = ["--cron", "30 2 * * *", "--time-zone", "Europe/Berlin", "--unlimited"];
    let said = souk(&shop, &[&["update", "orders"], &nightly[..]].concat()).await.unwrap();
    assert!(said.contains("02:30:00 CE"), "{said}");
    souk(&shop, &["pause", "orders", "--note", "stocktaking"]).await.unwrap();
    let said = souk(&shop, &["show", "orders"]).await.unwrap();
    assert!(said.contains("paused: stocktaking") && said.contains("version 2"), "{said}");
    assert_eq!(said.lines().filter(|line| line.contains("Europe/Berlin")).count(), 1, "{said}");
    assert_eq!(said.lines().filter(|line| line.contains("02:30:00 CE")).count(), 5, "{said}");
    souk(&shop, &["unpause", "orders"]).await.unwrap();
    let listed = souk(&shop, &["list"]).await.unwrap();
    assert!(listed.contains("orders") && listed.contains("30 2 * * * Europe/Berlin"), "{listed}");

    souk(&shop, &["delete", "orders"]).await.unwrap();
    let said = souk(&shop, &["show", "orders"]).await.unwrap_err();
    assert!(said.contains("no schedule is known"), "{said}");
}
