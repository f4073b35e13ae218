//! Whether a statement speaks of a caller, an action, a resource.

use super::{
    condition::Truth,
    document::{Action, Named},
    facts::Facts,
    pattern::Pattern,
    principal::{Caller, Who},
};

impl Named<Action> {
    /// Whether the action is meant.
    pub fn covers(&self, action: &str) -> bool {
        self.listed().iter().any(|one| one.glob.matches(action)) != self.is_all_but()
    }
}

impl Named<Who> {
    /// Whether the caller is meant; `None` where too little is known of the caller.
    pub fn covers(&self, caller: &Caller) -> Option<bool> {
        match self {
            Self::These(list) => any(list.iter(), caller),
            Self::AllBut(list) => excepted(list, caller).map(|is| !is),
        }
    }
}

fn any<'a>(list: impl Iterator<Item = &'a Who>, caller: &Caller) -> Option<bool> {
    let mut open = false;
    for who in list {
        match who.covers(caller) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => open = true,
        }
    }
    (!open).then_some(false)
}

/// Whether NotPrincipal excepts the caller: by every name that it has. Of a session these are the
/// account, the role and the session; naming the role alone excepts nobody (user guide,
/// "NotPrincipal").
fn excepted(list: &[Who], caller: &Caller) -> Option<bool> {
    if list.contains(&Who::Everyone) {
        return Some(true);
    }
    let Some(account) = &caller.account else { return any(list.iter(), caller) };
    let of_session = |who: &&Who| matches!(who, Who::Arn(arn) if arn.contains(":assumed-role/"));
    let of_account = |who: &&Who| matches!(who, Who::Account(_));
    let named = |who: &&Who| !of_session(who) && !of_account(who);
    let mut all = Some(list.iter().any(|who| *who == Who::Account(account.clone())));
    if !caller.is_root() {
        all = and(all, any(list.iter().filter(named), caller));
    }
    if caller.session_of_role() {
        all = and(all, any(list.iter().filter(of_session), caller));
    }
    all
}

fn and(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

impl Named<Pattern> {
    pub(super) fn covers(&self, resource: &str, facts: &Facts) -> Truth {
        let mut open = None;
        for pattern in self.listed() {
            match pattern.matches(resource, facts) {
                Truth::Yes => return (!self.is_all_but()).into(),
                Truth::No => {}
                Truth::Depends(on) => open = Some(on),
            }
        }
        open.map_or(self.is_all_but().into(), Truth::Depends)
    }
}
