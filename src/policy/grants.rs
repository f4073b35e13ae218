//! What a document grants, over a universe: for each caller, resource and context, the classes of
//! actions that it allows and those that it denies.

use std::collections::BTreeSet;

use super::{
    condition::{Condition, Truth},
    document::{Document, Effect, Named, Statement},
    facts::Facts,
    universe::{self, Universe},
};

/// Allowed and denied classes of actions, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    /// Allowed, and not denied by the same document.
    pub(super) allowed: u128,
    pub(super) denied: u128,
}

/// A document, made ready for the universe.
pub(super) struct Grants<'a> {
    statements: Vec<Ready<'a>>,
    /// By caller: the statements that speak of it.
    of_caller: Vec<Vec<usize>>,
}

struct Ready<'a> {
    statement: &'a Statement,
    actions: u128,
    /// For each resource, whether it is meant, texts with variables aside.
    resources: Vec<Meant>,
    /// By dimension: in which classes of it all conditions hold.
    by_dimension: Vec<(usize, Vec<bool>)>,
}

/// Whether a resource is meant.
enum Meant {
    Surely(bool),
    /// If one of the texts with a variable matches, of these dimensions; else the contrary.
    IfOneOf(Vec<usize>, bool),
}

impl<'a> Grants<'a> {
    pub(super) fn new(document: &'a Document, universe: &Universe) -> Self {
        let ready = |statement| Ready::new(statement, universe);
        let statements: Vec<Ready<'_>> = document.statements.iter().map(ready).collect();
        let mut of_caller = vec![Vec::new(); universe.callers.len()];
        for (at, ready) in statements.iter().enumerate() {
            for caller in callers(ready.statement, universe) {
                of_caller[caller].push(at);
            }
        }
        Self { statements, of_caller }
    }

    /// What is granted to a caller on a resource, in a context: a class of each dimension.
    pub(super) fn cell(&self, caller: usize, resource: usize, context: &[usize]) -> Cell {
        let (mut allowed, mut denied) = (0, 0);
        for ready in self.of_caller[caller].iter().map(|at| &self.statements[*at]) {
            if ready.applies(resource, context) {
                match ready.statement.effect {
                    Effect::Allow => allowed |= ready.actions,
                    Effect::Deny => denied |= ready.actions,
                }
            }
        }
        Cell { allowed: allowed & !denied, denied }
    }

    /// The statements that may apply to the caller, the resource and one of the actions.
    pub(super) fn about(
        &self,
        caller: usize,
        resource: usize,
        actions: u128,
    ) -> impl Iterator<Item = &'a Statement> {
        self.of_caller[caller]
            .iter()
            .map(|at| &self.statements[*at])
            .filter(move |ready| {
                !matches!(ready.resources[resource], Meant::Surely(false))
                    && ready.actions & actions != 0
            })
            .map(|ready| ready.statement)
    }
}

impl<'a> Ready<'a> {
    fn new(statement: &'a Statement, universe: &Universe) -> Self {
        let mut actions = 0;
        for (at, class) in universe.actions.iter().enumerate() {
            actions |= u128::from(statement.actions.covers(&class.witness)) << at;
        }
        let resources = universe.resources.iter().map(|one| meant(statement, &one.arn, universe));
        let mut by_dimension: Vec<(usize, Vec<bool>)> = Vec::new();
        for condition in &statement.conditions {
            by_dimension.extend(dimension(condition, universe));
        }
        Self { statement, actions, resources: resources.collect(), by_dimension }
    }

    fn applies(&self, resource: usize, context: &[usize]) -> bool {
        let meant = match &self.resources[resource] {
            Meant::Surely(is) => *is,
            Meant::IfOneOf(dimensions, is) => dimensions.iter().any(|at| context[*at] == 1) == *is,
        };
        meant && self.by_dimension.iter().all(|(at, holds)| holds[context[*at]])
    }
}

/// The dimension of a condition that does not follow from the caller, and where in it it holds.
fn dimension(condition: &Condition, universe: &Universe) -> Option<(usize, Vec<bool>)> {
    let meaning = universe::owned(condition);
    let mut all = universe.dimensions.iter().enumerate();
    all.find_map(|(at, one)| one.holds.get(&meaning).map(|holds| (at, holds.clone())))
}

/// The callers of whom a statement speaks, by their names and by conditions on these.
fn callers(statement: &Statement, universe: &Universe) -> Vec<usize> {
    let by_name: Vec<&Condition> = statement
        .conditions
        .iter()
        .filter(|condition| dimension(condition, universe).is_none())
        .collect();
    // Who is named by account or ARN is looked for in that account alone.
    let mut candidates: BTreeSet<usize> = BTreeSet::new();
    match &statement.principals {
        Some(Named::These(list)) if list.iter().all(|who| who.account().is_some()) => {
            for who in list {
                let members = who.account().and_then(|account| universe.members.get(account));
                candidates.extend(members.into_iter().flatten());
            }
        }
        _ => candidates.extend(0..universe.callers.len()),
    }
    let meant = |at: &usize| {
        let witness = &universe.callers[*at];
        let named = statement.principals.as_ref();
        named.is_none_or(|named| named.covers(&witness.caller) == Some(true))
            && by_name.iter().all(|one| one.holds(&witness.facts) == Truth::Yes)
    };
    candidates.into_iter().filter(meant).collect()
}

fn meant(statement: &Statement, arn: &str, universe: &Universe) -> Meant {
    let Some(named) = &statement.resources else { return Meant::Surely(true) };
    let facts = Facts::default();
    match named.covers(arn, &facts) {
        Truth::Yes => Meant::Surely(true),
        Truth::No => Meant::Surely(false),
        Truth::Depends(_) => {
            let texts: Vec<String> = named
                .listed()
                .iter()
                .filter(|pattern| pattern.fixed().is_none())
                .map(universe::resource_dimension)
                .collect();
            let dimensions = universe.dimensions.iter().enumerate();
            let of = dimensions.filter(|(_, one)| texts.contains(&one.name)).map(|(at, _)| at);
            Meant::IfOneOf(of.collect(), !named.is_all_but())
        }
    }
}
