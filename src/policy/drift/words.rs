//! Differences in words: whom, which actions, on what, and when.

use std::collections::BTreeSet;

use super::super::{
    action::ACTIONS,
    document::{Effect, Named, Statement},
    principal::Who,
    universe::{OTHER_ACCOUNT, OTHER_SERVICE, Resource, Universe, Witness},
};
use super::rows::bits;

/// When statements of this effect hold: `always`, or their conditions.
pub(super) fn when(about: &[&Statement], effect: Effect) -> String {
    let clauses = |effect: Effect| -> BTreeSet<String> {
        let of = about.iter().filter(|statement| statement.effect == effect);
        of.map(|statement| conditions(statement)).collect()
    };
    let own = clauses(effect);
    let mut text = if own.contains("") {
        "always".to_owned()
    } else {
        format!("when {}", own.into_iter().collect::<Vec<_>>().join(", or when "))
    };
    let denied: Vec<String> =
        clauses(Effect::Deny).into_iter().filter(|one| !one.is_empty()).collect();
    if effect == Effect::Allow && !denied.is_empty() {
        text.push_str(", except when ");
        text.push_str(&denied.join(", or when "));
    }
    text
}

/// The conditions of a statement, as one clause.
fn conditions(statement: &Statement) -> String {
    let mut texts: Vec<String> = statement.conditions.iter().map(ToString::to_string).collect();
    let variables = statement.resources.iter().flat_map(Named::listed);
    texts.extend(
        variables.filter(|one| one.fixed().is_none()).map(|one| format!("the resource is {one}")),
    );
    texts.join(" and ")
}

pub(super) fn actions(universe: &Universe, mask: u128, resources: &BTreeSet<usize>) -> Vec<String> {
    let kind = |registry: bool| {
        resources.iter().any(|at| universe.resources[*at].is_registry() == registry)
    };
    let split = universe.resources.iter().any(Resource::is_registry);
    let classes = || bits(mask).map(|at| &universe.actions[at as usize]);
    let known: BTreeSet<&String> = classes().flat_map(|class| &class.known).collect();
    // In the catalogue's order: pull and push first.
    let mut texts: Vec<String> = ACTIONS
        .iter()
        .filter(|action| !split || kind(!action.of_repository))
        .map(|action| format!("ecr:{}", action.name))
        .filter(|name| known.contains(name))
        .collect();
    if !split || kind(false) {
        texts.extend(classes().filter_map(|class| class.unknown.clone()));
    }
    texts
}

pub(super) fn principals(universe: &Universe, callers: &BTreeSet<usize>) -> String {
    let witness = |at: &usize| &universe.callers[*at];
    if callers.iter().map(witness).any(Witness::is_outsider) {
        let missing: BTreeSet<usize> =
            (0..universe.callers.len()).filter(|at| !callers.contains(at)).collect();
        return if missing.is_empty() {
            "everyone".to_owned()
        } else {
            format!("everyone but {}", listed(universe, &missing))
        };
    }
    listed(universe, callers)
}

/// Accounts as a whole, with whom of them is not meant, and others one by one.
fn listed(universe: &Universe, callers: &BTreeSet<usize>) -> String {
    let mut texts: BTreeSet<String> = BTreeSet::new();
    let mut covered: BTreeSet<usize> = BTreeSet::new();
    for at in callers {
        let witness = &universe.callers[*at];
        if !witness.general {
            continue;
        }
        let account = witness.caller.account.as_ref();
        let members = account.and_then(|account| universe.members.get(account));
        covered.extend(members.into_iter().flatten());
        let without: BTreeSet<String> = members
            .into_iter()
            .flatten()
            .filter(|member| !callers.contains(member))
            .map(|member| name(&universe.callers[*member]))
            .collect();
        let mut text = name(witness);
        if !without.is_empty() {
            text.push_str(" but not ");
            text.push_str(&without.into_iter().collect::<Vec<_>>().join(", "));
        }
        texts.insert(text);
    }
    texts.extend(
        callers.iter().filter(|at| !covered.contains(at)).map(|at| name(&universe.callers[*at])),
    );
    texts.into_iter().collect::<Vec<_>>().join(", ")
}

fn name(witness: &Witness) -> String {
    match &witness.who {
        Who::Everyone => "anonymous callers".to_owned(),
        Who::Service(name) if name == OTHER_SERVICE => "other services of AWS".to_owned(),
        Who::Arn(arn) if arn.ends_with(":root") => {
            format!("the root user of account {}", who_account(witness))
        }
        Who::Arn(arn) if witness.example => format!("principals such as {arn}"),
        Who::Account(_) if witness.is_outsider() => "other accounts".to_owned(),
        who => who.to_string(),
    }
}

fn who_account(witness: &Witness) -> &str {
    if witness.caller.account.as_deref() == Some(OTHER_ACCOUNT) {
        "not named"
    } else {
        witness.caller.account.as_deref().unwrap_or_default()
    }
}

/// In words, for a registry's policy.
pub(super) fn resource_words(universe: &Universe, resources: &BTreeSet<usize>) -> Option<String> {
    let registry = universe.resources.iter().position(Resource::is_registry)?;
    let of_repositories = universe.resources.len() - 1;
    let chosen: Vec<usize> = resources.iter().copied().filter(|at| *at != registry).collect();
    let mut texts: Vec<String> = Vec::new();
    if chosen.len() == of_repositories {
        texts.push("all repositories".to_owned());
    } else {
        texts.extend(chosen.iter().map(|at| universe.resources[*at].words.clone()));
    }
    if resources.contains(&registry) {
        texts.push("the registry itself".to_owned());
    }
    Some(texts.join(", "))
}
