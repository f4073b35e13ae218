//! What is wrong with a policy that AWS may well have stored: what it grants to too many, to
//! nobody, or not in the way that it seems.

mod actions;
mod conditions;
mod principals;
mod resources;
#[cfg(test)]
mod tests;

use super::{
    action,
    document::{Document, Kind, Statement},
    evaluate::RegistryScope,
};
use crate::model::reason::Reason;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// It may stay.
    Note,
    /// It does not do what it seems to.
    Warning,
    /// It breaks access, or opens it to too many.
    Error,
}

impl Severity {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Which it is.
    pub reason: Reason,
    /// The statement, from 1, and the line on which it begins; `None`: the whole document.
    pub statement: Option<(usize, usize)>,
    /// What was seen.
    pub detail: String,
}

/// What is known of where the policy is; nothing need be.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// Partition, region and account of the registry.
    pub registry: Option<(&'a str, &'a str, &'a str)>,
    /// What the registry policy speaks of.
    pub scope: RegistryScope,
    /// The unique id of this host's own role (`AROA...`), and its name.
    pub own_role: Option<(&'a str, &'a str)>,
}

impl Default for Place<'_> {
    fn default() -> Self {
        Self { registry: None, scope: RegistryScope::V2, own_role: None }
    }
}

/// All findings, the gravest first, then in the document's order.
pub fn lint(document: &Document, place: &Place<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for statement in &document.statements {
        principals::check(document, statement, place, &mut found);
        actions::check(document, statement, place, &mut found);
        resources::check(document, statement, place, &mut found);
        conditions::check(document, statement, &mut found);
    }
    conditions::whole(document, &mut found);
    found.sort_by_key(|one| (std::cmp::Reverse(one.severity), one.statement));
    found
}

fn finding(
    severity: Severity,
    reason: Reason,
    statement: &Statement,
    detail: impl Into<String>,
) -> Finding {
    Finding {
        severity,
        reason,
        statement: Some((statement.index, statement.line)),
        detail: detail.into(),
    }
}

/// Whether a policy of the kind speaks of a resource of ECR.
fn of_ecr(kind: Kind) -> bool {
    matches!(kind, Kind::Repository | Kind::Registry)
}

/// Whether the statement gives any action that pushes.
fn gives_push(statement: &Statement) -> bool {
    action::PUSH
        .iter()
        .any(|one| *one != "ecr:BatchCheckLayerAvailability" && statement.actions.covers(one))
}
