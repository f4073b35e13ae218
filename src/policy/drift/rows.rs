//! The differences, cell by cell, gathered into rows that people can read.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

use super::{
    super::{
        document::{Effect, Statement},
        grants::{Cell, Grants},
        universe::Universe,
    },
    Change, Relation, Row,
    words::{actions, principals, resource_words, when},
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

pub(super) fn bits(mut mask: u128) -> impl Iterator<Item = u32> {
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
