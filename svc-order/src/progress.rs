//! What has happened on an order's way, in words for customers: pure translation.
//!
//! Sources are the order's own timeline and its workflow's history. Steps are known by the names in
//! docs/contracts/place_order.md; what is not in the table is the engine's affair and not shown.

use serde::Deserialize;
use souk_proto::order::v1::{OrderProgress, ProgressKind};
use souk_proto::time::{timestamp, unix_ms};
use souk_proto::workflow::v1::{HistoryEvent, HistoryEventKind};

use crate::domain::{Entry, State};
use crate::states::States;
use crate::wire;
use crate::workflow::{PlaceOrderAnswer, Placement, step};

/// How a step reads: while it is done, done, failed.
struct StepWording {
    step: &'static str,
    doing: &'static str,
    done: &'static str,
    failed: &'static str,
}

/// How an undo reads: while it is done, done.
struct UndoWording {
    undo: &'static str,
    doing: &'static str,
    done: &'static str,
}

const STEPS: &[StepWording] = &[
    StepWording {
        step: step::RESERVE_STOCK,
        doing: "Holding stock",
        done: "Stock held",
        failed: "Stock could not be held",
    },
    StepWording {
        step: step::CREATE_PAYMENT,
        doing: "Preparing payment",
        done: "Payment prepared",
        failed: "Payment could not be prepared",
    },
    StepWording {
        step: step::CONFIRM_PAYMENT,
        doing: "Authorizing payment",
        done: "Payment checked",
        failed: "Payment could not be authorized",
    },
    StepWording {
        step: step::COMMIT_STOCK,
        doing: "Setting items aside",
        done: "Items set aside",
        failed: "Items could not be set aside",
    },
    StepWording {
        step: step::CAPTURE_PAYMENT,
        doing: "Capturing payment",
        done: "Payment captured",
        failed: "Payment could not be captured",
    },
    StepWording {
        step: step::CLEAR_CART,
        doing: "Updating your cart",
        done: "Cart updated",
        failed: "Cart left as it is",
    },
];

const UNDOS: &[UndoWording] = &[
    UndoWording { undo: step::RELEASE_STOCK, doing: "Releasing stock", done: "Stock released" },
    UndoWording {
        undo: step::RETURN_PAYMENT,
        doing: "Returning payment",
        done: "Payment returned",
    },
];

/// ReturnPayment of an order that was never confirmed: nothing had been taken that could be returned.
const RELEASE_OF_PAYMENT: UndoWording = UndoWording {
    undo: step::RETURN_PAYMENT,
    doing: "Releasing payment",
    done: "Payment released",
};

/// The steps that an order's confirmation comes after.
const BEFORE_CONFIRMED: [&str; 3] =
    [step::RESERVE_STOCK, step::CREATE_PAYMENT, step::CONFIRM_PAYMENT];

/// Progress from a line of the order's timeline.
#[must_use]
pub fn of_entry(entry: &Entry) -> OrderProgress {
    let title = match entry.state {
        State::Pending => "Order received",
        State::Processing => "Order confirmed",
        State::Shipped => "Order shipped",
        State::Delivered => "Order delivered",
        State::Cancelled => "Order cancelled",
    };
    let detail = if entry.note.is_empty() { &entry.reason } else { &entry.note };
    OrderProgress {
        kind: ProgressKind::State.into(),
        time: Some(timestamp(entry.at_ms)),
        title: title.to_owned(),
        detail: detail.clone(),
        step: String::new(),
        attempt: 0,
        order_state: wire::state(entry.state).into(),
    }
}

/// Whether a line of the timeline came before an event of the history. Both clocks tick in milliseconds: within one, the way that
/// an order goes decides.
#[must_use]
pub fn precedes(entry: &Entry, event: &HistoryEvent) -> bool {
    let at_ms = event.time.as_ref().map_or(0, unix_ms);
    match entry.state {
        _ if entry.at_ms != at_ms => entry.at_ms < at_ms,
        State::Processing => !BEFORE_CONFIRMED.contains(&event.name.as_str()),
        // A customer's or the staff's comes before what it undoes, the workflow's own after.
        State::Cancelled => !entry.actor.starts_with("service:"),
        State::Pending | State::Shipped | State::Delivered => true,
    }
}

/// The end of an order that was `state` at last.
#[must_use]
pub fn finished(state: State, now_ms: i64) -> OrderProgress {
    OrderProgress {
        kind: ProgressKind::Finished.into(),
        time: Some(timestamp(now_ms)),
        title: "All done".to_owned(),
        order_state: wire::state(state).into(),
        ..OrderProgress::default()
    }
}

/// Progress from an event of the workflow's history; `None` for what customers need not see.
/// `states` are those that the order has been in.
#[must_use]
pub fn of_event(event: &HistoryEvent, states: &States) -> Option<OrderProgress> {
    let at_ms = event.time.as_ref().map_or(0, unix_ms);
    let (kind, title, detail) = told(event, states.was_confirmed(at_ms))?;
    Some(OrderProgress {
        kind: kind.into(),
        time: event.time,
        title,
        detail,
        step: event.name.clone(),
        attempt: event.attempt,
        order_state: wire::state(states.at(at_ms)).into(),
    })
}

