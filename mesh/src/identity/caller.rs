//! The caller of an RPC, as handlers see it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::error;

/// What a caller may do. None of them includes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A registered user, acting for themselves.
    Customer,
    /// Someone who works for the shop.
    Staff,
    /// A part of the shop itself.
    Service,
}

impl Role {
    const ALL: [Self; 3] = [Self::Customer, Self::Staff, Self::Service];

    const fn bit(self) -> u8 {
        match self {
            Self::Customer => 1,
            Self::Staff => 2,
            Self::Service => 4,
        }
    }
}

/// A set of roles.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Role>", into = "Vec<Role>")]
pub struct Roles(u8);

impl Roles {
    /// No role.
    pub const NONE: Self = Self(0);

    /// Whether the set has this role.
    #[must_use]
    pub const fn contains(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// Whether the sets share a role.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The set with one more role.
    #[must_use]
    pub const fn with(self, role: Role) -> Self {
        Self(self.0 | role.bit())
    }

    /// The roles in the set.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.contains(*role))
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        roles.into_iter().fold(Self::NONE, Self::with)
    }
}

impl From<Vec<Role>> for Roles {
    fn from(roles: Vec<Role>) -> Self {
        roles.into_iter().collect()
    }
}

impl From<Roles> for Vec<Role> {
    fn from(roles: Roles) -> Self {
        roles.iter().collect()
    }
}

impl From<Role> for Roles {
    fn from(role: Role) -> Self {
        Self::NONE.with(role)
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Who calls. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user's UUID, `service:<name>`, or nothing for someone who showed no credential.
    pub subject: Arc<str>,
    /// What the caller may do.
    pub roles: Roles,
}

impl Caller {
    /// What the subject of a service starts with.
    const SERVICE_PREFIX: &'static str = "service:";

    /// Someone who showed no credential.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { subject: Arc::from(""), roles: Roles::NONE }
    }

    /// A part of the shop, for example `order`.
    #[must_use]
    pub fn service(name: &str) -> Self {
        let subject = format!("{}{name}", Self::SERVICE_PREFIX);
        Self { subject: subject.into(), roles: Role::Service.into() }
    }

    /// A user with these roles.
    #[must_use]
    pub fn user(user_id: &Uuid, roles: impl Into<Roles>) -> Self {
        Self { subject: user_id.to_string().into(), roles: roles.into() }
    }

    /// The caller of this request, put there by the server stack.
    #[must_use]
    pub fn of<T>(request: &Request<T>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_else(Self::anonymous)
    }

    /// Whether no credential was shown.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.subject.is_empty()
    }

    /// Whether the caller is a person with an account, not a part of the shop.
    #[must_use]
    pub fn is_user(&self) -> bool {
        !self.is_anonymous() && !self.subject.starts_with(Self::SERVICE_PREFIX)
    }

    /// The name of the service that calls, for example `order`; none if a person does, or nobody.
    #[must_use]
    pub fn service_name(&self) -> Option<&str> {
        self.subject.strip_prefix(Self::SERVICE_PREFIX)
    }

    /// Whether the caller has this role.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(role)
    }

    /// The user who calls.
    ///
    /// # Errors
    /// UNAUTHENTICATED, reason `NO_CREDENTIALS`, when the caller is anonymous or a service.
    pub fn user_id(&self) -> Result<Uuid, Status> {
        Uuid::parse_str(&self.subject).map_err(|_| {
            error::status(Code::Unauthenticated, "NO_CREDENTIALS", "this call needs a user's token")
        })
    }

    /// Whether the caller may act for this user: the user, staff and services may.
    ///
    /// # Errors
    /// PERMISSION_DENIED, reason `NOT_YOURS`; UNAUTHENTICATED, reason `NO_CREDENTIALS`, when anonymous.
    pub fn may_act_for(&self, user_id: &Uuid) -> Result<(), Status> {
        if self.has(Role::Staff) || self.has(Role::Service) || self.user_id()? == *user_id {
            return Ok(());
        }
        Err(error::status(Code::PermissionDenied, "NOT_YOURS", "this belongs to someone else"))
    }

    /// The key under which this caller's request ids are remembered: another caller's same id is unrelated.
    #[must_use]
    pub fn scope(&self) -> String {
        if self.is_anonymous() { String::from("anonymous") } else { self.subject.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_a_set_and_none_includes_another() {
        let roles: Roles = [Role::Staff, Role::Customer, Role::Staff].into_iter().collect();
        assert_eq!(roles.iter().collect::<Vec<_>>(), [Role::Customer, Role::Staff]);
        assert!(!roles.contains(Role::Service));
        assert!(!Roles::from(Role::Service).intersects(roles));
        assert_eq!(serde_json::to_string(&roles).unwrap(), r#"["customer","staff"]"#);
        assert!(serde_json::from_str::<Roles>(r#"["root"]"#).is_err());
    }

    #[test]
    fn users_act_for_themselves_and_staff_and_services_for_all() {
        let (me, other) = (Uuid::now_v7(), Uuid::now_v7());
        let caller = Caller::user(&me, Role::Customer);
        assert_eq!(caller.user_id().unwrap(), me);
        assert!(caller.may_act_for(&me).is_ok());
        let refused = caller.may_act_for(&other).unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert_eq!(error::reason_of(&refused).as_deref(), Some("NOT_YOURS"));
        assert!(Caller::user(&me, Role::Staff).may_act_for(&other).is_ok());
        assert!(Caller::service("order").may_act_for(&other).is_ok());
    }

    #[test]
    fn who_shows_no_credential_is_nobody() {
        let nobody = Caller::of(&Request::new(()));
        assert!(nobody.is_anonymous());
        assert_eq!(nobody.user_id().unwrap_err().code(), Code::Unauthenticated);
        let refused = nobody.may_act_for(&Uuid::now_v7()).unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert!(Caller::service("order").user_id().is_err());
    }
}
