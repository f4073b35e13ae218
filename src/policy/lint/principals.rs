//! Who is named, and who is meant.

use super::{
    super::{
        condition::{Condition, Test},
        document::{Document, Effect, Named, Statement},
        glob::Glob,
        principal::{PrincipalArn, Who, unique_id_kind},
    },
    Finding, Place, Severity, finding, gives_push, of_ecr,
};
use crate::model::reason::Reason;

/// Keys by which a condition narrows who may come, enough that `*` is not everybody.
const NARROWING: &[&str] = &[
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:sourcevpce",
    "aws:sourcevpc",
    "aws:sourceip",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:vpcesourceaccount",
    "aws:vpcesourceorgid",
    "aws:userid",
];

pub(super) fn check(
    document: &Document,
    statement: &Statement,
    place: &Place<'_>,
    found: &mut Vec<Finding>,
) {
    let Some(named) = &statement.principals else { return };
    if named.is_all_but() {
        not_principal(statement, named, found);
    }
    for who in named.listed() {
        let Who::UniqueId(id) = who else { continue };
        let kind = unique_id_kind(id).unwrap_or("principal");
        // Its own id means the role itself: what AWS shows for a live one is its ARN.
        let (reason, detail) = match place.own_role {
            Some((own, _)) if own == id.as_str() => continue,
            Some((_, name)) if kind == "role" && of_ecr(document.kind) => (
                Reason::PolicyPreviousRole,
                format!(
                    "{id} is a role that was deleted, and perhaps this host's own {name} before it was created again"
                ),
            ),
            _ => (Reason::PolicyOrphan, format!("{id} is a {kind} that was deleted")),
        };
        found.push(finding(Severity::Error, reason, statement, detail));
    }
    if let Some((partition, _, _)) = place.registry {
        let of_another = named.listed().iter().filter_map(|who| match who {
            Who::Arn(arn) => PrincipalArn::parse(arn).filter(|arn| arn.partition != partition),
            _ => None,
        });
        for arn in of_another {
            found.push(finding(
                Severity::Error,
                Reason::PolicyArnMalformed,
                statement,
                format!(
                    "a principal of partition {} can't reach one of {partition}",
                    arn.partition
                ),
            ));
        }
    }
    let everyone = named.is_all_but() || named.listed().contains(&Who::Everyone);
    let narrowed = statement.conditions.iter().any(narrows);
    if statement.effect == Effect::Allow && everyone && !narrowed && of_ecr(document.kind) {
        let what = if gives_push(statement) { "push to" } else { "use" };
        found.push(finding(
            Severity::Error,
            Reason::PolicyPublic,
            statement,
            format!("every account of AWS may {what} it: no condition says which"),
        ));
    }
}

fn not_principal(statement: &Statement, named: &Named<Who>, found: &mut Vec<Finding>) {
    if statement.effect == Effect::Allow {
        found.push(finding(
            Severity::Error,
            Reason::PolicyNotPrincipal,
            statement,
            "Allow with NotPrincipal gives to everybody who is not listed, anonymous callers too",
        ));
        return;
    }
    let listed = named.listed();
    for who in listed {
        let (Who::Arn(text), Some(account)) = (who, who.account()) else { continue };
        let mut missing = Vec::new();
        if !listed.contains(&Who::Account(account.to_owned())) {
            missing.push(format!("its account {account}"));
        }
        if let Some(arn) = PrincipalArn::parse(text).filter(|arn| arn.kind == "role") {
            let session = |other: &Who| {
                matches!(other, Who::Arn(other) if PrincipalArn::parse(other).is_some_and(|other| {
                    other.kind == "assumed-role" && other.account == account && other.name() == arn.name()
                }))
            };
            if !listed.iter().any(session) {
                missing.push("its sessions by name".to_owned());
            }
        }
        if !missing.is_empty() {
            found.push(finding(
                Severity::Error,
                Reason::PolicyNotPrincipal,
                statement,
                format!(
                    "{text} is denied all the same: {} would have to be listed too",
                    missing.join(" and ")
                ),
            ));
        }
    }
}

fn narrows(condition: &Condition) -> bool {
    let open = match &condition.test {
        Test::Text(patterns) => {
            patterns.iter().any(|one| one.fixed().is_some_and(Glob::is_everything))
        }
        Test::Address(networks) => networks.iter().any(|network| network.bits == 0),
        _ => false,
    };
    NARROWING.contains(&condition.key.as_str())
        && !condition.negated
        && !condition.if_exists
        && !open
}
