//! In which contexts a request could come: for each key that conditions ask for, the values that
//! they tell apart.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    super::{
        condition::{Amount, Condition, Quantifier, Test, Truth},
        document::Document,
        facts::Facts,
        glob::{Glob, Style},
        pattern::Pattern,
        witness::{Budget, witnesses},
    },
    MAX_CONTEXTS,
    callers::{conditions, follows_from_caller},
    resource_patterns,
};

/// More values than that of one key that has several at once are too many to be combined.
const MAX_TOGETHER: usize = 8;

/// Keys of which a request has one value, though a policy may use a set operator.
const SINGLE: &[&str] = &[
    "aws:principalarn",
    "aws:principalaccount",
    "aws:principalorgid",
    "aws:principaltype",
    "aws:sourceip",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:sourcearn",
    "aws:sourceaccount",
    "aws:sourceorgid",
    "aws:securetransport",
    "aws:viaawsservice",
    "aws:useragent",
    "aws:requestedregion",
    "aws:currenttime",
    "aws:epochtime",
];

/// What makes contexts differ in one way: the values of a key, or whether a text with a variable
/// matches.
#[derive(Clone, Debug)]
pub(in super::super) struct Dimension {
    /// The key, or the text with the variable in it.
    pub(in super::super) name: String,
    /// How many classes of contexts it makes.
    pub(in super::super) size: usize,
    /// For each condition of this dimension, by its written form: in which classes it holds.
    pub(in super::super) holds: BTreeMap<Meaning, Vec<bool>>,
    /// Whether a difference may rest on a combination that can't come: a variable beside other
    /// conditions on the same key.
    pub(in super::super) approximate: bool,
}

/// A condition, for looking it up.
pub(in super::super) type Meaning = (String, Quantifier, bool, bool, Test);

/// A condition's meaning, owned.
pub(in super::super) fn owned(condition: &Condition) -> Meaning {
    let (key, quantifier, negated, if_exists, test) = condition.meaning();
    (key.to_owned(), quantifier, negated, if_exists, test.clone())
}

/// Whether something in the condition depends on a variable.
pub(in super::super) fn has_variable(condition: &Condition) -> bool {
    matches!(&condition.test, Test::Text(patterns) if patterns.iter().any(|one| one.fixed().is_none()))
}

/// The name of the dimension of a resource's text with a variable.
pub(in super::super) fn resource_dimension(pattern: &Pattern) -> String {
    format!("Resource {pattern}")
}

pub(super) fn dimensions(
    documents: &[&Document],
    budget: &Budget,
) -> Result<Vec<Dimension>, String> {
    let mut by_key: BTreeMap<&str, Vec<&Condition>> = BTreeMap::new();
    let mut with_variable: BTreeMap<Meaning, &Condition> = BTreeMap::new();
    for condition in conditions(documents) {
        if has_variable(condition) {
            with_variable.insert(owned(condition), condition);
        } else if !follows_from_caller(documents, &condition.key) {
            by_key.entry(&condition.key).or_default().push(condition);
        }
    }
    let mut found = Vec::new();
    for (key, conditions) in &by_key {
        found.push(of_key(key, conditions, budget)?);
    }
    for (meaning, condition) in with_variable {
        let beside = conditions(documents).filter(|one| one.key == condition.key);
        let approximate = beside.filter(|one| owned(one) != meaning).count() > 0;
        found.push(Dimension {
            name: condition.shown.clone(),
            size: 2,
            holds: BTreeMap::from([(meaning, vec![false, true])]),
            approximate,
        });
    }
    let texts: BTreeSet<String> = resource_patterns(documents)
        .filter(|pattern| pattern.fixed().is_none())
        .map(resource_dimension)
        .collect();
    // Of two texts with variables in them, whether one matches may tell of the other.
    let approximate = texts.len() > 1;
    found.extend(texts.into_iter().map(|name| Dimension {
        name,
        size: 2,
        holds: BTreeMap::new(),
        approximate,
    }));
    let mut total = 1_usize;
    for dimension in &found {
        total = total.saturating_mul(dimension.size);
    }
    if total > MAX_CONTEXTS {
        let keys: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
        return Err(format!(
            "the conditions combine in more than {MAX_CONTEXTS} ways ({})",
            keys.join(", ")
        ));
    }
    Ok(found)
}

