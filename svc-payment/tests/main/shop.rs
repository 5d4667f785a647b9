//! A sandbox provider on a free port and a payment service that speaks to it, both on one clock that
//! is moved by hand, and calls that say what they want in one line.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use souk_backends::cql_for_tests;
use souk_mesh::bus;
use souk_mesh::client::Channel;
use souk_mesh::clock::ManualClock;
use souk_mesh::cql;
use souk_mesh::identity::Role;
use souk_mesh::platform::Platform;
use souk_payment::Config;
use souk_payment::config::Store;
use souk_payment::provider::HttpProvider;
use souk_proto::event::v1::Event;
use souk_proto::google::r#type::Money;
use souk_proto::payment::v1::payment_service_client::PaymentServiceClient;
use souk_proto::payment::v1::*;
use souk_proto::time::timestamp;
use souk_sandbox_provider::{Options, Provider};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};
use uuid::Uuid;

use crate::lossy::{Lossy, Op};

pub(crate) const NOON_MS: i64 = 1_750_000_000_000;
pub(crate) const HOUR_MS: i64 = 3_600_000;
/// The service's own limit in these tests; `tok_slow` answers later.
const PROVIDER_TIMEOUT: Duration = Duration::from_millis(1_500);
const SLOW: Duration = Duration::from_millis(2_500);

/// The provider's process.
struct Bank {
    address: SocketAddr,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

/// A provider, a service and their data.
pub(crate) struct Shop {
    pub(crate) clock: ManualClock,
    pub(crate) client: PaymentServiceClient<Channel>,
    folder: TempDir,
    config: Config,
    platform: Platform,
    lossy: Arc<Lossy>,
    bank: Option<Bank>,
    address: SocketAddr,
    http: reqwest::Client,
}

async fn open_bank(folder: &Path, address: SocketAddr, clock: &ManualClock) -> Bank {
    let listener = TcpListener::bind(address).await.unwrap();
    let options = Options { clock: Arc::new(clock.clone()), slow: SLOW, public_url: None };
    let provider = Provider::open(listener, &folder.join("bank"), options).unwrap();
    let address = provider.url().trim_start_matches("http://").parse().unwrap();
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let serving = tokio::spawn(async move { provider.serve(token).await.unwrap() });
    Bank { address, shutdown, serving }
}

impl Shop {
    /// Whose payments are in a file of its own.
    pub(crate) async fn open() -> Shop {
        Shop::open_with(Config::default()).await
    }

    /// Whose payments are in a keyspace of its own, where there is a server for tests.
    pub(crate) async fn open_on_cql() -> Option<Shop> {
        let cql = cql::Config::for_tests(cql_for_tests()?);
        Some(Shop::open_with(Config { store: Store::Cql, cql, ..Config::default() }).await)
    }

    async fn open_with(config: Config) -> Shop {
        let folder = TempDir::new().unwrap();
        let clock = ManualClock::new(NOON_MS);
        let bank = open_bank(folder.path(), "127.0.0.1:0".parse().unwrap(), &clock).await;
        let address = bank.address;
        let platform = platform(folder.path(), &clock);
        let lossy = lossy(address);
        let client = serve(&platform, &config, &lossy).await;
        let http = reqwest::Client::new();
        Shop { clock, client, folder, config, platform, lossy, bank: Some(bank), address, http }
    }

    /// Ends the service and starts it anew on the same data.
    pub(crate) async fn restart(&mut self) {
        self.platform.tasks.drain(Duration::from_secs(10)).await.unwrap();
        // The old platform holds the lock of the data folder, and the client the old platform.
        let nowhere = TempDir::new().unwrap();
        self.platform = platform(nowhere.path(), &self.clock);
        self.client = PaymentServiceClient::new(self.platform.directory.channel("payment"));
        self.platform = platform(self.folder.path(), &self.clock);
        self.client = serve(&self.platform, &self.config, &self.lossy).await;
    }

    pub(crate) async fn close_bank(&mut self) {
        let bank = self.bank.take().unwrap();
        bank.shutdown.cancel();
        bank.serving.await.unwrap();
    }

    pub(crate) async fn reopen_bank(&mut self) {
        self.bank = Some(open_bank(self.folder.path(), self.address, &self.clock).await);
    }

