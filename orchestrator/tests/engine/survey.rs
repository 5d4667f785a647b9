//! Would another build take up the open runs of a store? Each kind of change that does not fit is found, and named.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use serde::{Deserialize, Serialize};
use souk_orchestrator::engine::log::fjall::{FjallLog, StorageError, Store};
use souk_orchestrator::engine::log::sim::Unsynced;
use souk_orchestrator::engine::reset::ResetRequest;
use souk_orchestrator::engine::seams::Seams;
use souk_orchestrator::engine::step::{Compensation, Irreversible, Step, StepContext, StepError};
use souk_orchestrator::engine::tables::fjall::FjallTables;
use souk_orchestrator::engine::{
    Cx, Engine, Error, Failure, Options, Registry, Resources, StartRequest,
};
use souk_orchestrator::replay::{Report, folder, replay};

use super::bank::Bank;
use super::shapes;
use super::transfer::Confirm;

/// A step whose name, argument and result the builds do not agree about.
macro_rules! pay {
    ($module:ident, $name:literal, $argument:ty, $result:ty, $make:expr) => {
        mod $module {
            use super::*;

            #[derive(Serialize, Deserialize)]
            pub struct Pay {
                pub amount: $argument,
            }

            impl Step for Pay {
                const NAME: &'static str = $name;
                type Output = $result;
                type Undo = Irreversible;

                async fn run(&self, _: &StepContext) -> Result<$result, StepError> {
                    Ok($make)
                }
            }

            pub async fn purchase(cx: &Cx, amount: $argument) -> Result<String, Failure> {
                cx.step(Pay { amount }).await?;
                cx.step(shapes::note("paid")).await?;
                cx.signal::<Confirm>().await?;
                Ok("bought".into())
            }
        }
    };
}

pay!(first, "pay", u32, u32, 7);
pay!(renamed, "charge", u32, u32, 7);
pay!(other_argument, "pay", String, u32, 7);
pay!(other_result, "pay", u32, Vec<String>, vec!["7".into()]);

/// The argument has a new field.
#[derive(Serialize, Deserialize)]
struct PayIn {
    amount: u32,
    currency: String,
}

impl Step for PayIn {
    const NAME: &'static str = "pay";
    type Output = u32;
    type Undo = Irreversible;

    async fn run(&self, _: &StepContext) -> Result<u32, StepError> {
        Ok(7)
    }
}

async fn with_currency(cx: &Cx, amount: u32) -> Result<String, Failure> {
    cx.step(PayIn { amount, currency: "EUR".into() }).await?;
    Ok("bought".into())
}

async fn reordered(cx: &Cx, amount: u32) -> Result<String, Failure> {
    cx.step(shapes::note("paid")).await?;
    cx.step(first::Pay { amount }).await?;
    cx.signal::<Confirm>().await?;
    Ok("bought".into())
}

/// The step has an undo now.
#[derive(Serialize, Deserialize)]
struct UndonePay {
    amount: u32,
}

#[derive(Serialize, Deserialize)]
struct PayBack;

impl From<&UndonePay> for PayBack {
    fn from(_: &UndonePay) -> PayBack {
        PayBack
    }
}

impl Compensation for PayBack {
    const NAME: &'static str = "pay_back";

    async fn run(&self, _: &StepContext, _: &Failure) -> Result<(), StepError> {
        Ok(())
    }
}

impl Step for UndonePay {
    const NAME: &'static str = "pay";
    type Output = u32;
    type Undo = PayBack;

    async fn run(&self, _: &StepContext) -> Result<u32, StepError> {
        Ok(7)
    }
}

async fn with_undo(cx: &Cx, amount: u32) -> Result<String, Failure> {
    cx.step(UndonePay { amount }).await?;
    Ok("bought".into())
}

async fn in_versions(cx: &Cx, amount: u32) -> Result<String, Failure> {
    if cx.version("no-pay", 1, 1) == 0 {
        cx.step(first::Pay { amount }).await?;
    }
    Ok("bought".into())
}

/// The code, the event from 1, and words of the message.
type Expected = Option<(&'static str, u64, &'static str)>;

fn builds() -> Vec<(&'static str, Registry, Expected)> {
    let other = || shapes::registry("story");
    vec![
        ("the same", other().workflow("purchase", first::purchase), None),
        (
            "another step name",
            other().workflow("purchase", renamed::purchase),
            Some((
                "SOUK-0001",
                2,
                "the run does step pay (1), and this build does step charge (1)",
            )),
        ),
        (
            "another order",
            other().workflow("purchase", reordered),
            Some(("SOUK-0001", 2, "the run does step pay (1), and this build does step note (1)")),
        ),
        (
            "another type of the workflow's input",
            other().workflow("purchase", other_argument::purchase),
            Some(("SOUK-0004", 1, "the input of purchase")),
        ),
        (
            "another argument",
            other().workflow("purchase", with_currency),
            Some((
                "SOUK-0001",
                2,
                r#"the argument of pay was {"amount":5}, and is {"amount":5,"currency":"EUR"}"#,
            )),
        ),
        (
            "another result",
            other().workflow("purchase", other_result::purchase),
            Some(("SOUK-0004", 3, "the result of pay: invalid type")),
        ),
        (
            "another undo",
            other().workflow("purchase", with_undo),
            Some(("SOUK-0001", 2, "the undo of pay was nothing, and is pay_back null")),
        ),
        ("no such type", other(), Some(("SOUK-0006", 1, "no workflow purchase is registered"))),
        (
            "a version that is gone",
            other().workflow("purchase", in_versions),
            Some(("SOUK-0007", 1, "no-pay is at 0")),
        ),
    ]
}

