//! The checks of policies, seen from outside: the sandbox's registry, the daemon, the command.

#![cfg(feature = "sandbox")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

mod host;

use std::{process::Command, time::Duration};

use host::Host;
use serde_json::{Value, json};

const OURS: &str = "210987654321";
const PULL: [&str; 3] =
    ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"];

/// A call of the primary account's administrator, who has assumed a role there.
fn administrate(host: &Host, operation: &str, body: &Value) {
    let done = Command::new("curl")
        .args(["-sS", "-H", "Authorization: AWS4-HMAC-SHA256 Credential=ASIASANDBOX1/x", "-H"])
        .arg(format!("X-Amz-Target: AmazonEC2ContainerRegistry_V20150921.{operation}"))
        .args(["-d", &body.to_string()])
        .arg(format!("http://{}/", host.aws))
        .output()
        .unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(text.contains("policyText"), "{text}");
}

fn allowing(accounts: &[&str], actions: &[&str]) -> String {
    json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "AWS": accounts }, "Action": actions,
    }] })
    .to_string()
}

fn set(host: &Host, repository: &str, policy: &str) {
    let body = json!({ "repositoryName": repository, "policyText": policy });
    administrate(host, "SetRepositoryPolicy", &body);
}

/// A host with a baseline for every repository; `audited`: and with an auditor.
fn watching(audited: bool) -> Host {
    let host = Host::new("12h");
    let folder = host.folder.path().display();
    let auditor = format!(
        "[identity.auditor]\nrole_arn = \"arn:aws:iam::123456789012:role/audit\"\nendpoint_url = \"http://{}\"\nca_file = \"{folder}/ca.pem\"\n",
        host.aws
    );
    let (auditor, named) =
        if audited { (auditor.as_str(), "audit_identity = \"auditor\"\n") } else { ("", "") };
    host.configure(&format!(
        "{auditor}[policy]\ninterval = \"1m\"\n{named}\
         [[policy.baseline]]\nrepositories = [\"app/web\"]\npull = [\"{OURS}\"]\nmode = \"exact\"\n"
    ));
    host
}

/// `policy check --json`, and its exit code.
fn check(host: &Host) -> (Value, i32) {
    let done = host.command(&["policy", "check", "--json"]).output().unwrap();
    let json =
        serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    (json, done.status.code().unwrap())
}

fn of<'a>(checked: &'a Value, repository: &str) -> &'a Value {
    let all = checked["registries"][0]["repositories"].as_array().unwrap();
    all.iter().find(|one| one["repository"] == repository).unwrap()
}

#[test]
fn a_policy_that_grants_what_it_should_is_fine_however_aws_writes_it() {
    let host = watching(true);
    let root = format!("arn:aws:iam::{OURS}:root");
    set(&host, "app/web", &allowing(&[&root], &[PULL[1], PULL[2], PULL[0]]));
    let (checked, code) = check(&host);
    assert_eq!((code, &checked["verdict"]), (0, &json!("ok")), "{checked:#}");
    let web = of(&checked, "app/web");
    assert_eq!(web["class"], "equivalent");
    assert_eq!(web["pull"]["access"], "allowed");
    assert_eq!(web["push"]["access"], "implicitly denied");
}

#[test]
fn a_lost_pull_and_a_gained_push_are_told_apart() {
    let host = watching(true);
    set(&host, "app/web", &allowing(&[OURS], &PULL[..2]));
    let (checked, code) = check(&host);
    assert_eq!(code, 1);
    let web = of(&checked, "app/web");
    assert_eq!(
        (&web["class"], &web["reason"]["code"]),
        (&json!("narrower"), &json!("policy_pull_denied"))
    );
    assert!(web["differences"][0].as_str().unwrap().contains(PULL[2]), "{web:#}");
    assert!(web["reason"]["detail"].as_str().unwrap().contains(PULL[2]), "{web:#}");

    let mut actions = PULL.to_vec();
    actions.push("ecr:PutImage");
    set(&host, "app/web", &allowing(&[OURS], &actions));
    let (checked, code) = check(&host);
    assert_eq!(code, 1);
    let web = of(&checked, "app/web");
    assert_eq!(
        (&web["class"], &web["reason"]["code"]),
        (&json!("broader"), &json!("policy_grants_gained"))
    );
    assert_eq!(web["pull"]["access"], "allowed");
}

#[test]
fn who_changed_a_policy_is_told_with_the_drift() {
    let host = watching(true);
    set(&host, "app/web", &allowing(&["111122223333"], &PULL));
    let ago = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(30);
    let record = json!([{
        "eventTime": format!("{ago:.0}"), "eventName": "SetRepositoryPolicy", "eventID": "1",
        "eventSource": "ecr.amazonaws.com", "sourceIPAddress": "192.0.2.7",
        "userIdentity": { "type": "AssumedRole",
            "arn": "arn:aws:sts::123456789012:assumed-role/admin/mallory" },
        "requestParameters": { "repositoryName": "app/web", "policyText": "{}" },
    }]);
    host.sandbox("POST", "events", &record.to_string());
    let (checked, code) = check(&host);
    assert_eq!(code, 1);
    let detail = of(&checked, "app/web")["reason"]["detail"].as_str().unwrap();
    assert!(detail.contains("assumed-role/admin/mallory from 192.0.2.7"), "{detail}");
    let unseen = watching(false);
    set(&unseen, "app/web", &allowing(&["111122223333"], &PULL[..1]));
    let (checked, _) = check(&unseen);
    let changed = of(&checked, "app/web")["changed"].as_str().unwrap();
    assert!(changed.contains("not visible: no audit_identity"), "{changed}");
}

