//! What is written differently and means the same.

use std::collections::BTreeSet;

use super::super::document::{Document, Spelling, Version};

/// In words, from the actual document's side. Complete only for what AWS itself rewrites.
pub(super) fn differences(expected: &Document, actual: &Document) -> Vec<String> {
    let mut found = Vec::new();
    let version = |document: &Document| match (document.states_version, document.version) {
        (false, _) => "not given (2008-10-17)",
        (true, Version::V2008) => "2008-10-17",
        (true, Version::V2012) => "2012-10-17",
    };
    if version(expected) != version(actual) {
        found.push(format!("Version is {}, expected {}", version(actual), version(expected)));
    }
    if expected.id != actual.id {
        let id = |document: &Document| document.id.clone().unwrap_or_else(|| "none".to_owned());
        found.push(format!("Id is {}, expected {}", id(actual), id(expected)));
    }
    let count = |document: &Document| match document.statements.len() {
        1 => "1 statement".to_owned(),
        n => format!("{n} statements"),
    };
    if expected.statements.len() != actual.statements.len() {
        found.push(format!("{}, expected {}", count(actual), count(expected)));
    }
    let sids = |document| -> Vec<&str> {
        let document: &Document = document;
        document.statements.iter().filter_map(|one| one.sid.as_deref()).collect()
    };
    let (before, after) = (sids(expected), sids(actual));
    if before != after {
        let (mut one, mut other) = (before.clone(), after.clone());
        one.sort_unstable();
        other.sort_unstable();
        if one == other {
            found.push("the statements are in another order".to_owned());
        } else {
            let shown = |sids: &[&str]| {
                if sids.is_empty() { "none".to_owned() } else { sids.join(", ") }
            };
            found.push(format!("Sids: {}, expected {}", shown(&after), shown(&before)));
        }
    }
    let spelling = |document| -> BTreeSet<&Spelling> {
        let document: &Document = document;
        document.statements.iter().flat_map(|one| &one.spelling).collect()
    };
    let (before, after) = (spelling(expected), spelling(actual));
    found.extend(after.difference(&before).map(ToString::to_string));
    found.extend(before.difference(&after).map(|what| format!("in what is expected, {what}")));
    found
}
