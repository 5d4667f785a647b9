//! The catalog under load: one that runs, or one of the benchmark's own; and the product that everybody wants.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use souk_mesh::client::Bearer;
use souk_mesh::money::{Currency, Money};
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use souk_proto::catalog::v1::{CreateCategoryRequest, CreateProductRequest, GetInventoryRequest};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use crate::backends;
use crate::child::{Child, address_on, this_program};
use crate::invariants::{SeenStock, staff_token};
use crate::metrics::Sources;

/// How long the catalog may take to answer a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Of the keyspace of the benchmark's own catalog.
const KEYSPACE_PREFIX: &str = "souk_bench";

/// A client that may change stock.
pub type Client = CatalogServiceClient<InterceptedService<Channel, Bearer>>;

/// The processes of a catalog, which share its store.
pub struct Catalog {
    /// Where they serve, `http://host:port`.
    pub addresses: Vec<String>,
    /// Their process ids, and those of the backends that are on this machine, each with its name.
    pub processes: Vec<(String, u32)>,
    /// What they count.
    pub metrics: Sources,
    bearer: Bearer,
    children: Vec<Child>,
}

impl Catalog {
    /// One that somebody else runs; its key is in `data`.
    pub fn running(address: &str, data: &Path) -> Result<Catalog> {
        Ok(Catalog {
            addresses: vec![address.to_owned()],
            processes: Vec::new(),
            metrics: Sources::default(),
            bearer: Bearer::new(&staff_token(data)?)?,
            children: Vec::new(),
        })
    }

    /// Starts `count` processes with everything in `folder`, and this configuration.
    pub async fn start(folder: &Path, config: &str, count: u8) -> Result<Catalog> {
        let mut processes = backends::on_this_machine(config);
        let data = folder.join("data");
        let file = folder.join("mesh.toml");
        let place = data.display().to_string();
        std::fs::write(&file, format!("data = {place:?}\n{config}"))?;
        let (mut addresses, mut ops, mut children) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..count {
            let log = folder.join(format!("catalog-{number}.log"));
            let (child, address, metrics) = serve(&file, &log).await?;
            processes.extend(child.pid().map(|pid| (format!("catalog {number}"), pid)));
            addresses.push(address);
            ops.push(metrics);
            children.push(child);
        }
        let bearer = Bearer::new(&staff_token(&data)?)?;
        let metrics = Sources::new(ops);
        Ok(Catalog { addresses, processes, metrics, bearer, children })
    }

    /// A connection to one of its processes.
    pub async fn connect(&self, address: &str) -> Result<Client> {
        let endpoint = Endpoint::from_shared(address.to_owned())
            .with_context(|| format!("{address} is not an address"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true);
        let channel = endpoint.connect().await;
        let channel = channel.with_context(|| format!("no catalog answers at {address}"))?;
        Ok(CatalogServiceClient::new(InterceptedService::new(channel, self.bearer.clone())))
    }

    /// The ends of the logs of its processes.
    pub fn log_tails(&self) -> String {
        let mut text = String::new();
        for child in &self.children {
            let _ = writeln!(text, "{}", child.tail());
        }
        text
    }
}

/// Starts a process; where it serves, and where its metrics are.
async fn serve(config: &Path, log: &Path) -> Result<(Child, String, String)> {
    let config = config.display().to_string();
    let mut arguments = ["serve", "catalog", "--config", &config].map(str::to_owned).to_vec();
    for port in ["internal", "ops"] {
        arguments.extend(["--set".to_owned(), format!("listen.{port}=127.0.0.1:0")]);
    }
    // What stays held must not be in the way of a shop on the same server.
    arguments
        .extend(["--set".to_owned(), format!("backends.cql.keyspace_prefix={KEYSPACE_PREFIX}")]);
    let mut internal = None;
    let both = |line: &str| {
        internal = internal.take().or_else(|| address_on(line, "internal gRPC"));
        internal.clone().zip(address_on(line, "metrics"))
    };
    let (child, (internal, metrics)) =
        Child::start(&this_program()?, &arguments, log, both).await?;
    Ok((child, internal, metrics.trim_end_matches("/metrics").to_owned()))
}

/// A product of the benchmark's own.
pub struct HotProduct {
    /// Its id.
    pub id: String,
    client: Client,
}

impl HotProduct {
    /// Makes one of which there are so many pieces.
    pub async fn create(catalog: &Catalog, pieces: i64) -> Result<HotProduct> {
        let address = catalog.addresses.first().context("a catalog has an address")?;
        let mut client = catalog.connect(address).await?;
        let name = format!("bench-{}", Uuid::new_v4().simple());
        let category = CreateCategoryRequest {
            request_id: Uuid::new_v4().to_string(),
            slug: name.clone(),
            name: name.clone(),
            ..Default::default()
        };
        let category = client.create_category(category).await.context("making a category")?;
        let category = category.into_inner().category.unwrap_or_default();
        let product = CreateProductRequest {
            request_id: Uuid::new_v4().to_string(),
            sku: name.clone(),
            name,
            category_id: category.category_id,
            price: Some(Money::new(1_000, Currency::EUR).into()),
            initial_quantity: pieces,
            ..Default::default()
        };
        let product = client.create_product(product).await.context("making a product")?;
        let id = product.into_inner().product.unwrap_or_default().product_id;
        Ok(HotProduct { id, client })
    }

    /// Its stock now.
    pub async fn stock(&self) -> Result<SeenStock> {
        let request = GetInventoryRequest { product_id: self.id.clone() };
        let answer = self.client.clone().get_inventory(request).await?.into_inner();
        let inventory = answer.inventory.context("an inventory without figures")?;
        Ok(SeenStock { on_hand: inventory.on_hand, reserved: inventory.reserved })
    }
}
