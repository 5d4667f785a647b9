//! Who may call: what the contract says of each method (`souk.options.v1.access`), held before its handler runs.

use tonic::{Code, Status};

use super::method::Method;
use crate::error;
use crate::identity::{Caller, Roles};

/// Who may call a method. Any one of them is enough, and none includes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    /// Everybody, without a credential too.
    pub(crate) public: bool,
    /// Every user, whatever their roles.
    pub(crate) users: bool,
    /// Callers with one of these roles.
    pub(crate) roles: Roles,
}

impl Access {
    /// Everybody.
    pub(crate) const PUBLIC: Self = Self { public: true, users: false, roles: Roles::NONE };
}

/// Whether the caller may call the method.
///
/// # Errors
/// UNAUTHENTICATED, reason `NO_CREDENTIALS`; PERMISSION_DENIED, reason `ROLE_REQUIRED`.
pub(super) fn check(method: &Method, caller: &Caller) -> Result<(), Status> {
    let access = method.access;
    if access.public {
        return Ok(());
    }
    if caller.is_anonymous() {
        let message = "this call needs a token: authorization: Bearer …";
        return Err(error::status(Code::Unauthenticated, "NO_CREDENTIALS", message));
    }
    if (access.users && caller.is_user()) || caller.roles.intersects(access.roles) {
        return Ok(());
    }
    let needed: Vec<String> = access
        .users
        .then(|| String::from("user"))
        .into_iter()
        .chain(access.roles.iter().map(|role| format!("{role:?}").to_lowercase()))
        .collect();
    Err(error::status_with(
        Code::PermissionDenied,
        "ROLE_REQUIRED",
        format!("this call is for: {}", needed.join(", ")),
        [("roles", needed.join(","))],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Role;
    use uuid::Uuid;

    fn reason(access: Access, caller: &Caller) -> Option<String> {
        let method = Method { access, ..Method::unknown() };
        check(&method, caller).err().and_then(|status| error::reason_of(&status))
    }

    #[test]
    fn each_kind_of_caller_is_let_in_where_it_is_named_and_nowhere_else() {
        let nobody = Caller::anonymous();
        let customer = Caller::user(&Uuid::now_v7(), Role::Customer);
        let staff = Caller::user(&Uuid::now_v7(), Role::Staff);
        let service = Caller::service("order");
        let only = |roles| Access { public: false, users: false, roles };
        let users = Access { public: false, users: true, roles: Roles::NONE };

        for caller in [&nobody, &customer, &staff, &service] {
            assert_eq!(reason(Access::PUBLIC, caller), None);
        }
        for (access, allowed) in [
            (users, [true, true, false]),
            (only(Role::Staff.into()), [false, true, false]),
            (only(Role::Service.into()), [false, false, true]),
            (only(Roles::from(Role::Staff).with(Role::Service)), [false, true, true]),
            (only(Roles::NONE), [false, false, false]),
        ] {
            assert_eq!(reason(access, &nobody).as_deref(), Some("NO_CREDENTIALS"));
            for (caller, allowed) in [&customer, &staff, &service].into_iter().zip(allowed) {
                let expected = (!allowed).then_some("ROLE_REQUIRED");
                assert_eq!(reason(access, caller).as_deref(), expected, "{access:?} {caller:?}");
            }
        }
    }
}
