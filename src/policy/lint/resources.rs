//! ARNs that can't be what is meant.

use super::{
    super::document::{Document, Kind, Named, Statement},
    Finding, Place, Severity, finding, of_ecr,
};
use crate::model::{reason::Reason, registry::partition_of_region};

pub(super) fn check(
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
