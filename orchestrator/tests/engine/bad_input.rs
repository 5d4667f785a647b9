//! What nobody should send: each is refused for what it is, and leaves no trace. A full disk and a damaged log are in `crash`
//! and in `log_damage`; filters in `filters`.

use std::time::Duration;

use souk_orchestrator::engine::limits::{MAX_ID_BYTES, MAX_PAYLOAD_BYTES};
use souk_orchestrator::engine::reset::ResetRequest;
use souk_orchestrator::engine::{Error, StartRequest};

use super::transfer::Transfer;
use super::world::{LONG, World};

fn large() -> bytes::Bytes {
    format!("{:?}", "x".repeat(MAX_PAYLOAD_BYTES)).into()
}

#[tokio::test(start_paused = true)]
async fn payloads_and_ids_beyond_their_bounds_are_refused_with_both_numbers() {
    let world = World::new(1).await;
    world.start_as("n", "negotiation", &1).await.unwrap();
    let before = world.history("n").await;
    let engine = &world.engine;
    let long = "i".repeat(MAX_ID_BYTES + 1);
    let start = StartRequest {
        workflow_id: "other".into(),
        workflow_type: "negotiation".into(),
        input: large(),
        ..StartRequest::default()
    };
    let refusals = [
        engine.start(start).await.unwrap_err(),
        engine.signal("n", "confirm", "1", large()).await.unwrap_err(),
        engine.signal("n", "confirm", &long, bytes::Bytes::new()).await.unwrap_err(),
        engine.update("n", "raise", "1", large(), LONG).await.unwrap_err(),
        engine.update("n", &long, "1", bytes::Bytes::new(), LONG).await.unwrap_err(),
    ];
    for refusal in refusals {
        let Error::TooLarge { actual, limit, .. } = refusal else { panic!("{refusal}") };
        assert!(actual > limit && refusal.to_string().contains(&limit.to_string()), "{refusal}");
    }
    assert_eq!(world.history("n").await, before);
    assert!(matches!(engine.describe("other").await, Err(Error::NotFound(_))));
}

#[tokio::test(start_paused = true)]
async fn whatever_is_asked_of_a_run_that_nobody_knows_or_that_has_ended_is_answered_with_its_name()
{
    let world = World::new(1).await;
    world.start("ended", &Transfer::default()).await.unwrap();
    world.end("ended").await;
    // In memory still, and on disk alone.
    for _ in 0..2 {
        for id in ["nobody", "ended"] {
            let engine = &world.engine;
            let payload = bytes::Bytes::new;
            let mut refusals = vec![
                engine.signal(id, "confirm", "1", payload()).await.unwrap_err(),
                engine.update(id, "raise", "1", payload(), LONG).await.unwrap_err(),
                engine.cancel(id, "why").await.unwrap_err(),
                engine.terminate(id, "why", true).await.unwrap_err(),
                engine.pause(id, "why").await.unwrap_err(),
                engine.resume(id, "why").await.unwrap_err(),
                engine.retry_step(id).await.unwrap_err(),
                engine.skip_step(id, "why").await.unwrap_err(),
            ];
            if id == "nobody" {
                let reset = engine.reset(id, ResetRequest::default()).await;
                refusals.push(reset.unwrap_err());
                refusals.push(engine.describe(id).await.unwrap_err());
                refusals.push(engine.query(id, "standing").await.unwrap_err());
                refusals.push(engine.answer(id, LONG).await.unwrap_err());
            }
            for refusal in refusals {
                let is_right = match id {
                    "nobody" => matches!(refusal, Error::NotFound(_)),
                    _ => matches!(refusal, Error::Closed { .. }),
                };
                assert!(is_right && refusal.to_string().contains(id), "{refusal}");
            }
        }
        world.pass(Duration::from_secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_json_or_does_not_fit_is_refused_and_starts_nothing() {
    let world = World::new(1).await;
    for input in ["{", "\"no transfer\"", "{\"amount\":\"seven\"}", "\u{0}"] {
        let start = StartRequest {
            workflow_id: "t".into(),
            workflow_type: "transfer".into(),
            input: input.into(),
            ..StartRequest::default()
        };
        let refused = world.engine.start(start).await.unwrap_err();
        assert!(matches!(refused, Error::InvalidInput { .. }), "{input}: {refused}");
        assert!(refused.to_string().contains("transfer"), "{refused}");
    }
    let unknown = world.start_as("t", "nothing", &()).await.unwrap_err();
    assert!(matches!(&unknown, Error::UnknownType(name) if name == "nothing"), "{unknown}");
    assert!(matches!(world.engine.describe("t").await, Err(Error::NotFound(_))));
    // Ids are bytes to the engine: what is unusual in them is kept as it is.
    for id in [" ", "a/b/../c", "Ω\u{202e}", "\u{0}", "%2F"] {
        world.start(id, &Transfer::default()).await.unwrap();
        world.end(id).await;
        assert_eq!(world.row(id).await.workflow_id, id);
        assert_eq!(world.bank.effect(&format!("{id}/withdraw/1")).done, 1);
    }
}
