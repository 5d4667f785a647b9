//! What must hold behind any load and any crash, once the shop has come to rest: every acknowledged order exists, money
//! was taken once for what is sold and not at all for what is not, and stock adds up to the piece.
//!
//! [`Shop::baseline`] before the load, [`Shop::settle`] after it. [`check`] is the judgement itself: pure, over what was
//! seen. Between the two calls nobody else may adjust stock by other ways than [`Shop::add_stock`], nor change orders
//! that are older than the baseline.

mod check;
mod observe;
mod verdict;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use souk_mesh::client::Bearer;
use souk_mesh::clock::{Clock as _, SystemClock};
use souk_mesh::identity::{Keys, Role};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

pub use check::check;
pub use verdict::{Rule, Verdict};

/// Who the checker is in logs and histories.
const SUBJECT: &str = "service:bench";
/// How long its token works: longer than any benchmark.
const TOKEN_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the shop may take to answer a connection, or the provider a request.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const PROVIDER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait between two looks at a shop that has not come to rest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

type Operator = InterceptedService<Channel, Bearer>;

/// Where the services of a shop are, each `http://host:port`.
#[derive(Clone, Debug)]
pub struct Places {
    /// The catalog.
    pub catalog: String,
    /// Orders.
    pub order: String,
    /// Payments.
    pub payment: String,
    /// The orchestrator: any node.
    pub workflow: String,
}

impl Places {
    /// All in one process.
    #[must_use]
    pub fn together(internal: &str) -> Places {
        let place = || internal.to_owned();
        Places { catalog: place(), order: place(), payment: place(), workflow: place() }
    }
}

/// A shop as its operator and the payment provider's bookkeeper see it.
#[derive(Clone)]
pub struct Shop {
    catalog: Operator,
    order: Operator,
    payment: Operator,
    workflow: Operator,
    provider: String,
    http: reqwest::Client,
}

/// How the shop stood before the load.
#[derive(Clone, Debug, Default)]
pub struct Baseline {
    /// Pieces on hand by product id, what was added since included.
    pub on_hand: BTreeMap<String, i64>,
    /// The newest order that is older than the load; none in a new shop.
    pub newest_order: Option<String>,
}

/// What was seen of the shop, of its orders only those that are newer than the baseline.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// Orders.
    pub orders: Vec<SeenOrder>,
    /// What our side says was paid.
    pub payments: Vec<SeenPayment>,
    /// What the provider says was paid.
    pub intents: Vec<SeenIntent>,
    /// Stock by product id.
    pub stock: BTreeMap<String, SeenStock>,
    /// Workflows that are stopped until somebody acts, with their cause.
    pub parked: Vec<String>,
    /// Workflows that are undoing.
    pub compensating: Vec<String>,
}

/// Where an order stands, as far as money and stock go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Neither sold nor given up yet.
    Open,
    /// Sold: processing, shipped or delivered.
    Sold,
    /// Given up.
    Cancelled,
}

/// An order.
#[derive(Clone, Debug)]
pub struct SeenOrder {
    /// UUID.
    pub order_id: String,
    /// Where it stands.
    pub standing: Standing,
    /// Minor units.
    pub total: i64,
    /// Product id and pieces.
    pub lines: Vec<(String, i64)>,
}

/// A payment in our books.
#[derive(Clone, Debug)]
pub struct SeenPayment {
    /// UUID.
    pub payment_id: String,
    /// What it pays for.
    pub order_id: String,
    /// Minor units taken.
    pub captured: i64,
    /// Minor units given back.
    pub refunded: i64,
}

/// A payment in the provider's books.
#[derive(Clone, Debug)]
pub struct SeenIntent {
    /// The provider's id.
    pub id: String,
    /// Our ids, from its metadata.
    pub order_id: String,
    /// Our payment.
    pub payment_id: String,
    /// The provider's status ("succeeded", "requires_capture", …).
    pub status: String,
    /// Minor units taken.
    pub captured: i64,
    /// Minor units given back.
    pub refunded: i64,
}

/// Stock of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenStock {
    /// Pieces in the house.
    pub on_hand: i64,
    /// Pieces of these that are held for open orders.
    pub reserved: i64,
}

impl Shop {
    /// The shop whose services are at `places`, whose provider is at `provider` (`http://host:port`), and whose key is in
    /// `data`. Connects when first needed, and again after a restart.
    ///
    /// # Errors
    /// When an address is none, or the key cannot be read.
    pub fn new(places: &Places, provider: &str, data: &Path) -> Result<Self> {
        let bearer = Bearer::new(&staff_token(data)?)?;
        let operator = |place: &String| {
            let endpoint = Endpoint::from_shared(place.clone())
                .with_context(|| format!("{place} is not an address"))?;
            let channel = endpoint.connect_timeout(CONNECT_TIMEOUT).connect_lazy();
            anyhow::Ok(InterceptedService::new(channel, bearer.clone()))
        };
        Ok(Self {
            catalog: operator(&places.catalog)?,
            order: operator(&places.order)?,
            payment: operator(&places.payment)?,
            workflow: operator(&places.workflow)?,
            provider: provider.trim_end_matches('/').to_owned(),
            http: reqwest::Client::builder().timeout(PROVIDER_TIMEOUT).build()?,
        })
    }

    /// How the shop stands; to be called while nobody orders.
    ///
    /// # Errors
    /// When the shop does not answer, or is not at rest: stock that is held already would be taken for sold.
    pub async fn baseline(&self) -> Result<Baseline> {
        let stock = self.stock().await?;
        if let Some((product, stock)) = stock.iter().find(|(_, stock)| stock.reserved != 0) {
            bail!("{} of product {product} are held: the shop is not at rest", stock.reserved);
        }
        let on_hand = stock.into_iter().map(|(id, stock)| (id, stock.on_hand)).collect();
        Ok(Baseline { on_hand, newest_order: self.newest_order().await? })
    }

    /// Waits until everything holds, or `limit` is over, and tells what was seen last. `acknowledged` are the ids of all
    /// orders that the load was given. A service that is too busy to answer is not at rest: it is asked again.
    ///
    /// # Errors
    /// When the shop or the provider does not answer, services not even after `limit`.
    pub async fn settle(
        &self,
        baseline: &Baseline,
        acknowledged: &[String],
        limit: Duration,
    ) -> Result<Verdict> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let is_over = began.elapsed() >= limit;
            match self.observe(baseline).await {
                Ok(seen) => {
                    let verdict = check(baseline, acknowledged, &seen);
                    if verdict.holds() || is_over {
                        return Ok(verdict);
                    }
                }
                Err(error) if is_over || !is_passing(&error) => return Err(error),
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Whether a service did not answer because it has too much to do, or is away for the moment.
fn is_passing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Status>().is_some_and(|status| {
        matches!(
            status.code(),
            Code::DeadlineExceeded | Code::Unavailable | Code::ResourceExhausted
        )
    })
}

/// A token of staff, signed with the shop's own key, which is in `data`.
pub(crate) fn staff_token(data: &Path) -> Result<String> {
    let keys =
        Keys::load(data).context("no key to sign with; --data names the folder of the shop")?;
    Ok(keys.signer.sign(SUBJECT, Role::Staff, TOKEN_TTL, SystemClock.now_ms())?)
}
