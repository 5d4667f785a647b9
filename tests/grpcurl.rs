//! The README's grpcurl lines, run as they stand there: what it says about them is what they do.

use std::path::Path;
use std::process::Output;

use crate::support::{PATIENCE, Shop};
use crate::tools;

const README: &str = include_str!("../README.md");
/// The address in the README of the port of internal teams.
const INTERNAL: &str = "localhost:50051";
/// What grpcurl adds to the code of an error to make its own exit code.
const EXIT_CODE_BASE: i32 = 64;

/// The shell blocks of the README that call grpcurl, in order.
fn blocks() -> Vec<&'static str> {
    let shell = README.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    shell.filter(|block| block.contains("grpcurl")).collect()
}

/// Runs a block against `shop`; a line that fails ends it.
async fn run(shop: &Shop, grpcurl: &Path, block: &str) -> Output {
    let address = shop.internal.url().replace("http://", "");
    let path = std::env::var_os("PATH").unwrap();
    let folders = grpcurl.parent().map(Path::to_owned).into_iter();
    let path = std::env::join_paths(folders.chain(std::env::split_paths(&path))).unwrap();
    let mut shell = tokio::process::Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &block.replace(INTERNAL, &address)]);
    shell.env("PATH", path).kill_on_drop(true);
    tokio::time::timeout(PATIENCE, shell.output()).await.expect("the lines end").unwrap()
}

/// What a block that works prints.
async fn printed(shop: &Shop, grpcurl: &Path, block: &str) -> String {
    let output = run(shop, grpcurl, block).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The values of a field in what grpcurl prints.
fn values<'a>(text: &'a str, field: &str) -> Vec<&'a str> {
    let key = format!("\"{field}\": \"");
    text.split(key.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_the_readme_place_an_order() {
    let Some(grpcurl) = tools::program("grpcurl") else { return };
    let shop = Shop::start().await;
    let text = printed(&shop, &grpcurl, blocks()[0]).await;

    let services = text.lines().filter(|line| line.starts_with("souk.")).count();
    assert!(services >= 9, "every service is listed: {text}");
    let order = proto_comment("rpc PlaceOrder");
    assert!(text.contains(&order), "the contract's comments come along: {order:?} in {text}");
    assert_eq!(values(&text, "status"), ["SERVING"]);
    assert_eq!(values(&text, "placement"), ["PLACEMENT_PLACED"]);
    let [placed, listed] = values(&text, "orderId")[..] else { panic!("one order: {text}") };
    assert_eq!(placed, listed);
    assert!(shop.ledger.of(placed).await.iter().all(|line| line.amount == 2_900));

    // "The same request_id again, as often as you like": all but the account, which there is already.
    let (before, after) = blocks()[0].split_once("TOKEN=").unwrap();
    assert!(before.contains("UserService/Register"));
    let again = printed(&shop, &grpcurl, &format!("TOKEN={after}")).await;
    assert_eq!(values(&again, "orderId"), [placed, placed]);
}

/// The first line of the comment above a line of the order service's proto.
fn proto_comment(line: &str) -> String {
    let proto = include_str!("../proto/souk/order/v1/order_service.proto");
    let mut above: Vec<&str> = proto.split(line).next().unwrap().lines().collect();
    above.retain(|line| !line.trim().is_empty());
    let comments = above.iter().rev().take_while(|line| line.trim().starts_with("//"));
    comments.last().unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_printed_as_the_readme_shows_it() {
    let Some(grpcurl) = tools::program("grpcurl") else { return };
    let shop = Shop::start().await;
    let [_, block] = blocks()[..] else { panic!("two blocks") };
    let refused = run(&shop, &grpcurl, block).await;
    assert_eq!(refused.status.code(), Some(EXIT_CODE_BASE + tonic::Code::InvalidArgument as i32));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(
        told.contains("google.rpc.ErrorInfo") && told.contains("google.rpc.BadRequest"),
        "{told}"
    );
    let shown = README.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(shown), words(&told), "the README shows what is printed");
}
