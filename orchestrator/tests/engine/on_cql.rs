//! The engine wholly on CQL: log, tables, and a node that dies and is taken over in the middle of its work.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::seams::Seams;
use souk_orchestrator::engine::{Engine, Error, Filter, Options, Resources, StartRequest};

use super::bank::Bank;
use super::transfer::{self, Transfer};
use super::world::LONG;
use crate::forms::{Clustered, Form, Keyspace, Open};

const RUNS: i64 = 60;

async fn open(form: &mut Clustered, bank: &Arc<Bank>) -> Engine {
    let Open { log, tables } = form.open().await;
    let resources = Resources::new().with(bank.clone());
    let options = Options { drain_delay: Duration::from_millis(20), ..Options::default() };
    let registry = transfer::registry();
    Engine::open(options, log, tables, Seams::system(), registry, resources).await.unwrap()
}

fn name(number: i64) -> String {
    format!("t{number}")
}

/// A third of them waits for a signal, some are refused in the end and undone.
fn order(number: i64) -> Transfer {
    Transfer { amount: number, confirm: number % 3 == 0, refuse: number % 7 == 0 }
}

async fn start(engine: &Engine, number: i64) -> Result<(), Error> {
    let request = StartRequest::new(name(number), "transfer", &order(number)).unwrap();
    engine.start(request).await.map(drop)
}

/// The next process starts while the one before it is still there, and writes: neither was shut down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_go_on_where_a_node_was_taken_over() {
    let Some(keyspace) = Keyspace::open().await else { return };
    let (mut form, bank) = (Clustered::new(&keyspace), Arc::new(Bank::default()));
    let first = open(&mut form, &bank).await;
    for started in join_all((0..RUNS).map(|number| start(&first, number))).await {
        started.unwrap();
    }
    let done = first.outcome(&name(1), LONG).await.unwrap().unwrap();
    assert_eq!(done.state, RunState::Completed);

    let second = open(&mut form, &bank).await;
    // What the first one wants to write now comes too late, and is not acknowledged.
    let late = start(&first, RUNS).await;
    assert!(matches!(late, Err(Error::Fenced)), "{late:?}");
    first.fenced().await;
    drop(first);

    let ends = (0..RUNS).map(async |number| {
        if order(number).confirm {
            second.signal(&name(number), "confirm", "1", bytes::Bytes::new()).await.unwrap();
        }
        second.outcome(&name(number), LONG).await.unwrap().unwrap().state
    });
    for (number, state) in (0..).zip(join_all(ends).await) {
        let expected = if order(number).refuse { RunState::Failed } else { RunState::Completed };
        assert_eq!(state, expected, "{number}");
        let effect = bank.effect(&format!("{}/withdraw/1", name(number)));
        assert_eq!((effect.done, effect.undone > 0), (1, order(number).refuse), "{number}");
    }
    second.shutdown().await.unwrap();
    drop(second);

    let third = open(&mut form, &bank).await;
    let failed = Filter::of_states(&[RunState::Failed]);
    assert_eq!(third.list(&failed, None, 1_000).await.unwrap().rows.len(), 9);
    let all = third.list(&Filter::default(), None, 1_000).await.unwrap();
    assert_eq!((all.rows.len() as i64, all.next), (RUNS, None));
    third.shutdown().await.unwrap();
}
