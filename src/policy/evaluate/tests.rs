#![allow(clippy::needless_pass_by_value)]

use serde_json::{Value, json};

use super::{super::document::parse, *};

const REPOSITORY: &str = "arn:aws:ecr:eu-west-1:123456789012:repository/app";
const ROLE: &str = "arn:aws:iam::210987654321:role/ecsInstanceRole";
const SESSION: &str = "arn:aws:sts::210987654321:assumed-role/ecsInstanceRole/i-1";
const PULL: &str = "ecr:BatchGetImage";

fn policy(kind: Kind, statements: Value) -> Policy {
    let text = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    Policy { name: format!("{}.json", kind.word()), document: parse(&text, kind).unwrap() }
}

fn allow() -> Value {
    json!({"Effect": "Allow", "Action": "*", "Resource": "*"})
}

fn to(principal: Value) -> Value {
    json!({"Effect": "Allow", "Principal": principal, "Action": "ecr:*"})
}

fn with(mut statement: Value, members: Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        statement[name] = value.clone();
    }
    statement
}

/// The case's policies, a statement each.
fn policies(list: &[(Kind, Value)]) -> Policies {
    Policies {
        known: list.iter().map(|(kind, statement)| policy(*kind, statement.clone())).collect(),
        ..Policies::default()
    }
}

fn ask(principal: &str, action: &str, facts: Facts, policies: &Policies) -> Decision {
    evaluate(&Request::new(Caller::parse(principal).unwrap(), action, REPOSITORY, facts), policies)
}

fn access(principal: &str, list: &[(Kind, Value)]) -> (Access, Option<Kind>) {
    let decision = ask(principal, PULL, Facts::default(), &policies(list));
    assert_eq!(decision.unless.is_empty(), decision.access != Access::Undecided);
    (decision.access, decision.layer)
}

#[test]
fn across_accounts_both_sides_must_allow() {
    use Kind::{Identity, Registry, Repository};
    let account = || to(json!({"AWS": "210987654321"}));
    for (list, expected) in [
        (vec![(Identity, allow()), (Repository, account())], (Access::Allowed, Some(Repository))),
        (vec![(Identity, allow()), (Registry, account())], (Access::Allowed, Some(Registry))),
        (vec![(Identity, allow())], (Access::NotGranted, Some(Repository))),
        (vec![(Repository, account())], (Access::NotGranted, Some(Identity))),
        // Naming the very session does not rescue it across accounts.
        (vec![(Repository, to(json!({"AWS": SESSION})))], (Access::NotGranted, Some(Identity))),
        (
            vec![(Identity, allow()), (Repository, to(json!({"AWS": ROLE})))],
            (Access::Allowed, Some(Repository)),
        ),
        (
            vec![(Identity, allow()), (Repository, to(json!("*")))],
            (Access::Allowed, Some(Repository)),
        ),
        (
            vec![
                (Identity, allow()),
                (Repository, to(json!({"AWS": "arn:aws:iam::210987654321:role/other"}))),
            ],
            (Access::NotGranted, Some(Repository)),
        ),
        (
            vec![
                (Identity, allow()),
                (Repository, account()),
                (Registry, with(account(), json!({"Effect": "Deny"}))),
            ],
            (Access::Denied, Some(Registry)),
        ),
    ] {
        assert_eq!(access(SESSION, &list), expected, "{list:?}");
    }
}

#[test]
fn every_layer_of_the_caller_can_be_the_one_that_says_no() {
    let granted = |more: (Kind, Value)| {
        vec![(Kind::Identity, allow()), (Kind::Repository, to(json!({"AWS": ROLE}))), more]
    };
    let other = json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*"});
    let deny = json!({"Effect": "Deny", "Action": "ecr:Batch*", "Resource": "*"});
    for kind in [Kind::Boundary, Kind::Session, Kind::Scp] {
        assert_eq!(
            access(SESSION, &granted((kind, other.clone()))),
            (Access::NotGranted, Some(kind))
        );
        assert_eq!(access(SESSION, &granted((kind, deny.clone()))), (Access::Denied, Some(kind)));
        assert_eq!(access(SESSION, &granted((kind, allow()))).0, Access::Allowed);
    }
    let endpoint = with(to(json!("*")), json!({"Action": "ecr:PutImage", "Resource": "*"}));
    assert_eq!(
        access(SESSION, &granted((Kind::Endpoint, endpoint))),
        (Access::NotGranted, Some(Kind::Endpoint))
    );
    let rcp = with(to(json!("*")), json!({"Effect": "Deny", "Resource": "*"}));
    assert_eq!(access(SESSION, &granted((Kind::Rcp, rcp))), (Access::Denied, Some(Kind::Rcp)));
    // Beside policies that only deny stands FullAWSAccess.
    let elsewhere = json!({"Effect": "Deny", "Action": "s3:*", "Resource": "*"});
    let decision =
        ask(SESSION, PULL, Facts::default(), &policies(&granted((Kind::Scp, elsewhere))));
    assert_eq!(decision.access, Access::Allowed);
    assert!(decision.layers.contains(&(Kind::Scp, Says::DeniesNothing)));
}

