//! The actions of Amazon ECR, as of November 2026. What is not here may come to exist: nothing
//! that is decided rests on the list being whole.
//!
//! Source: service authorization reference and the service's API model.

/// An action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EcrAction {
    /// Its name, without `ecr:`.
    pub name: &'static str,
    /// Whether it is asked for a repository; else for the registry, whose resource is `*`.
    pub of_repository: bool,
}

/// What a pull asks for, in its order.
pub const PULL: &[&str] =
    &["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"];

/// What a push asks for, in its order.
pub const PUSH: &[&str] = &[
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
];

/// The only actions that a registry policy of scope V1 speaks of.
pub const REGISTRY_V1: &[&str] =
    &["ecr:ReplicateImage", "ecr:BatchImportUpstreamImage", "ecr:CreateRepository"];

/// What stands in a list of actions for those that may come to exist.
pub const FUTURE_ACTIONS: &str = "future actions";

const fn repository(name: &'static str) -> EcrAction {
    EcrAction { name, of_repository: true }
}

const fn registry(name: &'static str) -> EcrAction {
    EcrAction { name, of_repository: false }
}

/// Every action; those of pull and push first.
pub const ACTIONS: &[EcrAction] = &[
    repository("BatchGetImage"),
    repository("GetDownloadUrlForLayer"),
    repository("BatchCheckLayerAvailability"),
    repository("InitiateLayerUpload"),
    repository("UploadLayerPart"),
    repository("CompleteLayerUpload"),
    repository("PutImage"),
    repository("BatchDeleteImage"),
    repository("BatchGetRepositoryScanningConfiguration"),
    repository("BatchImportUpstreamImage"),
    repository("CreateRepository"),
    repository("DeleteLifecyclePolicy"),
    repository("DeleteRepository"),
    repository("DeleteRepositoryPolicy"),
    repository("DescribeImageReplicationStatus"),
    repository("DescribeImageScanFindings"),
    repository("DescribeImageSigningStatus"),
    repository("DescribeImages"),
    repository("DescribeRepositories"),
    repository("GetImageCopyStatus"),
    repository("GetLifecyclePolicy"),
    repository("GetLifecyclePolicyPreview"),
    repository("GetRepositoryPolicy"),
    repository("ListImageReferrers"),
    repository("ListImages"),
    repository("ListTagsForResource"),
    repository("PutImageScanningConfiguration"),
    repository("PutImageTagMutability"),
    repository("PutLifecyclePolicy"),
    repository("ReplicateImage"),
    repository("SetRepositoryPolicy"),
    repository("StartImageScan"),
    repository("StartLifecyclePolicyPreview"),
    repository("TagResource"),
    repository("UntagResource"),
    repository("UpdateImageStorageClass"),
    registry("CreatePullThroughCacheRule"),
    registry("CreateRepositoryCreationTemplate"),
    registry("DeletePullThroughCacheRule"),
    registry("DeleteRegistryPolicy"),
    registry("DeleteRepositoryCreationTemplate"),
    registry("DeleteSigningConfiguration"),
    registry("DeregisterPullTimeUpdateExclusion"),
    registry("DescribePullThroughCacheRules"),
    registry("DescribeRegistry"),
    registry("DescribeReplicationBackfillResults"),
    registry("DescribeRepositoryCreationTemplates"),
    registry("GetAccountSetting"),
    registry("GetAuthorizationToken"),
    registry("GetRegistryPolicy"),
    registry("GetRegistryScanningConfiguration"),
    registry("GetSigningConfiguration"),
    registry("ListPullTimeUpdateExclusions"),
    registry("ListReplicationBackfills"),
    registry("PutAccountSetting"),
    registry("PutRegistryPolicy"),
    registry("PutRegistryScanningConfiguration"),
    registry("PutReplicationConfiguration"),
    registry("PutSigningConfiguration"),
    registry("RegisterPullTimeUpdateExclusion"),
    registry("StartReplicationBackfill"),
    registry("StopReplicationBackfill"),
    registry("UpdatePullThroughCacheRule"),
    registry("UpdateRepositoryCreationTemplate"),
    registry("ValidatePullThroughCacheRule"),
];

/// The action whose name is nearly that (`ecr:NAME`), if there is one.
pub(super) fn nearest(text: &str) -> Option<String> {
    let name = text.split_once(':')?.1.to_ascii_lowercase();
    ACTIONS
        .iter()
        .map(|action| {
            (strsim::damerau_levenshtein(&name, &action.name.to_ascii_lowercase()), action.name)
        })
        .filter(|(distance, _)| *distance <= 3 && name.len() < 64)
        .min()
        .map(|(_, name)| format!("ecr:{name}"))
}

/// The action of that name (`ecr:NAME`, in any case).
pub fn find(text: &str) -> Option<&'static EcrAction> {
    let (service, name) = text.split_once(':')?;
    ACTIONS.iter().find(|action| {
        service.eq_ignore_ascii_case("ecr") && action.name.eq_ignore_ascii_case(name)
    })
}
