//! The daemon's audit: what comes to the journal, to metrics and to status, whoever dies whenever.

#![allow(clippy::unwrap_used, missing_docs)]
#![cfg(feature = "sandbox")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_ecr-warden");

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A host with this `[audit]` (and what follows it).
struct Host {
    root: tempfile::TempDir,
}

impl Host {
    fn new(audit: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let at = root.path().display();
        let text = format!(
            "[daemon]\nstate_directory = \"{at}/state\"\nruntime_directory = \"{at}/run\"\n\
             log_format = \"human\"\n[metrics]\nlisten = \"off\"\n[audit]\n{}",
            audit.replace("AT", &at.to_string())
        );
        fs::write(root.path().join("config.toml"), text).unwrap();
        fs::create_dir(root.path().join("trail")).unwrap();
        Self { root }
    }

    fn start(&self) -> Running {
        let child = Command::new(BINARY)
            .args(["run", "--config"])
            .arg(self.root.path().join("config.toml"))
            .env("AWS_ACCESS_KEY_ID", "AKIATEST")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Running(child)
    }

    /// Puts a log that nobody is writing any more.
    fn put(&self, name: &str, records: &[Value]) {
        let path = self.root.path().join("trail").join(name);
        let new = path.with_extension("part");
        fs::write(&new, json!({ "Records": records }).to_string()).unwrap();
        let old = SystemTime::now() - Duration::from_secs(3600);
        fs::File::options().write(true).open(&new).unwrap().set_modified(old).unwrap();
        fs::rename(new, path).unwrap();
    }

    fn journal(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.root.path().join("state/audit/journal.jsonl"));
        let text = text.unwrap_or_default();
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn ask(&self, path: &str) -> String {
        let socket = self.root.path().join("run/control.sock");
        let Ok(mut stream) = UnixStream::connect(socket) else { return String::new() };
        let _ = write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < end, "not in time: {what}");
        sleep(Duration::from_millis(20));
    }
}

