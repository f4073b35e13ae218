//! One repository with 10 KB of policy: parsed, normalised, compared with its baseline and asked
//! for a pull; and 10,000 of them on one core. `cargo bench --bench policy`; with a path as argument
//! it writes its inputs there, for measuring other tools by the same ones (`benches/policy_peers/`).

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::{fs, hint::black_box, time::Duration};

use ecr_warden::policy::{
    Access, Caller, Comparison, Document, Facts, Kind, Policies, Policy, Relation, Request, diff,
    evaluate, parse,
};
use serde_json::{Value, json};

const REPOSITORY: &str = "arn:aws:ecr:eu-west-1:123456789012:repository/app";

/// A policy that fills what ECR takes: an account with the article's seven actions, and roles of
/// others with a pull each, under a condition. `spelled`: as AWS gives it back.
fn policy(characters: usize, spelled: bool, roles: fn(usize) -> String) -> String {
    let account =
        if spelled { json!(["210987654321"]) } else { json!("arn:aws:iam::210987654321:root") };
    let mut seven = [
        "ecr:GetDownloadUrlForLayer",
        "ecr:BatchGetImage",
        "ecr:BatchCheckLayerAvailability",
        "ecr:PutImage",
        "ecr:InitiateLayerUpload",
        "ecr:UploadLayerPart",
        "ecr:CompleteLayerUpload",
    ];
    if spelled {
        seven.reverse();
    }
    let mut statements = vec![
        json!({"Sid": "Base", "Effect": "Allow", "Principal": {"AWS": account}, "Action": seven}),
    ];
    for n in 0.. {
        statements.push(json!({
            "Sid": format!("Team{n}"),
            "Effect": "Allow",
            "Principal": {"AWS": roles(n)},
            "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-abc123"}},
        }));
        let whole = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        if whole.len() > characters {
            statements.pop();
            break;
        }
    }
    if spelled {
        statements.reverse();
    }
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

fn role(n: usize) -> String {
    format!("arn:aws:iam::{:012}:role/team-{n}", 100_000_000_000 + n)
}

fn other_role(n: usize) -> String {
    if n == 7 { "arn:aws:iam::999988887777:role/intruder".to_owned() } else { role(n) }
}

/// Seconds that this process has used a processor: what others do on the machine does not count.
fn processor_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap().as_secs_f64()
}

/// Whether the host may pull by this policy.
fn pulls(live: Document, identity: &Policy) -> bool {
    let policies = Policies {
        known: vec![identity.clone(), Policy { name: "live".to_owned(), document: live }],
        ..Policies::default()
    };
    let caller = Caller::parse("arn:aws:iam::210987654321:role/ecsInstanceRole").unwrap();
    ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"].iter().all(|action| {
        let request = Request::new(caller.clone(), action, REPOSITORY, Facts::default());
        evaluate(&request, &policies).access == Access::Allowed
    })
}

/// All of it, for one repository: the relation, and whether the host may pull.
fn whole(baseline: &Document, live: &str, identity: &Policy) -> (Relation, bool) {
    let live = parse(live, Kind::Repository).unwrap();
    let Comparison::Decided(drift) = diff(baseline, &live, Some(REPOSITORY)) else {
        unreachable!()
    };
    (drift.relation, pulls(live, identity))
}

/// The processor time of one round, in microseconds.
fn each(rounds: u32, mut round: impl FnMut()) -> f64 {
    let began = processor_time();
    (0..rounds).for_each(|_| round());
    (processor_time() - began) / f64::from(rounds) * 1e6
}

fn main() {
    let small = |spelled| policy(700, spelled, role);
    let same = policy(10_200, true, role);
    let baseline_text = policy(10_200, false, role);
    let different = policy(10_200, true, other_role);
    let identity: Value =
        json!({"Statement": {"Effect": "Allow", "Action": "ecr:*", "Resource": "*"}});
    let identity = Policy {
        name: "identity".to_owned(),
        document: parse(&identity.to_string(), Kind::Identity).unwrap(),
    };
    if let Some(folder) = std::env::args().nth(1).filter(|arg| !arg.starts_with("--")) {
        for (name, text) in
            [("expected", &baseline_text), ("same", &same), ("different", &different)]
        {
            fs::write(format!("{folder}/{name}.json"), text).unwrap();
        }
    }
    let baseline = parse(&baseline_text, Kind::Repository).unwrap();
    let article = parse(&small(false), Kind::Repository).unwrap();
    let rows = [
        ("10 KB, rewritten by AWS", &baseline, &same, Relation::Equivalent),
        ("10 KB, one role exchanged", &baseline, &different, Relation::Incomparable),
        ("the article's size, rewritten", &article, &small(true), Relation::Equivalent),
    ];
    for (name, baseline, live, expected) in rows {
        let time = each(1000, || {
            assert!(black_box(whole(baseline, black_box(live), &identity)) == (expected, true));
        });
        println!(
            "{name}: {} bytes, {} statements: {time:.0} us to read, compare and ask twice",
            live.len(),
            baseline.statements.len(),
        );
    }
    let read = each(1000, || drop(black_box(parse(black_box(&same), Kind::Repository).unwrap())));
    let asked = each(1000, || {
        let live = parse(black_box(&same), Kind::Repository).unwrap();
        assert!(black_box(pulls(live, &identity)));
    });
    println!(
        "  of which {read:.0} us to read; {asked:.0} us to read and ask twice without comparing"
    );
    let began = processor_time();
    let mut drifted = 0;
    for n in 0..10_000 {
        let live = if n % 100 == 0 { &different } else { &same };
        drifted += u32::from(whole(&baseline, live, &identity).0 != Relation::Equivalent);
    }
    assert_eq!(drifted, 100);
    println!(
        "10,000 repositories of 10 KB, one in a hundred drifted: {:.2} s of processor time",
        processor_time() - began
    );
}
