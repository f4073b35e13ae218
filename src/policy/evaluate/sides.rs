//! The two sides of a request, the caller's and the registry's, and what must be met on each.

use super::{
    super::{document::Kind, principal::Who},
    ORDER, Policies, Request,
    layer::{Answer, Grantee},
    own_registry_only,
};

/// Three-valued: it is so, it is not, or it depends on these.
pub(super) enum Met {
    Yes,
    No,
    Depends(Vec<String>),
}

/// What every layer says.
pub(super) struct Answers(Vec<(Kind, Answer)>);

impl Answers {
    pub(super) fn of(request: &Request, policies: &Policies) -> Self {
        Self(ORDER.iter().map(|kind| (*kind, Answer::of(*kind, request, policies))).collect())
    }

    pub(super) fn get(&self, kind: Kind) -> &Answer {
        let at = ORDER.iter().position(|one| *one == kind).unwrap_or_default();
        &self.0[at].1
    }

    /// What has to be met, with the layer that is to blame when it is not.
    pub(super) fn needs(&self, request: &Request) -> Vec<(Kind, Met)> {
        let mut needs = Vec::new();
        let caller = &request.caller;
        let token = request.action.eq_ignore_ascii_case("ecr:GetAuthorizationToken");
        let same =
            caller.account.is_some() && (token || caller.account.as_deref() == request.owner());
        let only_own = own_registry_only(request).is_some();
        if let (Some(_), None) = (&caller.account, &caller.other) {
            needs.push((Kind::Scp, self.get(Kind::Scp).unless_restricted()));
        }
        needs.push((Kind::Endpoint, self.get(Kind::Endpoint).unless_restricted()));
        let own_side = || {
            let (identity, root) = (self.get(Kind::Identity), caller.is_root());
            vec![
                (Kind::Identity, if root { Met::Yes } else { identity.grants(|_| true) }),
                (Kind::Boundary, self.get(Kind::Boundary).unless_restricted()),
                (Kind::Session, self.get(Kind::Session).unless_restricted()),
            ]
        };
        if token {
            // Asked in the caller's own account, of its own policies alone.
            needs.extend(own_side());
        } else if same {
            needs.push(self.same_account(own_side()));
        } else {
            if caller.account.is_some() {
                needs.extend(own_side());
            }
            let repository = self.get(Kind::Repository).grants(|_| true);
            let registry = self.get(Kind::Registry).grants(|_| true);
            let met = if only_own { Met::No } else { either(repository, registry) };
            needs.push((Kind::Repository, met));
        }
        needs
    }

    /// In one account either side is enough; what a resource's policy gives to a user or a session
    /// by name goes beyond boundary and session policy too, what it gives to a role does not.
    fn same_account(&self, own_side: Vec<(Kind, Met)>) -> (Kind, Met) {
        let resource = |fits: fn(Grantee) -> bool| {
            either(self.get(Kind::Repository).grants(fits), self.get(Kind::Registry).grants(fits))
        };
        let limits = || {
            both(
                self.get(Kind::Boundary).unless_restricted(),
                self.get(Kind::Session).unless_restricted(),
            )
        };
        let blamed = own_side
            .iter()
            .find(|(_, met)| matches!(met, Met::No))
            .map_or(Kind::Identity, |(kind, _)| *kind);
        let own = own_side.into_iter().map(|(_, met)| met).fold(Met::Yes, both);
        let by_name = resource(|grantee| grantee == Grantee::Itself);
        let to_role = both(resource(|grantee| grantee == Grantee::Role), limits());
        (blamed, either(own, either(by_name, to_role)))
    }
}

fn either(a: Met, b: Met) -> Met {
    match (a, b) {
        (Met::Yes, _) | (_, Met::Yes) => Met::Yes,
        (Met::No, met) | (met, Met::No) => met,
        (Met::Depends(mut a), Met::Depends(b)) => {
            a.extend(b);
            Met::Depends(a)
        }
    }
}

fn both(a: Met, b: Met) -> Met {
    match (a, b) {
        (Met::No, _) | (_, Met::No) => Met::No,
        (Met::Yes, met) | (met, Met::Yes) => met,
        (Met::Depends(mut a), Met::Depends(b)) => {
            a.extend(b);
            Met::Depends(a)
        }
    }
}

impl Who {
    /// How directly a resource's policy gives to the caller by this name.
    pub(super) fn grantee(&self) -> Grantee {
        match self {
            Self::Account(_) => Grantee::Account,
            Self::Arn(arn) if !arn.contains(":role/") => Grantee::Itself,
            Self::UniqueId(id) if id.starts_with("AIDA") => Grantee::Itself,
            _ => Grantee::Role,
        }
    }
}
