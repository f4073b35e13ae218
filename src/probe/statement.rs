//! The statement that would mend a denial, ready to paste, and the account whose policy it belongs
//! in. Pure.

use serde::Serialize;
use serde_json::{Value, json};

use super::denial::PolicyKind;
use crate::model::registry::partition_of_region;

/// What a pull asks ECR for. A plain pull does without the third; engines that look before they
/// fetch do not.
pub const PULL_ACTIONS: [&str; 3] =
    ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"];

/// What a push asks ECR for, in the order in which it does: all of a pull's, because it looks first.
pub const PUSH_ACTIONS: [&str; 7] = [
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
];

/// A statement and where it goes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Statement {
    /// The account whose policy it is, where it is known.
    pub account: Option<String>,
    /// Which policy, in words.
    pub policy: String,
    /// The statement.
    pub statement: Value,
}

/// The facts that a statement is made of.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Who pulls: an ARN.
    pub principal: Option<&'a str>,
    /// The repository's ARN.
    pub repository: Option<&'a str>,
    /// The registry's account.
    pub account: Option<&'a str>,
    /// Whether it is to push, too.
    pub pushes: bool,
}

/// What would mend a missing allowance of this kind; a denial that is explicit is mended by whoever
/// wrote it.
pub fn allowing(policy: PolicyKind, facts: &Facts<'_>) -> Option<Statement> {
    let repository = facts.repository?;
    let secondary = facts.principal.and_then(account_of).map(str::to_owned);
    let actions: &[&str] = if facts.pushes { &PUSH_ACTIONS } else { &PULL_ACTIONS };
    let (does, what) = if facts.pushes { ("pushes", "PushTo") } else { ("pulls", "PullFrom") };
    match policy {
        PolicyKind::Identity => Some(Statement {
            account: secondary,
            policy: format!("the policy of the identity that {does}"),
            statement: json!({
                "Sid": format!("{what}Ecr"), "Effect": "Allow",
                "Action": actions, "Resource": repository,
            }),
        }),
        PolicyKind::Resource => Some(Statement {
            account: facts.account.map(str::to_owned),
            policy: format!("the repository policy of {}", name_of(repository)),
            statement: json!({
                "Sid": if facts.pushes { "AllowPushPull" } else { "AllowPull" }, "Effect": "Allow",
                "Principal": { "AWS": grantee(facts.principal?) },
                "Action": actions,
            }),
        }),
        PolicyKind::Endpoint => Some(Statement {
            account: secondary,
            policy: "the policies of the VPC endpoints ecr.dkr and ecr.api".to_owned(),
            statement: json!({
                "Sid": format!("{what}Ecr"), "Effect": "Allow", "Principal": "*",
                "Action": actions, "Resource": repository,
            }),
        }),
        _ => None,
    }
}

/// What lets layers through the S3 endpoint. A condition on the caller's account would not do: the
/// URL is signed by ECR.
pub fn layers_from_s3(region: &str, principal: Option<&str>) -> Option<Statement> {
    let partition = partition_of_region(region)?.name;
    Some(Statement {
        account: principal.and_then(account_of).map(str::to_owned),
        policy: "the policy of the VPC endpoint for S3".to_owned(),
        statement: json!({
            "Sid": "EcrLayers", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
            "Resource": format!("arn:{partition}:s3:::prod-{region}-starport-layer-bucket/*"),
        }),
    })
}

/// What lets an identity mint.
pub fn minting(principal: Option<&str>) -> Statement {
    Statement {
        account: principal.and_then(account_of).map(str::to_owned),
        policy: "the policy of the identity that pulls".to_owned(),
        statement: json!({
            "Sid": "EcrLogin", "Effect": "Allow",
            "Action": "ecr:GetAuthorizationToken", "Resource": "*",
        }),
    }
}

/// A repository's ARN.
pub fn repository_arn(account: &str, region: &str, repository: &str) -> Option<String> {
    let partition = partition_of_region(region)?.name;
    Some(format!("arn:{partition}:ecr:{region}:{account}:repository/{repository}"))
}

/// The account in an ARN.
pub fn account_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| !account.is_empty())
}

fn name_of(arn: &str) -> &str {
    arn.split_once(":repository/").map_or(arn, |(_, name)| name)
}

/// Whom a policy names for a session: its role. A role's path is not in a session's ARN.
fn grantee(principal: &str) -> String {
    let parts: Vec<&str> = principal.splitn(6, ':').collect();
    if let ["arn", partition, "sts", _, account, rest] = parts.as_slice()
        && let Some(role) =
            rest.strip_prefix("assumed-role/").and_then(|rest| rest.split('/').next())
    {
        return format!("arn:{partition}:iam::{account}:role/{role}");
    }
    principal.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts<'static> = Facts {
        principal: Some("arn:aws:sts::210987654321:assumed-role/host/i-1"),
        repository: Some("arn:aws:ecr:eu-west-1:123456789012:repository/app/web"),
        account: Some("123456789012"),
        pushes: false,
    };

    #[test]
    fn each_statement_goes_to_the_account_whose_policy_it_is() {
        let identity = allowing(PolicyKind::Identity, &FACTS).unwrap();
        assert_eq!(identity.account.as_deref(), Some("210987654321"));
        assert_eq!(identity.statement["Resource"], FACTS.repository.unwrap());
        let resource = allowing(PolicyKind::Resource, &FACTS).unwrap();
        assert_eq!(resource.account.as_deref(), Some("123456789012"));
        assert_eq!(resource.statement["Principal"]["AWS"], "arn:aws:iam::210987654321:role/host");
        assert!(resource.statement.get("Resource").is_none(), "a repository policy has none");
        assert_eq!(allowing(PolicyKind::ServiceControl, &FACTS), None);
    }

    #[test]
    fn the_layer_bucket_is_the_regions_own_in_every_partition() {
        let china = layers_from_s3("cn-north-1", None).unwrap();
        assert_eq!(
            china.statement["Resource"],
            "arn:aws-cn:s3:::prod-cn-north-1-starport-layer-bucket/*"
        );
    }
}
