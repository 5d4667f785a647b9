//! Crashes, by real processes: a child writes, and is killed or meets a failing disk. The child
//! is this test binary, told by an environment variable to run only [`child`].

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use souk_mesh::store::{self, Store};

use super::{NOTES, add, ids, open};

const FOLDER: &str = "SOUK_TEST_STORE_FOLDER";
const OBSERVE: &str = "SOUK_TEST_STORE_OBSERVE";
const IN_FLIGHT: i64 = 16;
const SIGNAL_ABORT: i32 = 6;
const SIGNAL_KILL: i32 = 9;

/// What the child does: writes notes for ever, and prints each id once it is acknowledged.
#[test]
#[ignore = "the body of the child process of the tests below"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let path = Path::new(&folder).join("notes.db");
    let store = if std::env::var_os(OBSERVE).is_some() {
        Store::open_with(&path, NOTES, Arc::new(|cause: &str| println!("observed {cause}")))
    } else {
        Store::open(&path, NOTES)
    }
    .unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..IN_FLIGHT {
            writers.spawn(write_for_ever(store.clone(), writer));
        }
        while let Some(ended) = writers.join_next().await {
            println!("ended {:?}", ended.unwrap());
        }
        let after = store.write(|connection| add(connection, -1, "after")).await;
        println!("after {after:?}");
    });
}

async fn write_for_ever(store: Store, writer: i64) -> store::Error {
    let mut id = writer;
    loop {
        let text = "x".repeat(500);
        match store.write(move |connection| add(connection, id, &text)).await {
            Ok(()) => println!("wrote {id}"),
            Err(error) => return error,
        }
        id += IN_FLIGHT;
    }
}

fn spawn_child(folder: &Path, shell: &str, observe: bool) -> Child {
    let mut command = Command::new("sh");
    command
        .args(["-c", shell])
        .arg(std::env::current_exe().expect("the test binary has a path"))
        .args(["store::crash::child", "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if observe {
        command.env(OBSERVE, "1");
    }
    command.spawn().expect("sh starts")
}

/// A file size limit makes the log's writes fail in COMMIT, as a failing disk does.
const FAILING_DISK: &str = "ulimit -c 0; trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\"";
const GOOD_DISK: &str = "exec \"$0\" \"$@\"";

fn acknowledged(line: &str) -> Option<i64> {
    line.strip_prefix("wrote ").and_then(|id| id.parse().ok())
}

async fn assert_all_there(folder: &Path, written: &[i64]) {
    let kept = ids(&open(folder)).await;
    let lost: Vec<_> = written.iter().filter(|id| kept.binary_search(id).is_err()).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut written = Vec::new();
    for _ in 0..3 {
        // Each child goes on in an empty table of the same file.
        let mut child = spawn_child(folder.path(), GOOD_DISK, false);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        written.clear();
        written.extend(lines.by_ref().filter_map(|line| acknowledged(&line)).take(200));
        child.kill().unwrap();
        written.extend(lines.filter_map(|line| acknowledged(&line)));
        assert_eq!(child.wait().unwrap().signal(), Some(SIGNAL_KILL));
        assert!(written.len() >= 200);
        assert_all_there(folder.path(), &written).await;
        open(folder.path())
            .write(|connection| {
                connection.execute("DELETE FROM note", [])?;
                Ok::<_, store::Error>(())
            })
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_failed_commit_ends_the_process_and_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let child = spawn_child(folder.path(), FAILING_DISK, false);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(SIGNAL_ABORT), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let written: Vec<_> = text.lines().filter_map(acknowledged).collect();
    assert!(!written.is_empty());
    assert_all_there(folder.path(), &written).await;
}

#[tokio::test]
async fn after_a_failed_commit_nothing_is_acknowledged_any_more() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let output = spawn_child(folder.path(), FAILING_DISK, true).wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().filter(|line| line.starts_with("observed ")).count(), 1, "{text}");
    let written: Vec<_> = text.lines().filter_map(acknowledged).collect();
    assert_all_there(folder.path(), &written).await;
    assert!(text.contains("ended CommitFailed"), "{text}");
    assert!(text.contains("after Err(Closed)"), "{text}");
}
