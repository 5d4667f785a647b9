//! The process: what it says when it cannot start, and how it ends.

use std::net::TcpListener;
use std::path::Path;

use souk_proto::order::v1::{ListOrdersRequest, OrderState, Placement};
use tempfile::TempDir;
use tonic::Code;

use crate::support::{Caller, Program, Shop, Way, eventually, one};

/// Settings with which a shop takes any free port.
const FREE_PORTS: [&str; 6] = [
    "--set",
    "listen.edge=127.0.0.1:0",
    "--set",
    "listen.ops=127.0.0.1:0",
    "--set",
    "listen.internal=127.0.0.1:0",
];

/// What `souk` says when it is started so and cannot.
async fn complaint(folder: &Path, arguments: &[&str]) -> String {
    let data = folder.join("data").display().to_string();
    let log = folder.join("complaint.log");
    let all = ["--data", &data].into_iter().chain(FREE_PORTS).chain(arguments.iter().copied());
    let mut program = Program::start(all, &log);
    let status = program.ended().await;
    assert_eq!(status.code(), Some(1), "{}", program.log_tail());
    std::fs::read_to_string(log).unwrap()
}

#[tokio::test]
async fn a_busy_port_is_named() {
    let folder = TempDir::new().unwrap();
    for port in ["edge", "ops", "internal"] {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let setting = format!("listen.{port}={address}");
        let said = complaint(folder.path(), &["--set", &setting]).await;
        assert!(said.contains(&address) && said.contains(port), "{said}");
    }
    assert!(!folder.path().join("data").exists(), "a shop that cannot start writes nothing");
}

#[tokio::test]
async fn a_key_or_value_that_is_wrong_is_named() {
    let folder = TempDir::new().unwrap();
    let said = complaint(folder.path(), &["--set", "edge.colour=red"]).await;
    assert!(said.contains("edge.colour"), "{said}");
    let said = complaint(folder.path(), &["--set", "payment.provider_timeout_ms=soon"]).await;
    assert!(said.contains("payment.provider_timeout_ms") && said.contains("soon"), "{said}");
    let file = folder.path().join("souk.toml");
    std::fs::write(&file, "[order]\nanswer_wait = 3\n").unwrap();
    let file = file.display().to_string();
    let said = complaint(folder.path(), &["--config", &file]).await;
    assert!(said.contains("order.answer_wait") && said.contains(&file), "{said}");
}

#[test]
fn a_command_whose_reader_has_gone_ends_without_a_word() {
    let folder = TempDir::new().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_souk"))
        .args(["doctor", "--data"])
        .arg(folder.path())
        .env_clear()
        .stdout(writer)
        .output()
        .unwrap();
    // As a shell reports SIGPIPE.
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[tokio::test]
async fn a_folder_in_use_by_another_shop_is_named() {
    let shop = Shop::start().await;
    let folder = shop.data().parent().unwrap().to_owned();
    // Whether the second one would have a provider of its own or not.
    let provider = format!("payment.provider_url={}", shop.provider.url);
    for arguments in [&["--set", provider.as_str()][..], &[]] {
        let said = complaint(&folder, arguments).await;
        let data = shop.data().display().to_string();
        assert!(said.contains(&data) && said.contains("in use by another process"), "{said}");
    }
    let customer = shop.customer().await;
    let product = customer.product().await;
    let answer = customer.place(customer.order("tok_visa", &one(&product))).await.unwrap();
    assert_eq!(answer.placement(), Placement::Placed, "the first one is unharmed");
}

#[tokio::test]
async fn a_shop_that_waits_for_its_store_says_so_and_can_be_told_to_stop() {
    const ALONE: [&str; 4] = ["serve", "user", "--set", "user.store=cql"];
    const NOBODY_THERE: [&str; 4] = [
        "--set",
        "bus.rabbitmq_url=amqp://127.0.0.1:1",
        "--set",
        "user.cql.contact_points=127.0.0.1:1",
    ];
    let folder = TempDir::new().unwrap();
    let (log, data) = (folder.path().join("waits.log"), folder.path().join("data"));
    let data = ["--data", data.to_str().unwrap()];
    let all = ALONE.into_iter().chain(data).chain(FREE_PORTS).chain(NOBODY_THERE);
    let mut program = Program::start(all, &log);
    eventually("it says what it waits for", async || {
        let log = program.log_tail();
        (log.contains("waiting for the CQL store") && log.contains("127.0.0.1:1")).then_some(())
    })
    .await;
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log_tail());

    let impatient = ["--set", "user.cql.start_limit_ms=0"];
    let arguments = [&ALONE[..], &NOBODY_THERE, &impatient].concat();
    let said = complaint(folder.path(), &arguments).await;
    assert!(said.contains("the CQL store is away: 127.0.0.1:1"), "{said}");
}

