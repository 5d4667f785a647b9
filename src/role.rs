//! The roles of the shop, and how each is started. The topology of the whole shop is on this page.

use std::str::FromStr;

use anyhow::{Context, Result};
use souk_mesh::platform::Platform;
use tonic::service::Routes;

use crate::config::Config;

/// What a process can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Accounts and address books.
    User,
    /// Products, prices and stock.
    Catalog,
    /// Carts.
    Cart,
    /// Orders.
    Order,
    /// Payments; the only one that knows the provider.
    Payment,
    /// Mail to customers.
    Notify,
    /// Search.
    Search,
    /// The engine and the workflows.
    Workflow,
    /// The only one that browsers and phones can reach.
    Edge,
}

impl Role {
    /// All roles that serve gRPC to the others.
    pub const SERVICES: [Self; 8] = [
        Self::User,
        Self::Catalog,
        Self::Cart,
        Self::Order,
        Self::Payment,
        Self::Notify,
        Self::Search,
        Self::Workflow,
    ];

    /// The role's name in the directory, in the configuration and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => souk_user::NAME,
            Self::Catalog => souk_catalog::NAME,
            Self::Cart => souk_cart::NAME,
            Self::Order => souk_order::NAME,
            Self::Payment => souk_payment::NAME,
            Self::Notify => souk_notify::NAME,
            Self::Search => souk_search::NAME,
            Self::Workflow => souk_orchestrator::NAME,
            Self::Edge => souk_edge::NAME,
        }
    }

    /// The role's gRPC service, as health checks name it; empty for the edge.
    pub fn grpc_service(self) -> &'static str {
        match self {
            Self::User => "souk.user.v1.UserService",
            Self::Catalog => "souk.catalog.v1.CatalogService",
            Self::Cart => "souk.cart.v1.CartService",
            Self::Order => "souk.order.v1.OrderService",
            Self::Payment => "souk.payment.v1.PaymentService",
            Self::Notify => "souk.notify.v1.NotificationService",
            Self::Search => "souk.search.v1.SearchService",
            Self::Workflow => "souk.workflow.v1.WorkflowService",
            Self::Edge => "",
        }
    }

    /// Starts the role's store and background work, and returns its service; `None` for the edge, which is a port
    /// rather than a service.
    pub async fn start(self, platform: &Platform, config: &Config) -> Result<Option<Routes>> {
        let config = config.clone();
        let started = match self {
            Self::User => souk_user::start(platform, config.user).await.map_err(Into::into),
            Self::Catalog => {
                souk_catalog::start(platform, config.catalog).await.map_err(Into::into)
            }
            Self::Cart => souk_cart::start(platform, config.cart).await.map_err(Into::into),
            Self::Order => souk_order::start(platform, config.order).await.map_err(Into::into),
            Self::Payment => {
                souk_payment::start(platform, config.payment).await.map_err(Into::into)
            }
            Self::Notify => souk_notify::start(platform, config.notify).await.map_err(Into::into),
            Self::Search => souk_search::start(platform, config.search).await.map_err(Into::into),
            Self::Workflow => {
                souk_orchestrator::start(platform, config.workflow).await.map_err(Into::into)
            }
            Self::Edge => return Ok(None),
        };
        let routes: Result<Routes> = started;
        routes.map(Some).with_context(|| format!("the role {} cannot start", self.name()))
    }
}

impl FromStr for Role {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        let mut roles = Self::SERVICES.into_iter().chain([Self::Edge]);
        roles
            .find(|role| role.name() == name)
            .with_context(|| format!("no role is called {name:?}"))
    }
}
