//! What the design promises of the contract: its RPCs, who may call them, request ids, comments.

use std::collections::BTreeSet;

use prost_reflect::{DescriptorPool, MethodDescriptor};
use souk_proto::access;
use souk_proto::options::v1::Access;

/// The RPCs of the design, by service.
const RPCS: [(&str, &str); 10] = [
    (
        "souk.user.v1.UserService",
        "Register Login RefreshToken Logout VerifyEmail GetUser UpdateUser ListUsers SetRoles \
         RequestPasswordReset ResetPassword ListAddresses CreateAddress UpdateAddress \
         DeleteAddress CreateApiKey ListApiKeys RevokeApiKey ExportUser DeleteUser",
    ),
    (
        "souk.catalog.v1.CatalogService",
        "CreateProduct GetProduct GetProductPicture BatchGetProducts ListProducts UpdateProduct \
         ArchiveProduct ListCategories CreateCategory ImportProducts ExportProducts GetInventory AdjustInventory \
         ReserveInventory ExtendReservation CommitReservation ReleaseReservation Restock \
         WatchInventory",
    ),
    (
        "souk.cart.v1.CartService",
        "GetCart AddItem UpdateItem RemoveItem ClearCart ApplyCoupon RemoveCoupon MergeCart \
         CreateCoupon ListCoupons DisableCoupon",
    ),
    (
        "souk.order.v1.OrderService",
        "PlaceOrder GetOrder ListOrders CancelOrder GetTracking WatchOrder GetInvoice \
         RequestReturn ShipOrder DeliverOrder ApproveReturn ReceiveReturn InspectReturn \
         AppendOrderEvent",
    ),
    (
        "souk.payment.v1.PaymentService",
        "CreatePaymentIntent ConfirmPayment CapturePayment CancelPayment RefundPayment GetPayment \
         ListPayments ListReviews DecideReview ListDisputes HandleWebhook",
    ),
    (
        "souk.notify.v1.NotificationService",
        "SendEmail SendSms SendPush ListNotifications GetPreferences UpdatePreferences \
         RegisterDevice UnregisterDevice",
    ),
    ("souk.search.v1.SearchService", "Search Suggest Recommend"),
    (
        "souk.workflow.v1.WorkflowService",
        "StartWorkflow SignalWorkflow QueryWorkflow UpdateWorkflow DescribeWorkflow ListWorkflows \
         CountWorkflows GetWorkflowHistory ListWorkflowTurns CancelWorkflow TerminateWorkflow \
         PauseWorkflow ResumeWorkflow ResetWorkflow ExportHistories ListUnmoved ListNodes RetryStep \
         SkipStep BatchOperate CreateSchedule DescribeSchedule ListSchedules UpdateSchedule PauseSchedule \
         UnpauseSchedule TriggerSchedule BackfillSchedule DeleteSchedule",
    ),
    ("souk.workflow.v1.PeerService", "Ask"),
    ("souk.mesh.v1.EventAdminService", "GetDeadLetter ListDeadLetters ReplayDeadLetters"),
];

/// What one service asks of itself on another node: everything that it carries has an id of its own.
pub const INTERNAL: &str = "souk.workflow.v1.PeerService";

/// Methods that change nothing, by how their names begin.
const READS: [&str; 11] = [
    "Export",
    "Get",
    "List",
    "Count",
    "BatchGet",
    "Watch",
    "Search",
    "Suggest",
    "Recommend",
    "Query",
    "Describe",
];

/// Where money or stock moves, so that the request id is required.
const MOVES: [&str; 14] = [
    "AdjustInventory",
    "ReserveInventory",
    "ExtendReservation",
    "CommitReservation",
    "ReleaseReservation",
    "Restock",
    "PlaceOrder",
    "CancelOrder",
    "AppendOrderEvent",
    "CreatePaymentIntent",
    "ConfirmPayment",
    "CapturePayment",
    "CancelPayment",
    "RefundPayment",
];

pub fn methods() -> Vec<MethodDescriptor> {
    souk_proto::pool().services().flat_map(|s| s.methods().collect::<Vec<_>>()).collect()
}

#[test]
fn every_rpc_of_the_design_exists_with_messages_of_its_own() {
    let mut expected = BTreeSet::new();
    for (service, rpcs) in RPCS {
        expected.extend(rpcs.split_whitespace().map(|rpc| format!("/{service}/{rpc}")));
    }
    let found: BTreeSet<String> = access::all().map(|method| method.path.clone()).collect();
    assert_eq!(found, expected);
    for method in methods() {
        assert_eq!(method.input().name(), format!("{}Request", method.name()));
        assert_eq!(method.output().name(), format!("{}Response", method.name()));
    }
}

#[test]
fn the_streams_of_the_design_are_streams() {
    let streams: BTreeSet<String> = methods()
        .iter()
        .filter(|method| method.is_server_streaming())
        .map(|method| method.name().to_owned())
        .collect();
    let expected = ["ExportHistories", "GetWorkflowHistory", "WatchInventory", "WatchOrder"];
    let expected = expected.map(str::to_owned);
    assert_eq!(streams, BTreeSet::from(expected));
    assert!(methods().iter().all(|method| !method.is_client_streaming()));
}

