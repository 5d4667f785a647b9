//! Who may call what: the `access` option of every method, read from the descriptors once.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::options::v1::Access;

/// The `access` option of one method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodAccess {
    /// As on the wire: `/souk.order.v1.OrderService/GetOrder`.
    pub path: String,
    /// `souk.order.v1.OrderService`.
    pub service: String,
    /// `GetOrder`.
    pub method: String,
    /// Who may call it; any one of these suffices.
    pub access: Vec<Access>,
}

impl MethodAccess {
    /// Whether callers without credentials may call it.
    pub fn is_public(&self) -> bool {
        self.allows(Access::Public)
    }

    /// Whether `access` is one of those who may call it.
    pub fn allows(&self, access: Access) -> bool {
        self.access.contains(&access)
    }
}

static METHODS: LazyLock<BTreeMap<String, MethodAccess>> = LazyLock::new(|| {
    let pool = crate::pool();
    let extension =
        pool.get_extension_by_name("souk.options.v1.access").expect("the contract declares it");
    let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    methods
        .map(|method| {
            let service = method.parent_service().full_name().to_owned();
            let path = format!("/{service}/{}", method.name());
            let options = method.options();
            let listed = options.get_extension(&extension);
            let numbers = listed.as_list().unwrap_or_default().iter();
            let access = numbers
                .filter_map(|value| value.as_enum_number())
                .filter_map(|number| Access::try_from(number).ok())
                .collect();
            let method = method.name().to_owned();
            (path.clone(), MethodAccess { path, service, method, access })
        })
        .collect()
});

/// Who may call the method at `path` (`/package.Service/Method`); `None` for methods that are not
/// of the contract, such as health and reflection.
pub fn of(path: &str) -> Option<&'static MethodAccess> {
    METHODS.get(path)
}

/// All methods of the contract, in order of path.
pub fn all() -> impl Iterator<Item = &'static MethodAccess> {
    METHODS.values()
}
