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
        let mut open = false;
        for who in self.listed() {
            match who.covers(caller) {
                Some(true) => return Some(!self.is_all_but()),
                Some(false) => {}
                None => open = true,
            }
        }
        (!open).then_some(self.is_all_but())
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
