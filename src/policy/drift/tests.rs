#![allow(clippy::needless_pass_by_value)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    super::{
        condition::Truth,
        document::{Effect, parse},
        facts::Facts,
        principal::Caller,
    },
    *,
};

const PULL: [&str; 3] =
    ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"];
const ROLE: &str = "arn:aws:iam::210987654321:role/ecsInstanceRole";

fn document(statements: Value, kind: Kind) -> Document {
    parse(&json!({"Version": "2012-10-17", "Statement": statements}).to_string(), kind).unwrap()
}

fn allow(principal: Value, action: Value) -> Value {
    json!({"Effect": "Allow", "Principal": principal, "Action": action})
}

/// With members in place of its own.
fn with(mut statement: Value, members: Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        statement[name] = value.clone();
    }
    statement
}

fn compared(expected: Value, actual: Value, kind: Kind) -> Comparison {
    diff(&document(expected, kind), &document(actual, kind), None)
}

fn relation(expected: Value, actual: Value) -> Relation {
    match compared(expected, actual, Kind::Repository) {
        Comparison::Decided(drift) => {
            assert_eq!(drift.rows.is_empty(), drift.relation == Relation::Equivalent);
            drift.relation
        }
        Comparison::Undecided(why) => panic!("{why}"),
    }
}

fn account() -> Value {
    json!({"AWS": "arn:aws:iam::210987654321:root"})
}

#[test]
fn what_aws_rewrites_is_no_drift() {
    let expected = json!([allow(account(), json!(PULL))]);
    for actual in [
        json!([allow(json!({"AWS": "210987654321"}), json!(PULL))]),
        json!([allow(
            json!({"AWS": ["210987654321", "arn:aws:iam::210987654321:root"]}),
            json!(PULL)
        )]),
        json!(allow(
            account(),
            json!([
                "ecr:GetDownloadUrlForLayer",
                "ecr:BatchCheckLayerAvailability",
                "ECR:batchgetimage"
            ])
        )),
        json!([with(allow(account(), json!(PULL)), json!({"Sid": "x", "Resource": "*"}))]),
        json!([
            allow(account(), json!(PULL[0])),
            allow(account(), json!(PULL[1])),
            allow(account(), json!(PULL[2]))
        ]),
        json!([allow(account(), json!(PULL)), allow(json!({"AWS": ROLE}), json!(PULL[0]))]),
        json!([with(
            allow(json!("*"), json!(PULL)),
            json!({"Condition": {"StringEquals": {"aws:PrincipalAccount": "210987654321"}}})
        )]),
        json!([
            with(
                allow(account(), json!(PULL)),
                json!({"Condition": {"Bool": {"aws:x": ["true", false]}}})
            ),
            with(allow(account(), json!(PULL)), json!({"Condition": {"Bool": {"aws:x": "true"}}})),
            with(
                allow(account(), json!(PULL)),
                json!({"Condition": {"BoolIfExists": {"aws:x": "false"}}})
            ),
            with(
                allow(account(), json!(PULL)),
                json!({"Condition": {"StringNotLike": {"aws:x": ["true", "false", "True"]}}})
            )
        ]),
    ] {
        assert_eq!(relation(expected.clone(), actual.clone()), Relation::Equivalent, "{actual}");
        assert_eq!(relation(actual.clone(), expected.clone()), Relation::Equivalent, "{actual}");
    }
}

#[test]
fn a_star_is_more_than_todays_actions() {
    let all: Vec<String> =
        super::super::action::ACTIONS.iter().map(|one| format!("ecr:{}", one.name)).collect();
    let listed = json!([allow(account(), json!(all))]);
    let star = json!([allow(account(), json!("ecr:*"))]);
    assert_eq!(relation(listed, star.clone()), Relation::Broader);
    assert_eq!(relation(star, json!([allow(account(), json!("*"))])), Relation::Equivalent);
}

