//! The words of an access denial, in IAM's own format. Pure.
//!
//! `User: ARN is not authorized to perform: ACTION on resource: ARN because no POLICY allows the
//! ACTION action`, or `with an explicit deny in a POLICY`. Through the registry's front door the tail
//! is not documented for every kind of policy, so it is read openly and the raw text is kept.

/// A denial, as far as its words go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denial {
    /// Who was denied.
    pub principal: Option<String>,
    /// `ecr:BatchGetImage`.
    pub action: Option<String>,
    /// On what.
    pub resource: Option<String>,
    /// Which kind of policy is named.
    pub policy: Option<PolicyKind>,
    /// Whether that policy denies; else it only does not allow.
    pub explicit: bool,
}

/// The kinds of policy that IAM's words tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyKind {
    /// The role's or user's own.
    Identity,
    /// The repository's or the registry's.
    Resource,
    /// An organization's service control policy.
    ServiceControl,
    /// An organization's resource control policy.
    ResourceControl,
    /// The role's permissions boundary.
    Boundary,
    /// The session's policy.
    Session,
    /// A VPC endpoint's policy.
    Endpoint,
}

impl PolicyKind {
    const WORDS: [(&'static str, Self); 8] = [
        ("identity-based polic", Self::Identity),
        ("resource-based polic", Self::Resource),
        ("service control polic", Self::ServiceControl),
        ("resource control polic", Self::ResourceControl),
        ("permissions boundar", Self::Boundary),
        ("session polic", Self::Session),
        ("vpc endpoint polic", Self::Endpoint),
        ("vpce polic", Self::Endpoint),
    ];

    /// What people call it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Identity => "the identity's policy",
            Self::Resource => "the repository's or registry's policy",
            Self::ServiceControl => "a service control policy of the organization",
            Self::ResourceControl => "a resource control policy of the organization",
            Self::Boundary => "the role's permissions boundary",
            Self::Session => "the session's policy",
            Self::Endpoint => "the VPC endpoint's policy",
        }
    }
}

impl Denial {
    /// Reads the words; `None` if they are no denial in this format.
    pub fn parse(text: &str) -> Option<Self> {
        let (before, after) = text.split_once("is not authorized to perform:")?;
        let principal = before.rsplit_once("User:").map(|(_, who)| who.trim().to_owned());
        let word = |text: &str| text.split_whitespace().next().map(str::to_owned);
        let action = word(after);
        let resource = after.split_once("on resource:").and_then(|(_, rest)| word(rest));
        let lower = after.to_lowercase();
        let explicit = lower.contains("explicit deny");
        let tail = ["with an explicit deny in", "because no"]
            .iter()
            .find_map(|mark| lower.split_once(mark).map(|(_, tail)| tail.to_owned()))
            .unwrap_or_default();
        let policy =
            PolicyKind::WORDS.iter().find(|(words, _)| tail.contains(words)).map(|(_, kind)| *kind);
        Some(Self { principal, action, resource, policy, explicit })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WHO: &str = "arn:aws:sts::210987654321:assumed-role/host/i-1";
    const WHAT: &str = "arn:aws:ecr:eu-west-1:123456789012:repository/app/web";

    #[test]
    fn each_kind_of_policy_is_read_out_of_the_words() {
        for (tail, policy, explicit) in [
            (
                "because no identity-based policy allows the ecr:BatchGetImage action",
                Some(PolicyKind::Identity),
                false,
            ),
            (
                "because no resource-based policy allows the ecr:BatchGetImage action",
                Some(PolicyKind::Resource),
                false,
            ),
            (
                "because no VPC endpoint policy allows the ecr:BatchGetImage action",
                Some(PolicyKind::Endpoint),
                false,
            ),
            (
                "with an explicit deny in a service control policy",
                Some(PolicyKind::ServiceControl),
                true,
            ),
            (
                "with an explicit deny in a resource control policy: arn:aws:x",
                Some(PolicyKind::ResourceControl),
                true,
            ),
            ("with an explicit deny in a permissions boundary", Some(PolicyKind::Boundary), true),
            ("because no session policy allows it", Some(PolicyKind::Session), false),
            ("because of something new", None, false),
            ("", None, false),
        ] {
            let text = format!(
                "User: {WHO} is not authorized to perform: ecr:BatchGetImage on resource: {WHAT} {tail}"
            );
            let denial = Denial::parse(&text).unwrap();
            assert_eq!(denial.principal.as_deref(), Some(WHO));
            assert_eq!(denial.action.as_deref(), Some("ecr:BatchGetImage"));
            assert_eq!(denial.resource.as_deref(), Some(WHAT));
            assert_eq!((denial.policy, denial.explicit), (policy, explicit), "{tail}");
        }
        assert_eq!(Denial::parse("Your authorization token has expired."), None);
    }

    proptest! {
        #[test]
        fn no_words_make_it_fail(a in "\\PC{0,30}", b in "\\PC{0,60}") {
            let _ = Denial::parse(&format!("{a}is not authorized to perform:{b}"));
        }
    }
}
