//! The names in an object: known ones, unknown ones, and those that are there twice.

use std::{borrow::Cow, collections::BTreeSet};

use super::{super::json::Member, parse::Reading};

impl Reading<'_> {
    /// Complains of names that are not known, and of names given twice.
    pub(super) fn names(&mut self, members: &[Member<'_>], known: &[&str], of: &str) {
        let mut seen = Seen::of(members);
        for (at, member) in members.iter().enumerate() {
            if seen.twice(at, false) {
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

/// The names of an object, gone through in their order.
pub(super) struct Seen<'a> {
    members: &'a [Member<'a>],
    /// Where there are more than looking through them each time is worth.
    many: Option<BTreeSet<Cow<'a, str>>>,
}

impl<'a> Seen<'a> {
    pub(super) fn of(members: &'a [Member<'a>]) -> Self {
        Self { members, many: (members.len() > 16).then(BTreeSet::new) }
    }

    /// Whether the name of the member at this place was there before; operators and keys in any
    /// case.
    pub(super) fn twice(&mut self, at: usize, any_case: bool) -> bool {
        let name = self.members[at].name.as_ref();
        match &mut self.many {
            Some(names) if any_case => !names.insert(name.to_ascii_lowercase().into()),
            Some(names) => !names.insert(name.into()),
            None => self.members[..at].iter().any(|before| {
                before.name == name || (any_case && before.name.eq_ignore_ascii_case(name))
            }),
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
