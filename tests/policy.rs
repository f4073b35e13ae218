//! The article's two policies, changed in every way that matters: each change with what it does to
//! pulls and pushes of a host's role, how it stands to the policy as it should be, and the page of
//! AWS's documentation that says so (`tests/fixtures/policies/mutations.json`). And the commands as
//! their users run them.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use ecr_warden::policy::{
    self, Access, Caller, Comparison, Document, Facts, Kind, Policies, Policy, Request,
};
use serde_json::{Value, json};

const FIXTURES: &str = "tests/fixtures/policies";
const REPOSITORY: &str = "arn:aws:ecr:eu-west-1:123456789012:repository/app";
const ROLE: &str = "arn:aws:iam::210987654321:role/ecsInstanceRole";
const UNIQUE_ID: &str = "AROAHOST000000000001:i-1";

/// What every request of the table has besides what follows from its caller.
const CONTEXT: &[(&str, &str)] = &[
    ("aws:PrincipalOrgID", "o-abc123"),
    ("aws:PrincipalOrgPaths", "o-abc123/r-ab12/ou-ab12-11111111/"),
    ("aws:PrincipalTag/team", ""),
    ("aws:SourceVpce", "vpce-1"),
    ("aws:SourceIp", "10.0.0.5"),
    ("aws:MultiFactorAuthPresent", ""),
    ("aws:CurrentTime", "2026-11-24T12:00:00Z"),
    ("aws:EpochTime", "1795521600"),
];

fn text(name: &str) -> String {
    fs::read_to_string(format!("{FIXTURES}/{name}")).unwrap()
}

/// A merge patch (RFC 7396): null removes.
fn patch(target: &mut Value, change: &Value) {
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            target.as_object_mut().unwrap().shift_remove(name);
        } else {
            target[name] = value.clone();
        }
    }
}

/// The article's policy with the row's change.
fn mutated(row: &Value, article: &str) -> String {
    if let Some(text) = row["text"].as_str() {
        return text.to_owned();
    }
    let mut policy: Value = serde_json::from_str(article).unwrap();
    if row["patch"].is_object() {
        patch(&mut policy["Statement"][0], &row["patch"]);
    }
    for more in row["more"].as_array().into_iter().flatten() {
        policy["Statement"].as_array_mut().unwrap().push(more.clone());
    }
    if row["document"].is_object() {
        patch(&mut policy, &row["document"]);
    }
    policy.to_string()
}

