//! Nodes for tests: a process's platform and port each, a stub of the service, and owners as the test says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use parking_lot::Mutex;
use souk_mesh::client::Channel;
use souk_mesh::clock::SystemClock;
use souk_mesh::context::{CallContext, remaining};
use souk_mesh::error::unavailable;
use souk_mesh::identity::{Caller, Role};
use souk_mesh::server::{self, Limits};
use souk_mesh::{Platform, bus};
use souk_orchestrator::routing::{FORWARDS_HEADER, Nodes, Owners, Routed, Whose};
use souk_proto::workflow::v1::workflow_service_client::WorkflowServiceClient;
use souk_proto::workflow::v1::workflow_service_server::{WorkflowService, WorkflowServiceServer};
use souk_proto::workflow::v1::{
    GetWorkflowHistoryRequest, GetWorkflowHistoryResponse, HistoryEvent, ListWorkflowsRequest,
    ListWorkflowsResponse, ResetWorkflowRequest, ResetWorkflowResponse, SignalWorkflowRequest,
    SignalWorkflowResponse,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::codegen::BoxStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use uuid::Uuid;

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a node believes of who serves what.
#[derive(Clone, Default)]
pub struct Beliefs(Arc<Mutex<HashMap<String, Whose>>>);

impl Beliefs {
    pub fn set(&self, workflow_id: &str, whose: Whose) {
        self.0.lock().insert(workflow_id.to_owned(), whose);
    }
}

impl Owners for Beliefs {
    fn whose(&self, workflow_id: &str) -> Whose {
        self.0.lock().get(workflow_id).cloned().unwrap_or(Whose::Moving)
    }
}

/// What a node's service has been asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub workflow_id: String,
    pub caller: String,
    pub forwards: Option<String>,
    pub trace_id: u128,
    pub left: Option<Duration>,
}

/// A service that takes note of what it is asked.
#[derive(Clone, Default)]
pub struct Stub {
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Refuses so many calls more, as an engine does that has just given a run up.
    refuses: Arc<Mutex<usize>>,
    /// Streams end behind so many events, because the run moves away.
    stream_breaks_after: Arc<Mutex<Option<i64>>>,
    /// Calls are never answered.
    is_stuck: Arc<Mutex<bool>>,
}

impl Stub {
    async fn take<T>(&self, request: &Request<T>, workflow_id: &str) -> Result<(), Status> {
        let header = request.metadata().get(FORWARDS_HEADER);
        self.asked.lock().push(Asked {
            workflow_id: workflow_id.to_owned(),
            caller: Caller::of(request).subject.to_string(),
            forwards: header.map(|value| value.to_str().unwrap().to_owned()),
            trace_id: CallContext::current().unwrap().trace.trace_id,
            left: remaining(),
        });
        if *self.is_stuck.lock() {
            std::future::pending::<()>().await;
        }
        let mut refuses = self.refuses.lock();
        if *refuses > 0 {
            *refuses -= 1;
            return Err(moved());
        }
        Ok(())
    }
}

/// What an engine's refusal looks like.
fn moved() -> Status {
    unavailable("NOT_OWNER", "this node does not serve it", Duration::from_millis(200))
}

/// Events of a stub's histories.
pub const EVENTS: i64 = 10;

#[tonic::async_trait]
impl WorkflowService for Stub {
    async fn signal_workflow(
        &self,
        request: Request<SignalWorkflowRequest>,
    ) -> Result<Response<SignalWorkflowResponse>, Status> {
        self.take(&request, &request.get_ref().workflow_id).await?;
        Ok(Response::new(SignalWorkflowResponse { duplicate: true }))
    }

    async fn reset_workflow(
        &self,
        request: Request<ResetWorkflowRequest>,
    ) -> Result<Response<ResetWorkflowResponse>, Status> {
        self.take(&request, &request.get_ref().workflow_id).await?;
        Ok(Response::new(ResetWorkflowResponse::default()))
    }

    async fn list_workflows(
        &self,
        request: Request<ListWorkflowsRequest>,
    ) -> Result<Response<ListWorkflowsResponse>, Status> {
        self.take(&request, "").await?;
        Ok(Response::new(ListWorkflowsResponse::default()))
    }