#[test]
fn a_key_is_single_or_several_in_both_policies_alike() {
    // Alone, either could be read as of a key that has one value; together they differ where
    // there are several, of which one is allowed.
    let when = |condition: Value| {
        json!([with(allow(account(), json!(PULL)), json!({"Condition": condition}))])
    };
    let any = when(json!({"ForAnyValue:StringEquals": {"aws:TagKeys": "a"}}));
    let plain = when(json!({"StringEquals": {"aws:TagKeys": "a"}}));
    let all = when(json!({"ForAllValues:StringEquals": {"aws:TagKeys": "a"}}));
    assert_eq!(relation(any, all.clone()), Relation::Incomparable);
    assert_eq!(relation(plain, all), Relation::Incomparable);
    // Of a request that has one value, a set operator changes nothing but what absence means.
    let org = |operator: &str| when(json!({operator: {"aws:PrincipalOrgID": "o-1"}}));
    assert_eq!(
        relation(org("StringEquals"), org("ForAnyValue:StringEquals")),
        Relation::Equivalent
    );
    assert_eq!(relation(org("StringEquals"), org("ForAllValues:StringEquals")), Relation::Broader);
    assert_eq!(
        relation(org("StringEqualsIfExists"), org("ForAllValues:StringEquals")),
        Relation::Equivalent
    );
}

