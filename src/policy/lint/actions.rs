//! Actions that do not exist, do nothing here, or are half of what is needed.

use std::collections::BTreeSet;

use super::{
    super::{
        action::{self, REGISTRY_V1},
        document::{Document, Effect, Kind, Statement},
        evaluate::RegistryScope,
        glob::Glob,
    },
    Finding, Place, Severity, finding, of_ecr,
};
use crate::model::reason::Reason;

pub(super) fn check(
    document: &Document,
    statement: &Statement,
    place: &Place<'_>,
    found: &mut Vec<Finding>,
) {
    let listed = statement.actions.listed();
    for action in listed {
        let Some(text) = action.glob.exact() else { continue };
        if of_ecr(document.kind) && !text.starts_with("ecr:") {
            found.push(finding(
                Severity::Warning,
                Reason::PolicyActionUnknown,
                statement,
                format!("{} is no action of ECR: it does nothing here", action.text),
            ));
        } else if text.starts_with("ecr:") && action::find(text).is_none() {
            let near = action::nearest(text).map(|near| format!("; {near} is")).unwrap_or_default();
            found.push(finding(
                Severity::Warning,
                Reason::PolicyActionUnknown,
                statement,
                format!("{} is no action of ECR that is known{near}", action.text),
            ));
        }
        let token = text == "ecr:getauthorizationtoken";
        if of_ecr(document.kind) && token && statement.effect == Effect::Allow {
            found.push(finding(
                Severity::Warning,
                Reason::PolicyTokenInResource,
                statement,
                "tokens are minted in the caller's own account, by its own policies",
            ));
        } else if token && !statement.actions.is_all_but() && statement.effect == Effect::Allow {
            let everywhere = statement.resources.as_ref().is_none_or(|named| {
                !named.is_all_but()
                    && named.listed().iter().any(|one| one.fixed().is_some_and(Glob::is_everything))
            });
            if !everywhere {
                found.push(finding(
                    Severity::Error,
                    Reason::PolicyTokenResource,
                    statement,
                    "ecr:GetAuthorizationToken is asked for no repository: its Resource must be \"*\"",
                ));
            }
        }
    }
    if document.kind == Kind::Registry && place.scope == RegistryScope::V1 {
        let beyond: BTreeSet<&str> = listed
            .iter()
            .filter(|action| {
                let exact = action.glob.exact();
                !exact.is_some_and(|text| {
                    REGISTRY_V1.iter().any(|one| one.eq_ignore_ascii_case(text))
                })
            })
            .map(|action| action.text.as_str())
            .collect();
        if !beyond.is_empty() {
            found.push(finding(
                Severity::Error,
                Reason::PolicyRegistryScope,
                statement,
                beyond.into_iter().collect::<Vec<_>>().join(", "),
            ));
        }
    }
    partial_pull(document, statement, found);
}

/// A manifest without its layers, or the reverse, is no image.
fn partial_pull(document: &Document, statement: &Statement, found: &mut Vec<Finding>) {
    if !of_ecr(document.kind) || statement.effect == Effect::Deny || statement.actions.is_all_but()
    {
        return;
    }
    let gives = |action: &str| statement.actions.covers(action);
    let elsewhere = |action: &str| {
        document.statements.iter().any(|other| {
            other.effect == Effect::Allow
                && other.index != statement.index
                && other.actions.covers(action)
        })
    };
    for (has, lacks) in [
        ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
        ("ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"),
    ] {
        if gives(has) && !gives(lacks) && !elsewhere(lacks) {
            found.push(finding(
                Severity::Error,
                Reason::PolicyPartialPull,
                statement,
                format!("{has} without {lacks}"),
            ));
        }
    }
}
