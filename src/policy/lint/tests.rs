#![allow(clippy::needless_pass_by_value)]

use serde_json::{Value, json};

use super::{super::document::parse, *};

fn found(kind: Kind, statement: Value, place: &Place<'_>) -> Vec<(Severity, &'static str)> {
    let text = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
    let findings = lint(&parse(&text, kind).unwrap(), place);
    findings.iter().map(|one| (one.severity, one.reason.code())).collect()
}

/// A statement of a pull for an account, with members in place of its own.
fn pull(members: Value) -> Value {
    let mut statement = json!({
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::210987654321:root"},
        "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
    });
    for (name, value) in members.as_object().unwrap() {
        statement[name] = value.clone();
        if name == "NotPrincipal" {
            statement.as_object_mut().unwrap().remove("Principal");
        }
    }
    statement
}

#[test]
fn a_sound_policy_has_no_findings() {
    for kind in [Kind::Repository, Kind::Registry] {
        assert_eq!(found(kind, pull(json!({"Resource": "*"})), &Place::default()), []);
    }
    let org =
        json!({"Principal": "*", "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}});
    assert_eq!(found(Kind::Repository, pull(org), &Place::default()), []);
}

#[test]
fn each_mistake_that_aws_stores_is_found() {
    use Severity::{Error, Note, Warning};
    let when = |condition: Value| json!({"Condition": condition});
    for (members, severity, code) in [
        (json!({"Principal": {"AWS": "AROAEXAMPLE123456789"}}), Error, "policy_orphan"),
        (json!({"Principal": "*"}), Error, "policy_public"),
        (
            json!({"Principal": "*", "Condition": {"StringLike": {"aws:PrincipalArn": "*"}}}),
            Error,
            "policy_public",
        ),
        (
            json!({"Principal": "*", "Condition": {"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-1"}}}),
            Error,
            "policy_public",
        ),
        (
            json!({"Effect": "Deny", "NotPrincipal": {"AWS": "arn:aws:iam::210987654321:role/x"}}),
            Error,
            "policy_not_principal",
        ),
        (
            json!({"Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImages"]}),
            Warning,
            "policy_action_unknown",
        ),
        (
            json!({"Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "s3:GetObject"]}),
            Warning,
            "policy_action_unknown",
        ),
        (json!({"Action": ["ecr:GetAuthorizationToken"]}), Warning, "policy_token_in_resource"),
        (json!({"Action": "ecr:BatchGetImage"}), Error, "policy_partial_pull"),
        (json!({"Action": "ecr:GetDownload*"}), Error, "policy_partial_pull"),
        (
            json!({"Resource": "arn:aws:us-east-2:123456789012:repository/*"}),
            Error,
            "policy_arn_malformed",
        ),
        (
            json!({"Resource": "arn:aws:ecr:eu-west-1:12345:repository/app"}),
            Error,
            "policy_arn_malformed",
        ),
        (
            json!({"Resource": "arn:aws:ecr:eu-west-1:123456789012:app"}),
            Error,
            "policy_arn_malformed",
        ),
        (
            json!({"Resource": "arn:aws:ecr:cn-north-1:123456789012:repository/app"}),
            Error,
            "policy_arn_malformed",
        ),
        (
            json!({"Resource": "arn:aws:ecr:eu-west-1:123456789012:repository/app"}),
            Note,
            "policy_resource_in_repository",
        ),
        (
            when(json!({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}})),
            Warning,
            "policy_condition_docker",
        ),
        (when(json!({"StringEquals": {"aws:PrincipalOrgID": []}})), Error, "policy_condition_dead"),
        (
            when(json!({"StringEquals": {"aws:RequestTag/team": "a"}})),
            Warning,
            "policy_condition_dead",
        ),
    ] {
        assert_eq!(
            found(Kind::Repository, pull(members.clone()), &Place::default()),
            [(severity, code)],
            "{members}"
        );
    }
}

#[test]
fn what_is_known_of_the_place_sharpens_the_findings() {
    let place = Place {
        registry: Some(("aws", "eu-west-1", "123456789012")),
        scope: RegistryScope::V1,
        own_role: Some(("AROAOTHER12345678901", "ecsInstanceRole")),
    };
    let orphan = pull(json!({"Principal": {"AWS": "AROAEXAMPLE123456789"}}));
    assert_eq!(
        found(Kind::Repository, orphan, &place),
        [(Severity::Error, "policy_previous_role")]
    );
    let region = pull(
        json!({"Resource": "arn:aws:ecr:eu-west-2:123456789012:repository/*", "Action": "ecr:ReplicateImage"}),
    );
    assert_eq!(found(Kind::Registry, region, &place), [(Severity::Error, "policy_arn_malformed")]);
    assert_eq!(
        found(Kind::Registry, pull(json!({"Resource": "*"})), &place),
        [(Severity::Error, "policy_registry_scope")]
    );
    let china = pull(json!({"Principal": {"AWS": "arn:aws-cn:iam::210987654321:role/x"}}));
    assert_eq!(found(Kind::Repository, china, &place), [(Severity::Error, "policy_arn_malformed")]);
}

#[test]
fn an_identity_that_may_mint_tokens_for_one_repository_only_may_not_mint_any() {
    let statement = |resource: &str| json!({"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": resource});
    let narrow = statement("arn:aws:ecr:eu-west-1:123456789012:repository/app");
    assert_eq!(
        found(Kind::Identity, narrow, &Place::default()),
        [(Severity::Error, "policy_token_resource")]
    );
    assert_eq!(found(Kind::Identity, statement("*"), &Place::default()), []);
}

#[test]
fn the_whole_document_is_looked_at_too() {
    let statement = pull(json!({"Sid": "a"}));
    let text = json!({"Statement": [statement, pull(json!({"Sid": "a", "Condition": {"StringEquals": {"aws:x": "${aws:y}"}}}))]});
    let padded = format!("{text}{}", " ".repeat(9_300));
    let codes: Vec<&str> = lint(&parse(&padded, Kind::Repository).unwrap(), &Place::default())
        .iter()
        .map(|one| one.reason.code())
        .collect();
    assert_eq!(codes, ["policy_nearly_full", "policy_sid_twice", "policy_variable_literal"]);
}
