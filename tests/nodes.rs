//! Several orchestrators share the runs of one shop: customers and staff need not know which of them they speak to, nor
//! that one of them has died.

use std::path::PathBuf;
use std::time::Duration;

use souk_mesh::identity::{Keys, Role};
use souk_proto::order::v1::{OrderState, Placement};
use souk_proto::workflow::v1::{
    DescribeWorkflowRequest, ListWorkflowsRequest, PauseWorkflowRequest, ResumeWorkflowRequest,
    WorkflowState,
};
use uuid::Uuid;

use crate::support::{Caller, Ledger, Program, Provider, Real, Way, one, steady_address, within};

/// How long the others may take to go on with the runs of a node that has died, and a little more.
const TAKEOVER: Duration = Duration::from_secs(60);
const NODES: usize = 3;
/// The roles of the process with everything else.
const OTHERS: &str = "user catalog cart order payment notify search";

/// A shop whose orchestrator is three processes.
struct Shop {
    nodes: Vec<Program>,
    /// Where each of them is.
    addresses: Vec<String>,
    shop: Program,
    ledger: Ledger,
    token: String,
    _provider: Provider,
    _real: Real,
}

impl Shop {
    /// `None` where a part cannot be had.
    async fn open() -> Option<Shop> {
        let real = Real::start()?;
        let provider = Provider::start(real.folder()).await;
        let more = format!(
            "[payment]\nprovider_url = \"{}\"\n[workflow]\nstore = \"cql\"\n",
            provider.url
        );
        let (config, data) = (real.config(&more), real.folder().join("data"));
        let own = steady_address();
        let addresses: Vec<String> = (0..NODES).map(|_| steady_address()).collect();
        let urls: Vec<String> = addresses.iter().map(|at| format!("http://{at}")).collect();
        let mut everywhere = vec![format!("mesh.services.workflow={}", urls.join(","))];
        let of_role = |role| format!("mesh.services.{role}=http://{own}");
        everywhere.extend(OTHERS.split(' ').map(of_role));
        let serve = |roles: &str, name: &str, internal: &str| {
            let path = |path: &PathBuf| path.display().to_string();
            let mut arguments = vec!["serve".to_owned()];
            arguments.extend(roles.split(' ').map(str::to_owned));
            arguments.extend(["--config".into(), path(&config), "--data".into(), path(&data)]);
            let ports = ["edge", "ops"].map(|port| format!("listen.{port}=127.0.0.1:0"));
            let internal = format!("listen.internal={internal}");
            let seed = "catalog.seed=true".to_owned();
            for setting in ports.into_iter().chain([internal, seed]).chain(everywhere.clone()) {
                arguments.extend(["--set".to_owned(), setting]);
            }
            Program::start(arguments, &real.folder().join(format!("{name}.log")))
        };
        let shop = serve(&format!("{OTHERS} edge"), "shop", &own);
        let mut nodes = Vec::new();
        for (number, address) in addresses.iter().enumerate() {
            let node = serve("workflow", &format!("node-{number}"), address);
            node.address("internal gRPC").await;
            nodes.push(node);
        }
        shop.address("internal gRPC").await;
        let keys = Keys::load_or_create(&data).unwrap();
        let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let now_ms = i64::try_from(now_ms.as_millis()).unwrap();
        let ttl = Duration::from_secs(3_600);
        let token =
            keys.signer.sign(&Uuid::now_v7().to_string(), Role::Staff, ttl, now_ms).unwrap();
        let ledger = Ledger::new(&provider.url);
        Some(Shop { nodes, addresses, shop, ledger, token, _provider: provider, _real: real })
    }

    /// Somebody who works for the shop and calls one of the nodes.
    fn staff(&self, node: usize) -> Caller {
        Caller::with_token(&Way::new(&format!("http://{}", self.addresses[node])), &self.token)
    }

    /// Where a run stands, as a node says.
    async fn state(&self, node: usize, order_id: &str) -> Option<WorkflowState> {
        let workflow_id = format!("order/{order_id}");
        let request = DescribeWorkflowRequest { workflow_id, ..Default::default() };
        let described = self.staff(node).workflows().describe_workflow(request).await.ok()?;
        Some(described.into_inner().workflow?.summary?.state())
    }

    /// The workflow ids of all orders that a node lists.
    async fn listed(&self, node: usize) -> Vec<String> {
        let filter = "type = place_order".to_owned();
        let request = ListWorkflowsRequest { filter, page_size: 100, ..Default::default() };
        let listed = self.staff(node).workflows().list_workflows(request).await.unwrap();
        listed.into_inner().workflows.into_iter().map(|run| run.workflow_id).collect()
    }

    async fn is_paid_once(&self, order_id: &str) {
        within(TAKEOVER, "it is paid, once", async || {
            let charges = self.ledger.of(order_id).await;
            assert!(charges.len() <= 1, "{charges:?}");
            charges.iter().any(|charge| charge.captured > 0).then_some(())
        })
        .await;
    }
}

async fn place(customer: &Caller) -> String {
    let product = customer.product().await;
    let request = customer.order("tok_visa", &one(&product));
    // The same request, until somebody serves its run.
    let placed = within(TAKEOVER, "the order is placed", async || {
        customer.place(request.clone()).await.ok()
    })
    .await;
    assert_ne!(placed.placement(), Placement::Unspecified, "{placed:?}");
    placed.order.unwrap().order_id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_with_three_orchestrators_is_one_shop_and_loses_none_of_them_noticeably() {
    let Some(mut shop) = Shop::open().await else { return };
    let customer = Caller::register(&Way::new(&shop.shop.address("the shop").await)).await;
    let mut orders = Vec::new();
    for _ in 0..8 {
        orders.push(place(&customer).await);
    }
    for order_id in &orders {
        customer.until(order_id, OrderState::Processing).await;
        shop.is_paid_once(order_id).await;
        for node in 0..NODES {
            assert_eq!(shop.state(node, order_id).await, Some(WorkflowState::Running));
        }
    }
    within(TAKEOVER, "all nodes list the same", async || {
        let first = shop.listed(0).await;
        let is_all = first.len() == orders.len();
        (is_all && shop.listed(1).await == first && shop.listed(2).await == first).then_some(())
    })
    .await;

    // What is said to any node happens to the run, wherever it is.
    let workflow_id = format!("order/{}", orders[0]);
    for node in 0..NODES {
        let pause = PauseWorkflowRequest { workflow_id: workflow_id.clone(), ..Default::default() };
        shop.staff(node).workflows().pause_workflow(pause).await.unwrap();
        let elsewhere = (node + 1) % NODES;
        assert_eq!(shop.state(elsewhere, &orders[0]).await, Some(WorkflowState::Paused));
        let resume =
            ResumeWorkflowRequest { workflow_id: workflow_id.clone(), ..Default::default() };
        shop.staff(elsewhere).workflows().resume_workflow(resume).await.unwrap();
        assert_eq!(shop.state(node, &orders[0]).await, Some(WorkflowState::Running));
    }

    shop.nodes[0].kill_9();
    let late = place(&customer).await;
    customer.until(&late, OrderState::Processing).await;
    shop.is_paid_once(&late).await;
    orders.push(late);
    for order_id in &orders {
        for node in [1, 2] {
            within(TAKEOVER, "the others serve the run", async || {
                (shop.state(node, order_id).await? == WorkflowState::Running).then_some(())
            })
            .await;
        }
    }
}