    async fn get_workflow_history(
        &self,
        request: Request<GetWorkflowHistoryRequest>,
    ) -> Result<Response<BoxStream<GetWorkflowHistoryResponse>>, Status> {
        self.take(&request, &request.get_ref().workflow_id).await?;
        let from = request.get_ref().from_sequence.max(1);
        let breaks_after = *self.stream_breaks_after.lock();
        let events = (from..=EVENTS).map(move |sequence| match breaks_after {
            Some(last) if sequence > last => Err(moved()),
            _ => {
                let events = vec![HistoryEvent { sequence, ..HistoryEvent::default() }];
                Ok(GetWorkflowHistoryResponse { events, ..Default::default() })
            }
        });
        Ok(Response::new(futures::stream::iter(events).boxed()))
    }
}

/// One node.
pub struct Node {
    pub platform: Platform,
    pub address: http::Uri,
    pub beliefs: Beliefs,
    pub stub: Stub,
    data: Arc<TempDir>,
}

impl Node {
    /// So many nodes of one shop: they have one key.
    pub async fn several<const COUNT: usize>() -> [Node; COUNT] {
        let data = Arc::new(tempfile::tempdir().unwrap());
        let mut nodes = Vec::new();
        for _ in 0..COUNT {
            nodes.push(Node::open(data.clone()).await);
        }
        nodes.try_into().ok().unwrap()
    }

    async fn open(data: Arc<TempDir>) -> Node {
        let (beliefs, stub) = (Beliefs::default(), Stub::default());
        let platform = platform(&data);
        let nodes = Nodes::new(platform.for_service("workflow").directory);
        let service = WorkflowServiceServer::new(stub.clone());
        let routed = Routed::new(service, beliefs.clone(), nodes);
        let (listener, address) = port().await;
        serve(&platform, listener, Routes::new(routed));
        Node { platform, address, beliefs, stub, data }
    }

    /// A client of this node with a person's token.
    pub fn staff(&self) -> Staff {
        Staff::of(&platform(&self.data), &self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.stub.asked.lock().clone()
    }

    /// The service refuses so many calls more.
    pub fn refuse(&self, count: usize) {
        *self.stub.refuses.lock() = count;
    }

    pub fn break_streams_after(&self, sequence: i64) {
        *self.stub.stream_breaks_after.lock() = Some(sequence);
    }

    pub fn never_answer(&self) {
        *self.stub.is_stuck.lock() = true;
    }
}

/// A platform of one more process of the shop.
pub fn platform(data: &TempDir) -> Platform {
    let (clock, bus) = (Arc::new(SystemClock), bus::Config::default());
    Platform::open(data.path(), clock, Limits::default(), &bus).unwrap()
}

/// A port that is free, and its address.
pub async fn port() -> (TcpListener, http::Uri) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    (listener, address)
}

/// Serves `workflow` on a port, and in the process.
pub fn serve(platform: &Platform, listener: TcpListener, routes: Routes) {
    platform.directory.bind_local("workflow", routes.clone());
    let stack = platform.stack.clone();
    platform.tasks.spawn("server", async move {
        let limit = Duration::from_millis(200);
        server::serve(listener, &stack, vec![("workflow", routes)], limit).await.unwrap();
    });
}

/// Who calls.
pub const STAFF: Uuid = Uuid::from_u128(42);

/// A person's client.
#[derive(Clone)]
pub struct Staff {
    pub client: WorkflowServiceClient<Channel>,
    token: String,
}

impl Staff {
    /// A person in another process of the shop, who calls the node at this address.
    pub fn of(process: &Platform, address: &http::Uri) -> Staff {
        let (now_ms, ttl) = (process.clock.now_ms(), Duration::from_secs(300));
        let signer = &process.keys.signer;
        let token = signer.sign(&STAFF.to_string(), Role::Staff, ttl, now_ms).unwrap();
        let node = process.directory.node("workflow", address.clone());
        Staff { client: WorkflowServiceClient::new(node.forwarding_channel()), token }
    }

    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let header = format!("Bearer {}", self.token).parse().unwrap();
        request.metadata_mut().insert("authorization", header);
        request
    }

    pub async fn signal(&self, workflow_id: &str) -> Result<(), Status> {
        let request = self.request(signal(workflow_id));
        let answer = self.client.clone().signal_workflow(request).await?;
        assert!(answer.into_inner().duplicate, "the answer is the stub's");
        Ok(())
    }
}

pub fn signal(workflow_id: &str) -> SignalWorkflowRequest {
    SignalWorkflowRequest {
        request_id: Uuid::from_u128(1).to_string(),
        workflow_id: workflow_id.to_owned(),
        signal: "shipped".into(),
        payload: Bytes::from_static(b"{}"),
    }
}
