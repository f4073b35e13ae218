//! What a document grants, over a universe: for each caller, resource and context, the classes of
//! actions that it allows and those that it denies.

use super::{
    condition::Truth,
    document::{Document, Effect, Statement},
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
}

struct Ready<'a> {
    statement: &'a Statement,
    actions: u128,
    callers: Vec<bool>,
    /// For each resource, whether it is meant, texts with variables aside.
    resources: Vec<Meant>,
    /// For each condition that follows from the caller: by caller, whether it holds.
    by_caller: Vec<bool>,
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
        Self { statements: document.statements.iter().map(ready).collect() }
    }

    /// What is granted to a caller on a resource, in a context: a class of each dimension.
    pub(super) fn cell(&self, caller: usize, resource: usize, context: &[usize]) -> Cell {
        let (mut allowed, mut denied) = (0, 0);
        for ready in &self.statements {
            if ready.applies(caller, resource, context) {
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
        self.statements
            .iter()
            .filter(move |ready| {
                ready.callers[caller]
                    && ready.by_caller[caller]
                    && !matches!(ready.resources[resource], Meant::Surely(false))
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
        let callers = universe.callers.iter().map(|witness| match &statement.principals {
            Some(named) => named.covers(&witness.caller) == Some(true),
            None => true,
        });
        let resources = universe.resources.iter().map(|one| meant(statement, &one.arn, universe));
        let mut by_caller = vec![true; universe.callers.len()];
        let mut by_dimension: Vec<(usize, Vec<bool>)> = Vec::new();
        for condition in &statement.conditions {
            let meaning = universe::owned(condition);
            let found =
                universe.dimensions.iter().enumerate().find_map(|(at, dimension)| {
                    dimension.holds.get(&meaning).map(|holds| (at, holds))
                });
            match found {
                Some((at, holds)) => by_dimension.push((at, holds.clone())),
                None => {
                    for (is, witness) in by_caller.iter_mut().zip(&universe.callers) {
                        *is &= condition.holds(&witness.facts) == Truth::Yes;
                    }
                }
            }
        }
        Self {
            statement,
            actions,
            callers: callers.collect(),
            resources: resources.collect(),
            by_caller,
            by_dimension,
        }
    }

    fn applies(&self, caller: usize, resource: usize, context: &[usize]) -> bool {
        self.callers[caller]
            && self.by_caller[caller]
            && match &self.resources[resource] {
                Meant::Surely(is) => *is,
                Meant::IfOneOf(dimensions, is) => {
                    dimensions.iter().any(|at| context[*at] == 1) == *is
                }
            }
            && self.by_dimension.iter().all(|(at, holds)| holds[context[*at]])
    }
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
