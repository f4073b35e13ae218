//! The differences, cell by cell, gathered into rows that people can read.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

use super::{
    super::{
        document::{Effect, Named, Statement},
        grants::{Cell, Grants},
        principal::Who,
        universe::{OTHER_ACCOUNT, Resource, Universe, Witness},
    },
    Change, Relation, Row,
};

/// What differs for one caller on one resource, over all contexts: classes of actions, as bits.
#[derive(Clone, Copy, Default)]
struct Sum {
    expected: Side,
    actual: Side,
}

/// One document's part in it.
#[derive(Clone, Copy, Default)]
struct Side {
    /// Allowed in some context.
    allowed: u128,
    denied: u128,
    /// Allowed in a context in which the other does not allow it.
    only_allowed: u128,
    only_denied: u128,
}

impl Side {
    fn add(&mut self, own: Cell, other: Cell) {
        self.allowed |= own.allowed;
        self.denied |= own.denied;
        self.only_allowed |= own.allowed & !other.allowed;
        self.only_denied |= own.denied & !other.denied;
    }
}

/// All of it.
pub(super) struct Table {
    /// By caller, then by resource.
    sums: Vec<Vec<Sum>>,
    /// Whether the difference is there only for some of the ways in which variables may match that
    /// are not independent of something else.
    pub(super) rests_on_a_variable: bool,
}

impl Table {
    pub(super) fn fill(universe: &Universe, expected: &Grants<'_>, actual: &Grants<'_>) -> Self {
        let mut sums = vec![vec![Sum::default(); universe.resources.len()]; universe.callers.len()];
        let approximate: Vec<usize> = (0..universe.dimensions.len())
            .filter(|at| universe.dimensions[*at].approximate)
            .collect();
        let (mut with, mut all) = (BTreeSet::new(), BTreeSet::new());
        let mut context = vec![0; universe.dimensions.len()];
        loop {
            let assigned: Vec<usize> = approximate.iter().map(|at| context[*at]).collect();
            let mut differs = false;
            for (caller, row) in sums.iter_mut().enumerate() {
                for (resource, sum) in row.iter_mut().enumerate() {
                    let asked = universe.resources[resource].actions;
                    let cell = |grants: &Grants<'_>| {
                        let cell = grants.cell(caller, resource, &context);
                        Cell { allowed: cell.allowed & asked, denied: cell.denied & asked }
                    };
                    let (a, b) = (cell(expected), cell(actual));
                    differs |= a != b;
                    sum.expected.add(a, b);
                    sum.actual.add(b, a);
                }
            }
            if differs {
                with.insert(assigned.clone());
            }
            all.insert(assigned);
            if !advance(&mut context, universe) {
                break;
            }
        }
        Self { sums, rests_on_a_variable: !with.is_empty() && with.len() < all.len() }
    }

    /// Whether the actual policy grants something more, and something less.
    pub(super) fn more_and_less(&self) -> (bool, bool) {
        let (mut more, mut less) = (false, false);
        for sum in self.sums.iter().flatten() {
            more |= sum.actual.only_allowed | sum.expected.only_denied != 0;
            less |= sum.expected.only_allowed | sum.actual.only_denied != 0;
        }
        (more, less)
    }

    pub(super) fn rows(
        &self,
        universe: &Universe,
        expected: &Grants<'_>,
        actual: &Grants<'_>,
    ) -> Vec<Row> {
        // What is said of each action class of each caller and resource: equal ones are one row.
        let mut said: BTreeMap<(usize, usize, Said), u128> = BTreeMap::new();
        // Many cells rest on the same statements: their words are put together once.
        let mut told: HashMap<(Vec<usize>, Effect), Rc<str>> = HashMap::new();
        for (caller, row) in self.sums.iter().enumerate() {
            for (resource, sum) in row.iter().enumerate() {
                for (change, mask) in changes(sum) {
                    for class in bits(mask) {
                        let bit = 1_u128 << class;
                        let effect = change_effect(change);
                        let mut when = |grants: &Grants<'_>, side: &Side, which: usize| {
                            let held = match effect {
                                Effect::Allow => side.allowed & bit != 0,
                                Effect::Deny => side.denied & bit != 0,
                            };
                            if !held {
                                return None;
                            }
                            let about: Vec<&Statement> =
                                grants.about(caller, resource, bit).collect();
                            let mut key: Vec<usize> = about.iter().map(|one| one.index).collect();
                            key.push(which);
                            let text = told
                                .entry((key, effect))
                                .or_insert_with(|| when(&about, effect).into());
                            Some(Rc::clone(text))
                        };
                        let one = Said {
                            change,
                            expected: when(expected, &sum.expected, 0),
                            actual: when(actual, &sum.actual, 1),
                            denied: effect == Effect::Allow && sum.actual.denied & bit != 0,
                        };
                        *said.entry((caller, resource, one)).or_default() |= bit;
                    }
                }
            }
        }
        let mut by_resource: BTreeMap<(usize, Said, u128), BTreeSet<usize>> = BTreeMap::new();
        for ((caller, resource, one), mask) in said {
            by_resource.entry((caller, one, mask)).or_default().insert(resource);
        }
        let mut by_caller: BTreeMap<(Said, u128, BTreeSet<usize>), BTreeSet<usize>> =
            BTreeMap::new();
        for ((caller, one, mask), resources) in by_resource {
            by_caller.entry((one, mask, resources)).or_default().insert(caller);
        }
        let mut rows: Vec<Row> = by_caller
            .into_iter()
            .map(|((said, mask, resources), callers)| Row {
                change: said.change,
                principals: principals(universe, &callers),
                actions: actions(universe, mask, &resources),
                resources: resource_words(universe, &resources),
                expected: said.expected.as_deref().map(str::to_owned),
                actual: match said.actual {
                    None if said.denied => Some("denied by name".to_owned()),
                    when => when.as_deref().map(str::to_owned),
                },
            })
            .collect();
        rows.sort();
        rows.dedup();
        rows
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    change: Change,
    expected: Option<Rc<str>>,
    actual: Option<Rc<str>>,
    denied: bool,
}

