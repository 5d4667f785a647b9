//! The orchestrator dies at every append of an order's way, in every way, and the next one brings the order to its end.

use souk_orchestrator::testing::saga::{DEATHS, Death};
use souk_orchestrator::testing::{DiskFault, Unsynced};

use super::story::{PLAIN, Story};

const STORIES: [Story; 4] = [
    PLAIN,
    Story { broken: Some("CapturePayment"), ..PLAIN },
    Story { token: "tok_3ds", is_told: true, ..PLAIN },
    Story { is_cancelled: true, ..PLAIN },
];

#[tokio::test(start_paused = true)]
async fn an_orchestrator_that_dies_at_any_append_finishes_every_order_once() {
    let mut points = 0;
    for story in STORIES {
        points += story.trio().every_crash().await.unwrap();
    }
    assert!(points > STORIES.len() * DEATHS.len() * 8, "only {points} points were tried");
}

#[tokio::test(start_paused = true)]
async fn an_orchestrator_that_dies_again_and_again_finishes_every_order_once() {
    let unsynced = Unsynced::SeededPrefix;
    let death = |at_append, fault| Death { at_append, fault, unsynced };
    for story in STORIES {
        let plans = (0..12).flat_map(|first| {
            (0..6).map(move |second| {
                vec![
                    death(first, DiskFault::CrashAfter),
                    death(second, DiskFault::CrashDuring),
                    death(second, DiskFault::CrashBefore),
                ]
            })
        });
        let complete = story.trio().crashes(plans).await.unwrap();
        assert!(complete > 12, "{story:?}: only {complete} plans were carried out to their end");
    }
}
