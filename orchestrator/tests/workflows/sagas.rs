//! The trio on every way that an order can take, struck at the participants, behind the mesh, and at the engine.

use souk_orchestrator::testing::Fault;
use souk_orchestrator::testing::saga::{FAILURES, REPETITIONS, Trio};

use super::story::{PLAIN, Story, Told};

const CHALLENGED: Story = Story { token: "tok_3ds", ..PLAIN };
const STRUCK_AT_ENGINE: Story = Story { strikes_at_engine: true, ..PLAIN };

/// In which ways a participant fails for good.
const REFUSALS: [Fault; 5] =
    [Fault::Refuse, Fault::Away, Fault::LoseReply, Fault::Hang, Fault::Late(90_000)];
/// In which ways a participant is called again.
const REPEATS: [Fault; 5] =
    [Fault::Twice, Fault::LoseReply, Fault::Hang, Fault::Away, Fault::Late(5_000)];

fn behind_the_mesh(story: Story) -> Trio<impl AsyncFn() -> Told> {
    story.trio().failing_by(REFUSALS).repeated_by(REPEATS)
}

#[tokio::test(start_paused = true)]
async fn each_step_that_fails_for_good_leaves_nothing_behind() {
    // Seven steps; the challenge adds the extension of the hold.
    assert_eq!(behind_the_mesh(PLAIN).every_step_fails().await, Ok(7 * 5));
    assert_eq!(behind_the_mesh(CHALLENGED).every_step_fails().await, Ok(8 * 5));
    assert_eq!(STRUCK_AT_ENGINE.trio().every_step_fails().await, Ok(7 * FAILURES.len()));
}

#[tokio::test(start_paused = true)]
async fn each_step_that_is_repeated_happens_once() {
    assert_eq!(behind_the_mesh(PLAIN).every_step_is_repeated().await, Ok(7 * 5));
    assert_eq!(behind_the_mesh(CHALLENGED).every_step_is_repeated().await, Ok(8 * 5));
    assert_eq!(STRUCK_AT_ENGINE.trio().every_step_is_repeated().await, Ok(7 * REPETITIONS.len()));
}

#[tokio::test(start_paused = true)]
async fn each_undo_that_is_repeated_undoes_once() {
    // One undo after the first step, two after the second, three after all others but the best effort at the end.
    let undos = 2 + 3 * 5;
    assert_eq!(behind_the_mesh(PLAIN).every_undo_is_repeated().await, Ok(undos * 5));
    assert_eq!(behind_the_mesh(CHALLENGED).every_undo_is_repeated().await, Ok((undos + 3) * 5));
    let at_engine = STRUCK_AT_ENGINE.trio().every_undo_is_repeated().await;
    assert_eq!(at_engine, Ok(undos * REPETITIONS.len()));
}