/// That the order waits for the warehouse, once its last step is over, well or not.
#[must_use]
pub fn waiting_after(event: &HistoryEvent, states: &States) -> Option<OrderProgress> {
    let is_over = match event.kind() {
        HistoryEventKind::StepCompleted => true,
        // The only step whose failure does not undo the order.
        HistoryEventKind::StepFailed => event.name == step::CLEAR_CART,
        _ => false,
    };
    let at_ms = event.time.as_ref().map_or(0, unix_ms);
    let state = states.at(at_ms);
    (is_over && state == State::Processing).then(|| OrderProgress {
        kind: ProgressKind::Waiting.into(),
        time: event.time,
        title: "Waiting for the warehouse".to_owned(),
        order_state: wire::state(state).into(),
        ..OrderProgress::default()
    })
}

type Told = (ProgressKind, String, String);

fn told(event: &HistoryEvent, was_confirmed: bool) -> Option<Told> {
    let step = STEPS.iter().find(|wording| wording.step == event.name);
    let undo = if event.name == step::RETURN_PAYMENT && !was_confirmed {
        Some(&RELEASE_OF_PAYMENT)
    } else {
        UNDOS.iter().find(|wording| wording.undo == event.name)
    };
    let plain = |kind, title: &str| Some((kind, title.to_owned(), String::new()));
    match HistoryEventKind::try_from(event.kind).ok()? {
        // While a challenge is open the payment is asked about again and again: told once.
        HistoryEventKind::StepScheduled if event.occurrence > 1 => None,
        HistoryEventKind::StepScheduled => plain(ProgressKind::StepStarted, step?.doing),
        HistoryEventKind::StepCompleted if event.name == step::CONFIRM_PAYMENT => confirmed(event),
        HistoryEventKind::StepCompleted => plain(ProgressKind::StepDone, step?.done),
        HistoryEventKind::StepAttemptFailed => {
            let title = format!("{}: trying again", step?.doing);
            Some((ProgressKind::StepFailed, title, String::new()))
        }
        HistoryEventKind::StepFailed => {
            // Why is for those who run the shop; the order's own timeline tells customers what concerns them.
            plain(ProgressKind::StepFailed, step?.failed)
        }
        HistoryEventKind::UndoScheduled => plain(ProgressKind::UndoStarted, undo?.doing),
        HistoryEventKind::UndoCompleted => plain(ProgressKind::UndoDone, undo?.done),
        HistoryEventKind::Parked => plain(ProgressKind::Waiting, "We are looking into it"),
        HistoryEventKind::Answered => challenged(&event.payload),
        _ => None,
    }
}

/// The result of ConfirmPayment, as docs/contracts/place_order.md has it.
#[derive(Deserialize)]
struct Confirmed {
    outcome: String,
}

fn confirmed(event: &HistoryEvent) -> Option<Told> {
    let result = serde_json::from_slice::<Confirmed>(&event.payload);
    let again = event.occurrence > 1;
    let (kind, title) = match result.as_ref().map(|result| result.outcome.as_str()) {
        Ok("AUTHORIZED") => (ProgressKind::StepDone, "Payment authorized"),
        Ok("DECLINED") => (ProgressKind::StepFailed, "Payment declined"),
        Ok("REQUIRES_ACTION" | "REVIEW") if again => return None,
        Ok("REQUIRES_ACTION") => (ProgressKind::StepDone, "Your bank asks for your approval"),
        Ok("REVIEW") => (ProgressKind::StepDone, "Payment under review"),
        _ => (ProgressKind::StepDone, "Payment checked"),
    };
    Some((kind, title.to_owned(), String::new()))
}