    /// The events about payments so far, once there are `count` of them.
    pub(crate) async fn events(&self, count: usize) -> Vec<Event> {
        let name = format!("test-{}", new_id());
        let queue = self.platform.bus.subscribe(&name, &["payment.*"]).await.unwrap();
        let mut events = Vec::new();
        while events.len() < count {
            let deliveries = queue.receive(count).await.unwrap();
            let done: Vec<_> = deliveries.iter().map(|one| (one.tag, bus::Outcome::Done)).collect();
            queue.settle(&done).await.unwrap();
            events.extend(deliveries.into_iter().map(|delivery| delivery.event));
        }
        events
    }

    /// Loses the next answer of the provider to `op`.
    pub(crate) fn lose(&self, op: Op) {
        self.lossy.lose(op);
    }

    /// A request of a user with that role.
    pub(crate) fn user<T>(&self, user_id: Uuid, role: Role, message: T) -> Request<T> {
        let ttl = Duration::from_secs(60);
        let subject = user_id.to_string();
        let token = self.platform.keys.signer.sign(&subject, role, ttl, self.now_ms()).unwrap();
        let mut request = Request::new(message);
        let bearer = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        request
    }

    pub(crate) fn now_ms(&self) -> i64 {
        souk_mesh::clock::Clock::now_ms(&self.clock)
    }

    /// A payment that is not made yet: 10.00 EUR.
    pub(crate) fn asked(&self, token: &str) -> CreatePaymentIntentRequest {
        CreatePaymentIntentRequest {
            request_id: new_id(),
            payment_id: new_id(),
            order_id: new_id(),
            user_id: new_id(),
            amount: Some(euros(1_000)),
            payment_token: token.to_owned(),
            not_after: Some(timestamp(self.now_ms() + HOUR_MS)),
        }
    }

    pub(crate) async fn create(&self, asked: &CreatePaymentIntentRequest) -> Outcome {
        let answer = self.client.clone().create_payment_intent(asked.clone()).await?;
        Ok(answer.into_inner().payment.unwrap())
    }

    pub(crate) async fn confirm(&self, payment_id: &str) -> Outcome {
        let payment_id = payment_id.to_owned();
        let asked = ConfirmPaymentRequest { request_id: new_id(), payment_id, not_after: None };
        Ok(self.client.clone().confirm_payment(asked).await?.into_inner().payment.unwrap())
    }

    pub(crate) async fn capture(&self, payment_id: &str) -> Outcome {
        let payment_id = payment_id.to_owned();
        let asked = CapturePaymentRequest { request_id: new_id(), payment_id, not_after: None };
        Ok(self.client.clone().capture_payment(asked).await?.into_inner().payment.unwrap())
    }

    pub(crate) async fn cancel(&self, payment_id: &str) -> Outcome {
        self.cancel_as(payment_id, false).await
    }

    pub(crate) async fn cancel_as(&self, payment_id: &str, only_if_unpaid: bool) -> Outcome {
        let asked = CancelPaymentRequest {
            request_id: new_id(),
            payment_id: payment_id.to_owned(),
            order_id: String::new(),
            reason: "order cancelled".to_owned(),
            undoes_not_after: Some(timestamp(self.now_ms() + HOUR_MS)),
            only_if_unpaid,
        };
        Ok(self.client.clone().cancel_payment(asked).await?.into_inner().payment.unwrap())
    }

    pub(crate) async fn refund(
        &self,
        request_id: &str,
        payment_id: &str,
        minor: Option<i64>,
    ) -> Result<RefundPaymentResponse, Status> {
        let asked = RefundPaymentRequest {
            request_id: request_id.to_owned(),
            payment_id: payment_id.to_owned(),
            amount: minor.map(euros),
            reason: "broken".to_owned(),
        };
        Ok(self.client.clone().refund_payment(asked).await?.into_inner())
    }

    pub(crate) async fn get(&self, payment_id: &str) -> Result<GetPaymentResponse, Status> {
        let asked = GetPaymentRequest { payment_id: payment_id.to_owned() };
        Ok(self.client.clone().get_payment(asked).await?.into_inner())
    }

