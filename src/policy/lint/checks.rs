//! The checks, by element.

use std::collections::BTreeSet;

use super::{
    super::{
        action::{self, REGISTRY_V1},
        condition::{Condition, Test},
        document::{Document, ECR_POLICY_CHARACTERS, Effect, Kind, Named, Statement},
        evaluate::RegistryScope,
        glob::Glob,
        principal::{PrincipalArn, Who, unique_id_kind},
    },
    Finding, Place, Severity, finding, gives_push, of_ecr,
};
use crate::model::{reason::Reason, registry::partition_of_region};

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

pub(super) fn principals(
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

pub(super) fn actions(
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

pub(super) fn resources(
    document: &Document,
    statement: &Statement,
    place: &Place<'_>,
    found: &mut Vec<Finding>,
) {
    for pattern in statement.resources.iter().flat_map(Named::listed) {
        if pattern.text == "*" || pattern.text.contains("${") {
            continue;
        }
        if let Some(what) = malformed(&pattern.text, document.kind, place) {
            found.push(finding(
                Severity::Error,
                Reason::PolicyArnMalformed,
                statement,
                format!("{}: {what}", pattern.text),
            ));
        } else if document.kind == Kind::Repository {
            found.push(finding(
                Severity::Note,
                Reason::PolicyResourceInRepository,
                statement,
                pattern.text.clone(),
            ));
        }
    }
}

/// What is wrong with a resource's ARN.
fn malformed(text: &str, kind: Kind, place: &Place<'_>) -> Option<String> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let wild = |part: &str| part.contains(['*', '?']);
    let named = parts.get(2).filter(|service| !wild(service));
    if let Some(service) = named.filter(|service| of_ecr(kind) && **service != "ecr") {
        return Some(format!("its service is {service:?}, not ecr"));
    }
    let [arn, partition, service, region, account, resource] = parts.as_slice() else {
        // A star that ends it may stand for the rest.
        return (!text.ends_with('*') || parts.first() != Some(&"arn")).then(|| {
            format!(
                "it has {} of an ARN's six parts (arn:aws:ecr:REGION:ACCOUNT:repository/NAME)",
                parts.len()
            )
        });
    };
    if *arn != "arn" {
        return Some("it does not begin with arn:".to_owned());
    }
    // A policy of somebody's own may speak of other services.
    if *service != "ecr" {
        return None;
    }
    if !wild(region) {
        match partition_of_region(region) {
            None => return Some(format!("its region is {region:?}")),
            Some(own) if own.name != *partition && !wild(partition) => {
                return Some(format!("region {region} is not of partition {partition}"));
            }
            Some(_) => {}
        }
    }
    if !wild(account) && !crate::model::registry::is_account(account) {
        return Some(format!("its account is {account:?}"));
    }
    if !resource.starts_with("repository/") && !wild(resource) {
        return Some(format!("its resource is {resource:?}, not repository/NAME"));
    }
    let name = resource.strip_prefix("repository/").unwrap_or_default();
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some("repository names have no capital letters".to_owned());
    }
    let (own_partition, own_region, own_account) = place.registry.filter(|_| of_ecr(kind))?;
    for (part, own, what) in [
        (partition, own_partition, "partition"),
        (region, own_region, "region"),
        (account, own_account, "account"),
    ] {
        if !wild(part) && *part != own {
            return Some(format!("its {what} is {part}, and the registry's is {own}"));
        }
    }
    None
}

pub(super) fn conditions(document: &Document, statement: &Statement, found: &mut Vec<Finding>) {
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
