//! The shop on real stores and a real broker, whose addresses are written once: as one process and as several, none of
//! which keeps anything that it could lose; and what cannot work together is refused before anything starts.

use std::path::Path;

use souk_backends::{Part, RabbitMq, Redis, cql_for_tests, there_or_skipped};
use souk_proto::cart::v1::{AddItemRequest, GetCartRequest};
use souk_proto::order::v1::{OrderState, Placement};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::{Caller, Ledger, Program, Provider, Way, eventually, one, steady_address};

/// Real parts of a test's own, except for the CQL server, in which it has keyspaces of its own.
struct Real {
    folder: TempDir,
    provider: Provider,
    _redis: Redis,
    _rabbitmq: RabbitMq,
}

impl Real {
    /// `None` where a part cannot be had.
    async fn start() -> Option<Real> {
        let are_there = [Part::Redis, Part::RabbitMq].into_iter().all(there_or_skipped);
        let contact_points = cql_for_tests().filter(|_| are_there)?;
        let folder = TempDir::new().unwrap();
        let redis = Redis::start(&folder.path().join("redis")).unwrap();
        let rabbitmq = RabbitMq::start(&folder.path().join("rabbitmq")).unwrap();
        let provider = Provider::start(folder.path()).await;
        let text = souk_backends::configuration(&redis.url(), &rabbitmq.url(), &contact_points, 1);
        let prefix = format!("test_{}", &Uuid::new_v4().simple().to_string()[..12]);
        let text = format!(
            "{text}cql.keyspace_prefix = \"{prefix}\"\n[payment]\nprovider_url = \"{}\"\n",
            provider.url
        );
        std::fs::write(folder.path().join("souk.toml"), text).unwrap();
        Some(Real { folder, provider, _redis: redis, _rabbitmq: rabbitmq })
    }

    /// A process of the shop, with a command (`up`, `serve cart`), on these parts.
    fn souk(&self, command: &str, settings: &[String]) -> Program {
        let config = self.folder.path().join("souk.toml").display().to_string();
        let data = self.folder.path().join("data").display().to_string();
        let mut arguments: Vec<String> = command.split(' ').map(str::to_owned).collect();
        arguments.extend(["--config".to_owned(), config, "--data".to_owned(), data]);
        let ports = ["edge", "ops", "internal"].map(|port| format!("listen.{port}=127.0.0.1:0"));
        for setting in ports.iter().chain(settings) {
            arguments.extend(["--set".to_owned(), setting.clone()]);
        }
        let name = command.replace(' ', "-");
        Program::start(arguments, &self.folder.path().join(format!("{name}.log")))
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }
}

/// A customer orders, and it is paid once.
async fn orders(customer: &Caller, ledger: &Ledger) {
    let product = customer.product().await;
    let placed = customer.place(customer.order("tok_visa", &one(&product))).await.unwrap();
    assert_eq!(placed.placement(), Placement::Placed, "{placed:?}");
    let order_id = placed.order.unwrap().order_id;
    customer.until(&order_id, OrderState::Processing).await;
    eventually("it is paid, once", async || {
        let charges = ledger.of(&order_id).await;
        (charges.len() == 1 && charges[0].captured > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_of_addresses_puts_the_whole_shop_on_real_backends() {
    let Some(real) = Real::start().await else { return };
    let ledger = Ledger::new(&real.provider.url);
    let mut shop = real.souk("up", &[]);
    assert_eq!(shop.said("backends").await.trim(), "real");
    let customer = Caller::register(&Way::new(&shop.address("the shop").await)).await;
    orders(&customer, &ledger).await;
    let product_id = customer.product().await.product_id;
    let add = AddItemRequest { product_id, quantity: 3, ..AddItemRequest::default() };
    customer.carts().add_item(add).await.unwrap();

    // What is elsewhere is not in the data folder, and is there again after the process has died.
    for embedded in ["cart/carts.db", "bus/events.db"] {
        assert!(!real.data().join(embedded).exists(), "{embedded}");
    }
    shop.kill_9();
    let shop = real.souk("up", &[]);
    let customer = customer.by(&Way::new(&shop.address("the shop").await));
    let cart = customer.carts().get_cart(GetCartRequest::default()).await.unwrap().into_inner();
    assert_eq!(cart.cart.unwrap().items[0].quantity, 3);
    orders(&customer, &ledger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_serves_any_roles_in_any_process() {
    let Some(real) = Real::start().await else { return };
    let ledger = Ledger::new(&real.provider.url);
    // Every process is told where every role is.
    let groups = ["user catalog cart", "order payment", "notify search workflow"];
    let groups = groups.map(|roles| (roles, steady_address()));
    let mut settings = vec!["catalog.seed=true".to_owned()];
    for (roles, address) in &groups {
        let here = |role| format!("mesh.services.{role}=http://{address}");
        settings.extend(roles.split(' ').map(here));
    }
    let mut programs = Vec::new();
    for (roles, address) in &groups {
        let own = [&settings[..], &[format!("listen.internal={address}")]].concat();
        let program = real.souk(&format!("serve {roles}"), &own);
        program.address("internal gRPC").await;
        programs.push(program);
    }
    let edge = real.souk("serve edge", &settings);
    let customer = Caller::register(&Way::new(&edge.address("the shop").await)).await;
    orders(&customer, &ledger).await;
}

/// What `souk` says when it cannot start so.
async fn complaint(folder: &Path, arguments: &[&str]) -> String {
    let data = folder.join("data").display().to_string();
    let log = folder.join("complaint.log");
    let all = ["--data", &data].into_iter().chain(arguments.iter().copied());
    let mut program = Program::start(all, &log);
    assert_eq!(program.ended().await.code(), Some(1), "{}", program.log_tail());
    assert!(!folder.join("data").exists(), "a shop that cannot start writes nothing");
    std::fs::read_to_string(log).unwrap()
}

#[tokio::test]
async fn what_cannot_work_together_is_refused_with_what_to_set() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let set = |setting: &'static str| ["--set", setting];

    let said = complaint(folder, &["up", "--backends", "real"]).await;
    let missing =
        "backends.cql.contact_points, backends.redis.url, backends.rabbitmq.url are not set";
    assert!(said.contains(missing) && said.contains("souk-backends -- up"), "{said}");
    let redis = set("backends.redis.url=redis://127.0.0.1:6379");
    let bus = set("backends.rabbitmq.url=amqp://127.0.0.1");
    let said =
        complaint(folder, &[&["up", "--backends", "real"], &redis[..], &bus[..]].concat()).await;
    assert!(said.contains("backends.cql.contact_points is not set"), "{said}");

    let said =
        complaint(folder, &[&["serve", "cart"], &set("cart.store=redis")[..]].concat()).await;
    assert!(
        said.contains("cart keeps its state in Redis") && said.contains("bus.rabbitmq_url"),
        "{said}"
    );
    let elsewhere = set("mesh.services.order=http://10.0.0.5:50051");
    let said = complaint(folder, &[&["serve", "notify"], &elsewhere[..]].concat()).await;
    assert!(said.contains("mesh.services.order is on another machine"), "{said}");
    let said = complaint(folder, &[&["up"], &set("backends.kind=both")[..]].concat()).await;
    assert!(said.contains("backends.kind") && said.contains("both"), "{said}");
}
