//! A live policy against its baseline, and what the caller can do by what is known. Pure.

use super::{
    Access, Caller, Change, Comparison, Document, Drift, Facts, Kind, PULL, PUSH, Policies, Policy,
    RegistryScope, Relation, Request, Row, diff, evaluate, parse,
};
use crate::model::{outcome::Problem, policy::Mode, reason::Reason};

/// What a policy that was read says; `None` where there is none.
///
/// Errors: what can't be read in it, with its place.
pub fn read(kind: Kind, text: Option<&str>) -> Result<Document, Problem> {
    let Some(text) = text else { return Ok(Document::empty(kind)) };
    parse(text, kind).map_err(|mistakes| {
        let first = mistakes.first().map(ToString::to_string).unwrap_or_default();
        let more = mistakes.len().saturating_sub(1);
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        Problem::new(Reason::PolicyMalformed, format!("{}: {first}{more}", kind.noun()))
    })
}

/// How a live policy stands to its baseline, as its mode counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As it should be; what differs is allowed to, or means the same.
    Fine,
    /// It is not.
    Drifted {
        /// What counts of it: what is allowed to differ is left out.
        relation: Relation,
        /// The differences that count.
        rows: Vec<Row>,
    },
    /// It can't be decided, and why.
    Undecided(String),
}

impl Standing {
    /// The class in metrics.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Fine => "equivalent",
            Self::Drifted { relation, .. } => relation.word(),
            Self::Undecided(_) => "undecided",
        }
    }
}

/// Every class of [`Standing::class`].
pub const CLASSES: [&str; 5] = ["equivalent", "broader", "narrower", "incomparable", "undecided"];

/// Compares a live policy with its baseline. `resource`: the repository's ARN.
pub fn standing(baseline: &Document, live: &Document, mode: Mode, resource: &str) -> Standing {
    match diff(baseline, live, Some(resource)) {
        Comparison::Undecided(why) => Standing::Undecided(why),
        Comparison::Decided(Drift { rows, .. }) => {
            let (counts_gains, counts_losses) = (mode != Mode::AtLeast, mode != Mode::AtMost);
            let rows: Vec<Row> = rows
                .into_iter()
                .filter(|row| {
                    (counts_gains && gains(row.change)) || (counts_losses && loses(row.change))
                })
                .collect();
            let gained = counts_gains && rows.iter().any(|row| gains(row.change));
            let lost = counts_losses && rows.iter().any(|row| loses(row.change));
            let relation = match (gained, lost) {
                (true, true) => Relation::Incomparable,
                (true, false) => Relation::Broader,
                (false, true) => Relation::Narrower,
                (false, false) => return Standing::Fine,
            };
            Standing::Drifted { relation, rows }
        }
    }
}

/// Whether somebody can do more by it.
fn gains(change: Change) -> bool {
    match change {
        Change::Gained | Change::NoLongerDenied | Change::DenialChanged => true,
        Change::Changed(relation) => relation != Relation::Narrower,
        Change::Lost | Change::Denied => false,
    }
}

/// Whether somebody can do less by it.
fn loses(change: Change) -> bool {
    match change {
        Change::Lost | Change::Denied | Change::DenialChanged => true,
        Change::Changed(relation) => relation != Relation::Broader,
        Change::Gained | Change::NoLongerDenied => false,
    }
}

/// What of the primary account's side is known of one repository.
#[derive(Clone, Debug)]
pub struct Known<'a> {
    /// The repository's ARN.
    pub resource: &'a str,
    /// Its policy; `None`: it can't be read.
    pub repository: Option<&'a Document>,
    /// The registry's; `None`: it can't be read.
    pub registry: Option<&'a Document>,
    /// What the registry's policy speaks of.
    pub scope: RegistryScope,
}

/// What a caller can do as far as the primary account decides it: the caller's own policies are
/// taken to allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Can {
    /// Allowed, denied or undecided; of an operation's actions the one that stops it.
    pub access: Access,
    /// The action that stops it, or on which it rests.
    pub action: &'static str,
    /// What it rests on or what is in the way, in words.
    pub because: String,
}

/// Whether a caller can pull.
pub fn can_pull(caller: &Caller, known: &Known<'_>) -> Can {
    can(caller, known, PULL)
}

/// Whether a caller can push.
pub fn can_push(caller: &Caller, known: &Known<'_>) -> Can {
    can(caller, known, PUSH)
}

fn can(caller: &Caller, known: &Known<'_>, actions: &'static [&'static str]) -> Can {
    let mut policies = Policies { registry_scope: known.scope, ..Policies::default() };
    let own =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    if let Ok(document) = parse(own, Kind::Identity) {
        let name = "what the caller's own account allows".to_owned();
        policies.known.push(Policy { name, document });
    }
    for (kind, document) in [(Kind::Repository, known.repository), (Kind::Registry, known.registry)]
    {
        match document {
            Some(document) => policies
                .known
                .push(Policy { name: kind.noun().to_owned(), document: document.clone() }),
            None => {
                policies.unknown.insert(kind);
            }
        }
    }
    let decide = |action: &'static str| {
        let request = Request::new(caller.clone(), action, known.resource, Facts::default());
        (action, evaluate(&request, &policies))
    };
    let rank = |access: Access| match access {
        Access::Denied => 3,
        Access::NotGranted => 2,
        Access::Undecided => 1,
        Access::Allowed => 0,
    };
    let mut worst: Option<(&'static str, super::Decision)> = None;
    for (action, decision) in actions.iter().map(|action| decide(action)) {
        if worst.as_ref().is_none_or(|(_, worst)| rank(worst.access) < rank(decision.access)) {
            worst = Some((action, decision));
        }
    }
    let Some((action, decision)) = worst else {
        return Can { access: Access::Undecided, action: "", because: String::new() };
    };
    let because = match (decision.access, &decision.statement, decision.layer) {
        (Access::Undecided, ..) => {
            format!("{action}: unless {}", decision.unless.join("; or unless "))
        }
        (Access::NotGranted, _, Some(layer)) => {
            format!("{action}: neither {} nor {} allows it", layer.noun(), Kind::Registry.noun())
        }
        (_, Some(statement), _) => format!("{action}: by {statement}"),
        _ => action.to_owned(),
    };
    Can { access: decision.access, action, because }
}

/// A difference in words: `lost: ecr:BatchGetImage for account 111122223333`.
pub fn in_words(row: &Row) -> String {
    let when = match (&row.expected, &row.actual) {
        (Some(expected), Some(actual)) => format!(", when {actual} (expected: {expected})"),
        (Some(one), None) | (None, Some(one)) if one != "always" => format!(", when {one}"),
        _ => String::new(),
    };
    let on = row.resources.as_ref().map(|on| format!(" on {on}")).unwrap_or_default();
    format!("{}: {} for {}{on}{when}", row.change.word(), row.actions.join(", "), row.principals)
}

#[cfg(test)]
mod tests;
