//! The engine on a real disk, with real threads and real time.

use std::sync::Arc;
use std::time::Duration;

use souk_orchestrator::engine::Filter;
use souk_orchestrator::engine::log::fjall::{FjallLog, Store};
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::seams::Seams;
use souk_orchestrator::engine::tables::fjall::FjallTables;
use souk_orchestrator::engine::{Engine, Options, Resources, StartRequest};

use super::bank::Bank;
use super::transfer::{self, Transfer};
use super::world::LONG;

async fn open(store: &Arc<Store>, bank: &Arc<Bank>) -> Engine {
    let (log, tables) = (FjallLog::new(store.clone()), FjallTables::new(store.clone()));
    let resources = Resources::new().with(bank.clone());
    let (log, tables) = (Arc::new(log), Arc::new(tables));
    let options = Options { drain_delay: Duration::from_millis(20), ..Options::default() };
    Engine::open(options, log, tables, Seams::system(), transfer::registry(), resources)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_runs_at_once_end_and_are_found_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let bank = Arc::new(Bank::default());
    let store = Arc::new(Store::open(folder.path()).unwrap());
    let engine = open(&store, &bank).await;
    let runs = (0..500).map(|number| {
        let engine = engine.clone();
        tokio::spawn(async move {
            let id = format!("t{number}");
            let order =
                Transfer { amount: number, confirm: number % 5 == 0, refuse: number % 7 == 0 };
            engine
                .start(StartRequest::new(id.as_str(), "transfer", &order).unwrap())
                .await
                .unwrap();
            if order.confirm {
                engine.signal(&id, "confirm", "1", bytes::Bytes::new()).await.unwrap();
            }
            engine.outcome(&id, LONG).await.unwrap().unwrap().state
        })
    });
    let states = futures::future::join_all(runs).await;
    for (number, state) in states.into_iter().enumerate() {
        let expected = if number % 7 == 0 { RunState::Failed } else { RunState::Completed };
        assert_eq!(state.unwrap(), expected, "t{number}");
    }
    engine.shutdown().await.unwrap();
    drop((engine, store));

    let store = Arc::new(Store::open(folder.path()).unwrap());
    let engine = open(&store, &bank).await;
    let failed = Filter::of_states(&[RunState::Failed]);
    assert_eq!(engine.list(&failed, None, 1_000).await.unwrap().rows.len(), 72);
    let described = engine.describe("t1").await.unwrap();
    assert_eq!(described.row.state(), RunState::Completed);
    assert_eq!(bank.effect("t1/withdraw/1").calls, 1);
    engine.shutdown().await.unwrap();
}