#[test]
fn in_one_account_either_side_is_enough_as_far_as_it_reaches() {
    let own = "arn:aws:iam::123456789012:role/own";
    let session = "arn:aws:sts::123456789012:assumed-role/own/s";
    let limit = (Kind::Boundary, json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*"}));
    let given = |principal: &str| (Kind::Repository, to(json!({"AWS": principal})));
    for (list, expected) in [
        (vec![(Kind::Identity, allow())], Access::Allowed),
        (vec![given(own)], Access::Allowed),
        // An account gives on only what its own policies give on.
        (vec![given("123456789012")], Access::NotGranted),
        (vec![given("123456789012"), (Kind::Identity, allow())], Access::Allowed),
        // The boundary limits what a role is given, not what the session is.
        (vec![given(own), limit.clone()], Access::NotGranted),
        (vec![given(session), limit.clone()], Access::Allowed),
        (vec![], Access::NotGranted),
    ] {
        assert_eq!(access(session, &list).0, expected, "{list:?}");
    }
    let user = "arn:aws:iam::123456789012:user/anna";
    assert_eq!(access(user, &[given(user), limit]).0, Access::Allowed);
}

#[test]
fn a_token_is_the_callers_own_affair() {
    let list = policies(&[
        (
            Kind::Identity,
            json!({"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"}),
        ),
        (Kind::Repository, with(to(json!("*")), json!({"Effect": "Deny"}))),
    ]);
    let token = ask(SESSION, "ecr:GetAuthorizationToken", Facts::default(), &list);
    assert_eq!((token.access, token.layer), (Access::Allowed, Some(Kind::Identity)));
    let granted = policies(&[(Kind::Repository, to(json!({"AWS": ROLE})))]);
    let token = ask(SESSION, "ecr:GetAuthorizationToken", Facts::default(), &granted);
    assert_eq!((token.access, token.layer), (Access::NotGranted, Some(Kind::Identity)));
    // It can't be given for a repository.
    let narrow = policies(&[(
        Kind::Identity,
        json!({"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": REPOSITORY}),
    )]);
    let token = ask(SESSION, "ecr:GetAuthorizationToken", Facts::default(), &narrow);
    assert_eq!(token.access, Access::NotGranted);
    assert_eq!(token.closest, ["identity.json:1: statement 1: its Resource is not *"]);
}

#[test]
fn under_scope_v1_a_registry_policy_gives_no_pull() {
    let mut list =
        policies(&[(Kind::Identity, allow()), (Kind::Registry, to(json!({"AWS": ROLE})))]);
    for (scope, expected) in [
        (RegistryScope::V2, Access::Allowed),
        (RegistryScope::V1, Access::NotGranted),
        (RegistryScope::Unknown, Access::Undecided),
    ] {
        list.registry_scope = scope;
        assert_eq!(ask(SESSION, PULL, Facts::default(), &list).access, expected);
        let replicate = ask(SESSION, "ecr:ReplicateImage", Facts::default(), &list);
        assert_eq!(replicate.access, Access::Allowed);
    }
}

#[test]
fn what_is_not_known_is_never_guessed() {
    let granted = [(Kind::Identity, allow()), (Kind::Repository, to(json!({"AWS": ROLE})))];
    for kind in Kind::ALL {
        let mut list = policies(&granted);
        list.unknown.insert(kind);
        let decision = ask(SESSION, PULL, Facts::default(), &list);
        assert_eq!(decision.access, Access::Undecided, "{kind:?}");
        assert_eq!(
            decision.unless,
            [format!("{}, which can't be read, is against it", kind.noun())]
        );
    }
    // What is denied for sure is denied, whatever else is not known.
    let mut denied =
        policies(&[(Kind::Scp, json!({"Effect": "Deny", "Action": "*", "Resource": "*"}))]);
    denied.unknown.extend(Kind::ALL);
    assert_eq!(ask(SESSION, PULL, Facts::default(), &denied).access, Access::Denied);
    // So is what nobody who is known could allow.
    let mut nothing = policies(&[]);
    nothing.unknown.insert(Kind::Scp);
    assert_eq!(ask(SESSION, PULL, Facts::default(), &nothing).access, Access::NotGranted);
}

#[test]
fn a_condition_on_what_is_not_known_is_told_with_its_key() {
    let org = json!({"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}});
    let list =
        policies(&[(Kind::Identity, allow()), (Kind::Repository, with(to(json!("*")), org))]);
    let facts = |value: &str| {
        let mut facts = Facts::default();
        facts.add("aws:PrincipalOrgID", value);
        facts
    };
    let open = ask(SESSION, PULL, Facts::default(), &list);
    assert_eq!(open.access, Access::Undecided);
    assert_eq!(
        open.unless,
        [
            "repository.json:1: statement 1 does not apply: it asks for StringEquals aws:PrincipalOrgID o-1, and that key is not known"
        ]
    );
    assert_eq!(ask(SESSION, PULL, facts("o-1"), &list).access, Access::Allowed);
    let other = ask(SESSION, PULL, facts("o-2"), &list);
    assert_eq!(other.access, Access::NotGranted);
    assert_eq!(
        other.closest,
        [
            "repository.json:1: statement 1: its condition is not met: StringEquals aws:PrincipalOrgID o-1"
        ]
    );
    assert_eq!(ask(SESSION, PULL, facts(""), &list).access, Access::NotGranted);
}

#[test]
fn a_deleted_role_of_the_same_name_is_not_the_role() {
    let orphan = to(json!({"AWS": "AROAEXAMPLE123456789"}));
    let list = policies(&[(Kind::Identity, allow()), (Kind::Repository, orphan)]);
    let by_id = |id: &str| {
        let caller = Caller::parse(SESSION).unwrap().with_unique_id(id);
        evaluate(&Request::new(caller, PULL, REPOSITORY, Facts::default()), &list).access
    };
    assert_eq!(by_id("AROAEXAMPLE123456789:i-1"), Access::Allowed);
    assert_eq!(by_id("AROAOTHER12345678901:i-1"), Access::NotGranted);
    assert_eq!(
        access(
            SESSION,
            &[
                (Kind::Identity, allow()),
                (Kind::Repository, to(json!({"AWS": "AROAEXAMPLE123456789"})))
            ]
        )
        .0,
        Access::Undecided
    );
}

#[test]
fn an_exception_by_not_principal_must_name_the_role_and_its_account() {
    let deny = |except: Value| {
        let mut statement =
            with(to(json!("*")), json!({"Effect": "Deny", "NotPrincipal": {"AWS": except}}));
        statement.as_object_mut().unwrap().remove("Principal");
        vec![
            (Kind::Identity, allow()),
            (Kind::Repository, to(json!({"AWS": ROLE}))),
            (Kind::Registry, statement),
        ]
    };
    assert_eq!(access(SESSION, &deny(json!([ROLE]))).0, Access::Denied);
    assert_eq!(access(SESSION, &deny(json!([ROLE, "210987654321"]))).0, Access::Denied);
    assert_eq!(access(SESSION, &deny(json!([ROLE, "210987654321", SESSION]))).0, Access::Allowed);
}

#[test]
fn a_denial_comes_with_the_smallest_statement_and_where_it_belongs() {
    let nothing = ask(SESSION, PULL, Facts::default(), &policies(&[(Kind::Identity, allow())]));
    let paste = nothing.paste.unwrap();
    assert_eq!(paste.into, format!("the policy of {REPOSITORY}"));
    assert_eq!(
        paste.statement,
        json!({"Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": PULL})
    );
    // It does what it says.
    let list = policies(&[(Kind::Identity, allow()), (Kind::Repository, paste.statement)]);
    assert_eq!(ask(SESSION, PULL, Facts::default(), &list).access, Access::Allowed);
    // What has no registryId can't be granted at all.
    let own = ask(
        SESSION,
        "ecr:GetRegistryPolicy",
        Facts::default(),
        &policies(&[(Kind::Identity, allow()), (Kind::Registry, to(json!("*")))]),
    );
    assert_eq!((own.access, own.paste), (Access::NotGranted, None));
    assert!(own.note.unwrap().contains("own registry only"));
}