#[test]
fn differences_are_told_in_grants() {
    let told = |expected: Value, actual: Value, kind: Kind| -> Vec<String> {
        match compared(expected, actual, kind) {
            Comparison::Decided(drift) => drift
                .rows
                .iter()
                .map(|row| {
                    format!(
                        "{} {} {}{} {}->{}",
                        row.change.word(),
                        row.principals,
                        row.actions.join("+"),
                        row.resources.as_ref().map(|one| format!(" on {one}")).unwrap_or_default(),
                        row.expected.as_deref().unwrap_or("never"),
                        row.actual.as_deref().unwrap_or("never"),
                    )
                })
                .collect(),
            Comparison::Undecided(why) => vec![why],
        }
    };
    let one = |principal: Value, action: &str| json!([allow(principal, json!(action))]);
    for (expected, actual, rows) in [
        (
            one(account(), PULL[0]),
            one(json!({"AWS": ROLE}), PULL[0]),
            vec![
                "lost account 210987654321 but not arn:aws:iam::210987654321:role/ecsInstanceRole ecr:BatchGetImage always->never",
            ],
        ),
        (
            one(account(), PULL[0]),
            one(json!("*"), PULL[0]),
            vec!["gained everyone but account 210987654321 ecr:BatchGetImage never->always"],
        ),
        (
            one(account(), PULL[0]),
            one(account(), "ecr:BatchGetImages"),
            vec![
                "lost account 210987654321 ecr:BatchGetImage always->never",
                "gained account 210987654321 ecr:BatchGetImages (not known today) never->always",
            ],
        ),
        (
            one(account(), PULL[0]),
            json!([with(
                allow(account(), json!(PULL[0])),
                json!({"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}})
            )]),
            vec![
                "changed account 210987654321 ecr:BatchGetImage always->when IpAddress aws:SourceIp 10.0.0.0/8",
            ],
        ),
        (
            one(account(), PULL[0]),
            json!([
                allow(account(), json!(PULL[0])),
                with(allow(json!("*"), json!(PULL[0])), json!({"Effect": "Deny"}))
            ]),
            vec![
                "lost account 210987654321 ecr:BatchGetImage always->denied by name",
                "denied everyone but account 210987654321 ecr:BatchGetImage never->always",
            ],
        ),
        (
            one(json!({"AWS": ROLE}), PULL[0]),
            one(json!({"AWS": "AROAEXAMPLE123456789"}), PULL[0]),
            vec![
                "lost arn:aws:iam::210987654321:role/ecsInstanceRole ecr:BatchGetImage always->never",
                "gained the deleted role AROAEXAMPLE123456789 ecr:BatchGetImage never->always",
            ],
        ),
    ] {
        assert_eq!(told(expected, actual, Kind::Repository), rows);
    }
    let registry = |resource: &str| {
        json!([with(allow(account(), json!(PULL[0])), json!({"Resource": resource}))])
    };
    assert_eq!(
        told(
            registry("*"),
            registry("arn:aws:ecr:eu-west-1:123456789012:repository/prod-*"),
            Kind::Registry
        ),
        [
            "lost account 210987654321 ecr:BatchGetImage on all repositories but not arn:aws:ecr:eu-west-1:123456789012:repository/prod-* always->never"
        ]
    );
}

#[test]
fn a_resource_that_may_be_anothers_is_undecided_until_it_is_named() {
    let own = "arn:aws:ecr:eu-west-1:123456789012:repository/app";
    let plain = document(json!([allow(account(), json!(PULL))]), Kind::Repository);
    let named = document(
        json!([with(allow(account(), json!(PULL)), json!({"Resource": own}))]),
        Kind::Repository,
    );
    let relation = |resource| match diff(&plain, &named, resource) {
        Comparison::Decided(drift) => Some(drift.relation),
        Comparison::Undecided(_) => None,
    };
    assert_eq!(relation(None), None);
    assert_eq!(relation(Some(own)), Some(Relation::Equivalent));
    assert_eq!(
        relation(Some("arn:aws:ecr:eu-west-1:123456789012:repository/other")),
        Some(Relation::Narrower)
    );
    // A registry's policy that names another region's registry grants nothing in this one.
    let registry = |resource: &str| {
        document(
            json!([with(allow(account(), json!(PULL)), json!({"Resource": resource}))]),
            Kind::Registry,
        )
    };
    let (all, region) =
        (registry("*"), registry("arn:aws:ecr:eu-west-2:123456789012:repository/*"));
    assert!(matches!(diff(&all, &region, None), Comparison::Undecided(_)));
}

#[test]
fn too_many_conditions_are_undecided() {
    let keys: serde_json::Map<String, Value> =
        (0..14).map(|n| (format!("aws:RequestTag/{n}"), json!("x"))).collect();
    let many =
        json!([with(allow(account(), json!(PULL)), json!({"Condition": {"StringEquals": keys}}))]);
    assert!(matches!(
        compared(json!([allow(account(), json!(PULL))]), many, Kind::Repository),
        Comparison::Undecided(_)
    ));
}

/// Statements of few principals, actions and conditions, so that they meet.
fn a_statement() -> impl Strategy<Value = Value> {
    let principals = prop::sample::select(vec![
        json!("*"),
        json!({"AWS": "210987654321"}),
        json!({"AWS": ROLE}),
        json!({"AWS": ["210987654321", "111122223333"]}),
        json!({"AWS": "arn:aws:sts::210987654321:assumed-role/ecsInstanceRole/i-1"}),
        json!({"AWS": "AROAEXAMPLE123456789"}),
        json!({"Service": "replication.ecr.amazonaws.com"}),
    ]);
    let actions = prop::sample::select(vec![
        json!("ecr:*"),
        json!("ecr:Batch*"),
        json!("ecr:*Image"),
        json!(["ecr:BatchGetImage", "ecr:PutImage"]),
        json!("ecr:PutImage"),
    ]);
    let conditions = prop::sample::select(vec![
        json!({}),
        json!({"StringEquals": {"aws:PrincipalOrgID": "o-1"}}),
        json!({"StringNotEquals": {"aws:PrincipalOrgID": ["o-1", "o-2"]}}),
        json!({"StringLikeIfExists": {"aws:PrincipalOrgID": "o-*"}}),
        json!({"Null": {"aws:PrincipalOrgID": "true"}}),
        json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/ecs*"}}),
        json!({"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "10.1.0.0/16"]}}),
        json!({"NotIpAddress": {"aws:SourceIp": "10.1.0.0/16"}}),
        json!({"ForAllValues:StringLike": {"aws:TagKeys": ["a*", "b"]}}),
        json!({"ForAnyValue:StringEquals": {"aws:TagKeys": "ab"}}),
        json!({"NumericLessThan": {"aws:MultiFactorAuthAge": 5}}),
        json!({"NumericGreaterThanEquals": {"aws:MultiFactorAuthAge": [5, 7]}}),
    ]);
    (any::<bool>(), principals, any::<bool>(), actions, any::<bool>(), conditions).prop_map(
        |(allow, principal, not_principal, action, not_action, condition)| {
            let mut statement = json!({
                "Effect": if allow { "Allow" } else { "Deny" },
                "Condition": condition,
            });
            let everyone = principal == json!("*");
            statement[if not_principal && !everyone { "NotPrincipal" } else { "Principal" }] =
                principal;
            statement[if not_action { "NotAction" } else { "Action" }] = action;
            statement
        },
    )
}

/// A request, and what is known of it: everything.
fn a_request() -> impl Strategy<Value = (Caller, String, Facts)> {
    let callers = prop::sample::select(vec![
        ("*", "NONE"),
        (ROLE, "AROAOTHER:i-1"),
        (ROLE, "AROAEXAMPLE123456789:i-2"),
        ("arn:aws:iam::210987654321:role/ci", "AROACI:x"),
        ("arn:aws:iam::210987654321:user/anna", "AIDAX"),
        ("arn:aws:iam::111122223333:role/ecsX", "AROAY:x"),
        ("arn:aws:iam::444455556666:role/ecsX", "AROAEXAMPLE123456789:x"),
        ("replication.ecr.amazonaws.com", "NONE"),
        ("other.amazonaws.com", "NONE"),
    ]);
    let actions = prop::sample::select(vec![
        "ecr:BatchGetImage",
        "ecr:PutImage",
        "ecr:BatchFooImage",
        "ecr:GetX",
        "ecr:BatchX",
    ]);
    let text = |values: &'static [&'static str]| prop::option::of(prop::sample::select(values));
    let tags = prop::option::of(prop::collection::vec(
        prop::sample::select(vec!["a", "ab", "b", "c"]),
        1..4,
    ));
    (
        callers,
        actions,
        text(&["o-1", "o-2", "o-3", "x"]),
        text(&["10.1.2.3", "10.2.0.1", "1.1.1.1", "::1"]),
        tags,
        text(&["4", "5", "6", "7", "8"]),
    )
        .prop_map(|((arn, id), action, org, ip, tags, age)| {
            let caller = Caller::parse(arn).unwrap().with_unique_id(id);
            let mut facts = Facts::complete();
            facts.presume_caller(&caller);
            let one = |value: Option<&str>| value.map(|value| vec![value.to_owned()]);
            facts.set("aws:PrincipalOrgID", one(org));
            facts.set("aws:SourceIp", one(ip));
            facts.set("aws:MultiFactorAuthAge", one(age));
            facts.set(
                "aws:TagKeys",
                tags.map(|tags| tags.iter().map(ToString::to_string).collect()),
            );
            (caller, action.to_owned(), facts)
        })
}

/// What a document says of a request, straight from its statements: 2 allowed, 1 nothing, 0 denied.
fn says(document: &Document, (caller, action, facts): &(Caller, String, Facts)) -> u8 {
    let applies = |effect: Effect| {
        document.statements.iter().any(|statement| {
            statement.effect == effect
                && statement.principals.as_ref().unwrap().covers(caller).unwrap()
                && statement.actions.covers(action)
                && statement.conditions.iter().all(|one| one.holds(facts) == Truth::Yes)
        })
    };
    match (applies(Effect::Deny), applies(Effect::Allow)) {
        (true, _) => 0,
        (false, true) => 2,
        (false, false) => 1,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever is said of two policies holds for every request that can be thought of.
    #[test]
    fn no_request_contradicts_a_verdict(
        expected in prop::collection::vec(a_statement(), 1..4),
        actual in prop::collection::vec(a_statement(), 1..4),
        requests in prop::collection::vec(a_request(), 60),
    ) {
        let expected = document(json!(expected), Kind::Repository);
        let actual = document(json!(actual), Kind::Repository);
        if let Comparison::Decided(drift) = diff(&expected, &actual, None) {
            for request in requests {
                let (before, after) = (says(&expected, &request), says(&actual, &request));
                let fits = match drift.relation {
                    Relation::Equivalent => before == after,
                    Relation::Broader => before <= after,
                    Relation::Narrower => before >= after,
                    Relation::Incomparable => true,
                };
                prop_assert!(fits, "{:?}: {before} -> {after} for {request:?}", drift.relation);
            }
        }
    }

    /// Turned round, the verdict turns round; and a policy is equivalent to itself in any order.
    #[test]
    fn verdicts_are_symmetric_and_order_is_nothing(
        one in prop::collection::vec(a_statement(), 1..4),
        two in prop::collection::vec(a_statement(), 1..4),
    ) {
        let mut backwards = one.clone();
        backwards.reverse();
        prop_assert_eq!(relation(json!(one), json!(backwards)), Relation::Equivalent);
        let there = compared(json!(one), json!(two), Kind::Repository);
        let back = compared(json!(two), json!(one), Kind::Repository);
        match (there, back) {
            (Comparison::Decided(there), Comparison::Decided(back)) => {
                let turned = match there.relation {
                    Relation::Broader => Relation::Narrower,
                    Relation::Narrower => Relation::Broader,
                    same => same,
                };
                prop_assert_eq!(back.relation, turned);
            }
            (there, back) => prop_assert_eq!(
                matches!(there, Comparison::Undecided(_)),
                matches!(back, Comparison::Undecided(_))
            ),
        }
    }
}