fn event(id: usize, name: &str, ago: Duration) -> Value {
    let time = jiff::Timestamp::now() - jiff::SignedDuration::try_from(ago).unwrap();
    json!({
        "eventVersion": "1.11", "eventID": format!("e-{id:05}"), "eventTime": time.strftime("%FT%TZ").to_string(),
        "eventSource": "ecr.amazonaws.com", "eventName": name, "awsRegion": "eu-west-1",
        "userIdentity": { "type": "AssumedRole", "principalId": "AROASANDBOX:i-0sandbox", "accountId": "123456789012",
            "arn": "arn:aws:sts::123456789012:assumed-role/host/i-0sandbox" },
        "requestParameters": { "registryId": "123456789012", "repositoryName": "app/web" },
        "eventType": "AwsApiCall", "recipientAccountId": "123456789012", "readOnly": false,
    })
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn killed_at_any_moment_every_event_is_in_the_journal_and_none_of_them_twice() {
    let host = Host::new("source = \"files\"\nfolder = \"AT/trail\"\njournal_events = \"all\"\n");
    let (files, each) = (40, 250);
    for file in 0..files {
        let records: Vec<Value> =
            (0..each).map(|n| event(file * each + n, "BatchGetImage", HOUR)).collect();
        host.put(&format!("{file:03}.json"), &records);
    }
    let mut kills = 0;
    for round in 0..30 {
        let daemon = host.start();
        let before = host.journal().len();
        // Somewhere within its work, a little later each time.
        until("some progress", || host.journal().len() > before || before == files * each);
        sleep(Duration::from_millis(7 * round));
        drop(daemon);
        kills += 1;
        if host.journal().len() >= files * each {
            break;
        }
    }
    let daemon = host.start();
    until("all events", || host.journal().len() >= files * each);
    until("a round that ends", || {
        host.ask("/metrics").contains("job_runs_total{name=\"audit\",result=\"ok\"} ")
    });
    drop(daemon);
    let mut ids: Vec<String> =
        host.journal().iter().map(|line| line["event_id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    let expected: Vec<String> = (0..files * each).map(|id| format!("e-{id:05}")).collect();
    assert_eq!(ids, expected, "after {kills} kills");
    assert!(kills > 2, "it was never killed at work");
}

#[test]
fn a_finding_is_in_journal_metrics_and_status_and_an_expectation_silences_it() {
    let host = Host::new(
        "source = \"files\"\nfolder = \"AT/trail\"\n\
         [[audit.expect]]\nprincipals = [\"*:role/host\"]\nactions = [\"pull\"]\n",
    );
    host.put("1.json", &[event(1, "BatchGetImage", HOUR), event(2, "SetRepositoryPolicy", HOUR)]);
    let _daemon = host.start();
    until("the finding", || !host.journal().is_empty());
    let journal = host.journal();
    assert_eq!(journal.len(), 1);
    assert_eq!(
        (&journal[0]["rule"], &journal[0]["event_id"]),
        (&json!("policy_change"), &json!("e-00002"))
    );
    until("the metric", || {
        let metrics = host.ask("/metrics");
        metrics.contains("audit_findings_total{rule=\"policy_change\",severity=\"critical\"} 1")
            && metrics.contains("audit_events_total{event=\"BatchGetImage\",outcome=\"ok\"} 1")
            && metrics.contains("audit_covered_until_timestamp_seconds ")
    });
    let status = Command::new(BINARY)
        .args(["status", "--config"])
        .arg(host.root.path().join("config.toml"))
        .output()
        .unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("critical: policy_change: role/host (123456789012)"), "{status}");
}

#[test]
fn the_event_history_is_followed_within_its_quota_and_only_once() {
    let (_sandbox, aws) = sandbox();
    // A page and a bit; some too new to be looked at, some too old.
    let mut events: Vec<Value> = (0..60).map(|id| event(id, "DeleteRepository", HOUR)).collect();
    events.push(event(1000, "DeleteRepository", Duration::ZERO));
    events.push(event(1001, "DeleteRepository", 3 * HOUR));
    post(&aws, "/_sandbox/events", &Value::from(events).to_string());
    let host = Host::new(&format!(
        "source = \"lookup-events\"\nown_events = false\nregion = \"eu-west-1\"\nback = \"1h\"\n\
         [identity.default]\nendpoint_url = \"http://{aws}\"\n"
    ));
    let daemon = host.start();
    until("all findings", || host.journal().len() >= 60);
    until("the checkpoint", || {
        host.ask("/metrics").contains("audit_covered_until_timestamp_seconds ")
    });
    drop(daemon);
    let calls = post(&aws, "/_sandbox/calls", "");
    assert!(calls.contains("\"cloudtrail:LookupEvents\":2"), "{calls}");
    // A restart asks for what is new, and writes nothing a second time.
    let _daemon = host.start();
    until("another look", || {
        host.ask("/metrics").contains("audit_covered_until_timestamp_seconds ")
    });
    assert_eq!(host.journal().len(), 60);
}

/// The sandbox, and its AWS endpoint's address.
fn sandbox() -> (Running, String) {
    let aside = tempfile::tempdir().unwrap();
    let mut sandbox = Running(
        Command::new(BINARY)
            .args(["sandbox", "--host", "localhost", "--ca-file"])
            .arg(aside.path().join("ca.pem"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut line = String::new();
    BufReader::new(sandbox.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let aws = serde_json::from_str::<Value>(&line).unwrap()["aws"].as_str().unwrap().to_owned();
    (sandbox, aws)
}

/// For each rule a call that provokes it, by its name.
fn provocations() -> Vec<(&'static str, Value)> {
    let call = |id: usize, name: &str, change: &dyn Fn(&mut Value)| {
        let mut call = event(id, name, HOUR);
        // The registry's owner acts, by a role that is expected to do something else.
        call["userIdentity"]["arn"] = json!("arn:aws:sts::123456789012:assumed-role/admin/me");
        call["userIdentity"]["principalId"] = json!("AROAADMIN:me");
        change(&mut call);
        call
    };
    let same = |_: &mut Value| ();
    let by = |account: &'static str| {
        move |call: &mut Value| {
            call["userIdentity"]["accountId"] = json!(account);
            call["userIdentity"]["arn"] = json!(format!("arn:aws:sts::{account}:assumed-role/x/y"));
        }
    };
    let pushed = |digest: &'static str| {
        move |call: &mut Value| {
            call["requestParameters"]["imageTag"] = json!("1");
            call["responseElements"]["image"]["imageId"]["imageDigest"] = json!(digest);
        }
    };
    vec![
        ("denied", call(1, "BatchGetImage", &|call| call["errorCode"] = json!("AccessDenied"))),
        ("unexpected", call(2, "CreateRepository", &same)),
        ("new_account", call(3, "DescribeImages", &by("310987654321"))),
        ("push", call(4, "PutImage", &by("210987654321"))),
        ("", call(5, "PutImage", &pushed("sha256:a"))),
        ("tag_overwrite", call(6, "PutImage", &pushed("sha256:b"))),
        ("delete", call(7, "BatchDeleteImage", &same)),
        ("policy_change", call(8, "SetRepositoryPolicy", &same)),
        ("setting_change", call(9, "PutAccountSetting", &same)),
        ("template_change", call(10, "CreateRepositoryCreationTemplate", &same)),
        ("lifecycle", call(11, "PutLifecyclePolicy", &same)),
        ("replication_change", call(12, "PutReplicationConfiguration", &same)),
        ("scanning_change", call(13, "PutImageScanningConfiguration", &same)),
        ("foreign_pull", call(14, "BatchGetImage", &by("999999999999"))),
        (
            "unknown_session",
            call(15, "ListImages", &|call| {
                call["userIdentity"]["arn"] =
                    json!("arn:aws:sts::123456789012:assumed-role/host/evil");
                call["userIdentity"]["principalId"] = json!("AROAHOST:evil");
            }),
        ),
        (
            "new_principal",
            call(16, "ListImages", &|call| {
                call["userIdentity"]["arn"] =
                    json!("arn:aws:sts::123456789012:assumed-role/new/me");
            }),
        ),
        ("new_region", call(17, "ListImages", &|call| call["awsRegion"] = json!("us-east-1"))),
        (
            "new_repository",
            call(18, "ListImages", &|call| {
                call["requestParameters"]["repositoryName"] = json!("app/new");
            }),
        ),
        ("record_unread", call(19, "ListImages", &|call| call["eventTime"] = json!("soon"))),
        (
            "key_change",
            call(20, "DisableKey", &|call| {
                call["eventSource"] = json!("kms.amazonaws.com");
                call["requestParameters"] =
                    json!({ "keyId": "arn:aws:kms:eu-west-1:123456789012:key/1" });
            }),
        ),
    ]
}

const ALL_RULES: &str = "accounts = [\"210987654321\"]\nroles = [\"host\"]\n\
    kms_keys = [\"arn:aws:kms:*:123456789012:key/*\"]\n\
    [[audit.expect]]\nprincipals = [\"*:role/ci\"]\nactions = [\"push\"]\n";

/// The rules in the journal, after some are learned and long enough ago.
fn rules_told(audit: &str, records: Option<&[Value]>, expected: &[&str]) {
    let host = Host::new(audit);
    let state = host.root.path().join("state/audit");
    fs::create_dir_all(&state).unwrap();
    let began = json!({
        "version": 1, "began": "2020-01-01T00:00:00Z", "source": "another", "place": null,
        "memory": { "firsts": [], "tags": [], "keys": [] },
    });
    fs::write(state.join("checkpoint.json"), began.to_string()).unwrap();
    if let Some(records) = records {
        host.put("1.json", records);
    }
    let _daemon = host.start();
    let lacking = || {
        let journal = host.journal();
        let told = |rule: &str| journal.iter().any(|line| line["rule"] == rule);
        expected
            .iter()
            .filter(|rule| !told(rule))
            .map(|rule| (*rule).to_owned())
            .collect::<Vec<_>>()
    };
    until(&format!("{:?} of {audit}", lacking()), || lacking().is_empty());
    until("the metrics", || {
        let metrics = host.ask("/metrics");
        let counted = |rule: &&&str| {
            metrics.lines().any(|line| {
                line.contains(&format!("audit_findings_total{{rule=\"{rule}\""))
                    && !line.ends_with(" 0")
            })
        };
        expected.iter().filter(counted).count() == expected.len()
    });
}

#[test]
fn every_rule_is_provoked_through_the_folder_the_event_history_and_a_scan() {
    let calls = provocations();
    let records: Vec<Value> = calls.iter().map(|(_, call)| call.clone()).collect();
    let rules: Vec<&str> =
        calls.iter().map(|(rule, _)| *rule).filter(|rule| !rule.is_empty()).collect();
    let folder = format!("source = \"files\"\nfolder = \"AT/trail\"\nlearn = \"0s\"\n{ALL_RULES}");
    rules_told(&folder, Some(&records), &rules);

    let (_sandbox, aws) = sandbox();
    post(&aws, "/_sandbox/events", &Value::from(records.clone()).to_string());
    // The history is asked for events of ECR, and finds none without a time.
    let of_ecr: Vec<&str> = rules
        .iter()
        .copied()
        .filter(|rule| !["key_change", "record_unread"].contains(rule))
        .collect();
    let history = format!(
        "source = \"lookup-events\"\nown_events = false\nregion = \"eu-west-1\"\nback = \"1h\"\n\
         learn = \"0s\"\n{ALL_RULES}[identity.default]\nendpoint_url = \"http://{aws}\"\n"
    );
    rules_told(&history, None, &of_ecr);

    // A scan has no memory, so it knows no first times.
    let host = Host::new(&format!("source = \"off\"\n{ALL_RULES}"));
    host.put("1.json", &records);
    let report = Command::new(BINARY)
        .args(["audit", "scan", "--json", "--config"])
        .args([host.root.path().join("config.toml"), host.root.path().join("trail")])
        .output()
        .unwrap();
    assert_eq!(report.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    for rule in rules.iter().filter(|rule| !rule.starts_with("new_") && **rule != "record_unread") {
        let told = |finding: &Value| finding["rule"] == *rule;
        assert!(report["findings"].as_array().unwrap().iter().any(told), "{rule}");
    }
    assert_eq!(report["unread"].as_array().unwrap().len(), 1);
}

fn post(aws: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(aws).unwrap();
    let length = body.len();
    write!(stream, "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_folder_that_is_missing_is_a_problem_with_a_reason() {
    let host = Host::new("source = \"files\"\nfolder = \"/nonexistent\"\n");
    let _daemon = host.start();
    until("the reason", || host.ask("/status").contains("audit_unreadable"));
    assert!(!Path::new("/nonexistent").exists());
}
