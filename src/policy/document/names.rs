//! The names in an object: known ones, unknown ones, and those that are there twice.

use std::{borrow::Cow, collections::BTreeSet};

use super::{super::json::Member, parse::Reading};

impl Reading<'_> {
    /// Complains of names that are not known, and of names given twice.
    pub(super) fn names(&mut self, members: &[Member<'_>], known: &[&str], of: &str) {
        let mut seen = Seen::of(members);
        for member in members {
            if seen.twice(&member.name, false) {
                self.mistake(
                    member.at,
                    format!(
                        "{:?} is there twice: which of the two counts is not defined",
                        member.name
                    ),
                );
            }
            if known.contains(&member.name.as_ref()) {
                continue;
            }
            if member.name == "policyText" {
                self.mistake(
                    member.at,
                    "this is the whole answer of the AWS CLI: take the policy out of it with --query policyText --output text",
                );
                continue;
            }
            let near = nearest(&member.name, known);
            self.mistake(member.at, format!("{of} has no element {:?}{near}", member.name));
        }
    }
}

/// The names of an object so far: a few, which looking through costs less than a set, or many.
pub(super) enum Seen<'a> {
    Few(Vec<&'a str>),
    Many(BTreeSet<Cow<'a, str>>),
}

impl<'a> Seen<'a> {
    pub(super) fn of(members: &[Member<'_>]) -> Self {
        if members.len() > 16 {
            Self::Many(BTreeSet::new())
        } else {
            Self::Few(Vec::with_capacity(members.len()))
        }
    }

    /// Whether the name was there before; operators and keys in any case.
    pub(super) fn twice(&mut self, name: &'a str, any_case: bool) -> bool {
        match self {
            Self::Few(names) => {
                let same = |before: &&str| {
                    *before == name || (any_case && before.eq_ignore_ascii_case(name))
                };
                let twice = names.iter().any(same);
                names.push(name);
                twice
            }
            Self::Many(names) if any_case => !names.insert(name.to_ascii_lowercase().into()),
            Self::Many(names) => !names.insert(name.into()),
        }
    }
}

/// `; did you mean "X"?`, where one is near.
pub(super) fn nearest(name: &str, known: &[&str]) -> String {
    let lower = name.to_ascii_lowercase();
    known
        .iter()
        .map(|one| (strsim::damerau_levenshtein(&lower, &one.to_ascii_lowercase()), one))
        .filter(|(distance, _)| *distance <= 2 && name.len() < 64)
        .min()
        .map(|(_, one)| format!("; did you mean {one:?}?"))
        .unwrap_or_default()
}
