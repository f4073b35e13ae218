//! Conditions that are never met or don't see what they seem to, and the document as a whole.

use std::collections::BTreeSet;

use super::{
    super::{
        action,
        condition::{Condition, Test},
        document::{Document, ECR_POLICY_CHARACTERS, Statement},
    },
    Finding, Severity, finding, of_ecr,
};
use crate::model::reason::Reason;

pub(super) fn check(document: &Document, statement: &Statement, found: &mut Vec<Finding>) {
    for condition in &statement.conditions {
        let mut add = |severity, reason, detail: String| {
            found.push(finding(severity, reason, statement, detail));
        };
        if condition.is_empty() {
            add(
                Severity::Error,
                Reason::PolicyConditionDead,
                format!("{condition}: a list of no values is never met"),
            );
            continue;
        }
        if !of_ecr(document.kind) {
            continue;
        }
        match condition.key.as_str() {
            // The API proxies the engine's requests: what is seen of them is AWS's own address.
            "aws:sourceip" => add(
                Severity::Warning,
                Reason::PolicyConditionDocker,
                format!(
                    "{condition}: requests of docker push and pull reach the policy from an address of AWS's own"
                ),
            ),
            "aws:useragent" | "aws:referer" => add(
                Severity::Warning,
                Reason::PolicyConditionDocker,
                format!("{condition}: an engine's request is passed on by AWS, without it"),
            ),
            "aws:multifactorauthpresent" | "aws:multifactorauthage" => add(
                Severity::Warning,
                Reason::PolicyConditionDocker,
                format!("{condition}: a host's role has no second factor"),
            ),
            "aws:securetransport" if dead_transport(condition) => add(
                Severity::Warning,
                Reason::PolicyConditionDead,
                format!("{condition}: ECR is reached over TLS only"),
            ),
            key if (key == "aws:tagkeys" || key.starts_with("aws:requesttag/"))
                && action::PULL
                    .iter()
                    .chain(action::PUSH)
                    .any(|one| statement.actions.covers(one)) =>
            {
                add(
                    Severity::Warning,
                    Reason::PolicyConditionDead,
                    format!("{condition}: requests to pull and push carry no tags"),
                );
            }
            _ => {}
        }
    }
}

fn dead_transport(condition: &Condition) -> bool {
    matches!(&condition.test, Test::Bool(values) if values.as_slice() == [false])
}

pub(super) fn whole(document: &Document, found: &mut Vec<Finding>) {
    let mut add = |severity, reason, detail: String| {
        found.push(Finding { severity, reason, statement: None, detail });
    };
    if of_ecr(document.kind) && document.characters * 10 > ECR_POLICY_CHARACTERS * 9 {
        add(
            Severity::Warning,
            Reason::PolicyNearlyFull,
            format!("{} of {ECR_POLICY_CHARACTERS} characters", document.characters),
        );
    }
    let mut seen = BTreeSet::new();
    for sid in document.statements.iter().filter_map(|one| one.sid.as_deref()) {
        if !seen.insert(sid) {
            add(Severity::Warning, Reason::PolicySidTwice, format!("{sid:?}"));
        }
    }
    if document.literal_variables {
        add(
            Severity::Warning,
            Reason::PolicyVariableLiteral,
            "\"${...}\" in a policy of version 2008-10-17, or of none".to_owned(),
        );
    }
}
