//! `[[audit.expect]]`: who may do what, where. Pure.

use wildmatch::WildMatch;

use super::any;
use crate::audit::{action::Operation, record::Record};

/// What is normal. An empty list of repositories is every repository.
#[derive(Clone, Debug)]
pub struct Expect {
    /// ARNs, accounts or unique ids, with `*` and `?`.
    pub principals: Vec<WildMatch>,
    /// Operations (`pull`, `push`) or API names (`ecr:PutImage`), with `*` and `?`.
    pub actions: Vec<WildMatch>,
    /// Repositories, with `*` and `?`.
    pub repositories: Vec<WildMatch>,
}

impl Expect {
    /// Whether a call is this.
    pub fn fits(&self, record: &Record) -> bool {
        let actor = &record.actor;
        let who = [&actor.name, &actor.account, &actor.unique_id];
        let full =
            format!("{}:{}", record.source.split('.').next().unwrap_or_default(), record.name);
        // A token or a list is about no repository, so none can be asked for.
        let nowhere = record.repository.is_empty()
            && matches!(record.operation, Operation::Token | Operation::Read);
        who.iter().any(|name| any(&self.principals, name))
            && (any(&self.actions, &full) || any(&self.actions, record.operation.word()))
            && (self.repositories.is_empty()
                || nowhere
                || any(&self.repositories, &record.repository))
    }
}