#[tokio::test]
async fn told_to_stop_a_shop_answers_what_is_under_way_and_forgets_nothing() {
    let mut shop = Shop::start().await;
    let customer = shop.customer().await;
    let product = customer.product().await;
    let placed = customer.place(customer.order("tok_visa", &one(&product))).await.unwrap();
    let order_id = placed.order.unwrap().order_id;

    // The bank takes 3 s; the shop answers PENDING after 2 s. It is told to stop when the order is on record.
    let request = customer.order("tok_slow", &one(&product));
    let under_way = tokio::spawn({
        let (customer, request) = (customer.clone(), request.clone());
        async move { customer.place(request).await }
    });
    eventually("the slow order is at the provider", async || {
        let orders = customer.orders().list_orders(ListOrdersRequest::default()).await.unwrap();
        let orders = orders.into_inner().orders;
        let slow = orders.iter().find(|order| order.order_id != order_id)?;
        (!shop.ledger.of(&slow.order_id).await.is_empty()).then_some(())
    })
    .await;
    let status = shop.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", shop.program().log_tail());
    let answer = under_way.await.unwrap().unwrap();
    let slow_id = answer.order.unwrap().order_id;

    shop.restart().await;
    customer.until(&order_id, OrderState::Processing).await;
    customer.until(&slow_id, OrderState::Processing).await;
    let again = customer.place(request).await.unwrap();
    assert_eq!(again.order.unwrap().order_id, slow_id);
    eventually("the slow order is paid, once", async || {
        let charges = shop.ledger.of(&slow_id).await;
        (charges.len() == 1 && charges[0].captured > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_shops_own_provider_goes_when_the_shop_goes() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data").display().to_string();
    let start = || {
        let arguments = ["--data", &data].into_iter().chain(FREE_PORTS);
        Program::start(arguments, &folder.path().join("shop.log"))
    };
    let mut program = start();
    let provider = program.address("payments").await;
    let customer = Caller::register(&Way::new(&program.address("the shop").await)).await;
    let product = customer.product().await;
    let answer = customer.place(customer.order("tok_visa", &one(&product))).await.unwrap();
    assert_eq!(answer.placement(), Placement::Placed);
    let order_id = answer.order.unwrap().order_id;
    let health = format!("{provider}/health");
    reqwest::get(&health).await.unwrap().error_for_status().unwrap();

    let second = complaint(folder.path(), &[]).await;
    assert!(second.contains(&data) && second.contains("in use by another process"), "{second}");

    program.kill_9();
    eventually("the provider is gone", async || reqwest::get(&health).await.err()).await;

    // Its books are kept with the shop's data.
    let program = start();
    let customer = customer.by(&Way::new(&program.address("the shop").await));
    customer.until(&order_id, OrderState::Processing).await;
}

#[tokio::test]
async fn probes_and_metrics_tell_how_it_is() {
    let shop = Shop::start().await;
    let customer = shop.customer().await;
    let product = customer.product().await;
    customer.place(customer.order("tok_visa", &one(&product))).await.unwrap();
    let mut bad = customer.order("tok_visa", &one(&product));
    bad.request_id.clear();
    assert_eq!(customer.place(bad).await.unwrap_err().code(), Code::InvalidArgument);
    for place in [shop.edge.url(), shop.ops.clone()] {
        for probe in ["health", "ready"] {
            let answer = reqwest::get(format!("{place}/{probe}")).await.unwrap();
            assert_eq!(answer.status(), 200, "{place}/{probe}");
        }
    }
    let metrics =
        reqwest::get(format!("{}/metrics", shop.ops)).await.unwrap().text().await.unwrap();
    let counted = |code: &str| {
        metrics
            .lines()
            .any(|line| line.contains("PlaceOrder") && line.contains(&format!("\"{code}\"")))
    };
    assert!(counted("OK") && counted("INVALID_ARGUMENT"), "{metrics}");
    // Metrics are not for customers, and what is not there is not a bad request.
    for page in ["metrics", "no/such/page", "souk.order.v1.OrderService/PlaceOrder"] {
        let answer = reqwest::get(format!("{}/{page}", shop.edge.url())).await.unwrap();
        assert_eq!(answer.status(), 404, "{page}");
    }
}
