//! The policies that the primary and the secondary account need, out of a few facts.

mod terraform;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use super::{document::ECR_POLICY_CHARACTERS, principal::Who};

pub use terraform::terraform;

/// What a principal may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Pull.
    Pull,
    /// Push; a push looks at what is there, but does not pull.
    Push,
    /// Both.
    Both,
}

/// What is known.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The partition, `aws` in most regions.
    pub partition: String,
    /// The registry's region.
    pub region: String,
    /// The primary account.
    pub account: String,
    /// Accounts or ARNs of roles and users that are given access.
    pub principals: Vec<String>,
    /// What they may do.
    pub wanted: Wanted,
    /// Repositories, by name or with wildcards; none means all.
    pub repositories: Vec<String>,
    /// Whether they may read the repository policies too, so that drift can be seen from there.
    pub read_policy: bool,
    /// The external id of the audit role's trust policy.
    pub external_id: Option<String>,
}

/// Which policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The primary's registry policy.
    Registry,
    /// The policy of a repository of the primary's.
    Repository,
    /// The secondary role's own policy.
    Identity,
    /// What the audit role in the primary account may do.
    Audit,
    /// Who may assume the audit role.
    AuditTrust,
}

/// In the order in which AWS's own article has them.
const ORDER: [(&str, bool, bool); 7] = [
    ("ecr:GetDownloadUrlForLayer", true, false),
    ("ecr:BatchGetImage", true, false),
    ("ecr:BatchCheckLayerAvailability", true, true),
    ("ecr:PutImage", false, true),
    ("ecr:InitiateLayerUpload", false, true),
    ("ecr:UploadLayerPart", false, true),
    ("ecr:CompleteLayerUpload", false, true),
];

/// What an audit reads: calls without a registryId, which must be asked in the primary account.
const AUDIT: [&str; 9] = [
    "ecr:DescribePullThroughCacheRules",
    "ecr:DescribeRegistry",
    "ecr:DescribeRepositories",
    "ecr:DescribeRepositoryCreationTemplates",
    "ecr:GetAccountSetting",
    "ecr:GetRegistryPolicy",
    "ecr:GetRepositoryPolicy",
    "ecr:ListPullTimeUpdateExclusions",
    "cloudtrail:LookupEvents",
];

impl Plan {
    /// The actions that are given.
    fn actions(&self) -> Vec<&'static str> {
        let (pull, push) = match self.wanted {
            Wanted::Pull => (true, false),
            Wanted::Push => (false, true),
            Wanted::Both => (true, true),
        };
        let chosen =
            ORDER.iter().filter(|(_, pulls, pushes)| (pull && *pulls) || (push && *pushes));
        let mut actions: Vec<&str> = chosen.map(|(name, ..)| *name).collect();
        if self.read_policy {
            actions.push("ecr:GetRepositoryPolicy");
        }
        actions
    }

    fn arn(&self, name: &str) -> String {
        format!("arn:{}:ecr:{}:{}:repository/{name}", self.partition, self.region, self.account)
    }

    /// The repositories' ARNs, or what stands for all of them.
    fn resources(&self, all: &str) -> Value {
        if self.repositories.is_empty() {
            return one_or_list(vec![all.to_owned()]);
        }
        one_or_list(self.repositories.iter().map(|name| self.arn(name)).collect())
    }

    /// The principals, as AWS stores them.
    fn principal(&self) -> Value {
        let arns = self.principals.iter().map(|text| match Who::aws(text) {
            Ok(Who::Account(id)) => format!("arn:{}:iam::{id}:root", self.partition),
            _ => text.clone(),
        });
        json!({ "AWS": one_or_list(arns.collect()) })
    }

    fn sid(&self) -> &'static str {
        match self.wanted {
            Wanted::Pull => "AllowPull",
            Wanted::Push => "AllowPush",
            Wanted::Both => "AllowPushPull",
        }
    }

    /// Why the plan makes no policy of this piece.
    fn refused(&self, piece: Piece) -> Option<String> {
        let needs_principals = !matches!(piece, Piece::Identity | Piece::Audit);
        if needs_principals && self.principals.is_empty() {
            return Some("no principal was named: an account, or the ARN of a role".to_owned());
        }
        self.principals.iter().find_map(|text| match Who::aws(text) {
            Err(why) => Some(why),
            Ok(Who::UniqueId(id)) => Some(format!("{id} is what is left of a deleted principal")),
            Ok(Who::Everyone) => Some("\"*\" would open it to every account of AWS".to_owned()),
            Ok(_) => None,
        })
    }
}

fn one_or_list(mut texts: Vec<String>) -> Value {
    match (texts.len(), texts.pop()) {
        (1, Some(text)) => json!(text),
        (_, last) => {
            texts.extend(last);
            json!(texts)
        }
    }
}

/// The policy. The error says what the plan lacks.
pub fn render(plan: &Plan, piece: Piece) -> Result<Value, String> {
    if let Some(why) = plan.refused(piece) {
        return Err(why);
    }
    let all = plan.arn("*");
    let statements = match piece {
        // All repositories are "*", as in AWS's article.
        Piece::Registry => json!([{
            "Effect": "Allow",
            "Principal": plan.principal(),
            "Action": plan.actions(),
            "Resource": plan.resources("*"),
        }]),
        Piece::Repository => json!([{
            "Sid": plan.sid(),
            "Effect": "Allow",
            "Principal": plan.principal(),
            "Action": plan.actions(),
        }]),
        Piece::Identity => json!([
            {
                "Sid": "Token",
                "Effect": "Allow",
                "Action": "ecr:GetAuthorizationToken",
                "Resource": "*",
            },
            {
                "Sid": plan.sid(),
                "Effect": "Allow",
                "Action": plan.actions(),
                "Resource": plan.resources(&all),
            },
        ]),
        Piece::Audit => json!([{
            "Sid": "Audit",
            "Effect": "Allow",
            "Action": AUDIT,
            "Resource": "*",
        }]),
        Piece::AuditTrust => {
            let mut statement = json!({
                "Effect": "Allow",
                "Principal": plan.principal(),
                "Action": "sts:AssumeRole",
            });
            if let Some(id) = &plan.external_id {
                statement["Condition"] = json!({ "StringEquals": { "sts:ExternalId": id } });
            }
            json!([statement])
        }
    };
    let policy = json!({ "Version": "2012-10-17", "Statement": statements });
    let characters = format!("{policy:#}").chars().count();
    if matches!(piece, Piece::Registry | Piece::Repository) && characters > ECR_POLICY_CHARACTERS {
        return Err(format!(
            "{characters} characters: ECR takes {ECR_POLICY_CHARACTERS} at most; name accounts in place of roles, or fewer repositories"
        ));
    }
    Ok(policy)
}
