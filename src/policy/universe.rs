//! The universe over which documents are compared: every action, caller, resource and context that
//! could make a difference between them, each by a witness. Whatever two documents of one universe
//! say of its members, they say of everything.

mod callers;
mod contexts;

use std::collections::HashMap;

use super::{
    action::{self, ACTIONS},
    document::{Document, Kind},
    glob::{Glob, Style},
    pattern::Pattern,
    principal::PrincipalArn,
    witness::{Budget, witnesses},
};

pub(super) use callers::{OTHER_ACCOUNT, OTHER_SERVICE, Witness};
pub(super) use contexts::{Dimension, owned, resource_dimension};

/// As many classes of actions as a mask has bits.
const MAX_ACTIONS: usize = 128;
/// Most contexts in which everything is compared: twelve conditions that are met or not.
pub(super) const MAX_CONTEXTS: usize = 4096;

/// Actions that all documents treat alike.
#[derive(Clone, Debug)]
pub(super) struct ActionClass {
    /// One of them, as a request names it.
    pub(super) witness: String,
    /// Those that are known today, as `ecr:Name`.
    pub(super) known: Vec<String>,
    /// Whether there are others: those that a document writes, or that may come to exist.
    pub(super) unknown: Option<String>,
}

/// A resource, and which classes of actions are asked for it.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    /// One of its kind; `*` for the registry itself.
    pub(super) arn: String,
    /// The kind, in words.
    pub(super) words: String,
    pub(super) actions: u128,
}

impl Resource {
    /// Whether it is the registry, of which actions without a repository are asked.
    pub(super) fn is_registry(&self) -> bool {
        self.arn == "*"
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Universe {
    pub(super) actions: Vec<ActionClass>,
    pub(super) callers: Vec<Witness>,
    /// The callers of each account.
    pub(super) members: HashMap<String, Vec<usize>>,
    pub(super) resources: Vec<Resource>,
    pub(super) dimensions: Vec<Dimension>,
}

impl Universe {
    /// Of resource-based documents, for the resources within `place`. The error says why it can't
    /// be enumerated.
    pub(super) fn of(documents: &[&Document], place: &Glob) -> Result<Self, String> {
        let budget = Budget::new();
        let actions = actions(documents, &budget)?;
        let callers = callers::witnesses_of(documents, &budget)?;
        let resources = resources(documents, place, &actions, &budget)?;
        let dimensions = contexts::dimensions(documents, &budget)?;
        let mut members: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, witness) in callers.iter().enumerate() {
            if let Some(account) = &witness.caller.account {
                members.entry(account.clone()).or_default().push(at);
            }
        }
        Ok(Self { actions, callers, members, resources, dimensions })
    }

    /// How many contexts there are.
    pub(super) fn contexts(&self) -> usize {
        self.dimensions.iter().map(|dimension| dimension.size).product()
    }
}

fn statements<'a>(
    documents: &[&'a Document],
) -> impl Iterator<Item = &'a super::document::Statement> {
    documents.iter().flat_map(|document| &document.statements).collect::<Vec<_>>().into_iter()
}

fn actions(documents: &[&Document], budget: &Budget) -> Result<Vec<ActionClass>, String> {
    let mut globs: Vec<(&Glob, &str)> = statements(documents)
        .flat_map(|statement| statement.actions.listed())
        .map(|action| (&action.glob, action.text.as_str()))
        .collect();
    globs.sort();
    globs.dedup_by(|a, b| a.0 == b.0);
    let within = Glob::new("ecr:*", Style::WildFold);
    let patterns: Vec<&Glob> = globs.iter().map(|(glob, _)| *glob).collect();
    let texts = witnesses(&patterns, &within, budget)
        .ok_or("the actions' wildcards combine in too many ways to be enumerated")?;
    let mut classes: Vec<(Vec<u64>, ActionClass)> = Vec::new();
    let mut add = |text: &str, known: Option<String>, unknown: Option<String>| {
        let vector = vector(&patterns, text);
        if let Some((_, class)) = classes.iter_mut().find(|(own, _)| *own == vector) {
            class.known.extend(known);
            class.unknown = class.unknown.take().or(unknown);
        } else {
            let witness = text.to_owned();
            let known = known.into_iter().collect();
            classes.push((vector, ActionClass { witness, known, unknown }));
        }
    };
    for action in ACTIONS {
        let text = format!("ecr:{}", action.name);
        add(&text, Some(text.clone()), None);
    }
    for text in &texts {
        if action::find(text).is_some() {
            continue;
        }
        // A text that a document writes, or the widest of the wildcards that an unknown one is of.
        let written = globs.iter().find(|(glob, _)| glob.exact() == Some(text));
        let name = if let Some((_, written)) = written {
            format!("{written} (not known today)")
        } else {
            let matched = globs.iter().filter(|(glob, _)| glob.matches(text));
            let narrowest = matched.max_by_key(|(glob, _)| glob.tokens().len());
            match narrowest.filter(|(glob, _)| !glob.is_everything() && **glob != within) {
                Some((_, pattern)) => format!("future actions of {pattern}"),
                None => action::FUTURE_ACTIONS.to_owned(),
            }
        };
        add(text, None, Some(name));
    }
    if classes.len() > MAX_ACTIONS {
        return Err(format!("{} classes of actions are too many to be enumerated", classes.len()));
    }
    Ok(classes.into_iter().map(|(_, class)| class).collect())
}

