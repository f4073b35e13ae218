//! What one layer says of a request.

use super::{
    super::{
        action::{self, REGISTRY_V1},
        condition::Truth,
        document::{Effect, Kind, Named, Statement},
        principal::Who,
    },
    Deciding, Met, Policies, Policy, RegistryScope, Request,
};

/// What a layer says, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// There is none.
    Absent,
    /// A statement allows it.
    Allows(Deciding),
    /// A statement denies it.
    Denies(Deciding),
    /// Nothing in it speaks of the request.
    Nothing,
    /// It need not allow the request, and does not deny it.
    DeniesNothing,
    /// It has no say in this request.
    NotAsked,
    /// It depends on these.
    Depends(Vec<String>),
}

/// To whom a statement gives, as the caller's own policies see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grantee {
    /// The whole account: its own policies must give it on.
    Account,
    /// The role, or everybody.
    Role,
    /// The user, or the very session.
    Itself,
}

/// Whether there is a policy of a kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Given {
    None,
    /// There is, and none of them need allow the request.
    ThatDenyOnly,
    Some,
}

/// What one layer says.
pub(super) struct Answer {
    kind: Kind,
    given: Given,
    asked: bool,
    pub(super) denied: Option<Deciding>,
    pub(super) allowed: Vec<(Deciding, Grantee)>,
    /// What would have to be so for it to deny.
    pub(super) may_deny: Vec<String>,
    /// What would have to be otherwise for it to allow.
    may_allow: Vec<(String, Grantee)>,
    /// Whether one of several policies allows and another does not, both of the kind that gives.
    mixed: bool,
}

impl Answer {
    pub(super) fn of(kind: Kind, request: &Request, policies: &Policies) -> Self {
        let mut answer = Self {
            kind,
            given: Given::None,
            asked: asked(kind, request, policies.registry_scope),
            denied: None,
            allowed: Vec::new(),
            may_deny: Vec::new(),
            may_allow: Vec::new(),
            mixed: false,
        };
        let mut giving = Vec::new();
        for policy in policies.known.iter().filter(|policy| policy.document.kind == kind) {
            answer.given = Given::Some;
            if answer.asked {
                let before = answer.allowed.len() + answer.may_allow.len();
                answer.add(policy, request);
                if policy.document.statements.iter().any(|one| one.effect == Effect::Allow) {
                    giving.push(answer.allowed.len() + answer.may_allow.len() > before);
                }
            }
        }
        answer.mixed = giving.contains(&true) && giving.contains(&false);
        // Service control policies that only deny stand beside FullAWSAccess, or nothing at all
        // could be done in the account.
        if giving.is_empty() && answer.given == Given::Some && kind == Kind::Scp {
            answer.given = Given::ThatDenyOnly;
        }
        if policies.unknown.contains(&kind) && answer.asked {
            answer.given = Given::Some;
            let unseen = format!("{}, which can't be read, is against it", kind.noun());
            answer.may_deny.push(unseen.clone());
            if answer.allowed.is_empty() || kind == Kind::Scp {
                answer.may_allow.push((unseen, Grantee::Role));
            }
        }
        answer.scope_unknown(request, policies.registry_scope);
        answer
    }

    /// Under an unknown scope, whether the registry's policy speaks of the action is not known.
    fn scope_unknown(&mut self, request: &Request, scope: RegistryScope) {
        let within = REGISTRY_V1.iter().any(|one| one.eq_ignore_ascii_case(&request.action));
        if self.kind != Kind::Registry || scope != RegistryScope::Unknown || within {
            return;
        }
        let why = |by: &Deciding| {
            format!("REGISTRY_POLICY_SCOPE, which is not known, is V1: {by} does not count then")
        };
        let other = |by: &Deciding| {
            format!("REGISTRY_POLICY_SCOPE, which is not known, is V2: {by} denies it then")
        };
        self.may_allow.extend(self.allowed.drain(..).map(|(by, to)| (why(&by), to)));
        self.may_deny.extend(self.denied.take().iter().map(other));
    }

    fn add(&mut self, policy: &Policy, request: &Request) {
        for statement in &policy.document.statements {
            let by = || Deciding {
                policy: policy.name.clone(),
                index: statement.index,
                sid: statement.sid.clone(),
                line: statement.line,
            };
            let applies = applies(statement, request);
            match (statement.effect, applies) {
                (_, Applies::No) => {}
                (Effect::Deny, Applies::Yes) => {
                    self.denied = self.denied.take().or_else(|| Some(by()));
                }
                (Effect::Deny, Applies::Depends(on)) => {
                    self.may_deny.push(format!("{} applies: {}", by(), on.join(", and ")));
                }
                (Effect::Allow, Applies::Yes) => {
                    self.allowed.push((by(), grantee(statement, request)));
                }
                (Effect::Allow, Applies::Depends(on)) => {
                    let text = format!("{} does not apply: {}", by(), on.join(", and "));
                    self.may_allow.push((text, grantee(statement, request)));
                }
            }
        }
    }

    /// Whether it gives the request, to such a grantee.
    pub(super) fn grants(&self, fits: impl Fn(Grantee) -> bool) -> Met {
        if self.allowed.iter().any(|(_, to)| fits(*to)) {
            return Met::Yes;
        }
        let open: Vec<String> =
            self.may_allow.iter().filter(|(_, to)| fits(*to)).map(|(on, _)| on.clone()).collect();
        if open.is_empty() { Met::No } else { Met::Depends(open) }
    }

