use serde_json::{Value, json};

use super::*;
use crate::audit::{record::parse, rules::Rule};

fn record(id: &str) -> Record {
    parse(raw(id).as_bytes()).unwrap()
}

fn raw(id: &str) -> String {
    json!({
        "eventID": id, "eventTime": "2026-11-20T10:00:00Z", "eventSource": "ecr.amazonaws.com",
        "eventName": "PutImage", "awsRegion": "eu-west-1", "recipientAccountId": "123456789012",
        "sourceIPAddress": "AWS Internal", "userIdentity": { "accountId": "210987654321" },
        "requestParameters": { "repositoryName": "app/web", "imageManifest": "x".repeat(5000) },
    })
    .to_string()
}

fn finding() -> Finding {
    let rule = Rule::Push;
    Finding { rule, severity: rule.severity(), detail: "PutImage app/web:1".into(), first: false }
}

fn spec() -> AuditSpec {
    AuditSpec { journal_bytes: 4000, journal_keep: 2, ..AuditSpec::default() }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_line_tells_who_did_what_where_and_what_to_do() {
    let record = record("e-1");
    let line = line::own(&Entry::Finding(&record, &finding()));
    assert_eq!(line["schema"], "ecr-warden.audit/1");
    assert_eq!(
        (&line["kind"], &line["event_id"], &line["rule"]),
        (&json!("finding"), &json!("e-1"), &json!("push"))
    );
    assert_eq!(line["target"]["repository"], "app/web");
    assert!(line["reason"]["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()));
    let ecs = line::ecs(&Entry::Finding(&record, &finding()));
    assert_eq!((&ecs["event.action"], &ecs["rule.name"]), (&json!("PutImage"), &json!("push")));
    assert!(ecs.get("source.ip").is_none(), "{ecs}");
}

#[test]
fn an_event_keeps_its_record_but_not_the_bulk_of_a_manifest() {
    let raw = raw("e-1");
    let line = line::own(&Entry::Event(&record("e-1"), raw.as_bytes()));
    assert_eq!(line["record"]["eventName"], "PutImage");
    assert_eq!(line["record"]["requestParameters"]["imageManifest"]["bytes"], 5000);
    assert!(line.to_string().len() < 2000);
}

#[test]
fn after_a_crash_a_torn_line_goes_and_no_line_comes_twice() {
    for journal_ecs in [false, true] {
        let state = tempfile::tempdir().unwrap();
        let spec = AuditSpec { journal_ecs, journal_bytes: 1 << 20, ..spec() };
        let path = state.path().join("audit/journal.jsonl");
        let mut journal = Journal::open(&spec, state.path()).unwrap();
        assert!(journal.add(&Entry::Finding(&record("e-1"), &finding())));
        journal.flush().unwrap();
        drop(journal);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"schema\":\"ecr-ward").unwrap();
        let mut journal = Journal::open(&spec, state.path()).unwrap();
        assert!(!journal.add(&Entry::Finding(&record("e-1"), &finding())));
        assert!(journal.add(&Entry::Event(&record("e-1"), raw("e-1").as_bytes())));
        assert!(journal.add(&Entry::Finding(&record("e-2"), &finding())));
        journal.flush().unwrap();
        assert_eq!(lines(&path).len(), 3);
    }
}

#[test]
fn a_full_file_is_put_behind_and_the_oldest_goes() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("audit/journal.jsonl");
    let mut journal = Journal::open(&spec(), state.path()).unwrap();
    for number in 0..30 {
        journal.add(&Entry::Finding(&record(&format!("e-{number}")), &finding()));
        journal.flush().unwrap();
    }
    let names: Vec<bool> = (1..4).map(|number| nth(&path, number).exists()).collect();
    assert_eq!(names, [true, true, false]);
    let ids: Vec<String> = [nth(&path, 2), nth(&path, 1), path]
        .iter()
        .flat_map(|path| lines(path))
        .map(|line| line["event_id"].as_str().unwrap().to_owned())
        .collect();
    let last: Vec<String> = (30 - ids.len()..30).map(|number| format!("e-{number}")).collect();
    assert_eq!(ids, last);
}

#[test]
fn what_can_not_be_written_is_a_problem_and_not_forgotten() {
    let spec = AuditSpec { journal_file: Some("/dev/full".into()), ..spec() };
    let state = tempfile::tempdir().unwrap();
    // A device can't be cut to a length, so it is not even opened as a journal.
    let problem = Journal::open(&spec, state.path()).err().unwrap();
    assert_eq!(problem.reason, Reason::AuditJournalUnwritable);
    assert!(problem.detail.contains("/dev/full"), "{problem}");
}