/// Which of the patterns match, as bits.
fn vector(patterns: &[&Glob], text: &str) -> Vec<u64> {
    let mut bits = vec![0_u64; patterns.len().div_ceil(64)];
    for (at, pattern) in patterns.iter().enumerate() {
        bits[at / 64] |= u64::from(pattern.matches(text)) << (at % 64);
    }
    bits
}

fn resources(
    documents: &[&Document],
    place: &Glob,
    actions: &[ActionClass],
    budget: &Budget,
) -> Result<Vec<Resource>, String> {
    let mut written: Vec<&Pattern> =
        resource_patterns(documents).filter(|pattern| pattern.fixed().is_some()).collect();
    written.sort();
    written.dedup();
    let patterns: Vec<&Glob> = written.iter().filter_map(|pattern| pattern.fixed()).collect();
    let of_registry = |class: &&ActionClass| {
        action::find(&class.witness).is_some_and(|action| !action.of_repository)
    };
    let mut registry = 0_u128;
    let mut repository = 0_u128;
    for (at, class) in actions.iter().enumerate() {
        // A class may have actions of both in it.
        let bit = 1_u128 << at;
        let both = |of: bool| {
            class
                .known
                .iter()
                .filter_map(|name| action::find(name))
                .any(|one| one.of_repository == of)
        };
        if both(false) || of_registry(&class) {
            registry |= bit;
        }
        if both(true) || class.unknown.is_some() {
            repository |= bit;
        }
    }
    let mut found: Vec<(Vec<u64>, String)> = Vec::new();
    let texts = match place.exact() {
        Some(arn) => vec![arn.to_owned()],
        None => witnesses(&patterns, place, budget)
            .ok_or("the resources' wildcards combine in too many ways to be enumerated")?,
    };
    for arn in texts {
        let vector = vector(&patterns, &arn);
        if found.iter().all(|(own, _)| *own != vector) {
            found.push((vector, arn));
        }
    }
    let vectors: Vec<Vec<u64>> = found.iter().map(|(vector, _)| vector.clone()).collect();
    let mut resources: Vec<Resource> = found
        .into_iter()
        .map(|(vector, arn)| {
            let words = words(&written, &vector, &vectors, &arn);
            Resource { arn, words, actions: repository }
        })
        .collect();
    if documents.iter().any(|document| document.kind == Kind::Registry) {
        let words = "the registry itself".to_owned();
        resources.push(Resource { arn: "*".to_owned(), words, actions: registry });
    } else {
        for resource in &mut resources {
            resource.actions |= registry;
        }
    }
    Ok(resources)
}

/// A kind of repositories in words: by the texts that match them, and those that match only some of
/// them.
fn words(patterns: &[&Pattern], own: &[u64], all: &[Vec<u64>], arn: &str) -> String {
    // Of the kinds that everything which matches this one matches too: what more matches them.
    let mut beyond = vec![0_u64; own.len()];
    let mut always = vec![u64::MAX; own.len()];
    for vector in all {
        let wider = own.iter().zip(vector).all(|(own, other)| own & !other == 0);
        for (at, word) in vector.iter().enumerate() {
            always[at] &= word;
            beyond[at] |= if wider { word & !own[at] } else { 0 };
        }
    }
    let listed = |bits: &[u64]| {
        let has = |at: usize| bits[at / 64] >> (at % 64) & 1 == 1;
        let mut texts: Vec<&str> = (0..patterns.len())
            .filter(|at| has(*at))
            .map(|at| patterns[at].text.as_str())
            .collect();
        texts.sort_unstable();
        texts.dedup();
        texts
    };
    let own: Vec<u64> = own.iter().zip(&always).map(|(own, always)| own & !always).collect();
    let (named, without) = (listed(&own), listed(&beyond));
    let named = match (named.is_empty(), without.is_empty()) {
        (false, _) => named.join(" and "),
        (true, true) => format!("repositories such as {arn}"),
        (true, false) => "all repositories".to_owned(),
    };
    if without.is_empty() { named } else { format!("{named} but not {}", without.join(", ")) }
}

/// Every pattern of a resource.
pub(super) fn resource_patterns<'a>(
    documents: &[&'a Document],
) -> impl Iterator<Item = &'a Pattern> {
    statements(documents)
        .filter_map(|statement| statement.resources.as_ref())
        .flat_map(super::document::Named::listed)
}

/// The partition that the documents speak of.
fn partition<'a>(documents: &[&'a Document]) -> &'a str {
    statements(documents)
        .filter_map(|statement| statement.principals.as_ref())
        .flat_map(super::document::Named::listed)
        .find_map(|who| match who {
            super::principal::Who::Arn(arn) => PrincipalArn::parse(arn).map(|arn| arn.partition),
            _ => None,
        })
        .unwrap_or("aws")
}