fn is_as_expected(build: &str, report: &Report, expected: Expected) {
    assert_eq!(report.types["purchase"].runs, 2, "{build}");
    assert_eq!(report.types["story"].runs, 1, "{build}");
    assert!(report.types["story"].unfit.is_empty(), "{build}: {report:?}");
    let Some((code, event, words)) = expected else {
        assert_eq!((report.unfit(), report.findings.len()), (0, 0), "{build}: {report:?}");
        return;
    };
    assert_eq!(report.types["purchase"].unfit.get(code), Some(&2), "{build}: {report:?}");
    let ids: Vec<&str> = report.findings.iter().map(|f| f.workflow_id.as_str()).collect();
    assert_eq!(ids, ["p1", "p2"], "{build}");
    for finding in &report.findings {
        assert_eq!((finding.code, finding.event), (code, event), "{build}: {finding:?}");
        assert!(finding.message.contains(words), "{build}: {}", finding.message);
    }
}

async fn engine(store: &Arc<Store>, drain_delay: Duration) -> Engine {
    let (log, tables) = (FjallLog::new(store.clone()), FjallTables::new(store.clone()));
    let resources = Resources::new().with(Arc::new(Bank::default()));
    let options = Options { drain_delay, ..Options::default() };
    let registry = shapes::registry("story").workflow("purchase", first::purchase);
    Engine::open(options, Arc::new(log), Arc::new(tables), Seams::system(), registry, resources)
        .await
        .unwrap()
}

/// Two purchases and a story, each as far as it gets without a signal; and one that has ended.
async fn begin(engine: &Engine) {
    for id in ["p1", "p2", "ended"] {
        engine.start(StartRequest::new(id, "purchase", &5).unwrap()).await.unwrap();
    }
    engine.start(StartRequest::new("s", "story", &()).unwrap()).await.unwrap();
    engine.signal("ended", "confirm", "1", bytes::Bytes::new()).await.unwrap();
    let long = Duration::from_secs(60);
    assert!(engine.outcome("ended", long).await.unwrap().is_some());
    for id in ["p1", "p2", "s"] {
        let mut history = std::pin::pin!(engine.history(id, 0, true).await.unwrap());
        loop {
            let event = history.next().await.unwrap().unwrap().event;
            if super::world::outline(&event) == "completed note" {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_nodes_folder_is_checked_with_what_only_its_log_has_and_stays_as_it_is() {
    let data = tempfile::tempdir().unwrap();
    let node = data.path().join("node");
    let store = Arc::new(Store::open(&node).unwrap());
    // Nothing of it is drained.
    let engine = engine(&store, Duration::from_secs(3_600)).await;
    begin(&engine).await;
    let in_use = folder::Copy::of(&node, data.path()).err().expect("the node runs");
    assert!(matches!(in_use, folder::Error::Storage(StorageError::InUse { .. })), "{in_use}");
    // The node is killed: what it has drained or not stays as it is.
    let killed = data.path().join("killed");
    copy_of(&node, &killed);
    engine.shutdown().await.unwrap();
    drop((engine, store));
    for folder in [&killed, &node] {
        let before = contents(folder);
        for (build, registry, expected) in builds() {
            let copy = folder::Copy::of(folder, data.path()).unwrap();
            let report = replay(registry, copy.open_runs().await.unwrap()).await.unwrap();
            is_as_expected(build, &report, expected);
        }
        assert_eq!(contents(folder), before);
    }
    let names = std::fs::read_dir(data.path()).unwrap().count();
    assert_eq!(names, 2, "the copies are deleted");
    let nowhere = folder::Copy::of(&data.path().join("nowhere"), data.path()).err().unwrap();
    assert!(nowhere.to_string().contains("no engine has ever run there"), "{nowhere}");
}

/// What a killed process leaves: no lock, and everything that it wrote.
fn copy_of(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_of(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn contents(folder: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(contents(&path)),
            false => found.push((path.clone(), std::fs::read(&path).unwrap())),
        }
    }
    found.sort();
    found
}

#[tokio::test(start_paused = true)]
async fn a_running_node_tells_all_open_runs_once_drained_or_not_idle_or_not() {
    use super::world::World;
    let mut world = World::new(1).await;
    let order = super::transfer::Transfer { confirm: true, ..Default::default() };
    for id in ["idle", "gone"] {
        world.start(id, &order).await.unwrap();
    }
    world.pass(Duration::from_secs(10)).await;
    world.signal("gone", "confirm", "1").await.unwrap();
    world.end("gone").await;
    world.restart(Unsynced::Kept).await;
    world.start("young", &order).await.unwrap();
    let told = async |world: &World| {
        let runs: Vec<_> = world.engine.open_runs().collect().await;
        let mut ids: Vec<String> =
            runs.into_iter().map(|run: Result<_, Error>| run.unwrap().workflow_id).collect();
        ids.sort();
        ids
    };
    assert_eq!(told(&world).await, ["idle", "young"]);
    world.pass(Duration::from_secs(10)).await;
    assert_eq!(world.engine.loaded_runs(), 0);
    assert_eq!(told(&world).await, ["idle", "young"]);
    let run = world.engine.open_runs().boxed().next().await.unwrap().unwrap();
    let history: Vec<_> =
        world.engine.history_of(&run).map(|event| event.unwrap().event).collect().await;
    assert_eq!(history, world.history(&run.workflow_id).await);
    // What has just ended, or has been taken the place of, is open in the tables still.
    let reset = ResetRequest { reason: "tested".into(), ..ResetRequest::default() };
    world.engine.reset("idle", reset).await.unwrap();
    world.signal("young", "confirm", "1").await.unwrap();
    world.end("young").await;
    assert_eq!(told(&world).await, ["idle"]);
}
