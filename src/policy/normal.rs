//! The normal form: what a policy says, without how it is written. Two documents of one normal
//! form mean the same; the enumeration in `drift` finds the rest that mean the same.

use super::{
    condition::Condition,
    document::{Action, Document, Effect, Kind, Named},
    glob::Glob,
    pattern::Pattern,
    principal::Who,
};

/// A document in normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Normal<'a> {
    statements: Vec<Said<'a>>,
}

/// One statement's meaning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Said<'a> {
    effect: Effect,
    principals: Option<(bool, Vec<&'a Who>)>,
    resources: Option<(bool, Vec<&'a Pattern>)>,
    conditions: Vec<ConditionMeaning<'a>>,
    actions: (bool, Vec<&'a Glob>),
}

type ConditionMeaning<'a> =
    (&'a str, super::condition::Quantifier, bool, bool, &'a super::condition::Test);

/// The normal form of a document.
pub(super) fn normal(document: &Document) -> Normal<'_> {
    let mut said: Vec<Said<'_>> = document
        .statements
        .iter()
        .map(|statement| Said {
            effect: statement.effect,
            principals: statement.principals.as_ref().map(|named| {
                // A list with everyone in it is everyone.
                let everyone = named.listed().iter().find(|who| **who == Who::Everyone);
                let listed =
                    everyone.map_or_else(|| named.listed().iter().collect(), |all| vec![all]);
                (named.is_all_but(), listed)
            }),
            resources: resources(statement.resources.as_ref(), document.kind),
            conditions: {
                let mut meanings: Vec<_> =
                    statement.conditions.iter().map(Condition::meaning).collect();
                meanings.dedup();
                meanings
            },
            actions: (statement.actions.is_all_but(), actions(&statement.actions)),
        })
        .collect();
    said.sort();
    said.dedup();
    // Statements that differ in their actions alone are one.
    let mut merged: Vec<Said<'_>> = Vec::with_capacity(said.len());
    for one in said {
        match merged.last_mut() {
            Some(last) if alike(last, &one) => {
                last.actions.1.extend(one.actions.1);
                last.actions.1.sort();
                last.actions.1.dedup();
            }
            _ => merged.push(one),
        }
    }
    Normal { statements: merged }
}

fn alike(a: &Said<'_>, b: &Said<'_>) -> bool {
    !a.actions.0
        && !b.actions.0
        && (a.effect, &a.principals, &a.resources, &a.conditions)
            == (b.effect, &b.principals, &b.resources, &b.conditions)
}

/// Without those that another one of the list has in it.
fn actions(named: &Named<Action>) -> Vec<&Glob> {
    let listed = named.listed();
    let within = |one: &Action| {
        listed.iter().any(|other| {
            one.glob != other.glob
                && (other.glob.is_everything()
                    || one.glob.exact().is_some_and(|text| other.glob.matches(text)))
        })
    };
    let mut globs: Vec<&Glob> =
        listed.iter().filter(|one| !within(one)).map(|one| &one.glob).collect();
    globs.sort();
    globs.dedup();
    globs
}

/// In a repository's policy, no resource and `*` are the repository itself.
fn resources(named: Option<&Named<Pattern>>, kind: Kind) -> Option<(bool, Vec<&Pattern>)> {
    let named = named?;
    let everything = |pattern: &&Pattern| pattern.fixed().is_some_and(Glob::is_everything);
    let all = named.listed().iter().find(everything);
    match (all, named.is_all_but(), kind) {
        (Some(_), false, Kind::Repository | Kind::Registry) => None,
        (Some(all), not, _) => Some((not, vec![all])),
        (None, not, _) => Some((not, named.listed().iter().collect())),
    }
}