/// What the host's role may do by this policy, everything being allowed in its own account: the
/// worst that is said of any of the actions.
fn access(document: &Document, actions: &[&str]) -> &'static str {
    let identity = json!({"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}});
    let policies = Policies {
        known: vec![
            Policy { name: "policy".to_owned(), document: document.clone() },
            Policy {
                name: "identity".to_owned(),
                document: policy::parse(&identity.to_string(), Kind::Identity).unwrap(),
            },
        ],
        ..Policies::default()
    };
    let mut facts = Facts::default();
    for (key, value) in CONTEXT {
        facts.add(key, value);
    }
    let caller = Caller::parse(ROLE).unwrap().with_unique_id(UNIQUE_ID);
    let of = |action: &&str| {
        let request = Request::new(caller.clone(), action, REPOSITORY, facts.clone());
        policy::evaluate(&request, &policies).access
    };
    let order = [Access::Allowed, Access::Undecided, Access::NotGranted, Access::Denied];
    let rank = |access: &Access| order.iter().position(|one| one == access);
    actions.iter().map(of).max_by_key(rank).unwrap().word()
}

/// What is wrong with a row; nothing where it is judged rightly.
fn judged(row: &Value) -> Vec<String> {
    let (kind, article) = match row["of"].as_str().unwrap() {
        "repository" => (Kind::Repository, text("article-repository.json")),
        _ => (Kind::Registry, text("article-registry.json")),
    };
    let policy = mutated(row, &article);
    let document = match policy::parse(&policy, kind) {
        Ok(document) => document,
        Err(mistakes) => {
            let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            let why = row["mistake"].as_str().unwrap_or("no mistake at all");
            let fits = told.len() == 1 && told[0].contains(why);
            return if fits { Vec::new() } else { vec![format!("expected {why}, not {told:?}")] };
        }
    };
    let expected = policy::parse(&article, kind).unwrap();
    let relation = match policy::diff(&expected, &document, Some(REPOSITORY)) {
        Comparison::Decided(drift) => drift.relation.word(),
        Comparison::Undecided(_) => "undecided",
    };
    let place = policy::Place {
        registry: Some(("aws", "eu-west-1", "123456789012")),
        ..policy::Place::default()
    };
    let lint: Vec<&str> =
        policy::lint(&document, &place).iter().map(|one| one.reason.code()).collect();
    let findings = if row["lint"].is_array() { row["lint"].clone() } else { json!([]) };
    let mut wrong = Vec::new();
    for (what, found) in [
        ("relation", json!(relation)),
        ("pull", json!(access(&document, policy::PULL))),
        ("push", json!(access(&document, policy::PUSH))),
        ("lint", json!(lint)),
    ] {
        let wanted = if what == "lint" { &findings } else { &row[what] };
        if *wanted != found {
            wrong.push(format!("{what}: expected {wanted}, found {found}"));
        }
    }
    wrong
}

#[test]
fn every_change_of_the_articles_policies_is_judged_as_aws_documents_it() {
    let rows: Vec<Value> = serde_json::from_str(&text("mutations.json")).unwrap();
    assert!(rows.len() >= 100);
    let mut wrong = Vec::new();
    for row in &rows {
        assert!(row["source"].as_str().is_some_and(|source| source.starts_with("https://")));
        wrong.extend(judged(row).into_iter().map(|what| format!("{}: {what}", row["name"])));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A command's exit code, standard output and standard error; `@` is the fixtures' folder.
fn run(line: &str, input: &str) -> (i32, String, String) {
    let words = line.split_whitespace().map(|word| word.replace('@', &format!("{FIXTURES}/")));
    let mut child = Command::new(env!("CARGO_BIN_EXE_ecr-warden"))
        .arg("policy")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn diff_says_in_grants_what_is_lost_and_exits_by_it() {
    let article = text("article-repository.json");
    let (code, out, _) = run("diff @article-repository.json - --kind repository", &article);
    assert_eq!((code, out.as_str()), (0, "equivalent: both policies grant the same\n"));
    let narrower = article.replace("\"ecr:BatchGetImage\",", "");
    let (code, out, _) = run("diff @article-repository.json - --kind repository", &narrower);
    assert_eq!(code, 1);
    assert_eq!(
        out,
        "narrower: the actual policy grants less than is expected\n\nLOST\n  account 210987654321\n    ecr:BatchGetImage\n"
    );
    let (code, out, _) = run("diff @article-repository.json - --kind repository --json", &narrower);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, told["reason"]["code"].as_str()), (1, Some("policy_grants_lost")));
    let other = article.replace(
        "\"Effect\"",
        "\"Resource\": \"arn:aws:ecr:eu-west-1:123456789012:repository/x\", \"Effect\"",
    );
    let (code, out, _) = run("diff @article-repository.json - --kind repository", &other);
    assert_eq!(code, 3, "{out}");
    let (code, out, err) =
        run("diff @article-repository.json - --kind repository", "{\n \"Statement\": 1 }");
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (2, "", "-:2:15: a statement is an object, not a number\n")
    );
}

#[test]
fn explain_names_the_layer_and_what_to_add_and_never_guesses() {
    let question = format!(
        "explain --principal {ROLE} --action ecr:BatchGetImage --repository {REPOSITORY} --repository-policy @article-repository.json"
    );
    let identity = "{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"ecr:*\",\"Resource\":\"*\"}}";
    let (code, out, _) = run(&format!("{question} --identity-policy -"), identity);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("repository  allows          tests/fixtures/policies/article-repository.json:4: statement 1 (AllowPushPull)"), "{out}");
    let (code, out, _) = run(&format!("{question} --identity-policy - --unknown scp"), identity);
    assert_eq!(code, 3, "{out}");
    assert!(
        out.ends_with(
            "ALLOWED UNLESS\n  the service control policy, which can't be read, is against it\n"
        ),
        "{out}"
    );
    let (code, out, _) = run(&format!("{question} --json"), "");
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, told["layer"].as_str()), (1, Some("identity")));
    assert_eq!(told["paste"]["statement"]["Action"], "ecr:BatchGetImage");
    let (code, _, err) = run(&question.replace("ecr:BatchGetImage", "pull"), "");
    assert_eq!(
        (code, err.as_str()),
        (2, "ecr-warden: --action pull: expected one action, such as ecr:BatchGetImage\n")
    );
}

#[test]
fn lint_and_render_agree() {
    for what in ["registry", "repository", "identity", "audit"] {
        let line = format!(
            "render {what} --account 123456789012 --region eu-west-1 --to 210987654321 --access both"
        );
        let (code, policy, err) = run(&line, "");
        assert_eq!((code, err.as_str()), (0, ""), "{what}");
        let (code, out, _) = run("lint -", &policy);
        assert_eq!(code, 0, "{out}");
        assert!(out.ends_with("nothing to mend\n"), "{out}");
    }
    let (code, out, _) = run(
        "lint - --json",
        &text("article-repository.json").replace("arn:aws:iam::210987654321:root", "*"),
    );
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, told["reason"]["code"].as_str()), (1, Some("policy_public")));
}
