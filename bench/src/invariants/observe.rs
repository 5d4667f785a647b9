//! Looking at the shop: page by page over the internal port, and over the provider's own HTTP.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use souk_mesh::money::Money;
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use souk_proto::catalog::v1::{
    AdjustInventoryRequest, GetInventoryRequest, Inventory, ListProductsRequest,
};
use souk_proto::google::r#type::Money as WireMoney;
use souk_proto::order::v1::order_service_client::OrderServiceClient;
use souk_proto::order::v1::{ListOrdersRequest, Order, OrderState};
use souk_proto::payment::v1::payment_service_client::PaymentServiceClient;
use souk_proto::payment::v1::{ListPaymentsRequest, Payment};
use souk_proto::workflow::v1::workflow_service_client::WorkflowServiceClient;
use souk_proto::workflow::v1::{ListWorkflowsRequest, WorkflowSummary};
use uuid::Uuid;

use super::{Baseline, Observation, SeenIntent, SeenOrder, SeenPayment, SeenStock, Shop, Standing};

/// Items of a page of the shop's lists, and of the provider's ledger.
const PAGE_SIZE: i32 = 500;
const LEDGER_PAGE_SIZE: usize = 1_000;
/// Pages read of one list at most.
const MAX_PAGES: usize = 100_000;
/// Products asked for at once.
const PRODUCTS_AT_ONCE: usize = 8;
/// Workflows in trouble that are looked at; the first few tell the story.
const TROUBLED_PAGE_SIZE: i32 = 50;

/// A page of the provider's ledger.
#[derive(Deserialize)]
struct LedgerPage {
    data: Vec<LedgerLine>,
    has_more: bool,
}

#[derive(Deserialize)]
struct LedgerLine {
    id: String,
    order_id: String,
    payment_id: String,
    status: String,
    captured: i64,
    refunded: i64,
}

impl Shop {
    /// Everything that the rules are about. Orders first: what is seen of money and stock afterwards is not older.
    pub(super) async fn observe(&self, baseline: &Baseline) -> Result<Observation> {
        let orders = self.orders(baseline.newest_order.as_deref()).await?;
        let wanted: HashSet<&str> = orders.iter().map(|order| order.order_id.as_str()).collect();
        let is_new_shop = baseline.newest_order.is_none();
        let of_load = |order_id: &str| is_new_shop || wanted.contains(order_id);
        let mut payments = self.payments(orders.len()).await?;
        payments.retain(|payment| of_load(&payment.order_id));
        let mut intents = self.intents().await?;
        intents.retain(|intent| of_load(&intent.order_id));
        let parked = self.workflows("parked").await?;
        let compensating = self.workflows("compensating").await?;
        let stock = self.stock().await?;
        Ok(Observation { orders, payments, intents, stock, parked, compensating })
    }

    /// Gives every product so many pieces more, and has `baseline` know.
    ///
    /// # Errors
    /// When the shop refuses or does not answer.
    pub async fn add_stock(&self, baseline: &mut Baseline, pieces: i64) -> Result<()> {
        let mut catalog = CatalogServiceClient::new(self.catalog.clone());
        for (product_id, on_hand) in &mut baseline.on_hand {
            let request = AdjustInventoryRequest {
                request_id: Uuid::new_v4().to_string(),
                product_id: product_id.clone(),
                delta: pieces,
                reason: "stock for a benchmark".to_owned(),
            };
            catalog.adjust_inventory(request).await.context("adding stock")?;
            *on_hand += pieces;
        }
        Ok(())
    }

    pub(super) async fn newest_order(&self) -> Result<Option<String>> {
        let mut client = OrderServiceClient::new(self.order.clone());
        let request = ListOrdersRequest { page_size: 1, ..Default::default() };
        let page = client.list_orders(request).await.context("listing orders")?.into_inner();
        Ok(page.orders.into_iter().next().map(|order| order.order_id))
    }

    /// Orders that are newer than `after`. They come newest first.
    async fn orders(&self, after: Option<&str>) -> Result<Vec<SeenOrder>> {
        let mut client = OrderServiceClient::new(self.order.clone());
        let mut orders = Vec::new();
        let mut page_token = String::new();
        for _ in 0..MAX_PAGES {
            let request =
                ListOrdersRequest { page_size: PAGE_SIZE, page_token, ..Default::default() };
            let page = client.list_orders(request).await.context("listing orders")?.into_inner();
            for order in page.orders {
                if after == Some(order.order_id.as_str()) {
                    return Ok(orders);
                }
                orders.push(seen_order(order)?);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(orders);
            }
        }
        bail!("there are more than {MAX_PAGES} pages of orders")
    }

