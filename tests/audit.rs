//! `ecr-warden audit scan` as its user runs it.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

const TRAIL: &str = "tests/fixtures/trail";

fn scan(arguments: &[&str], input: &[u8]) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ecr-warden"))
        .args(["audit", "scan"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input);
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap())
}

fn json(arguments: &[&str]) -> (Option<i32>, Value) {
    let (code, text) = scan(&[&["--json"], arguments].concat(), b"");
    (code, serde_json::from_str(&text).unwrap())
}

fn codes(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["reason"]["code"].as_str().unwrap()).collect()
}

#[test]
fn normal_use_is_exit_0_and_says_who_pulled_what_from_how_many_hosts() {
    let (code, text) = scan(&[&format!("{TRAIL}/pulls.json")], b"");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("1 file, ") && text.contains("5 records: 4 events of ECR"), "{text}");
    let pull = text.lines().find(|line| line.contains(" pull ")).unwrap();
    let cells: Vec<&str> = pull.split_whitespace().collect();
    // role/host (ACCOUNT), pull, app/web, three calls, none denied or failed, two hosts
    assert_eq!(cells[1..8], ["(210987654321)", "pull", "app/web", "3", "-", "-", "2"], "{pull}");
}

#[test]
fn a_folder_is_read_whole_and_each_finding_has_its_reason_and_exit_is_1() {
    let (code, report) = json(&[TRAIL]);
    assert_eq!(code, Some(1));
    // The same denied call stands in three files, in three wrappings: it is one event.
    assert_eq!((&report["files"], &report["copies"]), (&Value::from(5), &Value::from(2)));
    assert_eq!(codes(&report), ["audit_policy_change", "audit_denied", "audit_lifecycle"]);
    assert_eq!(report["reason"]["code"], "audit_policy_change");
    let denied = &report["findings"][1];
    assert_eq!(denied["on"], "app/web");
    assert_eq!(denied["reason"]["detail"], "not allowed by the repository's or registry's policy");
    assert_eq!(denied["last_session"], "i-0abc1234def567890");
    assert!(denied["last_message"].as_str().unwrap().starts_with("User: arn:aws:sts::"));
}

#[test]
fn since_and_findings_only_leave_out_what_they_say() {
    let (code, report) = json(&["--since", "2026-11-20T10:06:00Z", "--findings-only", TRAIL]);
    assert_eq!((code, report.get("uses")), (Some(1), None));
    assert_eq!(codes(&report), ["audit_policy_change", "audit_lifecycle"]);
    let (code, report) = json(&["--since", "2026-11-21", TRAIL]);
    assert_eq!((code, &report["events"]), (Some(0), &Value::from(0)));
}

#[test]
fn standard_input_is_read_gz_or_plain() {
    let plain = fs::read(format!("{TRAIL}/denied.json")).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(&plain).unwrap();
    let packed = packed.finish().unwrap();
    for input in [&plain, &packed] {
        let (code, text) = scan(&["-"], input);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("denied: a call to the registry was denied"), "{text}");
    }
    let (code, text) = scan(&["-"], &packed[..packed.len() - 9]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("NOT READ TO THE END") && text.contains("[audit_truncated]"), "{text}");
}

#[test]
fn nothing_readable_is_exit_2_and_says_what_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = scan(&[folder.path().to_str().unwrap()], b"");
    assert_eq!(code, Some(2));
    assert!(text.contains("there is no log file"), "{text}");
    let (code, text) = scan(&["/nonexistent.json.gz"], b"");
    assert_eq!(code, Some(2));
    assert!(
        text.contains("/nonexistent.json.gz: a log file can't be read: No such file"),
        "{text}"
    );
    assert!(text.contains("  -> check its path"), "{text}");
    let (code, report) = json(&["Cargo.toml"]);
    assert_eq!((code, &report["verdict"]), (Some(2), &Value::from("unknown")));
    assert_eq!(report["reason"]["code"], "audit_record_unread");
    assert!(Path::new("Cargo.toml").exists());
}

#[test]
fn a_canarys_pulls_are_our_own_and_left_out_of_the_counts() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    let probe = |canary: bool| {
        let text = format!(
            "[[registry]]\naccount = \"123456789012\"\nregion = \"eu-west-1\"\n[[probe]]\nimage = \
             \"123456789012.dkr.ecr.eu-west-1.amazonaws.com/app/web:1\"\ncanary = {canary}\n"
        );
        fs::write(&config, text).unwrap();
        let pulls = format!("{TRAIL}/pulls.json");
        let (_, text) = scan(&["--config", config.to_str().unwrap(), &pulls], b"");
        text.lines().any(|line| line.contains(" pull ") && line.contains("app/web"))
    };
    assert!(probe(false), "other hosts pull it too");
    assert!(!probe(true));
}
