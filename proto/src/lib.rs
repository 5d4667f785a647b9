//! The contract of Souk: every package, message and RPC, compiled from `souk/<service>/v1/*.proto`.
//!
//! `souk_proto::catalog::v1` is the package souk.catalog.v1, and so on; clients and servers are in
//! `…::v1::catalog_service_client` and `…_server`. What an RPC is not built for, a server leaves to
//! the generated default, which answers UNIMPLEMENTED. Requests are judged by their field rules
//! while they are decoded ([`codec`]), so a handler sees well-formed ones only.

pub mod access;
pub mod codec;
pub mod time;
pub mod validate;

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

/// google.protobuf.FileDescriptorSet of every file of the contract and all that they import, with
/// comments and custom options; what reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The `domain` of every `google.rpc.ErrorInfo` of the shop.
pub const ERROR_DOMAIN: &str = "souk";

/// The contract as descriptors, decoded once.
pub fn pool() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the build made these descriptors")
    });
    &POOL
}

/// A module that holds a generated package.
macro_rules! package {
    ($module:ident, $name:literal, $what:literal) => {
        #[doc = $what]
        #[allow(missing_docs, clippy::all, rustdoc::all)]
        pub mod $module {
            tonic::include_proto!($name);
        }
    };
}

// Generated code names other packages by their full path, from a common root.
mod souk {
    /// Shopping carts.
    pub mod cart {
        package!(v1, "souk.cart.v1", "souk.cart.v1");
    }
    /// Products, categories and stock.
    pub mod catalog {
        package!(v1, "souk.catalog.v1", "souk.catalog.v1");
    }
    /// What services tell each other.
    pub mod event {
        package!(v1, "souk.event.v1", "souk.event.v1");
    }
    /// Administration of the mesh.
    pub mod mesh {
        package!(v1, "souk.mesh.v1", "souk.mesh.v1");
    }
    /// Messages to customers.
    pub mod notify {
        package!(v1, "souk.notify.v1", "souk.notify.v1");
    }
    /// Options of the contract itself.
    pub mod options {
        package!(v1, "souk.options.v1", "souk.options.v1");
    }
    /// Orders.
    pub mod order {
        package!(v1, "souk.order.v1", "souk.order.v1");
    }
    /// Payments.
    pub mod payment {
        package!(v1, "souk.payment.v1", "souk.payment.v1");
    }
    /// Finding products.
    pub mod search {
        package!(v1, "souk.search.v1", "souk.search.v1");
    }
    /// Accounts.
    pub mod user {
        package!(v1, "souk.user.v1", "souk.user.v1");
    }
    /// Durable runs.
    pub mod workflow {
        package!(v1, "souk.workflow.v1", "souk.workflow.v1");
    }
}

pub use souk::{
    cart, catalog, event, mesh, notify, options, order, payment, search, user, workflow,
};

/// Types that Google publishes and others know too.
pub mod google {
    package!(api, "google.api", "google.api: how RPCs are reached by HTTP.");
    package!(rpc, "google.rpc", "google.rpc: errors and their details.");
    package!(r#type, "google.r#type", "google.type: money.");
}