/// The next context; whether there is one.
fn advance(context: &mut [usize], universe: &Universe) -> bool {
    for (digit, dimension) in context.iter_mut().zip(&universe.dimensions) {
        *digit += 1;
        if *digit < dimension.size {
            return true;
        }
        *digit = 0;
    }
    false
}

fn bits(mut mask: u128) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        (mask != 0).then(|| {
            let bit = mask.trailing_zeros();
            mask &= mask - 1;
            bit
        })
    })
}

fn changes(sum: &Sum) -> [(Change, u128); 8] {
    let (a, b) = (sum.expected, sum.actual);
    let both = a.allowed & b.allowed;
    let (less, more) = (both & a.only_allowed, both & b.only_allowed);
    let denial = a.denied & b.denied & (a.only_denied | b.only_denied);
    let lost = a.allowed & !b.allowed;
    [
        (Change::Lost, lost),
        (Change::Gained, b.allowed & !a.allowed),
        (Change::Changed(Relation::Narrower), less & !more),
        (Change::Changed(Relation::Broader), more & !less),
        (Change::Changed(Relation::Incomparable), less & more),
        // What is lost because it is denied is said once.
        (Change::Denied, b.denied & !a.denied & !lost & !less),
        (Change::NoLongerDenied, a.denied & !b.denied & !(b.allowed & !a.allowed) & !more),
        (Change::DenialChanged, denial & !less & !more),
    ]
}

fn change_effect(change: Change) -> Effect {
    match change {
        Change::Lost | Change::Gained | Change::Changed(_) => Effect::Allow,
        Change::Denied | Change::NoLongerDenied | Change::DenialChanged => Effect::Deny,
    }
}

/// When statements of this effect hold: `always`, or their conditions.
fn when(about: &[&Statement], effect: Effect) -> String {
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

fn actions(universe: &Universe, mask: u128, resources: &BTreeSet<usize>) -> Vec<String> {
    let kind = |registry: bool| {
        resources.iter().any(|at| universe.resources[*at].is_registry() == registry)
    };
    let split = universe.resources.iter().any(Resource::is_registry);
    let classes = || bits(mask).map(|at| &universe.actions[at as usize]);
    let known: BTreeSet<&String> = classes().flat_map(|class| &class.known).collect();
    // In the catalogue's order: pull and push first.
    let mut texts: Vec<String> = super::super::action::ACTIONS
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

fn principals(universe: &Universe, callers: &BTreeSet<usize>) -> String {
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
        Who::Service(name) if name == super::super::universe::OTHER_SERVICE => {
            "other services of AWS".to_owned()
        }
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
fn resource_words(universe: &Universe, resources: &BTreeSet<usize>) -> Option<String> {
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
