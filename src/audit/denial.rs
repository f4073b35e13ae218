//! Which layer denied a call, by AWS's own words. Pure.
//!
//! `... because no identity-based policy allows the ecr:BatchGetImage action` and `... with an
//! explicit deny in a service control policy`: the words are documented in IAM's user guide under
//! "Troubleshoot access denied error messages".

use serde::Serialize;

/// The policy that did not allow, or that forbade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// The caller's own policies.
    Identity,
    /// The repository's or the registry's policy, or a key's.
    Resource,
    /// A permissions boundary.
    Boundary,
    /// A session policy.
    Session,
    /// A service control policy of the organisation.
    ServiceControl,
    /// A resource control policy of the organisation.
    ResourceControl,
    /// A VPC endpoint's policy.
    Endpoint,
    /// AWS does not say.
    Unsaid,
}

/// A denied call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Denial {
    /// Where.
    pub layer: Layer,
    /// By a statement that says Deny, and not for want of one that says Allow.
    pub explicit: bool,
}

const WORDS: &[(&str, Layer)] = &[
    ("identity-based policy", Layer::Identity),
    ("resource-based policy", Layer::Resource),
    ("permissions boundary", Layer::Boundary),
    ("session policy", Layer::Session),
    ("service control policy", Layer::ServiceControl),
    ("resource control policy", Layer::ResourceControl),
    ("VPC endpoint policy", Layer::Endpoint),
];

/// Reads an `errorCode` with its `errorMessage`; `None` when it is no denial.
pub fn of(code: &str, message: &str) -> Option<Denial> {
    if code == "VpceAccessDenied" {
        return Some(Denial {
            layer: Layer::Endpoint,
            explicit: message.contains("explicit deny"),
        });
    }
    let denied = code.starts_with("AccessDenied")
        || code.ends_with("UnauthorizedOperation")
        || code == "Forbidden";
    if !denied {
        return None;
    }
    let explicit = message.find("explicit deny in a");
    let at = explicit.or_else(|| message.find("because no "));
    let clause = at.map(|at| &message[at..]).unwrap_or_default();
    let first = WORDS
        .iter()
        .filter_map(|(words, layer)| Some((clause.find(words)?, *layer)))
        .min_by_key(|(at, _)| *at);
    let layer = first.map_or(Layer::Unsaid, |(_, layer)| layer);
    Some(Denial { layer, explicit: explicit.is_some() })
}

impl Layer {
    /// The layer in words, as a sentence needs it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Identity => "the caller's own policies",
            Self::Resource => "the repository's or registry's policy",
            Self::Boundary => "the caller's permissions boundary",
            Self::Session => "the caller's session policy",
            Self::ServiceControl => "a service control policy of the organisation",
            Self::ResourceControl => "a resource control policy of the organisation",
            Self::Endpoint => "the VPC endpoint's policy",
            Self::Unsaid => "a layer that AWS does not name",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wording_of_aws_names_its_layer() {
        let message = |why: &str| {
            format!(
                "User: arn:aws:sts::210987654321:assumed-role/host/i-1 is not authorized to perform: ecr:BatchGetImage on resource: arn:aws:ecr:eu-west-1:123456789012:repository/session policy/app {why}"
            )
        };
        for (why, layer, explicit) in [
            (
                "because no identity-based policy allows the ecr:BatchGetImage action",
                Layer::Identity,
                false,
            ),
            (
                "because no resource-based policy allows the ecr:BatchGetImage action",
                Layer::Resource,
                false,
            ),
            (
                "because no permissions boundary allows the ecr:BatchGetImage action",
                Layer::Boundary,
                false,
            ),
            (
                "because no session policy allows the ecr:BatchGetImage action",
                Layer::Session,
                false,
            ),
            (
                "because no service control policy allows the ecr:BatchGetImage action",
                Layer::ServiceControl,
                false,
            ),
            (
                "because no VPC endpoint policy allows the ecr:BatchGetImage action",
                Layer::Endpoint,
                false,
            ),
            ("with an explicit deny in a service control policy", Layer::ServiceControl, true),
            ("with an explicit deny in a resource-based policy", Layer::Resource, true),
            (
                "with an explicit deny in an identity-based policy: arn:aws:iam::210987654321:policy/x",
                Layer::Identity,
                true,
            ),
            ("with an explicit deny", Layer::Unsaid, false),
            ("", Layer::Unsaid, false),
        ] {
            assert_eq!(
                of("AccessDenied", &message(why)),
                Some(Denial { layer, explicit }),
                "{why}"
            );
        }
        assert_eq!(of("VpceAccessDenied", "").unwrap().layer, Layer::Endpoint);
        assert_eq!(of("AccessDeniedException", "").unwrap().layer, Layer::Unsaid);
        assert_eq!(of("ImageNotFoundException", "because no session policy"), None);
    }
}
