use std::{fs, path::Path, sync::Mutex};

use serde_json::{Value, json};

use super::*;
use crate::{
    audit::source::files::Files,
    model::{clock::SystemClock, outcome::Verdict},
};

#[derive(Default)]
struct Told(Mutex<Vec<(Tally, Option<Timestamp>)>>);

impl Watcher for Told {
    fn audited(&self, tally: &Tally, covered: Option<Timestamp>) {
        self.0.lock().unwrap().push((tally.clone(), covered));
    }
}

fn event(id: u32) -> Value {
    json!({
        "eventID": format!("e-{id}"), "eventTime": format!("2026-11-20T10:{:02}:00Z", id % 60),
        "eventSource": "ecr.amazonaws.com", "eventName": "DeleteRepository", "awsRegion": "eu-west-1",
        "userIdentity": { "type": "IAMUser", "arn": "arn:aws:iam::123456789012:user/x", "accountId": "123456789012" },
        "requestParameters": { "repositoryName": "app/web" }, "recipientAccountId": "123456789012",
    })
}

/// A file that has long been there.
fn put(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)).unwrap();
}

fn job(folder: &Path, state: &Path, told: &Arc<Told>) -> AuditJob {
    let folder = folder.to_owned();
    let tools = Tools {
        source: Box::new(move || Box::new(Files::new(&folder))),
        state: state.to_owned(),
        clock: Arc::new(SystemClock),
        stop: CancellationToken::new(),
        watcher: Arc::clone(told) as Arc<dyn Watcher>,
    };
    AuditJob::new(AuditSpec::default(), tools)
}

fn ids(state: &Path) -> Vec<String> {
    let text = fs::read_to_string(state.join("audit/journal.jsonl")).unwrap();
    let id = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["event_id"].as_str().unwrap_or(line["kind"].as_str().unwrap()).to_owned()
    };
    text.lines().map(id).collect()
}

#[tokio::test]
async fn what_is_in_the_folder_comes_to_the_journal_once_over_any_restart() {
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let told = Arc::new(Told::default());
    put(folder.path(), "1.json", &json!({ "Records": [event(1), event(2)] }).to_string());
    let mut first = job(folder.path(), state.path(), &told);
    let outcome = first.run().await;
    assert_eq!(outcome.verdict, Verdict::Ok);
    assert!(outcome.change.unwrap().contains("delete: user/x (123456789012)"));
    assert_eq!(ids(state.path()), ["e-1", "e-2"]);
    let (tally, covered) = told.0.lock().unwrap()[0].clone();
    assert_eq!(tally.events[&("DeleteRepository", "ok")], 2);
    assert_eq!(tally.findings[&("delete", "warning")], 2);
    assert_eq!(covered, Some("2026-11-20T10:02:00Z".parse().unwrap()));
    // Killed before the checkpoint, and then started with it: both give the events but once.
    for lost in [true, false] {
        if lost {
            fs::remove_file(state.path().join("audit/checkpoint.json")).unwrap();
        }
        let mut again = job(folder.path(), state.path(), &told);
        assert_eq!(again.run().await.change, None);
        assert_eq!(ids(state.path()), ["e-1", "e-2"]);
    }
    put(folder.path(), "0.json", &json!({ "Records": [event(2), event(3)] }).to_string());
    job(folder.path(), state.path(), &told).run().await;
    assert_eq!(ids(state.path()), ["e-1", "e-2", "e-3"]);
}

#[tokio::test]
async fn a_broken_file_is_a_line_and_the_next_one_is_read() {
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let told = Arc::new(Told::default());
    put(folder.path(), "1.json", &json!({ "Records": [event(1), 7] }).to_string()[..300]);
    put(folder.path(), "2.json", &json!({ "Records": [7, event(2)] }).to_string());
    assert_eq!(job(folder.path(), state.path(), &told).run().await.verdict, Verdict::Ok);
    assert_eq!(ids(state.path()), ["unread", "trouble", "unread", "e-2"]);
}

#[tokio::test]
async fn a_journal_that_can_not_be_written_stops_the_audit_and_nothing_is_lost() {
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let told = Arc::new(Told::default());
    put(folder.path(), "1.json", &json!({ "Records": [event(1)] }).to_string());
    fs::create_dir_all(state.path().join("audit/journal.jsonl")).unwrap();
    let mut job = job(folder.path(), state.path(), &told);
    let outcome = job.run().await;
    assert_eq!(outcome.verdict.problem().unwrap().reason, Reason::AuditJournalUnwritable);
    fs::remove_dir(state.path().join("audit/journal.jsonl")).unwrap();
    assert_eq!(job.run().await.verdict, Verdict::Ok);
    assert_eq!(ids(state.path()), ["e-1"]);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_no_quiet_folder() {
    let state = tempfile::tempdir().unwrap();
    let outcome = job(Path::new("/nonexistent"), state.path(), &Arc::default()).run().await;
    assert_eq!(outcome.verdict.problem().unwrap().reason, Reason::AuditUnreadable);
}

#[tokio::test]
async fn a_reload_waits_for_the_file_in_hand_and_the_rest_is_for_whoever_comes_next() {
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for n in 1..=3 {
        let text = json!({ "Records": [event(n)] }).to_string();
        put(folder.path(), &format!("{n}.json"), &text);
    }
    let told = Arc::new(Told::default());
    let mut ended = job(folder.path(), state.path(), &told);
    ended.tools.stop.cancel();
    assert_eq!(ended.run().await.verdict, Verdict::Ok);
    assert!(ids(state.path()).is_empty(), "it was told to end before the first file");
    let mut next = job(folder.path(), state.path(), &told);
    next.run().await;
    assert_eq!(ids(state.path()), ["e-1", "e-2", "e-3"]);
}
