use serde_json::json;

use super::*;
use crate::policy::granting;

const ARN: &str = "arn:aws:ecr:eu-west-1:123456789012:repository/app/web";
const OURS: &str = "210987654321";

fn caller() -> Caller {
    let session = format!("arn:aws:sts::{OURS}:assumed-role/host/i-0123456789");
    Caller::parse(&session).unwrap().with_unique_id("AROAEXAMPLE:i-0123456789")
}

fn baseline(pull: &[&str]) -> Document {
    let pull: Vec<String> = pull.iter().map(|one| (*one).to_owned()).collect();
    granting(Kind::Repository, &pull, &[], None).unwrap()
}

/// A live policy that lets these accounts do these actions.
fn live(principals: &[&str], actions: &[&str]) -> Document {
    let text = json!({ "Version": "2012-10-17", "Statement": [
        { "Sid": "x", "Effect": "Allow", "Principal": { "AWS": principals }, "Action": actions },
    ] });
    read(Kind::Repository, Some(&text.to_string())).unwrap()
}

fn known(repository: &Document) -> Known<'_> {
    Known { resource: ARN, repository: Some(repository), registry: None, scope: RegistryScope::V2 }
}

#[test]
fn what_aws_rewrites_is_no_drift_in_any_mode() {
    let root = format!("arn:aws:iam::{OURS}:root");
    let rewritten = live(&[&root], &[PULL[2], PULL[0], PULL[1]]);
    for mode in [Mode::Exact, Mode::AtLeast, Mode::AtMost] {
        assert_eq!(standing(&baseline(&[OURS]), &rewritten, mode, ARN), Standing::Fine);
    }
}

#[test]
fn a_mode_counts_only_what_it_forbids() {
    let (wanted, narrower) = (baseline(&[OURS]), live(&[OURS], &PULL[..1]));
    let broader = live(&[OURS, "111122223333"], PULL);
    let both = live(&["111122223333"], PULL);
    let class = |live: &Document, mode| standing(&wanted, live, mode, ARN).class();
    assert_eq!(class(&narrower, Mode::Exact), "narrower");
    assert_eq!(class(&narrower, Mode::AtLeast), "narrower");
    assert_eq!(class(&narrower, Mode::AtMost), "equivalent");
    assert_eq!(class(&broader, Mode::Exact), "broader");
    assert_eq!(class(&broader, Mode::AtLeast), "equivalent");
    assert_eq!(class(&broader, Mode::AtMost), "broader");
    assert_eq!(class(&both, Mode::Exact), "incomparable");
    assert_eq!(class(&both, Mode::AtLeast), "narrower");
    assert_eq!(class(&both, Mode::AtMost), "broader");
    let Standing::Drifted { rows, .. } = standing(&wanted, &both, Mode::AtLeast, ARN) else {
        panic!("it drifted");
    };
    let words: Vec<String> = rows.iter().map(in_words).collect();
    assert!(words.iter().all(|one| one.starts_with("lost: ") && one.contains(OURS)), "{words:?}");
}

#[test]
fn a_repository_without_a_policy_has_lost_everything() {
    let nothing = read(Kind::Repository, None).unwrap();
    assert_eq!(standing(&baseline(&[OURS]), &nothing, Mode::AtLeast, ARN).class(), "narrower");
    assert_eq!(standing(&nothing, &nothing, Mode::Exact, ARN), Standing::Fine);
}

#[test]
fn an_operation_is_as_allowed_as_its_least_allowed_action() {
    let half = live(&[OURS], &PULL[..1]);
    let registry = Document::empty(Kind::Registry);
    let can = |repository: &Document, registry: Option<&Document>| {
        can_pull(&caller(), &Known { registry, ..known(repository) })
    };
    let whole = live(&[OURS], PULL);
    assert_eq!(can(&whole, Some(&registry)).access, Access::Allowed);
    let stopped = can(&half, Some(&registry));
    assert_eq!((stopped.access, stopped.action), (Access::NotGranted, PULL[1]));
    assert!(stopped.because.contains("neither the repository policy nor the registry policy"));
    // What can't be read may deny, or allow, so neither is said.
    assert_eq!(can(&whole, None).access, Access::Undecided);
    assert_eq!(can(&half, None).access, Access::Undecided);
    assert_eq!(
        can_push(&caller(), &Known { registry: Some(&registry), ..known(&whole) }).access,
        Access::NotGranted
    );
}

#[test]
fn a_registry_policy_of_scope_v1_lets_nobody_pull() {
    let text = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": { "AWS": OURS }, "Action": "ecr:*",
          "Resource": "arn:aws:ecr:eu-west-1:123456789012:repository/*" },
    ] });
    let registry = read(Kind::Registry, Some(&text.to_string())).unwrap();
    let empty = Document::empty(Kind::Repository);
    for (scope, access) in [
        (RegistryScope::V2, Access::Allowed),
        (RegistryScope::V1, Access::NotGranted),
        (RegistryScope::Unknown, Access::Undecided),
    ] {
        let known = Known { scope, registry: Some(&registry), ..known(&empty) };
        assert_eq!(can_pull(&caller(), &known).access, access, "{scope:?}");
    }
}

#[test]
fn a_policy_that_is_none_is_told_with_its_place() {
    let problem = read(Kind::Repository, Some("{\n  \"Statement\": 3\n}")).unwrap_err();
    assert_eq!(problem.reason, Reason::PolicyMalformed);
    assert!(problem.detail.contains("the repository policy: 2:"), "{problem}");
}
