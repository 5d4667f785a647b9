//! `souk workflow start` and `update`, on a running shop.

use std::process::Output;

use serde_json::Value;
use souk_proto::order::v1::Placement;
use souk_proto::workflow::v1::DescribeWorkflowRequest;

use crate::support::{Shop, one};

fn said(output: &Output) -> (bool, String) {
    let all = [output.stdout.clone(), output.stderr.clone()].concat();
    (output.status.success(), String::from_utf8(all).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_started_joined_and_asked_from_the_command_line() {
    let shop = Shop::start().await;
    let customer = shop.customer().await;
    let product = customer.product().await;
    let placed = customer.place(customer.order("tok_visa", &one(&product))).await.unwrap();
    assert_eq!(placed.placement(), Placement::Placed);
    let id = format!("order/{}", placed.order.unwrap().order_id);
    let request = DescribeWorkflowRequest { workflow_id: id.clone(), ..Default::default() };
    let run = shop.staff().workflows().describe_workflow(request).await.unwrap().into_inner();
    let input = String::from_utf8(run.workflow.unwrap().input.to_vec()).unwrap();
    let file = shop.data().join("input.json");
    std::fs::write(&file, &input).unwrap();

    // An equal start joins the run, wherever its input comes from.
    let from_file = format!("@{}", file.display());
    for argument in [from_file.as_str(), "-", input.as_str()] {
        let start = ["workflow", "start", &id, "place_order", argument, "--wait", "5"];
        let (is_done, text) = said(&shop.souk(&start, &input));
        assert!(is_done && text.starts_with("was there before: run "), "{text}");
        assert!(text.lines().nth(1).is_some_and(|line| line.starts_with('{')), "{text}");
        let (is_done, text) =
            said(&shop.souk(&[&start[..], &["--output", "json"]].concat(), &input));
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert!(is_done && answer["alreadyStarted"] == Value::Bool(true), "{text}");
    }

    // What cannot be is told, with the reason, and by the exit code.
    for (arguments, why) in [
        (&["start", &id, "place_order", "{}"][..], "input"),
        (&["start", "x/1", "no_such_type"], "no_such_type"),
        (&["start", "x/1", "place_order", "{"], "the input is not JSON"),
        (&["start", "x/1", "place_order", "@/nowhere.json"], "/nowhere.json cannot be read"),
        (&["update", &id, "no_such_update", r#"{"a":1}"#], "no_such_update"),
        (&["update", "x/1", "rename"], "x/1"),
        (&["show", "x/1"], "NotFound (WORKFLOW_NOT_FOUND): "),
        (
            &["list", "--filter", "state >"],
            "InvalidArgument (INVALID_FILTER): filter: at character",
        ),
    ] {
        let arguments = [&["workflow"][..], arguments].concat();
        let (is_done, text) = said(&shop.souk(&arguments, ""));
        assert!(!is_done && text.contains(why), "{arguments:?}: {text}");
    }
}
