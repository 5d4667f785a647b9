//! Every method of the contract: its names for metrics and traces, whether it streams, and who may call it.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message as _;
use prost_types::FileDescriptorSet;
use souk_proto::options::v1::Access as Declared;

use super::access::Access;
use super::metrics::Meters;
use crate::identity::Role;

/// A method.
pub(crate) struct Method {
    /// As requests name it: `/souk.order.v1.OrderService/PlaceOrder`.
    pub(crate) path: String,
    /// The service's full name.
    pub(crate) service: String,
    /// The method's name.
    pub(crate) name: String,
    /// Whether either side sends more than one message.
    pub(crate) streaming: bool,
    /// Who may call it.
    pub(crate) access: Access,
    /// Its metrics.
    pub(super) meters: Meters,
}

static METHODS: LazyLock<HashMap<String, Method>> = LazyLock::new(|| {
    let mut methods = HashMap::new();
    add(&mut methods, souk_proto::FILE_DESCRIPTOR_SET, contract_access);
    for public in [
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ] {
        add(&mut methods, public, |_| Access::PUBLIC);
    }
    methods
});

static UNKNOWN: LazyLock<Method> = LazyLock::new(Method::unknown);

impl Method {
    /// Reads the contract, which takes longer than a first call should wait.
    pub(super) fn prepare() {
        LazyLock::force(&METHODS);
    }

    /// The method that a request names, or one that stands for all that are not in the contract, so that made-up
    /// names cannot fill the metrics.
    pub(crate) fn of(path: &str) -> &'static Self {
        METHODS.get(path).unwrap_or(&UNKNOWN)
    }

    /// What stands for every method that is not in the contract.
    pub(crate) fn unknown() -> Self {
        Self {
            path: String::from("unknown"),
            service: String::from("unknown"),
            name: String::from("unknown"),
            streaming: false,
            access: Access::PUBLIC,
            meters: Meters::default(),
        }
    }

    /// Whether the method is in the contract.
    pub(crate) fn is_known(&self) -> bool {
        self.path.starts_with('/')
    }
}

/// The full names of the services in one of our packages, `souk.<name>.v1`.
pub(crate) fn services_of(name: &str) -> Vec<String> {
    let package = format!("souk.{name}.v1.");
    let mut services: Vec<String> = METHODS
        .values()
        .filter(|method| method.service.starts_with(&package))
        .map(|method| method.service.clone())
        .collect();
    services.sort_unstable();
    services.dedup();
    services
}

/// What the contract says of a method. One of which it says nothing may be called by nobody.
fn contract_access(path: &str) -> Access {
    let allows = |access| souk_proto::access::of(path).is_some_and(|method| method.allows(access));
    let roles = [(Declared::Staff, Role::Staff), (Declared::Service, Role::Service)];
    Access {
        public: allows(Declared::Public),
        users: allows(Declared::Customer),
        roles: roles
            .into_iter()
            .filter(|(access, _)| allows(*access))
            .map(|(_, role)| role)
            .collect(),
    }
}

fn add(methods: &mut HashMap<String, Method>, descriptors: &[u8], access: fn(&str) -> Access) {
    let files = FileDescriptorSet::decode(descriptors)
        .expect("a descriptor set that was compiled in is well-formed");
    for file in files.file {
        for service in &file.service {
            let full_name = format!("{}.{}", file.package(), service.name());
            for method in &service.method {
                let path = format!("/{full_name}/{}", method.name());
                let entry = Method {
                    service: full_name.clone(),
                    name: method.name().to_owned(),
                    streaming: method.client_streaming() || method.server_streaming(),
                    access: access(&path),
                    meters: Meters::default(),
                    path: path.clone(),
                };
                methods.insert(path, entry);
            }
        }
    }
}