    async fn payments(&self, expected: usize) -> Result<Vec<SeenPayment>> {
        let mut client = PaymentServiceClient::new(self.payment.clone());
        let mut payments = Vec::with_capacity(expected);
        let mut page_token = String::new();
        for _ in 0..MAX_PAGES {
            let request =
                ListPaymentsRequest { page_size: PAGE_SIZE, page_token, ..Default::default() };
            let page =
                client.list_payments(request).await.context("listing payments")?.into_inner();
            for payment in page.payments {
                payments.push(seen_payment(payment)?);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(payments);
            }
        }
        bail!("there are more than {MAX_PAGES} pages of payments")
    }

    async fn intents(&self) -> Result<Vec<SeenIntent>> {
        let mut intents: Vec<SeenIntent> = Vec::new();
        for _ in 0..MAX_PAGES {
            let after = intents.last().map_or("", |intent| intent.id.as_str());
            let provider = &self.provider;
            let url =
                format!("{provider}/v1/ledger?limit={LEDGER_PAGE_SIZE}&starting_after={after}");
            let answer = self.http.get(url).send().await.context("the provider does not answer")?;
            let body = answer.error_for_status()?.bytes().await?;
            let page: LedgerPage =
                serde_json::from_slice(&body).context("the provider's ledger cannot be read")?;
            intents.extend(page.data.into_iter().map(|line| SeenIntent {
                id: line.id,
                order_id: line.order_id,
                payment_id: line.payment_id,
                status: line.status,
                captured: line.captured,
                refunded: line.refunded,
            }));
            if !page.has_more {
                return Ok(intents);
            }
        }
        bail!("there are more than {MAX_PAGES} pages of charges")
    }

    pub(super) async fn stock(&self) -> Result<BTreeMap<String, SeenStock>> {
        let products = self.products().await?;
        let read = |product_id: String| async move {
            let mut client = CatalogServiceClient::new(self.catalog.clone());
            let request = GetInventoryRequest { product_id: product_id.clone() };
            let answer = client.get_inventory(request).await.context("reading stock")?;
            let Inventory { on_hand, reserved, .. } =
                answer.into_inner().inventory.context("the answer has no inventory")?;
            anyhow::Ok((product_id, SeenStock { on_hand, reserved }))
        };
        stream::iter(products).map(read).buffered(PRODUCTS_AT_ONCE).try_collect().await
    }

    /// Ids of all products, archived ones included: their stock counts too.
    async fn products(&self) -> Result<Vec<String>> {
        let mut client = CatalogServiceClient::new(self.catalog.clone());
        let mut products = Vec::new();
        let mut page_token = String::new();
        for _ in 0..MAX_PAGES {
            let request = ListProductsRequest {
                page_size: PAGE_SIZE,
                page_token,
                include_archived: true,
                ..Default::default()
            };
            let page =
                client.list_products(request).await.context("listing products")?.into_inner();
            products.extend(page.products.into_iter().map(|product| product.product_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(products);
            }
        }
        bail!("there are more than {MAX_PAGES} pages of products")
    }

    /// The first workflows in `state`, with why.
    async fn workflows(&self, state: &str) -> Result<Vec<String>> {
        let mut client = WorkflowServiceClient::new(self.workflow.clone());
        let request = ListWorkflowsRequest {
            page_size: TROUBLED_PAGE_SIZE,
            filter: format!("state = {state}"),
            ..Default::default()
        };
        let page = client.list_workflows(request).await.context("listing workflows")?.into_inner();
        Ok(page.workflows.iter().map(told).collect())
    }
}

fn told(run: &WorkflowSummary) -> String {
    match &run.failure {
        Some(why) => format!("{}: {}: {}", run.workflow_id, why.reason, why.message),
        None => run.workflow_id.clone(),
    }
}

fn seen_order(order: Order) -> Result<SeenOrder> {
    let standing = match order.state() {
        OrderState::Unspecified | OrderState::Pending => Standing::Open,
        OrderState::Cancelled => Standing::Cancelled,
        OrderState::Processing | OrderState::Shipped | OrderState::Delivered => Standing::Sold,
        OrderState::ReturnRequested | OrderState::Returned => {
            bail!("order {} is a return, which the rules do not know", order.order_id)
        }
    };
    let total = minor(order.total.as_ref())?;
    let line = |line: souk_proto::order::v1::OrderLine| (line.product_id, i64::from(line.quantity));
    let lines = order.lines.into_iter().map(line).collect();
    Ok(SeenOrder { order_id: order.order_id, standing, total, lines })
}

fn seen_payment(payment: Payment) -> Result<SeenPayment> {
    Ok(SeenPayment {
        captured: payment.captured.as_ref().map_or(Ok(0), |amount| minor(Some(amount)))?,
        refunded: payment.refunded.as_ref().map_or(Ok(0), |amount| minor(Some(amount)))?,
        payment_id: payment.payment_id,
        order_id: payment.order_id,
    })
}

fn minor(amount: Option<&WireMoney>) -> Result<i64> {
    let amount = amount.context("an amount is missing")?;
    Ok(Money::try_from(amount).context("an amount cannot be read")?.minor)
}