    /// Whether it does not stand in the way: it need not be there.
    pub(super) fn unless_restricted(&self) -> Met {
        if self.given != Given::Some || !self.asked {
            return Met::Yes;
        }
        if self.kind == Kind::Scp && self.mixed {
            return Met::Depends(vec![
                "the service control policies of which only some allow it are attached at different levels".to_owned(),
            ]);
        }
        let met = self.grants(|_| true);
        // Of several policies, one that can't be read may be the only one of its level.
        match (self.kind, met) {
            (Kind::Scp, Met::Yes) if !self.may_allow.is_empty() => {
                Met::Depends(self.may_allow.iter().map(|(on, _)| on.clone()).collect())
            }
            (_, met) => met,
        }
    }

    pub(super) fn says(&self) -> Says {
        let some = self.denied.is_some() || !self.allowed.is_empty();
        let open = || self.may_deny.iter().chain(self.may_allow.iter().map(|(on, _)| on)).cloned();
        if self.given == Given::None && !some && self.may_deny.is_empty() {
            return Says::Absent;
        }
        if !self.asked {
            return Says::NotAsked;
        }
        if let Some(by) = &self.denied {
            return Says::Denies(by.clone());
        }
        match self.allowed.first() {
            Some((by, _)) if self.may_deny.is_empty() && !self.mixed => Says::Allows(by.clone()),
            None if self.may_deny.is_empty() && self.may_allow.is_empty() => {
                if self.given == Given::Some && self.kind != Kind::Rcp {
                    Says::Nothing
                } else {
                    Says::DeniesNothing
                }
            }
            _ => {
                let mut open: Vec<String> = open().collect();
                open.dedup();
                Says::Depends(open)
            }
        }
    }
}

/// Whether the kind has a say in the request at all.
fn asked(kind: Kind, request: &Request, scope: RegistryScope) -> bool {
    let token = request.action.eq_ignore_ascii_case("ecr:GetAuthorizationToken");
    match kind {
        Kind::Repository => {
            !token && action::find(&request.action).is_none_or(|action| action.of_repository)
        }
        Kind::Registry => {
            !token
                && (scope != RegistryScope::V1
                    || REGISTRY_V1.iter().any(|one| one.eq_ignore_ascii_case(&request.action)))
        }
        Kind::Rcp => !token,
        Kind::Identity | Kind::Boundary | Kind::Session | Kind::Scp => {
            request.caller.account.is_some()
        }
        Kind::Endpoint => true,
    }
}

/// Whether a statement applies, or what that depends on.
pub(super) enum Applies {
    Yes,
    No,
    Depends(Vec<String>),
}

pub(super) fn applies(statement: &Statement, request: &Request) -> Applies {
    if !statement.actions.covers(&request.action) {
        return Applies::No;
    }
    let mut open = Vec::new();
    match statement.principals.as_ref().map(|named| named.covers(&request.caller)) {
        Some(Some(false)) => return Applies::No,
        Some(None) => open.push(who_it_depends_on(statement, request)),
        _ => {}
    }
    match statement.resources.as_ref().map(|named| named.covers(resource(request), &request.facts))
    {
        Some(Truth::No) => return Applies::No,
        Some(Truth::Depends(key)) => open.push(format!("{key} is not known")),
        _ => {}
    }
    for condition in &statement.conditions {
        match condition.holds(&request.facts) {
            Truth::Yes => {}
            Truth::No => return Applies::No,
            Truth::Depends(key) if key == condition.key => {
                open.push(format!("it asks for {condition}, and that key is not known"));
            }
            Truth::Depends(key) => {
                open.push(format!("it asks for {condition}, and the variable {key} is not known"));
            }
        }
    }
    if open.is_empty() { Applies::Yes } else { Applies::Depends(open) }
}

/// The repository, or what stands for the registry.
pub(super) fn resource(request: &Request) -> &str {
    match action::find(&request.action) {
        Some(action) if !action.of_repository => "*",
        _ => &request.resource,
    }
}

fn who_it_depends_on(statement: &Statement, request: &Request) -> String {
    let listed = statement.principals.iter().flat_map(Named::listed);
    let open = listed.filter(|who| who.covers(&request.caller).is_none());
    let names: Vec<String> = open
        .map(|who| match who {
            Who::UniqueId(id) => format!("{id} may be the caller's unique id, which is not known"),
            who => format!("{who} may be the caller's session, which is not known"),
        })
        .collect();
    names.join(", ")
}

/// The most direct of the names by which the statement means the caller.
fn grantee(statement: &Statement, request: &Request) -> Grantee {
    match &statement.principals {
        Some(Named::These(list)) => {
            let meant = list.iter().filter(|who| who.covers(&request.caller) != Some(false));
            let direct: Vec<Grantee> = meant.map(Who::grantee).collect();
            [Grantee::Itself, Grantee::Role]
                .into_iter()
                .find(|one| direct.contains(one))
                .unwrap_or(Grantee::Account)
        }
        _ => Grantee::Role,
    }
}
