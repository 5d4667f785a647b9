//! What a call carries along on its way through the shop: its trace and its deadline.
//!
//! The server stack puts both around a handler, the client stack passes on what is there, so that one trace and one
//! deadline span an order's whole way. Work that outlives the call (a spawned task, a workflow step) takes the
//! trace along as text and continues it by [`crate::telemetry::in_trace`].

use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use tokio::time::Instant;

tokio::task_local! {
    static CURRENT: CallContext;
}

/// The trace and the deadline of the call that is being served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallContext {
    /// The trace that the call belongs to.
    pub trace: TraceContext,
    /// When the caller stops waiting; never, for streams and background work.
    pub deadline: Option<Instant>,
}

impl CallContext {
    /// The context of the running call, if there is one.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|context| *context).ok()
    }

    /// Runs `work` in this context.
    // Not an async fn, here and below: its future would hold `work` twice, once as its argument.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }

    /// Runs `work`, which does not wait, in this context.
    pub fn sync_scope<T>(self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, work)
    }
}

/// Runs `work` with a deadline `limit` from now, or the running call's own, if that is sooner: calls made by `work`
/// carry it. It does not stop `work` itself.
pub fn with_deadline<F: Future>(limit: Duration, work: F) -> impl Future<Output = F::Output> {
    let outer = CallContext::current();
    let own = Instant::now() + limit;
    let deadline = outer.and_then(|context| context.deadline).map_or(own, |theirs| theirs.min(own));
    let trace = outer.map_or_else(TraceContext::new_root, |context| context.trace);
    CallContext { trace, deadline: Some(deadline) }.scope(work)
}

/// What is left of the running call's deadline: nothing when it has passed, `None` when there is none.
#[must_use]
pub fn remaining() -> Option<Duration> {
    CallContext::current()?.deadline.map(|at| at.saturating_duration_since(Instant::now()))
}

/// A position in a trace, as W3C Trace Context level 1 has it: <https://www.w3.org/TR/trace-context-1/>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace, never zero.
    pub trace_id: u128,
    /// The span in it, never zero.
    pub span_id: u64,
    /// Whether the one who began the trace records it.
    pub sampled: bool,
}

impl TraceContext {
    /// The beginning of a new trace.
    #[must_use]
    pub fn new_root() -> Self {
        Self { trace_id: rand::random::<u128>().max(1), span_id: new_span_id(), sampled: true }
    }

    /// A new span in the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span_id: new_span_id(), ..self }
    }
}

fn new_span_id() -> u64 {
    rand::random::<u64>().max(1)
}

/// The text is not a `traceparent` of version 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent")]
pub struct MalformedTraceparent;

impl FromStr for TraceContext {
    type Err = MalformedTraceparent;

    fn from_str(text: &str) -> Result<Self, MalformedTraceparent> {
        let mut parts = text.split('-');
        let mut hex = |length: usize| {
            let part = parts.next().filter(|part| part.len() == length)?;
            let lowercase = part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            lowercase.then(|| u128::from_str_radix(part, 16).ok()).flatten()
        };
        let (version, trace_id, span_id, flags) = (hex(2), hex(32), hex(16), hex(2));
        // Version ff is invalid; of an unknown version, the fields of version 00 may be read, and more may follow.
        match (version, trace_id, span_id, flags, parts.next()) {
            (Some(0), .., Some(_)) | (Some(0xff), ..) => Err(MalformedTraceparent),
            (Some(_), Some(trace_id @ 1..), Some(span_id @ 1..), Some(flags), _) => Ok(Self {
                trace_id,
                span_id: u64::try_from(span_id).map_err(|_| MalformedTraceparent)?,
                sampled: flags & 1 == 1,
            }),
            _ => Err(MalformedTraceparent),
        }
    }
}

/// As a `traceparent` header.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_and_written_as_the_standard_has_it() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace: TraceContext = text.parse().unwrap();
        assert_eq!(trace.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert!(trace.sampled);
        assert_eq!(trace.to_string(), text);
        assert_eq!(trace.child().trace_id, trace.trace_id);
        assert_ne!(trace.child().span_id, trace.span_id);
        let newer = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-what-follows";
        assert!(!newer.parse::<TraceContext>().unwrap().sampled);
    }

    #[test]
    fn what_is_no_traceparent_is_refused() {
        for text in [
            "",
            "00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(text.parse::<TraceContext>(), Err(MalformedTraceparent), "{text}");
        }
    }

    #[tokio::test]
    async fn the_sooner_deadline_holds() {
        assert_eq!(remaining(), None);
        with_deadline(Duration::from_secs(60), async {
            let outer = remaining().unwrap();
            assert!(outer > Duration::from_secs(50));
            with_deadline(Duration::from_secs(3600), async {
                assert!(remaining().unwrap() <= outer);
            })
            .await;
            with_deadline(Duration::from_secs(1), async {
                assert!(remaining().unwrap() <= Duration::from_secs(1));
            })
            .await;
        })
        .await;
    }
}
