//! Which run a request means, read from its bytes without decoding the rest: what this build does not know of a request
//! reaches the node that serves it, unchanged.

use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field, string};

use crate::system::{batch, schedule};

/// The service whose requests are looked at.
const SERVICE: &str = "souk.workflow.v1.WorkflowService";
/// The method whose request id names the run that it begins.
const BATCH: &str = "BatchOperate";
/// What stands before a gRPC message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Where a method's requests say which run they mean.
#[derive(Clone, Copy)]
pub(super) struct Names {
    field: u32,
    workflow_id: fn(&str) -> String,
    /// Whether the same request may be served twice: it changes nothing, or has an id that tells the second from a new one.
    pub(super) is_repeatable: bool,
}

/// Methods that do the same when they are called again with the same request.
const REPEATABLE: [&str; 19] = [
    "StartWorkflow",
    "SignalWorkflow",
    "QueryWorkflow",
    "UpdateWorkflow",
    "DescribeWorkflow",
    "GetWorkflowHistory",
    "ListWorkflowTurns",
    "CancelWorkflow",
    "PauseWorkflow",
    "ResumeWorkflow",
    "BatchOperate",
    "CreateSchedule",
    "DescribeSchedule",
    "UpdateSchedule",
    "PauseSchedule",
    "UnpauseSchedule",
    "TriggerSchedule",
    "BackfillSchedule",
    "DeleteSchedule",
];

static METHODS: LazyLock<HashMap<String, Names>> = LazyLock::new(|| {
    let service = souk_proto::pool().get_service_by_name(SERVICE);
    let service = service.expect("the contract has the service");
    let mut methods = HashMap::new();
    for method in service.methods() {
        let request = method.input();
        let number = |name: &str| request.get_field_by_name(name).map(|field| field.number());
        let same: fn(&str) -> String = str::to_owned;
        let place = number("workflow_id")
            .map(|field| (field, same))
            .or_else(|| Some((number("schedule_id")?, schedule::workflow_id as _)))
            .or_else(|| {
                let field = number("request_id").filter(|_| method.name() == BATCH)?;
                Some((field, batch::workflow_id as _))
            });
        if let Some((field, workflow_id)) = place {
            let is_repeatable = REPEATABLE.contains(&method.name());
            let names = Names { field, workflow_id, is_repeatable };
            methods.insert(format!("/{SERVICE}/{}", method.name()), names);
        }
    }
    methods
});

/// Where requests to this path say which run they mean; none if they mean none.
pub(super) fn of(path: &str) -> Option<Names> {
    METHODS.get(path).copied()
}

impl Names {
    /// The workflow id of the run; none if the bytes are not a request that says so: then whoever decodes it says what is
    /// wrong with it.
    pub(super) fn workflow_id(&self, mut message: Bytes) -> Option<String> {
        if message.len() < PREFIX_BYTES || message.get_u8() != 0 {
            return None;
        }
        let length = usize::try_from(message.get_u32()).ok()?;
        if length != message.len() {
            return None;
        }
        let mut found = String::new();
        while message.has_remaining() {
            let (tag, wire_type) = decode_key(&mut message).ok()?;
            let context = DecodeContext::default();
            if tag == self.field && wire_type == WireType::LengthDelimited {
                string::merge(wire_type, &mut found, &mut message, context).ok()?;
            } else {
                skip_field(wire_type, tag, &mut message, context).ok()?;
            }
        }
        (!found.is_empty()).then(|| (self.workflow_id)(&found))
    }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use prost::Message;
    use souk_proto::workflow::v1::{
        BatchOperateRequest, PauseScheduleRequest, SignalWorkflowRequest,
    };

    use super::*;

    fn framed(message: &impl Message) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_u8(0);
        bytes.put_u32(u32::try_from(message.encoded_len()).unwrap());
        message.encode(&mut bytes).unwrap();
        bytes.freeze()
    }

    fn path(method: &str) -> Names {
        of(&format!("/{SERVICE}/{method}")).unwrap()
    }

    #[test]
    fn a_request_names_the_run_that_it_is_about() {
        let signal = SignalWorkflowRequest {
            request_id: "before".into(),
            workflow_id: "order/1".into(),
            signal: "shipped".into(),
            payload: Bytes::from_static(b"{}"),
        };
        let named = path("SignalWorkflow").workflow_id(framed(&signal));
        assert_eq!(named.as_deref(), Some("order/1"));
        let pause = PauseScheduleRequest { schedule_id: "nightly".into(), ..Default::default() };
        let named = path("PauseSchedule").workflow_id(framed(&pause));
        assert_eq!(named, Some(schedule::workflow_id("nightly")));
        let batch = BatchOperateRequest { request_id: "7".into(), ..Default::default() };
        let named = path("BatchOperate").workflow_id(framed(&batch));
        assert_eq!(named, Some(batch::workflow_id("7")));
    }

    #[test]
    fn what_names_no_run_or_is_no_request_is_left_to_who_decodes_it() {
        let names = path("SignalWorkflow");
        assert_eq!(names.workflow_id(framed(&SignalWorkflowRequest::default())), None);
        let good = framed(&SignalWorkflowRequest { workflow_id: "a".into(), ..Default::default() });
        for broken in
            [&good[..0], &good[..4], &good[..good.len() - 1], b"\x01\0\0\0\0", b"\0\0\0\0\x01\xff"]
        {
            assert_eq!(names.workflow_id(Bytes::copy_from_slice(broken)), None, "{broken:?}");
        }
    }

    #[test]
    fn every_method_either_names_a_run_or_is_for_all_of_them() {
        let of_all = [
            "ListWorkflows",
            "CountWorkflows",
            "ExportHistories",
            "ListUnmoved",
            "ListNodes",
            "ListSchedules",
        ];
        let service = souk_proto::pool().get_service_by_name(SERVICE).unwrap();
        for method in service.methods() {
            let is_named = of(&format!("/{SERVICE}/{}", method.name())).is_some();
            assert_eq!(is_named, !of_all.contains(&method.name()), "{}", method.name());
        }
    }
}
