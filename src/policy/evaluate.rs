//! Whether a request is allowed, by which statement of which layer, and what would have to be known
//! or changed. Source: IAM user guide, "Policy evaluation logic", in one account and across two.

mod layer;
mod remedy;
mod sides;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt};

use super::{
    action,
    document::{Document, Kind},
    facts::Facts,
    principal::Caller,
};

pub use layer::Says;
pub use remedy::Paste;
use sides::{Answers, Met};

/// Which actions a registry policy speaks of: the account setting REGISTRY_POLICY_SCOPE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryScope {
    /// Replication, pull-through cache and creation of repositories alone.
    V1,
    /// Every action.
    V2,
    /// Not known.
    Unknown,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// By whom.
    pub caller: Caller,
    /// `ecr:Name`.
    pub action: String,
    /// The repository's ARN.
    pub resource: String,
    /// What is known of the context; the caller's and the action's part is added by `new`.
    pub facts: Facts,
}

impl Request {
    /// A request. `facts`: what is known beyond what follows from the caller, the action and the
    /// resource; what is in them already is not overruled.
    pub fn new(caller: Caller, action: &str, resource: &str, mut facts: Facts) -> Self {
        facts.presume_caller(&caller);
        facts.presume_request(action, resource);
        Self { caller, action: action.to_owned(), resource: resource.to_owned(), facts }
    }

    /// The account that owns the registry.
    fn owner(&self) -> Option<&str> {
        self.resource.split(':').nth(4).filter(|account| !account.is_empty())
    }
}

/// A policy and what it is called: its file, or where it is attached.
#[derive(Clone, Debug)]
pub struct Policy {
    /// For people.
    pub name: String,
    /// What it says.
    pub document: Document,
}

/// All policies that have a say. A kind of which there is none is absent.
#[derive(Clone, Debug)]
pub struct Policies {
    /// Those that could be read, of every kind.
    pub known: Vec<Policy>,
    /// The kinds of which there are others that could not be read.
    pub unknown: BTreeSet<Kind>,
    /// What the registry policy speaks of.
    pub registry_scope: RegistryScope,
}

impl Default for Policies {
    fn default() -> Self {
        Self { known: Vec::new(), unknown: BTreeSet::new(), registry_scope: RegistryScope::V2 }
    }
}

/// A statement that decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deciding {
    /// The policy's name.
    pub policy: String,
    /// From 1.
    pub index: usize,
    /// Its Sid.
    pub sid: Option<String>,
    /// The line on which it begins.
    pub line: usize,
}

impl fmt::Display for Deciding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: statement {}", self.policy, self.line, self.index)?;
        self.sid.as_ref().map_or(Ok(()), |sid| write!(f, " ({sid})"))
    }
}

/// What it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is allowed.
    Allowed,
    /// A layer that would have to allow it does not.
    NotGranted,
    /// A statement denies it.
    Denied,
    /// It is allowed unless what is not known is against it.
    Undecided,
}

impl Access {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::NotGranted => "implicitly denied",
            Self::Denied => "explicitly denied",
            Self::Undecided => "undecided",
        }
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What it comes to.
    pub access: Access,
    /// The layer that decides: of a denial the one that is against it.
    pub layer: Option<Kind>,
    /// The statement that decides, where one does.
    pub statement: Option<Deciding>,
    /// What each layer says, in the order in which they are asked.
    pub layers: Vec<(Kind, Says)>,
    /// It is allowed unless one of these is so; not empty if and only if undecided.
    pub unless: Vec<String>,
    /// Statements that would allow it but for one thing, in words.
    pub closest: Vec<String>,
    /// The smallest statement that would allow it, and where it belongs.
    pub paste: Option<Paste>,
    /// What else should be known, in words.
    pub note: Option<String>,
}

/// The order in which layers are asked and shown.
const ORDER: [Kind; 8] = [
    Kind::Identity,
    Kind::Boundary,
    Kind::Session,
    Kind::Scp,
    Kind::Endpoint,
    Kind::Repository,
    Kind::Registry,
    Kind::Rcp,
];

/// Decides a request.
pub fn evaluate(request: &Request, policies: &Policies) -> Decision {
    let answers = Answers::of(request, policies);
    let mut decision = Decision {
        access: Access::Allowed,
        layer: None,
        statement: None,
        layers: ORDER.iter().map(|kind| (*kind, answers.get(*kind).says())).collect(),
        unless: Vec::new(),
        closest: Vec::new(),
        paste: None,
        note: None,
    };
    if let Some((kind, statement)) =
        ORDER.iter().find_map(|kind| answers.get(*kind).denied.clone().map(|by| (*kind, by)))
    {
        return Decision {
            access: Access::Denied,
            layer: Some(kind),
            statement: Some(statement),
            ..decision
        };
    }
    let needs = answers.needs(request);
    if let Some((kind, _)) = needs.iter().find(|(_, met)| matches!(met, Met::No)) {
        decision.access = Access::NotGranted;
        decision.layer = Some(*kind);
        decision.closest = remedy::closest(request, policies, *kind);
        decision.paste = remedy::paste(request, *kind);
        decision.note = own_registry_only(request).or_else(|| scope_note(request, policies, *kind));
        return decision;
    }
    for kind in ORDER {
        decision.unless.extend(answers.get(kind).may_deny.iter().cloned());
    }
    for (_, met) in needs {
        if let Met::Depends(on) = met {
            decision.unless.extend(on);
        }
    }
    let mut seen = BTreeSet::new();
    decision.unless.retain(|one| seen.insert(one.clone()));
    if !decision.unless.is_empty() {
        decision.access = Access::Undecided;
        return decision;
    }
    // The registry's owner is who gives: its statement is the one to name.
    let by = [Kind::Repository, Kind::Registry, Kind::Identity]
        .into_iter()
        .find_map(|kind| answers.get(kind).allowed.first().map(|(by, _)| (kind, by.clone())));
    if let Some((kind, statement)) = by {
        decision.layer = Some(kind);
        decision.statement = Some(statement);
    }
    decision
}

/// Calls that have no registryId: they speak of the caller's own registry, whatever is granted.
const OWN_REGISTRY: &[&str] = &[
    "GetRegistryPolicy",
    "PutRegistryPolicy",
    "DeleteRegistryPolicy",
    "GetAccountSetting",
    "PutAccountSetting",
    "DescribeRegistry",
    "DescribeRepositoryCreationTemplates",
    "ListPullTimeUpdateExclusions",
    "GetRegistryScanningConfiguration",
];

fn own_registry_only(request: &Request) -> Option<String> {
    let own = request.caller.account.as_deref() == request.owner();
    let action = action::find(&request.action)?;
    (!own && OWN_REGISTRY.contains(&action.name)).then(|| {
        format!(
            "{} has no registryId: it speaks of the caller's own registry only; assume a role in the primary account",
            action.name
        )
    })
}

fn scope_note(request: &Request, policies: &Policies, kind: Kind) -> Option<String> {
    let registry = policies.known.iter().any(|policy| policy.document.kind == Kind::Registry);
    (kind == Kind::Repository && registry && policies.registry_scope == RegistryScope::V1).then(|| {
        format!(
            "the registry policy does not count: with REGISTRY_POLICY_SCOPE V1 it speaks of replication, pull-through cache and new repositories alone, not of {}",
            request.action
        )
    })
}