#[test]
fn what_may_not_be_read_is_unknown_unless_an_auditor_may() {
    for (audited, expected) in [(false, 3), (true, 0)] {
        let host = watching(audited);
        set(&host, "app/web", &allowing(&[OURS], &PULL));
        host.sandbox("POST", "faults", "[\"policy-deny\"]");
        let (checked, code) = check(&host);
        assert_eq!(code, expected, "{checked:#}");
        if !audited {
            assert_eq!(checked["reason"]["code"], "policy_unreadable");
            assert_eq!(of(&checked, "app/web")["class"], Value::Null);
            let remedy = checked["reason"]["remedy"].as_str().unwrap();
            assert!(remedy.contains("ecr:GetRepositoryPolicy"), "{remedy}");
        }
    }
}

#[test]
fn the_registrys_policy_counts_for_every_repository_and_only_under_v2() {
    let host = watching(true);
    set(&host, "app/web", &allowing(&[OURS], &PULL));
    let deny = json!({ "Version": "2012-10-17", "Statement": [{
        "Sid": "Freeze", "Effect": "Deny", "Principal": { "AWS": OURS }, "Action": "ecr:BatchGetImage",
        "Resource": "arn:aws:ecr:eu-west-1:123456789012:repository/*",
    }] });
    administrate(&host, "PutRegistryPolicy", &json!({ "policyText": deny.to_string() }));
    let (checked, code) = check(&host);
    assert_eq!(code, 1);
    let web = of(&checked, "app/web");
    assert_eq!(
        (&web["class"], &web["pull"]["access"]),
        (&json!("equivalent"), &json!("explicitly denied"))
    );
    assert!(web["reason"]["detail"].as_str().unwrap().contains("Freeze"), "{web:#}");
    host.sandbox("POST", "faults", "[\"scope-v1\"]");
    // Then it does not count, and that it does not is told of it.
    let (checked, code) = check(&host);
    assert_eq!((code, &of(&checked, "app/web")["pull"]["access"]), (1, &json!("allowed")));
    assert_eq!(of(&checked, "app/web")["reason"], Value::Null);
    assert_eq!(of(&checked, "")["reason"]["code"], "policy_registry_scope");
}

#[test]
fn a_mistake_in_the_configuration_is_told_with_its_place() {
    let host = Host::new("12h");
    host.configure(
        "[policy]\naudit_identity = \"auditer\"\nrepositories = [\"imags/app\"]\n[[policy.baseline]]\nregistry = \"image\"\npull = [\"1\"]\n[identity.auditor]\nprofile = \"a\"\n",
    );
    let done = host.command(&["check"]).output().unwrap();
    assert_eq!(done.status.code(), Some(2));
    let text = String::from_utf8(done.stdout).unwrap();
    for said in ["did you mean auditor?", "did you mean images?", "REGISTRY/REPOSITORY"] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[test]
fn the_daemon_tells_of_drift_in_status_and_log_and_takes_it_back() {
    let mut host = watching(true);
    set(&host, "app/web", &allowing(&["111122223333"], &PULL));
    host.start();
    let told = |code: &str| {
        let status: Value = serde_json::from_slice(&host.status().stdout).unwrap_or_default();
        let policies = &status["policies"][0];
        policies["findings"].as_array().is_some_and(|all| all.iter().any(|one| one["code"] == code))
    };
    until("the drift", || told("policy_pull_denied"));
    let human = host.command(&["status"]).output().unwrap();
    let human = String::from_utf8(human.stdout).unwrap();
    assert!(
        human.contains("policy  images (this host can pull from 0 of 1 repositories"),
        "{human}"
    );
    until("the log", || host.log().contains("policy_pull_denied"));
    host.stop();
}

#[test]
fn a_pull_that_is_denied_although_the_policies_allow_it_is_a_finding_of_its_own() {
    let mut host = watching(true);
    let config = host.path("config.toml");
    let mut text = std::fs::read_to_string(&config).unwrap();
    text = text.replace("listen = \"off\"", "listen = \"127.0.0.1:19879\"");
    let probe = format!(
        "[[probe]]\nname = \"web\"\nimage = \"{}/app/web:1\"\nschedule = \"every 10s\"\n",
        host.registry
    );
    text.push_str(&probe);
    std::fs::write(&config, &text).unwrap();
    set(&host, "app/web", &allowing(&[OURS], &PULL));
    host.sandbox("POST", "refusals", "[\"scp\"]");
    host.start();
    let metric = || {
        let done = Command::new("curl").args(["-s", "http://127.0.0.1:19879/metrics"]).output();
        String::from_utf8(done.unwrap().stdout).unwrap()
    };
    let agrees = "ecr_warden_policy_prediction_agrees{probe=\"web\"}";
    until("the disagreement", || metric().contains(&format!("{agrees} 0")));
    until("the log", || host.log().contains("policy_prediction_wrong"));
    host.sandbox("POST", "refusals", "[]");
    until("the agreement", || metric().contains(&format!("{agrees} 1")));
    // Policies that are no longer read foretell nothing.
    let without = text.split("[policy]").next().unwrap().to_owned() + &probe;
    std::fs::write(&config, without).unwrap();
    host.signal("-HUP");
    until("its absence", || !metric().contains(agrees));
    host.stop();
}

/// Waits for what a schedule of a minute brings.
fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !reached() {
        assert!(began.elapsed() < Duration::from_secs(120), "{what} did not come");
        std::thread::sleep(Duration::from_millis(200));
    }
}