fn of_key(key: &str, conditions: &[&Condition], budget: &Budget) -> Result<Dimension, String> {
    let several =
        !SINGLE.contains(&key) && conditions.iter().any(|one| one.quantifier != Quantifier::One);
    let values = values(key, conditions, budget)?;
    let mut contexts: Vec<Option<Vec<String>>> = vec![None];
    if several {
        // Values that every condition treats alike are one: what is combined is classes.
        let mut classes: BTreeMap<Vec<bool>, String> = BTreeMap::new();
        for value in values {
            let alike = conditions.iter().map(|one| {
                let mut facts = Facts::complete();
                facts.set(key, Some(vec![value.clone()]));
                one.holds(&facts) == Truth::Yes
            });
            classes.entry(alike.collect()).or_insert(value);
        }
        let values: Vec<String> = classes.into_values().collect();
        if values.len() > MAX_TOGETHER {
            return Err(format!(
                "{key} may have several values at once, and {} kinds of them are too many to be combined",
                values.len()
            ));
        }
        for set in 1..1_usize << values.len() {
            let chosen = values.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1);
            contexts.push(Some(chosen.map(|(_, value)| value.clone()).collect()));
        }
    } else {
        contexts.extend(values.into_iter().map(|value| Some(vec![value])));
    }
    // One row a class of contexts: for each condition, whether it holds.
    let mut rows: BTreeSet<Vec<bool>> = BTreeSet::new();
    for context in contexts {
        let mut facts = Facts::complete();
        facts.set(key, context);
        rows.insert(conditions.iter().map(|one| one.holds(&facts) == Truth::Yes).collect());
    }
    let holds = conditions
        .iter()
        .enumerate()
        .map(|(at, one)| (owned(one), rows.iter().map(|row| row[at]).collect()))
        .collect();
    Ok(Dimension { name: key.to_owned(), size: rows.len(), holds, approximate: false })
}

/// The values of a key that its conditions tell apart.
fn values(key: &str, conditions: &[&Condition], budget: &Budget) -> Result<Vec<String>, String> {
    let mut texts: Vec<&Glob> = Vec::new();
    let (mut numbers, mut times): (BTreeSet<Amount>, BTreeSet<Amount>) = Default::default();
    let mut addresses: BTreeSet<IpAddr> = BTreeSet::new();
    let mut boolean = false;
    for condition in conditions {
        match &condition.test {
            Test::Text(patterns) => texts.extend(patterns.iter().filter_map(Pattern::fixed)),
            Test::Number(_, values) => numbers.extend(values),
            Test::Time(_, values) => times.extend(values),
            Test::Bool(_) => boolean = true,
            Test::Address(networks) => {
                for network in networks {
                    addresses.extend([network.first, network.last()]);
                    addresses.extend(before(network.first));
                    addresses.extend(after(network.last()));
                }
            }
            Test::Null(_) => {}
        }
    }
    let kinds = [!texts.is_empty(), !numbers.is_empty(), !times.is_empty(), !addresses.is_empty()];
    if kinds.iter().filter(|is| **is).count() + usize::from(boolean && texts.is_empty()) > 1 {
        return Err(format!("{key} is compared as different types of value"));
    }
    let mut values: Vec<String> = Vec::new();
    if !texts.is_empty() {
        values = witnesses(&texts, &Glob::new("*", Style::Wild), budget).ok_or_else(|| {
            format!("the wildcards of {key} combine in too many ways to be enumerated")
        })?;
    }
    if boolean {
        values.extend(["true".to_owned(), "false".to_owned()]);
    }
    values.extend(around(&numbers).chain(around(&times)));
    values.extend(addresses.iter().map(IpAddr::to_string));
    // Something that no condition speaks of.
    values.push("something else".to_owned());
    Ok(values)
}

/// Each number, one between it and the next, one below and one above all.
fn around(numbers: &BTreeSet<Amount>) -> impl Iterator<Item = String> {
    let sorted: Vec<f64> = numbers.iter().map(|one| one.0).collect();
    let mut values: Vec<f64> = sorted.clone();
    values.extend(sorted.windows(2).map(|pair| f64::midpoint(pair[0], pair[1])));
    values.extend(sorted.first().map(|first| first - first.abs().max(1.0)));
    values.extend(sorted.last().map(|last| last + last.abs().max(1.0)));
    values.into_iter().filter(|value| value.is_finite()).map(|value| value.to_string())
}

fn before(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address).checked_sub(1).map(|n| IpAddr::V4(n.into())),
        IpAddr::V6(address) => u128::from(address).checked_sub(1).map(|n| IpAddr::V6(n.into())),
    }
}

fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address).checked_add(1).map(|n| IpAddr::V4(n.into())),
        IpAddr::V6(address) => u128::from(address).checked_add(1).map(|n| IpAddr::V6(n.into())),
    }
}
