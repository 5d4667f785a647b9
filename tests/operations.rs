//! What operators do from the command line, on a shop with orders in several states: finding runs, acting on many, looking
//! into them, having them begin again, and holding a build against them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::Output;

use serde_json::Value;
use souk_proto::order::v1::{OrderState, Placement};

use crate::support::{Caller, Shop, eventually, one};

/// What a command says, and whether it ended well.
fn souk(shop: &Shop, arguments: &[&str]) -> (bool, String) {
    let Output { status, stdout, stderr } = shop.souk(arguments, "");
    (status.success(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

fn text(shop: &Shop, arguments: &[&str]) -> String {
    let (is_done, said) = souk(shop, arguments);
    assert!(is_done, "{arguments:?}: {said}");
    said
}

/// What a command that must end badly says.
fn refusal(shop: &Shop, arguments: &[&str]) -> String {
    let (is_done, said) = souk(shop, arguments);
    assert!(!is_done, "{arguments:?}: {said}");
    said
}

/// The lines of a command's answer for scripts.
fn json(shop: &Shop, arguments: &[&str]) -> Vec<Value> {
    let said = text(shop, &[arguments, &["--output", "json"]].concat());
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{said}"));
    said.lines().map(parse).collect()
}

/// Places an order with a token; the workflow id of its run.
async fn placed(customer: &Caller, token: &str, placement: Placement) -> String {
    let product = customer.product().await;
    let answer = customer.place(customer.order(token, &one(&product))).await.unwrap();
    assert_eq!(answer.placement(), placement, "{answer:?}");
    format!("order/{}", answer.order.unwrap().order_id)
}

/// Waits until lists know so many runs in a state.
async fn listed(shop: &Shop, filter: &str, count: usize) -> Vec<Value> {
    eventually("the list knows the runs", async || {
        let rows = json(shop, &["workflow", "list", "--filter", filter]);
        (rows.len() == count).then_some(rows)
    })
    .await
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["workflowId"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_found_held_looked_into_and_begun_again_from_the_command_line() {
    let mut shop = Shop::start().await;
    let customer = shop.customer().await;
    let paid = placed(&customer, "tok_visa", Placement::Placed).await;
    customer.until(paid.trim_start_matches("order/"), OrderState::Processing).await;
    let first = placed(&customer, "tok_3ds", Placement::Challenge).await;
    let second = placed(&customer, "tok_3ds", Placement::Challenge).await;
    let declined = placed(&customer, "tok_declined", Placement::Refused).await;

    let waiting = "state = running AND payment = challenge";
    let rows = listed(&shop, waiting, 2).await;
    assert_eq!(ids(&rows), [second.as_str(), &first]);
    finds_and_counts(&shop, &declined).await;
    pauses_and_resumes(&shop, waiting).await;
    looks(&shop, &paid);
    begins_again(&shop, &paid, &declined, &customer).await;
    replays(&mut shop).await;
}

async fn finds_and_counts(shop: &Shop, declined: &str) {
    let failed = listed(shop, "state = failed", 1).await;
    assert_eq!(ids(&failed), [declined]);
    let said = text(shop, &["workflow", "list", "--filter", "failure = CARD_DECLINED"]);
    assert_eq!(said.lines().filter(|line| line.contains("CARD_DECLINED: ")).count(), 1, "{said}");
    let said = refusal(shop, &["workflow", "list", "--filter", "state = prked"]);
    assert!(said.contains("at character 9") && said.contains("parked"), "{said}");

    let counts = json(shop, &["workflow", "count", "--type", "place_order"]);
    let mut counts: Vec<_> = counts.iter().map(|line| (&line["state"], &line["runs"])).collect();
    counts.sort_by_key(|(state, _)| state.to_string());
    let expected = [
        (&Value::from("WORKFLOW_STATE_FAILED"), &Value::from("1")),
        (&Value::from("WORKFLOW_STATE_RUNNING"), &Value::from("3")),
    ];
    assert_eq!(counts, expected);
    let said = text(shop, &["workflow", "count", "--state", "running"]);
    let words: Vec<&str> = said.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(words, ["place_order", "running", "3"]);
}

async fn pauses_and_resumes(shop: &Shop, waiting: &str) {
    let batch = |operation: &'static str, filter: &'static str| {
        ["workflow", "batch", operation, "--filter", filter, "--reason", "tested"]
    };
    let pause = ["workflow", "batch", "pause", "--filter", waiting, "--reason", "tested"];
    let said = text(shop, &[&pause[..], &["--dry-run"]].concat());
    assert!(said.ends_with("2 runs are meant; nothing was done to them\n"), "{said}");
    let said = text(shop, &[&pause[..], &["--wait"]].concat());
    assert!(said.ends_with("2 found: 2 done, 0 skipped, 0 failed\n"), "{said}");
    listed(shop, "state = paused", 2).await;
    let resume = batch("resume", "state = paused");
    let ended = json(shop, &[&resume[..], &["--wait"]].concat());
    assert_eq!((&ended[0]["done"], &ended[0]["failed"]), (&2.into(), &0.into()), "{ended:?}");
    listed(shop, waiting, 2).await;

    // What refuses is a failure of the command, and said for each run.
    let terminate = batch("terminate", "payment = challenge");
    let said = refusal(shop, &[&terminate[..], &["--wait"]].concat());
    assert!(said.contains("2 found: 0 done, 0 skipped, 2 failed"), "{said}");
    assert!(said.contains("undo entries are open") && said.contains("2 runs refused"), "{said}");
}

fn looks(shop: &Shop, paid: &str) {
    let turns = json(shop, &["workflow", "turns", paid]);
    assert_eq!(turns.len(), 1);
    assert_eq!(turns[0]["workflowId"], paid);
    let said = text(shop, &["workflow", "turns", paid]);
    assert!(said.lines().nth(1).unwrap().contains(turns[0]["runId"].as_str().unwrap()), "{said}");
    let said = refusal(shop, &["workflow", "turns", "order/unknown"]);
    assert!(said.contains("order/unknown"), "{said}");
    // Runs that wait for their customers get on as they should.
    assert_eq!(json(shop, &["workflow", "unmoved"]), [Value::Null; 0]);
    let said = text(shop, &["workflow", "unmoved"]);
    assert_eq!(said.lines().count(), 1, "{said}");
    // A shop on one machine is one node that owns everything.
    let nodes = json(shop, &["workflow", "nodes"]);
    let owned = nodes[0]["partitions"].as_array().map(Vec::len);
    assert_eq!((nodes.len(), owned), (1, Some(256)), "{nodes:?}");
    let said = text(shop, &["workflow", "nodes"]);
    assert!(said.lines().nth(1).is_some_and(|line| line.contains("live")), "{said}");
}

fn reset<'a>(id: &'a str, target: &[&'a str]) -> Vec<&'a str> {
    [&["workflow", "reset", id], target, &["--reason", "tested"]].concat()
}

async fn begins_again(shop: &Shop, paid: &str, declined: &str, customer: &Caller) {
    // The card was declined, which is no failure of a step; and svc-order has cancelled the order.
    let said = refusal(shop, &reset(declined, &["--before-failure"]));
    assert!(said.contains("no step of it has failed"), "{said}");
    let said = refusal(shop, &reset(declined, &["--to", "1"]));
    assert!(said.contains("CANNOT_RESET") && said.contains("undid what the starter did"), "{said}");
    let said = refusal(shop, &reset(paid, &["--to-last-step", "NoSuchStep"]));
    assert!(said.contains("has never done a step \"NoSuchStep\""), "{said}");

    // What is done again keeps its keys: the customer is charged once.
    let done = json(shop, &reset(paid, &["--to-last-step", "CommitStock"]));
    let turns = json(shop, &["workflow", "turns", paid]);
    assert_eq!(turns[0]["runId"], done[0]["runId"], "{done:?}");
    assert_eq!(turns.len(), 2, "{turns:?}");
    let order_id = paid.trim_start_matches("order/");
    eventually("the run has come to the same place again", async || {
        let said = text(shop, &["workflow", "show", paid]);
        (said.contains("begins again") && said.contains("✓ CapturePayment")).then_some(())
    })
    .await;
    let charges = shop.ledger.of(order_id).await;
    assert_eq!(charges.len(), 1);
    assert_eq!(charges[0].captured, charges[0].amount);
    customer.until(order_id, OrderState::Processing).await;
}

async fn replays(shop: &mut Shop) {
    let url = shop.internal.url();
    let lines = json(shop, &["replay", "--from", &url]);
    let of_type = |lines: &[Value], name: &str| {
        lines.iter().find(|line| line["workflow_type"] == name).cloned().unwrap()
    };
    let found = of_type(&lines, "place_order");
    assert_eq!((&found["runs"], &found["unfit"]), (&3.into(), &serde_json::json!({})));
    let said = text(shop, &["replay", "--from", &url]);
    assert!(said.lines().any(|line| line.starts_with("place_order  ")), "{said}");
    let said = refusal(shop, &["replay"]);
    assert!(said.contains("is in use by another process"), "{said}");

    let before = files(shop);
    assert!(shop.terminate().await.success());
    for way in [&["replay", "--type", "place_order"][..], &["replay"]] {
        let lines = json(shop, way);
        let found = of_type(&lines, "place_order");
        assert_eq!((&found["runs"], &found["unfit"]), (&3.into(), &serde_json::json!({})));
    }
    assert_eq!(files(shop), before, "what was copied is deleted");
}

/// The names in the data folder.
fn files(shop: &Shop) -> BTreeSet<OsString> {
    std::fs::read_dir(shop.data()).unwrap().map(|file| file.unwrap().file_name()).collect()
}