    /// A payment taken from the customer: its id.
    pub(crate) async fn paid(&self, token: &str) -> String {
        let asked = self.asked(token);
        self.create(&asked).await.unwrap();
        self.confirm(&asked.payment_id).await.unwrap();
        assert_eq!(self.capture(&asked.payment_id).await.unwrap().state(), PaymentState::Captured);
        asked.payment_id
    }

    /// The provider's ledger lines of a payment.
    pub(crate) async fn ledger(&self, payment_id: &str) -> Vec<Value> {
        self.ledger_of(&format!("payment_id={payment_id}")).await
    }

    async fn ledger_of(&self, query: &str) -> Vec<Value> {
        let url = format!("http://{}/v1/ledger?limit=1000&{query}", self.address);
        let page: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        assert_eq!(page["has_more"], Value::Bool(false));
        page["data"].as_array().unwrap().clone()
    }

    /// The customer decides the challenge at `url`.
    pub(crate) async fn decide(&self, url: &str, decision: &str) {
        let answer = self.http.post(format!("{url}?decision={decision}")).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    /// The provider's books and ours say the same of every payment.
    pub(crate) async fn assert_books_equal(&self) {
        let mut ours = Vec::new();
        let mut asked = ListPaymentsRequest { page_size: 500, ..Default::default() };
        loop {
            let page = self.client.clone().list_payments(asked.clone()).await.unwrap().into_inner();
            ours.extend(page.payments.iter().filter(|p| !p.provider_payment_id.is_empty()).map(
                |payment| {
                    let minor = |money: &Option<Money>| {
                        souk_mesh::money::Money::try_from(money.as_ref().unwrap()).unwrap().minor
                    };
                    let (captured, refunded) = (minor(&payment.captured), minor(&payment.refunded));
                    (payment.payment_id.clone(), captured, refunded)
                },
            ));
            if page.next_page_token.is_empty() {
                break;
            }
            asked.page_token = page.next_page_token;
        }
        let mut theirs: Vec<_> = self
            .ledger_of("")
            .await
            .iter()
            .map(|line| {
                let minor = |name: &str| line[name].as_i64().unwrap();
                let id = line["payment_id"].as_str().unwrap().to_owned();
                (id, minor("captured"), minor("refunded"))
            })
            .collect();
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs);
    }
}

pub(crate) type Outcome = Result<Payment, Status>;

fn platform(folder: &Path, clock: &ManualClock) -> Platform {
    Platform::for_tests_at(folder, Arc::new(clock.clone()))
}

fn lossy(address: SocketAddr) -> Arc<Lossy> {
    let provider = HttpProvider::new(&format!("http://{address}"), PROVIDER_TIMEOUT).unwrap();
    Arc::new(Lossy::new(provider))
}

async fn serve(
    platform: &Platform,
    config: &Config,
    lossy: &Arc<Lossy>,
) -> PaymentServiceClient<Channel> {
    let started = souk_payment::start_with(platform, config.clone(), lossy.clone());
    let routes = started.await.unwrap();
    platform.directory.bind_local("payment", routes);
    PaymentServiceClient::new(platform.directory.for_service("test").channel("payment"))
}

pub(crate) fn new_id() -> String {
    Uuid::new_v4().to_string()
}

pub(crate) fn euros(minor: i64) -> Money {
    souk_mesh::money::Money::new(minor, souk_mesh::money::Currency::EUR).into()
}

/// The reason of an error.
pub(crate) fn reason(status: &Status) -> String {
    souk_mesh::error::reason_of(status).unwrap_or_else(|| format!("no reason: {status}"))
}

/// Makes tests of functions that take a shop: each by itself where payments are in a file, and all in one shop, one
/// after the other, where they are in a CQL store, whose keyspaces take long to make.
macro_rules! on_both_stores {
    ($all_on_cql:ident: $($test:ident),* $(,)?) => {
        $(mod $test {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                super::$test(&mut crate::shop::Shop::open().await).await;
            }
        })*

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $all_on_cql() {
            let Some(mut shop) = crate::shop::Shop::open_on_cql().await else { return };
            $($test(&mut shop).await;)*
        }
    };
}
pub(crate) use on_both_stores;
