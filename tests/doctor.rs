//! `souk doctor` on real backends: what is well is told, and what is wrong is named with what to do.

use std::net::TcpListener;

use crate::support::{Real, Shop};

/// What the doctor says, and whether nothing is wrong.
fn said(real: &Real, more: &[String]) -> (bool, String) {
    let config = real.config("");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_souk"));
    command.arg("doctor").arg("--config").arg(config).arg("--data").arg(real.folder().join("data"));
    let ports = ["edge", "ops", "internal"].map(|port| format!("listen.{port}=127.0.0.1:0"));
    for setting in ports.iter().chain(more) {
        command.args(["--set", setting]);
    }
    let output = command.env_clear().output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.success(), text)
}

#[track_caller]
fn has(text: &str, mark: &str, words: &[&str]) {
    let is_told =
        |line: &&str| line.starts_with(mark) && words.iter().all(|word| line.contains(word));
    assert!(text.lines().any(|line| is_told(&line)), "{mark} {words:?} in\n{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_sees_every_backend_and_names_what_is_wrong() {
    let Some(mut real) = Real::start() else { return };
    let (is_well, text) = said(&real, &[]);
    assert!(is_well, "{text}");
    let redis = real.redis.address().to_string();
    has(&text, "ok", &["redis", &redis, "cart", "user", "edge", "Redis 7."]);
    has(&text, "ok", &["rabbitmq", "RabbitMQ 3."]);
    has(&text, "ok", &["cql", &real.contact_points[0], "Cassandra"]);
    has(&text, "--", &["cql", "_payment: is not there yet"]);

    // Once a shop has run there are tables, and a newer build may have changed them.
    let settings = real.own_settings();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    drop(Shop::with(&settings).await);
    let (is_well, text) = said(&real, &[]);
    assert!(is_well, "{text}");
    has(&text, "ok", &["cql", "_payment: tables of version"]);
    has(&text, "--", &["cql", "_payment: copies of each row: 1"]);
    real.pretend_newer("payment").await;
    let (is_well, text) = said(&real, &[]);
    assert!(!is_well);
    has(&text, "!!", &["cql", "_payment", "version 99", "a newer build was here"]);

    // What is away, or is something else.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nowhere = [format!("backends.cql.contact_points={free}"), "payment.store=cql".to_owned()];
    let (is_well, text) = said(&real, &nowhere);
    assert!(!is_well);
    has(&text, "!!", &["cql", &free.to_string(), "is it running"]);
    let wrong = real.rabbitmq.url().replace("guest:guest", "guest:wrong");
    let (_, text) = said(&real, &[format!("bus.rabbitmq_url={wrong}")]);
    has(&text, "!!", &["rabbitmq", "ACCESS_REFUSED", "password"]);
    assert!(!text.contains("guest:wrong"), "{text}");
    real.redis.kill().unwrap();
    real.rabbitmq.kill().unwrap();
    let (is_well, text) = said(&real, &[]);
    assert!(!is_well);
    has(&text, "!!", &["redis", &redis, "is it running"]);
    has(&text, "!!", &["rabbitmq", "is it running"]);
}
