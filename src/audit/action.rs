//! What an API call is for: the closed list of event names that mean something here. Pure.

use serde::Serialize;

/// What a call does, in the words of those who read a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A token is fetched.
    Token,
    /// A manifest or a layer is fetched.
    Pull,
    /// A layer or a manifest is written.
    Push,
    /// Images or a repository go away, or can't be pulled any more.
    Delete,
    /// A repository is made.
    Create,
    /// A repository's or the registry's policy changes.
    Policy,
    /// A setting of the registry or of a repository changes.
    Setting,
    /// A repository creation template changes.
    Template,
    /// A pull-through cache rule changes.
    PullThrough,
    /// A lifecycle policy changes, or has removed images.
    Lifecycle,
    /// Replication changes.
    Replication,
    /// Scanning changes.
    Scanning,
    /// A KMS key or grant changes.
    Kms,
    /// A role is assumed.
    Assume,
    /// Something is looked at.
    Read,
    /// Anything else.
    Other,
}

/// Every event that is counted by its name; ECR's API and what KMS and STS add to it.
const KNOWN: &[(&str, Operation)] = &[
    ("GetAuthorizationToken", Operation::Token),
    ("BatchGetImage", Operation::Pull),
    ("GetDownloadUrlForLayer", Operation::Pull),
    ("BatchCheckLayerAvailability", Operation::Push),
    ("InitiateLayerUpload", Operation::Push),
    ("UploadLayerPart", Operation::Push),
    ("CompleteLayerUpload", Operation::Push),
    ("PutImage", Operation::Push),
    ("ReplicateImage", Operation::Push),
    ("BatchImportUpstreamImage", Operation::Push),
    ("BatchDeleteImage", Operation::Delete),
    ("DeleteRepository", Operation::Delete),
    ("UpdateImageStorageClass", Operation::Delete),
    ("CreateRepository", Operation::Create),
    ("SetRepositoryPolicy", Operation::Policy),
    ("DeleteRepositoryPolicy", Operation::Policy),
    ("PutRegistryPolicy", Operation::Policy),
    ("DeleteRegistryPolicy", Operation::Policy),
    ("PutAccountSetting", Operation::Setting),
    ("PutImageTagMutability", Operation::Setting),
    ("PutSigningConfiguration", Operation::Setting),
    ("DeleteSigningConfiguration", Operation::Setting),
    ("RegisterPullTimeUpdateExclusion", Operation::Setting),
    ("DeregisterPullTimeUpdateExclusion", Operation::Setting),
    ("CreateRepositoryCreationTemplate", Operation::Template),
    ("UpdateRepositoryCreationTemplate", Operation::Template),
    ("DeleteRepositoryCreationTemplate", Operation::Template),
    ("CreatePullThroughCacheRule", Operation::PullThrough),
    ("UpdatePullThroughCacheRule", Operation::PullThrough),
    ("DeletePullThroughCacheRule", Operation::PullThrough),
    ("PutLifecyclePolicy", Operation::Lifecycle),
    ("DeleteLifecyclePolicy", Operation::Lifecycle),
    ("PolicyExecutionEvent", Operation::Lifecycle),
    ("PutReplicationConfiguration", Operation::Replication),
    ("PutImageScanningConfiguration", Operation::Scanning),
    ("PutRegistryScanningConfiguration", Operation::Scanning),
    ("DescribeRepositories", Operation::Read),
    ("DescribeImages", Operation::Read),
    ("ListImages", Operation::Read),
    ("GetRepositoryPolicy", Operation::Read),
    ("GetRegistryPolicy", Operation::Read),
    ("RevokeGrant", Operation::Kms),
    ("RetireGrant", Operation::Kms),
    ("CreateGrant", Operation::Kms),
    ("DisableKey", Operation::Kms),
    ("ScheduleKeyDeletion", Operation::Kms),
    ("PutKeyPolicy", Operation::Kms),
    ("AssumeRole", Operation::Assume),
];

/// What an event of this name does.
pub fn operation(name: &str) -> Operation {
    if let Some((_, operation)) = KNOWN.iter().find(|(known, _)| *known == name) {
        return *operation;
    }
    let looks = ["Describe", "List", "Get", "BatchGet", "Validate"];
    if looks.iter().any(|start| name.starts_with(start)) {
        Operation::Read
    } else {
        Operation::Other
    }
}

/// The name as a metric's label: one of the list, or `other`.
pub fn label(name: &str) -> &'static str {
    KNOWN.iter().find(|(known, _)| *known == name).map_or("other", |(known, _)| known)
}

impl Operation {
    /// The word in tables and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Create => "create",
            Self::Policy => "policy",
            Self::Setting => "setting",
            Self::Template => "template",
            Self::PullThrough => "pull-through",
            Self::Lifecycle => "lifecycle",
            Self::Replication => "replication",
            Self::Scanning => "scanning",
            Self::Kms => "kms",
            Self::Assume => "assume",
            Self::Read => "read",
            Self::Other => "other",
        }
    }
}