fn challenged(answer: &[u8]) -> Option<Told> {
    let answer: PlaceOrderAnswer = serde_json::from_slice(answer).ok()?;
    (answer.placement == Placement::Challenge).then(|| {
        (ProgressKind::Waiting, "Waiting for your approval".to_owned(), answer.challenge_url)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: HistoryEventKind, name: &str, payload: &str) -> HistoryEvent {
        HistoryEvent {
            kind: kind.into(),
            name: name.into(),
            payload: payload.to_owned().into(),
            time: Some(timestamp(5)),
            ..HistoryEvent::default()
        }
    }

    fn title(kind: HistoryEventKind, name: &str, payload: &str) -> Option<String> {
        of_event(&event(kind, name, payload), &States::default()).map(|progress| progress.title)
    }

    #[test]
    fn steps_read_as_plain_words() {
        use HistoryEventKind::{StepCompleted, StepScheduled, UndoCompleted};
        assert_eq!(title(StepScheduled, "ReserveStock", "").unwrap(), "Holding stock");
        assert_eq!(title(StepCompleted, "CapturePayment", "{}").unwrap(), "Payment captured");
        assert_eq!(title(UndoCompleted, "ReleaseStock", "").unwrap(), "Stock released");
        assert_eq!(title(StepCompleted, "RecordOrder", ""), None, "the timeline tells of it");
        assert_eq!(title(HistoryEventKind::TimerStarted, "poll", ""), None);
    }

    #[test]
    fn a_payment_is_called_returned_only_when_it_may_have_been_taken() {
        let undone = |states: &[(i64, State)]| {
            let states = states.iter().copied().collect();
            let event = event(HistoryEventKind::UndoCompleted, "ReturnPayment", "");
            of_event(&event, &states).unwrap().title
        };
        let (pending, confirmed) = ((1, State::Pending), (3, State::Processing));
        assert_eq!(undone(&[pending]), "Payment released");
        assert_eq!(undone(&[pending, (4, State::Cancelled)]), "Payment released");
        assert_eq!(undone(&[pending, confirmed]), "Payment returned");
        assert_eq!(undone(&[pending, confirmed, (4, State::Cancelled)]), "Payment returned");
        assert_eq!(undone(&[pending, (6, State::Processing)]), "Payment released", "not yet");
    }

    #[test]
    fn what_happened_within_one_millisecond_is_told_in_the_order_of_the_way() {
        let entry = |state, actor: &str| Entry {
            version: 2,
            state,
            at_ms: 5,
            reason: String::new(),
            note: String::new(),
            actor: actor.to_owned(),
        };
        let first = |entry: &Entry, kind, name| precedes(entry, &event(kind, name, ""));
        use HistoryEventKind::{StepCompleted, StepScheduled, UndoScheduled};
        let confirmed = entry(State::Processing, "service:orchestrator");
        assert!(!first(&confirmed, StepCompleted, "ConfirmPayment"));
        assert!(first(&confirmed, StepScheduled, "CommitStock"));
        let by_workflow = entry(State::Cancelled, "service:orchestrator");
        assert!(!first(&by_workflow, UndoScheduled, "ReleaseStock"), "its last undo");
        let by_customer = entry(State::Cancelled, "5b0e2f64-5b0c-4f0e-8f6f-1f3d0c9a7b21");
        assert!(first(&by_customer, UndoScheduled, "ReturnPayment"), "what it undoes");
        let later = Entry { at_ms: 6, ..by_customer };
        assert!(!first(&later, UndoScheduled, "ReturnPayment"));
    }

    #[test]
    fn why_a_step_failed_is_not_for_customers() {
        let mut failed = event(HistoryEventKind::StepFailed, "ReserveStock", "");
        failed.failure = Some(souk_proto::workflow::v1::WorkflowFailure {
            message: "10.0.0.7: connection refused".to_owned(),
            ..Default::default()
        });
        let progress = of_event(&failed, &States::default()).unwrap();
        assert_eq!(
            (progress.title.as_str(), progress.detail.as_str()),
            ("Stock could not be held", "")
        );
    }

    #[test]
    fn a_payment_is_called_authorized_only_when_it_is() {
        let confirmed = |payload| title(HistoryEventKind::StepCompleted, "ConfirmPayment", payload);
        assert_eq!(confirmed(r#"{"outcome":"AUTHORIZED"}"#).unwrap(), "Payment authorized");
        assert_eq!(confirmed(r#"{"outcome":"DECLINED"}"#).unwrap(), "Payment declined");
        assert_eq!(confirmed("[]").unwrap(), "Payment checked");
    }

    #[test]
    fn an_open_challenge_is_told_once_and_its_end() {
        let told = |kind, outcome: &str, occurrence| {
            let payload = format!(r#"{{"outcome":"{outcome}"}}"#);
            let event = HistoryEvent { occurrence, ..event(kind, "ConfirmPayment", &payload) };
            of_event(&event, &States::default()).map(|progress| progress.title)
        };
        use HistoryEventKind::{StepCompleted, StepScheduled};
        assert!(told(StepCompleted, "REQUIRES_ACTION", 1).is_some());
        assert_eq!(told(StepScheduled, "", 2), None);
        assert_eq!(told(StepCompleted, "REQUIRES_ACTION", 2), None);
        assert_eq!(told(StepCompleted, "AUTHORIZED", 3).unwrap(), "Payment authorized");
    }

    #[test]
    fn a_challenge_is_waited_for_in_the_open() {
        let answer = r#"{"placement":"CHALLENGE","challenge_url":"http://c/1"}"#;
        let progress =
            of_event(&event(HistoryEventKind::Answered, "", answer), &States::default()).unwrap();
        assert_eq!(
            (progress.kind(), progress.detail.as_str()),
            (ProgressKind::Waiting, "http://c/1")
        );
        assert_eq!(title(HistoryEventKind::Answered, "", r#"{"placement":"PLACED"}"#), None);
    }
}