#[test]
fn every_rpc_says_who_may_call_it() {
    for method in access::all() {
        assert!(!method.access.is_empty(), "{} may be called by nobody", method.path);
        assert!(!method.allows(Access::Unspecified), "{}", method.path);
        assert!(!method.is_public() || method.access.len() == 1, "{}: PUBLIC is all", method.path);
    }
    let place = access::of("/souk.order.v1.OrderService/PlaceOrder").expect("of the contract");
    assert_eq!(place.access, [Access::Customer]);
    assert_eq!(
        (place.service.as_str(), place.method.as_str()),
        ("souk.order.v1.OrderService", "PlaceOrder")
    );
    let reserve = access::of("/souk.catalog.v1.CatalogService/ReserveInventory").expect("too");
    assert!(reserve.allows(Access::Service) && !reserve.allows(Access::Customer));
    assert_eq!(access::of("/grpc.health.v1.Health/Check"), None);
}

#[test]
fn every_mutation_has_a_request_id_that_is_a_uuid() {
    let pool = souk_proto::pool();
    let rules = pool.get_extension_by_name("souk.options.v1.rules").expect("declared");
    for method in methods() {
        let is_read = READS.iter().any(|read| method.name().starts_with(read));
        if is_read || method.parent_service().full_name() == INTERNAL {
            continue;
        }
        let field = method.input().get_field_by_name("request_id");
        let field = field.unwrap_or_else(|| panic!("{} has no request_id", method.full_name()));
        let options = field.options();
        let value = options.get_extension(&rules);
        let rule = |name: &str| {
            value.as_message().and_then(|m| m.get_field_by_name(name)).map(|v| v.into_owned())
        };
        let format = rule("format").and_then(|v| v.as_enum_number());
        assert_eq!(format, Some(1), "{} is no UUID", field.full_name());
        if MOVES.contains(&method.name()) {
            let required = rule("required").and_then(|v| v.as_bool());
            assert_eq!(required, Some(true), "{} moves money or stock", method.full_name());
        }
    }
}

#[test]
fn every_list_is_paged() {
    let methods = methods();
    let lists = methods.iter().filter(|method| method.name().starts_with("List"));
    // A line for each type and step of this build, or for each node: there are never many.
    let is_short = |name: &str| ["ListUnmoved", "ListNodes"].contains(&name);
    for method in lists.filter(|method| !is_short(method.name())) {
        let (request, response) = (method.input(), method.output());
        for field in ["page_size", "page_token"] {
            assert!(request.get_field_by_name(field).is_some(), "{} {field}", request.name());
        }
        assert!(response.get_field_by_name("next_page_token").is_some(), "{}", response.name());
    }
}

#[test]
fn enums_start_unspecified() {
    for kind in souk_proto::pool().all_enums().filter(|e| e.package_name().starts_with("souk.")) {
        let first = kind.get_value(0).unwrap_or_else(|| panic!("{} has no 0", kind.full_name()));
        assert!(first.name().ends_with("_UNSPECIFIED"), "{}", kind.full_name());
    }
}

#[test]
fn everything_is_commented() {
    let mut bare = Vec::new();
    let mut judge = |descriptor: &dyn Commented| {
        if !descriptor.commented() {
            bare.push(descriptor.name());
        }
    };
    let ours = |package: &str| package.starts_with("souk.") || package.starts_with("google.rpc");
    let pool: &DescriptorPool = souk_proto::pool();
    for message in pool.all_messages().filter(|m| ours(m.package_name()) && !m.is_map_entry()) {
        judge(&message);
        message.fields().for_each(|field| judge(&field));
    }
    for kind in pool.all_enums().filter(|kind| ours(kind.package_name())) {
        judge(&kind);
        kind.values().for_each(|value| judge(&value));
    }
    for service in pool.services() {
        judge(&service);
        service.methods().for_each(|method| judge(&method));
    }
    assert!(bare.is_empty(), "no comment on {bare:?}");
}

/// A descriptor whose place in its file is known.
trait Commented {
    fn name(&self) -> String;
    fn commented(&self) -> bool;
}

macro_rules! commented {
    ($($kind:ident),*) => {$(
        impl Commented for prost_reflect::$kind {
            fn name(&self) -> String {
                self.full_name().to_owned()
            }
            fn commented(&self) -> bool {
                let file = self.parent_file();
                let info = file.file_descriptor_proto().source_code_info.clone();
                info.unwrap_or_default().location.iter().any(|location| {
                    location.path == self.path() && !location.leading_comments().is_empty()
                })
            }
        }
    )*};
}
commented!(MessageDescriptor, EnumDescriptor, ServiceDescriptor, MethodDescriptor);

macro_rules! commented_member {
    ($($kind:ident . $parent:ident),*) => {$(
        impl Commented for prost_reflect::$kind {
            fn name(&self) -> String {
                self.full_name().to_owned()
            }
            fn commented(&self) -> bool {
                let file = self.$parent().parent_file();
                let info = file.file_descriptor_proto().source_code_info.clone();
                info.unwrap_or_default().location.iter().any(|location| {
                    location.path == self.path() && !location.leading_comments().is_empty()
                })
            }
        }
    )*};
}
commented_member!(FieldDescriptor.parent_message, EnumValueDescriptor.parent_enum);

#[test]
fn error_details_can_be_decoded_by_reflection() {
    for name in ["Status", "ErrorInfo", "BadRequest", "RetryInfo", "BadRequest.FieldViolation"] {
        let found = souk_proto::pool().get_message_by_name(&format!("google.rpc.{name}"));
        assert!(found.is_some(), "google.rpc.{name}");
    }
}
