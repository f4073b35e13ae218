//! How two policies differ, in grants: what is lost, gained, or under other conditions.

mod cosmetic;
mod rows;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeSet;

use super::{
    document::{Document, Kind},
    glob::{Glob, Style},
    grants::Grants,
    normal::normal,
    pattern::Pattern,
    universe::{self, Universe},
    witness::{Budget, witnesses},
};

/// Most comparisons of one difference: some tens of milliseconds.
const MAX_CELLS: usize = 1 << 23;

/// How the actual policy stands to the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Relation {
    /// Both mean the same.
    Equivalent,
    /// The actual one grants all that is expected, and more.
    Broader,
    /// The actual one grants less, and nothing else.
    Narrower,
    /// It grants something more and something less.
    Incomparable,
}

impl Relation {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Equivalent => "equivalent",
            Self::Broader => "broader",
            Self::Narrower => "narrower",
            Self::Incomparable => "incomparable",
        }
    }

    fn of(more: bool, less: bool) -> Self {
        match (more, less) {
            (false, false) => Self::Equivalent,
            (true, false) => Self::Broader,
            (false, true) => Self::Narrower,
            (true, true) => Self::Incomparable,
        }
    }
}

/// What became of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// It was expected, and is not there.
    Lost,
    /// It is there, and was not expected.
    Gained,
    /// It is there under other conditions: more or less often, or both.
    Changed(Relation),
    /// What is denied by name and was not expected to be: other policies can't allow it any more.
    Denied,
    /// What was expected to be denied by name and is not.
    NoLongerDenied,
    /// What is denied by name under other conditions.
    DenialChanged,
}

impl Change {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Gained => "gained",
            Self::Changed(_) => "changed",
            Self::Denied => "denied",
            Self::NoLongerDenied => "no longer denied",
            Self::DenialChanged => "denial changed",
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// What became of it.
    pub change: Change,
    /// For whom, in words: `account 111122223333`, a role's ARN, `everyone but ...`.
    pub principals: String,
    /// For which actions: `ecr:Name`, or in words those that are not known today.
    pub actions: Vec<String>,
    /// On which resources, in words; `None` for a repository's policy.
    pub resources: Option<String>,
    /// When it was expected to hold: `always`, or the conditions; `None`: never.
    pub expected: Option<String>,
    /// When it holds; `None`: never.
    pub actual: Option<String>,
}

/// The difference of two policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// How the actual policy stands to the expected one.
    pub relation: Relation,
    /// The differences in meaning; empty if and only if equivalent.
    pub rows: Vec<Row>,
    /// What is written differently and means the same, in words.
    pub cosmetic: Vec<String>,
}

/// What a comparison came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It is decided.
    Decided(Drift),
    /// It can't be decided; why not, and what would help.
    Undecided(String),
}

/// Compares two policies of a kind that has principals.
///
/// `resource`: the repository's ARN, or for registry policies the ARN of any of its repositories.
/// Without it, a difference that rests on which one it is is undecided.
pub fn diff(expected: &Document, actual: &Document, resource: Option<&str>) -> Comparison {
    let cosmetic = cosmetic::differences(expected, actual);
    if normal(expected) == normal(actual) {
        return Comparison::Decided(Drift {
            relation: Relation::Equivalent,
            rows: Vec::new(),
            cosmetic,
        });
    }
    let documents = [expected, actual];
    let mut decided: Option<(Relation, Vec<Row>)> = None;
    let places = places(&documents, resource);
    for place in &places {
        let (relation, rows) = match compare(documents, place) {
            Ok(compared) => compared,
            Err(why) => return Comparison::Undecided(why),
        };
        match &decided {
            None => decided = Some((relation, rows)),
            Some((before, _)) if *before == relation => {}
            Some(_) => {
                return Comparison::Undecided(match expected.kind {
                    Kind::Repository => "it depends on whether the Resource is this repository's own: say which it is with --repository ARN".to_owned(),
                    _ => "it depends on which registry it is: say which with --registry ACCOUNT.REGION".to_owned(),
                });
            }
        }
    }
    let (relation, rows) = decided.unwrap_or((Relation::Equivalent, Vec::new()));
    Comparison::Decided(Drift { relation, rows, cosmetic })
}

/// Where the policies may be: each of the places is compared by itself. An ARN in what is expected
/// is taken to be right; one in the actual policy may be another's.
fn places(documents: &[&Document; 2], resource: Option<&str>) -> Vec<Glob> {
    let registry = documents.iter().any(|document| document.kind == Kind::Registry);
    if let Some(arn) = resource {
        return vec![if registry { registry_of(arn) } else { Glob::new(arn, Style::Exact) }];
    }
    let named = |document: &Document| -> BTreeSet<Glob> {
        universe::resource_patterns(&[document])
            .filter(|pattern| {
                let mut parts = pattern.text.split(':');
                let whole = parts.clone().count() == 6;
                let wild = |part: &str| part.contains(['*', '?', '$']);
                let taken = if registry { 5 } else { 6 };
                whole && !parts.by_ref().take(taken).any(wild)
            })
            .map(|pattern| {
                if registry {
                    registry_of(&pattern.text)
                } else {
                    Glob::new(&pattern.text, Style::Exact)
                }
            })
            .collect()
    };
    let [expected, actual] = documents.map(named);
    if !expected.is_empty() {
        return expected.into_iter().collect();
    }
    if registry {
        let elsewhere = registry_of("arn:aws:ecr:any-other-1:000000000000:");
        return actual.into_iter().chain([elsewhere]).collect();
    }
    // Any repository that the texts tell apart may be the policy's own.
    let fixed: Vec<&Glob> =
        universe::resource_patterns(documents).filter_map(Pattern::fixed).collect();
    let within = Glob::new("arn:*:ecr:*:*:repository/*", Style::Wild);
    match witnesses(&fixed, &within, &Budget::new()) {
        Some(texts) => texts.iter().map(|text| Glob::new(text, Style::Exact)).collect(),
        None => vec![within],
    }
}

fn registry_of(arn: &str) -> Glob {
    let five: Vec<&str> = arn.split(':').take(5).collect();
    Glob::new(&format!("{}:repository/*", five.join(":")), Style::Wild)
}

fn compare(documents: [&Document; 2], place: &Glob) -> Result<(Relation, Vec<Row>), String> {
    let universe = Universe::of(&documents, place)?;
    let contexts = universe.contexts();
    let statements: usize = documents.iter().map(|document| document.statements.len()).sum();
    let cells = universe.callers.len() * universe.resources.len();
    if cells.saturating_mul(contexts).saturating_mul(statements) > MAX_CELLS {
        return Err(format!(
            "{} callers, {} kinds of resource, {contexts} contexts and {statements} statements are too many to be enumerated",
            universe.callers.len(),
            universe.resources.len(),
        ));
    }
    let [expected, actual] = documents.map(|document| Grants::new(document, &universe));
    let table = rows::Table::fill(&universe, &expected, &actual);
    if table.rests_on_a_variable {
        return Err(
            "the difference rests on a policy variable beside other conditions on the same key"
                .to_owned(),
        );
    }
    let (more, less) = table.more_and_less();
    Ok((Relation::of(more, less), table.rows(&universe, &expected, &actual)))
}
