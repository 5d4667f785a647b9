//! The rules of `engine::log`, held on every form.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use souk_orchestrator::engine::ids::{LogId, Slot};
use souk_orchestrator::engine::log::sim::{Disk, Fault, Operation};
use souk_orchestrator::engine::log::{Appended, Error, Log, Written};

use crate::forms::{Clustered, Embedded, Form, Keyspace, Open, Simulated};

const LOG: LogId = LogId(1);
const ALL: usize = usize::MAX;

#[tokio::test]
async fn the_simulated_log_keeps_the_contract() {
    contract(|| Simulated::new(1)).await;
}

#[tokio::test]
async fn the_embedded_log_keeps_the_contract() {
    contract(Embedded::new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_on_cql_keeps_the_contract() {
    let Some(keyspace) = Keyspace::open().await else { return };
    contract(|| Clustered::new(&keyspace)).await;
}

/// Two nodes believe that the log is theirs.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_nodes_gets_a_slot_on_cql() {
    let Some(keyspace) = Keyspace::open().await else { return };
    let mut form = Clustered::new(&keyspace);
    let (one, other) = (form.open().await, form.open().await);
    let contend = async |log: Arc<dyn Log>, slot, bytes: Bytes| loop {
        match log.append(LOG, Slot(slot), bytes.clone()).await {
            Appended::Unknown(_) => {}
            known => return known,
        }
    };
    for slot in 0..40 {
        // Some larger than a row: their parts do not mix either.
        let size = if slot % 10 == 0 { 1_500_000 } else { 10 };
        let mine: Bytes = payload(slot, size);
        let yours: Bytes = payload(slot + 1_000, size);
        let outcomes = tokio::join!(
            contend(one.log.clone(), slot, mine.clone()),
            contend(other.log.clone(), slot, yours.clone()),
        );
        let won = match outcomes {
            (Appended::Applied, Appended::Lost) => mine,
            (Appended::Lost, Appended::Applied) => yours,
            outcome => panic!("both won or both lost: {outcome:?}"),
        };
        for open in [&one, &other] {
            assert_eq!(open.log.read(LOG, Slot(slot), 0).await.unwrap()[0].bytes, won);
        }
    }
}

/// Eight slots at once, on several buckets, with what is far larger than a row among them.
#[tokio::test(flavor = "multi_thread")]
async fn slots_in_flight_together_are_read_back_in_order_from_cql() {
    let Some(keyspace) = Keyspace::open().await else { return };
    let mut form = Clustered::new(&keyspace);
    let Open { log, .. } = form.open().await;
    let size = |slot| if slot % 500 == 7 { 2_000_000 } else { 3_000 };
    let appends = stream::iter(0..2_100).map(|slot| {
        let log = log.clone();
        async move { log.append(LOG, Slot(slot), payload(slot, size(slot))).await }
    });
    let in_flight = log.slots_in_flight();
    assert!(in_flight > 1);
    let outcomes: Vec<Appended> = appends.buffered(in_flight).collect().await;
    assert!(outcomes.iter().all(|outcome| *outcome == Appended::Applied));
    let read = log.read(LOG, Slot(0), ALL).await.unwrap();
    assert_eq!(read.len(), 2_100);
    for Written { slot, bytes } in &read {
        assert_eq!(*bytes, payload(slot.0, size(slot.0)), "{}", slot.0);
    }
    log.trim(LOG, Slot(2_050)).await.unwrap();
    let gone = log.read(LOG, Slot(2_049), ALL).await;
    assert!(matches!(gone, Err(Error::Damaged { .. })), "{gone:?}");
    assert_eq!(log.read(LOG, Slot(2_050), ALL).await.unwrap().len(), 50);
}

/// Every rule, each on a log of its own.
async fn contract<F: Form>(form: impl Fn() -> F) {
    slots_are_read_back_in_order(form()).await;
    an_append_is_idempotent_and_the_first_bytes_stay(form()).await;
    a_read_never_passes_a_gap(form()).await;
    a_read_is_bounded_and_goes_on_where_it_stopped(form()).await;
    logs_do_not_see_each_other(form()).await;
    a_trim_forgets_for_good_and_only_what_it_may(form()).await;
    one_of_two_writers_gets_the_slot(form()).await;
    a_log_goes_on_after_a_crash(form()).await;
    for seed in 0..5 {
        random_calls_agree_with_a_model(form(), seed).await;
    }
}

fn payload(slot: u64, size: usize) -> Bytes {
    let text = format!("slot {slot} ");
    text.bytes().cycle().take(size.max(text.len())).collect()
}

async fn fill(log: &dyn Log, slots: std::ops::Range<u64>) {
    for slot in slots {
        assert_eq!(log.append(LOG, Slot(slot), payload(slot, 0)).await, Appended::Applied);
    }
}

async fn slots_read(log: &dyn Log, from: u64) -> Vec<u64> {
    let read = log.read(LOG, Slot(from), ALL).await.unwrap();
    for Written { slot, bytes } in &read {
        assert_eq!(*bytes, payload(slot.0, 0));
    }
    read.iter().map(|written| written.slot.0).collect()
}

async fn slots_are_read_back_in_order(mut form: impl Form) {
    let Open { log, .. } = form.open().await;
    assert_eq!(log.read(LOG, Slot(0), ALL).await.unwrap(), vec![]);
    fill(&*log, 0..5).await;
    assert_eq!(slots_read(&*log, 0).await, [0, 1, 2, 3, 4]);
    assert_eq!(slots_read(&*log, 3).await, [3, 4]);
    assert_eq!(slots_read(&*log, 5).await, [0; 0]);
}

async fn an_append_is_idempotent_and_the_first_bytes_stay(mut form: impl Form) {
    let Open { log, .. } = form.open().await;
    fill(&*log, 0..3).await;
    fill(&*log, 0..3).await;
    assert_eq!(log.append(LOG, Slot(1), "other".into()).await, Appended::Lost);
    assert_eq!(log.append(LOG, Slot(1), "".into()).await, Appended::Lost);
    assert_eq!(slots_read(&*log, 0).await, [0, 1, 2]);
    assert_eq!(log.append(LOG, Slot(3), "".into()).await, Appended::Applied);
    assert_eq!(log.append(LOG, Slot(3), "".into()).await, Appended::Applied);
    assert_eq!(log.append(LOG, Slot(3), "other".into()).await, Appended::Lost);
}

async fn a_read_never_passes_a_gap(mut form: impl Form) {
    let Open { log, .. } = form.open().await;
    fill(&*log, 0..2).await;
    fill(&*log, 3..5).await;
    assert_eq!(slots_read(&*log, 0).await, [0, 1]);
    assert_eq!(slots_read(&*log, 2).await, [0; 0]);
    fill(&*log, 2..3).await;
    assert_eq!(slots_read(&*log, 0).await, [0, 1, 2, 3, 4]);
}

async fn a_read_is_bounded_and_goes_on_where_it_stopped(mut form: impl Form) {
    let Open { log, .. } = form.open().await;
    for slot in 0..20 {
        let bytes = payload(slot, if slot == 7 { 50_000 } else { 1_000 });
        assert_eq!(log.append(LOG, Slot(slot), bytes).await, Appended::Applied);
    }
    let mut next = Slot(0);
    let mut pages = 0;
    loop {
        let page = log.read(LOG, next, 3_000).await.unwrap();
        let Some(last) = page.last() else { break };
        let without_last: usize = page.iter().rev().skip(1).map(|slot| slot.bytes.len()).sum();
        assert!(without_last < 3_000, "a page goes over its limit by one slot at most");
        assert_eq!(page[0].slot, next);
        next = last.slot.next();
        pages += 1;
    }
    assert_eq!((next, pages), (Slot(20), 7));
    assert_eq!(log.read(LOG, Slot(0), 0).await.unwrap().len(), 1, "one slot, however large");
}

async fn logs_do_not_see_each_other(mut form: impl Form) {
    let Open { log, .. } = form.open().await;
    fill(&*log, 0..3).await;
    let other = LogId(2);
    assert_eq!(log.append(other, Slot(0), "other".into()).await, Appended::Applied);
    assert_eq!(log.read(other, Slot(0), ALL).await.unwrap().len(), 1);
    assert_eq!(slots_read(&*log, 0).await, [0, 1, 2]);
    log.trim(LOG, Slot(3)).await.unwrap();
    assert_eq!(log.read(other, Slot(0), ALL).await.unwrap().len(), 1);
}

async fn a_trim_forgets_for_good_and_only_what_it_may(mut form: impl Form) {
    let open = form.open().await;
    fill(&*open.log, 0..300).await;
    open.log.trim(LOG, Slot(200)).await.unwrap();
    open.log.trim(LOG, Slot(100)).await.unwrap();
    let expected: Vec<u64> = (200..300).collect();
    assert_eq!(slots_read(&*open.log, 200).await, expected);
    for gone in [0, 150, 199] {
        let read = open.log.read(LOG, Slot(gone), ALL).await;
        assert!(matches!(read, Err(Error::Damaged { .. })), "{gone}: {read:?}");
        let late = open.log.append(LOG, Slot(gone), payload(gone, 0)).await;
        assert_eq!(late, Appended::Lost, "{gone}");
    }
    fill(&*open.log, 300..301).await;
    let open = form.kill(open).await;
    assert_eq!(slots_read(&*open.log, 200).await.len(), 101);
    assert_eq!(open.log.append(LOG, Slot(0), "late".into()).await, Appended::Lost);
    fill(&*open.log, 301..302).await;
}

async fn one_of_two_writers_gets_the_slot(mut form: impl Form) {
    let Open { log, .. } = form.open().await;
    for slot in 0..20 {
        let (one, other) = tokio::join!(
            log.append(LOG, Slot(slot), "one".into()),
            log.append(LOG, Slot(slot), "other".into()),
        );
        let won: Bytes = match (one, other) {
            (Appended::Applied, Appended::Lost) => "one".into(),
            (Appended::Lost, Appended::Applied) => "other".into(),
            outcome => panic!("both won or both lost: {outcome:?}"),
        };
        assert_eq!(log.read(LOG, Slot(slot), ALL).await.unwrap()[0].bytes, won);
    }
}

async fn a_log_goes_on_after_a_crash(mut form: impl Form) {
    let mut open = form.open().await;
    for life in 0..4 {
        fill(&*open.log, life * 10..life * 10 + 10).await;
        open = if life % 2 == 0 { form.kill(open).await } else { form.cut_power(open).await };
        let expected: Vec<u64> = (0..life * 10 + 10).collect();
        assert_eq!(slots_read(&*open.log, 0).await, expected, "what was applied is there");
    }
    assert_eq!(open.log.append(LOG, Slot(39), "other".into()).await, Appended::Lost);
}

async fn random_calls_agree_with_a_model(mut form: impl Form, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut open = form.open().await;
    let mut model: BTreeMap<u64, Bytes> = BTreeMap::new();
    let mut trimmed = 0;
    for _ in 0..150 {
        let end = model.keys().next_back().map_or(trimmed, |last| last + 1);
        match random.random_range(0..20) {
            0..14 => {
                let slot = random.random_range(trimmed..=end + 1);
                let bytes = payload(random.random_range(0..3), random.random_range(0..300));
                let held = model.entry(slot).or_insert_with(|| bytes.clone());
                let expected = if *held == bytes { Appended::Applied } else { Appended::Lost };
                assert_eq!(open.log.append(LOG, Slot(slot), bytes).await, expected);
            }
            14..16 => {
                trimmed = random.random_range(trimmed..=end);
                open.log.trim(LOG, Slot(trimmed)).await.unwrap();
                model = model.split_off(&trimmed);
            }
            16..19 => {
                let from = random.random_range(trimmed..=end);
                let expected: Vec<Bytes> =
                    (from..).map_while(|slot| model.get(&slot).cloned()).collect();
                let read = open.log.read(LOG, Slot(from), ALL).await.unwrap();
                let read: Vec<Bytes> = read.into_iter().map(|slot| slot.bytes).collect();
                assert_eq!(read, expected, "seed {seed}");
            }
            _ => open = form.kill(open).await,
        }
    }
}

/// The faults that the simulated log is there for.
#[tokio::test]
async fn a_simulated_append_fails_as_it_is_told() {
    let form = Simulated::new(3);
    let disk = form.0.clone();
    let Open { log, .. } = { form }.open().await;
    disk.inject(Operation::Append, 0, Fault::UnknownNotApplied);
    disk.inject(Operation::Append, 2, Fault::UnknownApplied);
    disk.inject(Operation::Append, 4, Fault::DiskFull);
    disk.inject(Operation::Append, 6, Fault::Fenced("SEAL".into()));
    let append = |slot| log.append(LOG, Slot(slot), payload(slot, 0));
    assert!(matches!(append(0).await, Appended::Unknown(_)));
    assert_eq!(slots_read(&*log, 0).await, [0; 0]);
    assert_eq!(append(0).await, Appended::Applied);
    assert!(matches!(append(1).await, Appended::Unknown(_)));
    assert_eq!(slots_read(&*log, 0).await, [0, 1]);
    assert_eq!(append(1).await, Appended::Applied);
    assert!(matches!(append(2).await, Appended::Unknown(_)));
    disk.make_room();
    assert_eq!(append(2).await, Appended::Applied);
    assert_eq!(append(3).await, Appended::Lost);
    assert_eq!(log.read(LOG, Slot(3), ALL).await.unwrap()[0].bytes, "SEAL");
    assert_eq!(disk.count(Operation::Append), 7);
}

/// At every crash point: what was acknowledged is there, and of what was not at most the one append under way.
#[tokio::test]
async fn a_simulated_crash_keeps_what_was_synced() {
    for fault in [Fault::CrashBefore, Fault::CrashDuring, Fault::CrashAfter] {
        let mut survived = Vec::new();
        for seed in 0..30 {
            let mut form = Simulated::new(seed);
            let open = form.open().await;
            form.0.inject(Operation::Append, 3, fault.clone());
            tokio::select! {
                biased;
                () = fill(&*open.log, 0..10) => panic!("the process should be dead"),
                () = form.0.crashed() => {}
            }
            let open = form.cut_power(open).await;
            survived.push(slots_read(&*open.log, 0).await.len());
        }
        survived.sort_unstable();
        survived.dedup();
        let expected: &[usize] = match fault {
            Fault::CrashBefore => &[3],
            Fault::CrashDuring => &[3, 4],
            _ => &[4],
        };
        assert_eq!(survived, expected, "{fault:?}");
    }
}

/// The same seed and calls leave the same disk.
#[tokio::test]
async fn a_simulated_disk_is_deterministic() {
    async fn survivors(seed: u64) -> Vec<usize> {
        let mut counts = Vec::new();
        for nth in 0..20 {
            let mut form = Simulated::new(seed + nth);
            let open = form.open().await;
            form.0.inject(Operation::Append, 0, Fault::CrashDuring);
            tokio::select! {
                biased;
                () = fill(&*open.log, 0..1) => {}
                () = form.0.crashed() => {}
            }
            let disk: Disk = {
                form.cut_power(open).await;
                form.0
            };
            let Open { log, .. } = Simulated(disk).open().await;
            counts.push(slots_read(&*log, 0).await.len());
        }
        counts
    }
    assert_eq!(survivors(5).await, survivors(5).await);
}
