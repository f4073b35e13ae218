use serde_json::{Value, json};

use super::{expect::Expect, *};
use crate::audit::record::parse;

const OWNER: &str = "123456789012";
const HOST: &str = "210987654321";

/// A call by `role` of `account` on the repository app/web of OWNER's registry.
fn event(name: &str, account: &str, role: &str, session: &str) -> Value {
    json!({
        "userIdentity": { "type": "AssumedRole", "principalId": format!("AROA{role}:{session}"),
            "arn": format!("arn:aws:sts::{account}:assumed-role/{role}/{session}"), "accountId": account },
        "eventTime": "2026-11-20T10:00:00Z", "eventSource": "ecr.amazonaws.com", "eventName": name,
        "awsRegion": "eu-west-1", "sourceIPAddress": "AWS Internal",
        "requestParameters": { "registryId": OWNER, "repositoryName": "app/web" },
        "eventID": "e", "eventType": "AwsApiCall", "recipientAccountId": OWNER,
    })
}

fn told(rules: &mut Rules, event: &Value) -> Vec<Rule> {
    match rules.judge(&parse(event.to_string().as_bytes()).unwrap()) {
        Opinion::Counts(findings) => findings.into_iter().map(|finding| finding.rule).collect(),
        other => panic!("{other:?}"),
    }
}

fn globs(texts: &[&str]) -> Vec<WildMatch> {
    texts.iter().map(|text| WildMatch::new(text)).collect()
}

#[test]
fn normal_pulls_and_pushes_are_no_findings_without_expectations() {
    let mut rules = Rules::new(Ground::default());
    assert!(told(&mut rules, &event("BatchGetImage", HOST, "host", "i-0abc1234")).is_empty());
    assert!(told(&mut rules, &event("PutImage", OWNER, "ci", "build")).is_empty());
    assert!(told(&mut rules, &event("DescribeImages", OWNER, "ci", "build")).is_empty());
}

#[test]
fn each_change_in_the_registry_is_told_by_its_own_rule() {
    let mut rules = Rules::new(Ground::default());
    for (name, rule) in [
        ("SetRepositoryPolicy", Rule::PolicyChange),
        ("DeleteRegistryPolicy", Rule::PolicyChange),
        ("PutAccountSetting", Rule::SettingChange),
        ("RegisterPullTimeUpdateExclusion", Rule::SettingChange),
        ("UpdateRepositoryCreationTemplate", Rule::TemplateChange),
        ("DeletePullThroughCacheRule", Rule::TemplateChange),
        ("PutLifecyclePolicy", Rule::Lifecycle),
        ("PutReplicationConfiguration", Rule::ReplicationChange),
        ("PutRegistryScanningConfiguration", Rule::ScanningChange),
        ("BatchDeleteImage", Rule::Delete),
        ("DeleteRepository", Rule::Delete),
    ] {
        assert_eq!(told(&mut rules, &event(name, OWNER, "admin", "me")), [rule], "{name}");
    }
    assert_eq!(told(&mut rules, &event("PutImage", HOST, "host", "i-0abc1234")), [Rule::Push]);
}

