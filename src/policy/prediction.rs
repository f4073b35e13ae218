//! What the primary account's policies predict, against what a test pull saw. Pure.

use crate::model::{
    outcome::{Problem, Verdict},
    reason::Reason,
};

/// What a test pull says of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It pulled.
    Pulled,
    /// It was denied, by the layer that this reason names.
    Denied(Reason),
    /// It failed otherwise: that says nothing of access.
    Otherwise,
}

impl Seen {
    /// What a probe's verdict says.
    pub fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Ok => Self::Pulled,
            Verdict::Bad(problem) => match problem.reason {
                denial @ (Reason::IdentityPolicy
                | Reason::ResourcePolicyOrRepository
                | Reason::ExplicitDeny
                | Reason::OrganizationPolicy
                | Reason::VpcEndpointPolicy
                | Reason::PartialGrant
                | Reason::AccessDenied) => Self::Denied(denial),
                _ => Self::Otherwise,
            },
            Verdict::Unknown(_) => Self::Otherwise,
        }
    }
}

/// Whether prediction and pull agree; `None` where one of them says nothing. `predicted`: what the
/// primary account's policies allow this host.
pub fn agrees(predicted: Option<bool>, seen: Seen) -> Option<bool> {
    match (predicted?, seen) {
        (_, Seen::Otherwise) => None,
        (allowed, Seen::Pulled) => Some(allowed),
        (allowed, Seen::Denied(_)) => Some(!allowed),
    }
}

/// A disagreement, and which layers are left for it.
pub fn disagreement(probe: &str, predicted: Option<bool>, seen: Seen) -> Option<Problem> {
    if agrees(predicted, seen) != Some(false) {
        return None;
    }
    let what = match seen {
        Seen::Denied(Reason::AccessDenied) => {
            "the repository's and the registry's policies allow it, the pull is denied: left are the caller's own policies, service control policies and the VPC endpoint's".to_owned()
        }
        Seen::Denied(Reason::ResourcePolicyOrRepository | Reason::PartialGrant) => {
            "the policies that were read allow it, the registry says that none does: they were read as another principal than pulls, or changed since".to_owned()
        }
        Seen::Denied(layer) => {
            format!("the primary account's policies allow it, the pull is denied elsewhere: {}", layer.text())
        }
        _ => "the policies that were read do not allow it, and the pull works: another policy allows it that could not be read, or they changed since".to_owned(),
    };
    Some(Problem::new(Reason::PolicyPredictionWrong, format!("probe {probe}: {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(reason: Reason) -> Verdict {
        Verdict::Bad(Problem::new(reason, ""))
    }

    #[test]
    fn only_a_pull_or_a_denial_says_anything_of_access() {
        assert_eq!(agrees(Some(true), Seen::of(&Verdict::Ok)), Some(true));
        assert_eq!(agrees(Some(false), Seen::of(&Verdict::Ok)), Some(false));
        assert_eq!(agrees(Some(true), Seen::of(&failed(Reason::OrganizationPolicy))), Some(false));
        assert_eq!(agrees(Some(false), Seen::of(&failed(Reason::AccessDenied))), Some(true));
        for silent in [failed(Reason::NameUnresolved), failed(Reason::ImageMissing)] {
            assert_eq!(agrees(Some(true), Seen::of(&silent)), None, "{silent:?}");
        }
        assert_eq!(agrees(None, Seen::Pulled), None);
    }

    #[test]
    fn a_disagreement_names_the_layers_that_are_left() {
        let told = |seen| disagreement("web", Some(true), seen).unwrap().detail;
        assert!(told(Seen::Denied(Reason::AccessDenied)).contains("service control policies"));
        assert!(told(Seen::Denied(Reason::OrganizationPolicy)).contains("organization's policy"));
        let worked = disagreement("web", Some(false), Seen::Pulled).unwrap();
        assert!(worked.detail.contains("could not be read"), "{worked}");
        assert_eq!(disagreement("web", Some(true), Seen::Pulled), None);
    }
}
