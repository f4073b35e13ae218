use std::path::PathBuf;

use serde_json::{Value, json};

use crate::audit::{
    examine::Examiner,
    rules::{Ground, Rules},
    scan::scan,
};

use super::Report;

fn report(input: &str) -> Report {
    let examiner = Examiner::new(Rules::new(Ground::default()), None);
    scan(&[PathBuf::from("-")], examiner, &mut input.as_bytes(), &mut |_| ())
}

fn event(id: u32, name: &str, session: &str) -> Value {
    json!({
        "userIdentity": { "type": "AssumedRole", "principalId": format!("AROAX:{session}"), "accountId": "210987654321",
            "arn": format!("arn:aws:sts::210987654321:assumed-role/host/{session}") },
        "eventTime": format!("2026-11-20T10:{id:02}:00Z"), "eventSource": "ecr.amazonaws.com",
        "eventName": name, "awsRegion": "eu-west-1", "recipientAccountId": "123456789012",
        "requestParameters": { "registryId": "123456789012", "repositoryName": "app/web" },
        "eventID": format!("e-{id}"),
    })
}

fn records(records: &[Value]) -> String {
    json!({ "Records": records }).to_string()
}

#[test]
fn quiet_use_is_exit_0_and_shows_who_did_what_how_often() {
    let pulls = [event(1, "BatchGetImage", "i-0abc1234"), event(2, "BatchGetImage", "i-0abc1235")];
    let report = report(&records(&pulls));
    assert_eq!(report.exit(), 0);
    let table = report.table(false);
    assert!(
        table.contains("2 records: 2 events of ECR, 2026-11-20 10:01 to 2026-11-20 10:02 UTC"),
        "{table}"
    );
    assert!(table.contains("no findings"), "{table}");
    let line = table.lines().last().unwrap();
    let cells: Vec<&str> =
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(
        cells,
        [
            "role/host (210987654321)",
            "pull",
            "app/web",
            "2",
            "-",
            "-",
            "2",
            "2026-11-20 10:01",
            "10:02"
        ]
    );
    let json = report.json(false);
    assert_eq!((&json["verdict"], &json["uses"][0]["times"]["count"]), (&json!("ok"), &json!(2)));
    assert!(json.get("reason").is_none() && report.json(true).get("uses").is_none());
}

#[test]
fn a_finding_is_exit_1_with_remedy_and_the_place_to_begin() {
    let report = report(&records(&[
        event(1, "SetRepositoryPolicy", "me"),
        event(2, "SetRepositoryPolicy", "me"),
    ]));
    assert_eq!(report.exit(), 1);
    let table = report.table(true);
    for part in [
        "critical",
        "policy_change",
        "app/web",
        "the last was event e-2 by me",
        "  -> compare what it grants",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let json = report.json(true);
    assert_eq!(json["reason"]["code"], "audit_policy_change");
    assert_eq!(json["findings"][0]["reason"]["code"], "audit_policy_change");
    assert_eq!(json["findings"][0]["times"]["count"], 2);
}

#[test]
fn what_can_not_be_read_is_a_finding_and_nothing_readable_is_exit_2() {
    let mixed = records(&[event(1, "BatchGetImage", "i-0abc1234"), json!({ "eventName": "x" })]);
    let mixed = report(&mixed);
    assert_eq!(mixed.exit(), 1);
    assert!(mixed.table(false).contains("eventSource is missing"), "{}", mixed.table(false));
    assert_eq!(mixed.json(true)["reason"]["code"], "audit_record_unread");

    let cut = records(&[event(1, "BatchGetImage", "i-0abc1234")]);
    let cut = report(&cut[..cut.len() - 2]);
    assert_eq!((cut.exit(), cut.counts.events), (1, 1));
    assert!(cut.table(true).contains("a log file ends before its end"), "{}", cut.table(true));

    for void in ["not a log", "{\"Records\":[{\"a\":", ""] {
        let void_report = report(void);
        let expected = if void.is_empty() { 0 } else { 2 };
        assert_eq!(void_report.exit(), expected, "{void}");
    }
    assert_eq!(report("{\"Records\":[]}").exit(), 0);
    let examiner = Examiner::new(Rules::new(Ground::default()), None);
    let absent = scan(&["/nonexistent/x".into()], examiner, &mut "".as_bytes(), &mut |_| ());
    assert_eq!(absent.exit(), 2);
    assert_eq!(absent.json(true)["reason"]["code"], "audit_unreadable");
}

#[test]
fn names_out_of_a_trail_cannot_steer_the_terminal() {
    let report = report(&records(&[event(1, "DeleteRepository", "\u{1b}[2Jx\r\n")]));
    assert!(!report.table(false).contains('\u{1b}') && !report.table(false).contains('\r'));
}