#[test]
fn a_denial_is_told_with_its_layer_and_the_first_of_its_kind_weighs_more() {
    let mut rules = Rules::new(Ground::default());
    let mut denied = event("BatchGetImage", HOST, "host", "i-0abc1234");
    denied["errorCode"] = json!("AccessDenied");
    denied["errorMessage"] =
        json!("... because no resource-based policy allows the ecr:BatchGetImage action");
    let record = parse(denied.to_string().as_bytes()).unwrap();
    let severities: Vec<(Severity, bool)> = (0..2)
        .map(|_| match rules.judge(&record) {
            Opinion::Counts(findings) => {
                assert_eq!(findings.len(), 1);
                assert_eq!(
                    findings[0].detail,
                    "not allowed by the repository's or registry's policy"
                );
                (findings[0].severity, findings[0].first)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(severities, [(Severity::Warning, true), (Severity::Notice, false)]);
}

#[test]
fn with_expectations_everything_else_is_a_finding_and_what_fits_is_silent() {
    let expect = |principals: &[&str], actions: &[&str], repositories: &[&str]| Expect {
        principals: globs(principals),
        actions: globs(actions),
        repositories: globs(repositories),
    };
    let ground = Ground {
        expect: vec![
            expect(&[HOST], &["pull", "token"], &["app/*"]),
            expect(&["arn:aws:iam::*:role/admin"], &["ecr:*Policy"], &[]),
        ],
        ..Ground::default()
    };
    let mut rules = Rules::new(ground);
    assert!(told(&mut rules, &event("BatchGetImage", HOST, "host", "i-0abc1234")).is_empty());
    assert!(told(&mut rules, &event("SetRepositoryPolicy", OWNER, "admin", "me")).is_empty());
    assert_eq!(
        told(&mut rules, &event("SetRepositoryPolicy", OWNER, "other", "me")),
        [Rule::PolicyChange]
    );
    assert_eq!(told(&mut rules, &event("BatchGetImage", OWNER, "ci", "b")), [Rule::Unexpected]);
    let mut elsewhere = event("BatchGetImage", HOST, "host", "i-0abc1234");
    elsewhere["requestParameters"]["repositoryName"] = json!("secret/web");
    assert_eq!(told(&mut rules, &elsewhere), [Rule::Unexpected]);
    let mut token = event("GetAuthorizationToken", HOST, "host", "i-0abc1234");
    token["requestParameters"] = Value::Null;
    assert!(told(&mut rules, &token).is_empty());
}

#[test]
fn a_tag_that_comes_to_mean_another_image_is_told_with_both() {
    let mut rules = Rules::new(Ground::default());
    let push = |digest: &str, tag: &str| {
        let mut push = event("PutImage", OWNER, "ci", "b");
        push["requestParameters"]["imageTag"] = json!(tag);
        push["responseElements"] = json!({ "image": { "imageId": { "imageDigest": digest } } });
        push
    };
    assert!(told(&mut rules, &push("sha256:aaaaaaaaaaaaaaaaaaaa", "1")).is_empty());
    assert!(told(&mut rules, &push("sha256:aaaaaaaaaaaaaaaaaaaa", "1")).is_empty());
    assert!(told(&mut rules, &push("sha256:bbbbbbbbbbbbbbbbbbbb", "2")).is_empty());
    assert_eq!(told(&mut rules, &push("sha256:bbbbbbbbbbbbbbbbbbbb", "1")), [Rule::TagOverwrite]);
}

#[test]
fn first_times_are_learned_silently_and_then_told_once() {
    let ground =
        Ground { learned: Some("2026-11-21T00:00:00Z".parse().unwrap()), ..Ground::default() };
    let mut rules = Rules::new(ground);
    assert!(told(&mut rules, &event("BatchGetImage", HOST, "host", "i-0abc1234")).is_empty());
    let later = |role: &str, account: &str| {
        let mut later = event("BatchGetImage", account, role, "i-0abc1234");
        later["eventTime"] = json!("2026-11-22T10:00:00Z");
        later
    };
    assert!(told(&mut rules, &later("host", HOST)).is_empty());
    assert_eq!(told(&mut rules, &later("other", HOST)), [Rule::NewPrincipal]);
    assert!(told(&mut rules, &later("other", HOST)).is_empty());
    assert_eq!(told(&mut rules, &later("x", "999999999999")), [Rule::NewAccount]);
    let mut region = later("host", HOST);
    region["awsRegion"] = json!("us-east-1");
    region["requestParameters"]["repositoryName"] = json!("app/new");
    assert_eq!(told(&mut rules, &region), [Rule::NewRegion, Rule::NewRepository]);
}

#[test]
fn a_pull_by_an_account_that_is_not_listed_is_told_only_when_there_is_a_list() {
    let pull = event("BatchGetImage", "999999999999", "x", "y");
    assert!(told(&mut Rules::new(Ground::default()), &pull).is_empty());
    let ground = Ground { accounts: vec![HOST.into()], ..Ground::default() };
    let mut rules = Rules::new(ground);
    assert_eq!(told(&mut rules, &pull), [Rule::ForeignPull]);
    assert!(told(&mut rules, &event("BatchGetImage", HOST, "x", "y")).is_empty());
}

#[test]
fn our_role_under_a_name_that_is_no_hosts_is_told_wherever_it_shows() {
    let mut rules = Rules::new(Ground { roles: globs(&["host"]), ..Ground::default() });
    assert!(told(&mut rules, &event("BatchGetImage", HOST, "host", "i-0abc1234")).is_empty());
    assert_eq!(
        told(&mut rules, &event("BatchGetImage", HOST, "host", "botocore-session-1")),
        [Rule::UnknownSession]
    );
    let mut assumed = event("AssumeRole", HOST, "laptop", "me");
    assumed["eventSource"] = json!("sts.amazonaws.com");
    assumed["requestParameters"] =
        json!({ "roleArn": "arn:aws:iam::210987654321:role/host", "roleSessionName": "evil" });
    assert_eq!(told(&mut rules, &assumed), [Rule::UnknownSession]);
    assumed["requestParameters"]["roleArn"] = json!("arn:aws:iam::210987654321:role/other");
    let record = parse(assumed.to_string().as_bytes()).unwrap();
    assert_eq!(rules.judge(&record), Opinion::Beside);
}

#[test]
fn a_key_counts_once_ecr_holds_a_grant_on_it() {
    let mut rules = Rules::new(Ground::default());
    let key = "arn:aws:kms:eu-west-1:123456789012:key/1";
    let kms = |name: &str, by: &str| {
        let mut kms = event(name, OWNER, "admin", "me");
        kms["eventSource"] = json!("kms.amazonaws.com");
        kms["requestParameters"] = json!({ "keyId": key });
        kms["userIdentity"]["invokedBy"] = json!(by);
        kms
    };
    let revoke = parse(kms("RevokeGrant", "").to_string().as_bytes()).unwrap();
    assert_eq!(rules.judge(&revoke), Opinion::Beside);
    assert!(told(&mut rules, &kms("CreateGrant", "ecr.amazonaws.com")).is_empty());
    assert_eq!(told(&mut rules, &kms("RevokeGrant", "")), [Rule::KeyChange]);
    assert_eq!(told(&mut rules, &kms("ScheduleKeyDeletion", "")), [Rule::KeyChange]);
    assert!(told(&mut rules, &kms("RetireGrant", "ecr.amazonaws.com")).is_empty());
}

#[test]
fn our_own_probes_count_for_nothing_but_their_failures_do() {
    let mut rules = Rules::new(Ground { probes: globs(&["app/web"]), ..Ground::default() });
    let mut pull = event("BatchGetImage", HOST, "host", "i-0abc1234");
    let record = parse(pull.to_string().as_bytes()).unwrap();
    assert_eq!(rules.judge(&record), Opinion::Probe);
    pull["errorCode"] = json!("AccessDenied");
    assert_eq!(told(&mut rules, &pull), [Rule::Denied]);
}

#[test]
fn what_is_remembered_comes_over_a_restart() {
    let ground =
        Ground { learned: Some("2026-01-01T00:00:00Z".parse().unwrap()), ..Ground::default() };
    let mut before = Rules::new(ground.clone());
    let mut denied = event("BatchGetImage", HOST, "host", "i-0abc1234");
    denied["errorCode"] = json!("AccessDenied");
    let mut push = event("PutImage", OWNER, "ci", "b");
    push["requestParameters"]["imageTag"] = json!("1");
    push["responseElements"] = json!({ "image": { "imageId": { "imageDigest": "sha256:a" } } });
    assert_eq!(told(&mut before, &denied).len(), 4);
    told(&mut before, &push);
    let kept = serde_json::to_string(&before.memory()).unwrap();
    let mut after = Rules::new(ground).remembering(serde_json::from_str(&kept).unwrap());
    assert_eq!(told(&mut after, &denied), [Rule::Denied]);
    push["responseElements"]["image"]["imageId"]["imageDigest"] = json!("sha256:b");
    assert_eq!(told(&mut after, &push), [Rule::TagOverwrite]);
    assert_eq!(
        after.memory(),
        serde_json::from_str(&serde_json::to_string(&after.memory()).unwrap()).unwrap()
    );
}

#[test]
fn a_rule_that_is_switched_off_is_silent() {
    let ground = Ground { off: vec![Rule::Delete], ..Ground::default() };
    assert!(told(&mut Rules::new(ground), &event("BatchDeleteImage", OWNER, "a", "b")).is_empty());
}

#[test]
fn every_rule_has_its_name_its_reason_and_nothing_twice() {
    for rule in Rule::ALL {
        assert_eq!(Rule::of(rule.name()), Some(*rule));
        assert_eq!(rule.reason().code(), format!("audit_{}", rule.name()));
    }
    assert_eq!(Rule::NAMES, crate::model::audit::RULES);
}
