//! The shop on real stores and a real broker, whose addresses are written once: as one process and as several, none of
//! which keeps anything that it could lose; and what cannot work together is refused before anything starts.

use std::path::{Path, PathBuf};

use souk_proto::cart::v1::{AddItemRequest, GetCartRequest};
use souk_proto::order::v1::{OrderState, Placement};
use tempfile::TempDir;

use crate::support::{
    Caller, Ledger, Program, Provider, Real, Way, eventually, one, steady_address,
};

/// A shop on real parts, whose addresses are in one file.
struct Shop {
    real: Real,
    _provider: Provider,
    ledger: Ledger,
    config: PathBuf,
}

impl Shop {
    /// `None` where a part cannot be had.
    async fn on_real_parts() -> Option<Shop> {
        let real = Real::start()?;
        let provider = Provider::start(real.folder()).await;
        let config = real.config(&format!("[payment]\nprovider_url = \"{}\"\n", provider.url));
        let ledger = Ledger::new(&provider.url);
        Some(Shop { real, _provider: provider, ledger, config })
    }

    /// A process of the shop, with a command (`up`, `serve cart`).
    fn souk(&self, command: &str, settings: &[String]) -> Program {
        let path = |path: &Path| path.display().to_string();
        let mut arguments: Vec<String> = command.split(' ').map(str::to_owned).collect();
        arguments.extend(["--config".to_owned(), path(&self.config)]);
        arguments.extend(["--data".to_owned(), path(&self.data())]);
        let ports = ["edge", "ops", "internal"].map(|port| format!("listen.{port}=127.0.0.1:0"));
        for setting in ports.iter().chain(settings) {
            arguments.extend(["--set".to_owned(), setting.clone()]);
        }
        let name = command.replace(' ', "-");
        Program::start(arguments, &self.real.folder().join(format!("{name}.log")))
    }

    fn data(&self) -> PathBuf {
        self.real.folder().join("data")
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
    let Some(shop) = Shop::on_real_parts().await else { return };
    let mut program = shop.souk("up", &[]);
    assert_eq!(program.said("backends").await.trim(), "real");
    let customer = Caller::register(&Way::new(&program.address("the shop").await)).await;
    orders(&customer, &shop.ledger).await;
    let product_id = customer.product().await.product_id;
    let add = AddItemRequest { product_id, quantity: 3, ..AddItemRequest::default() };
    customer.carts().add_item(add).await.unwrap();

    // What is elsewhere is not in the data folder, and is there again after the process has died.
    for embedded in ["cart/carts.db", "bus/events.db"] {
        assert!(!shop.data().join(embedded).exists(), "{embedded}");
    }
    program.kill_9();
    let program = shop.souk("up", &[]);
    let customer = customer.by(&Way::new(&program.address("the shop").await));
    let cart = customer.carts().get_cart(GetCartRequest::default()).await.unwrap().into_inner();
    assert_eq!(cart.cart.unwrap().items[0].quantity, 3);
    orders(&customer, &shop.ledger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_serves_any_roles_in_any_process() {
    let Some(shop) = Shop::on_real_parts().await else { return };
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
        let program = shop.souk(&format!("serve {roles}"), &own);
        program.address("internal gRPC").await;
        programs.push(program);
    }
    let edge = shop.souk("serve edge", &settings);
    let customer = Caller::register(&Way::new(&edge.address("the shop").await)).await;
    orders(&customer, &shop.ledger).await;
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
